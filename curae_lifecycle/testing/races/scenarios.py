"""What may happen to one app user's connections at the same time, and the scenes that it happens in.

The law of this module: **no two stages share a value**, so many races run in one store, and what
each leaves is compared without the mark of its stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.contract import Loaded, Store, StoreUnavailableError
from curae_lifecycle.stores.hosted_pages import HostedPage, hosted_page_for
from curae_lifecycle.web.respond import respond

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When every scene begins."""

_LIFETIME: Final = timedelta(minutes=30)
_FIRST: Final = 1
_SECOND: Final = 2
_SESSIONS: Final = 1000
_ATTEMPTS: Final = 20


@attrs.frozen
class PendingCommit:
    """What is to be committed, and what it was decided from."""

    loaded: Loaded
    changes: Changes
    page: HostedPage | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is to be committed."""
        return self.page is None and self.changes == NO_CHANGES


Action = Callable[[Store], PendingCommit]
"""Loads and decides."""


def fact_action(fact: Fact) -> Action:
    """A fact that is recorded."""

    def work(store: Store) -> PendingCommit:
        loaded = store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, loaded.now)
        return PendingCommit(loaded, answer.value if isinstance(answer, Done) else NO_CHANGES)

    return work


def commit(store: Store, decided: PendingCommit) -> bool:
    """Commit what was decided; whether it was taken."""
    try:
        return store.commit(decided.loaded, decided.changes, decided.page)
    except StoreUnavailableError:
        return False


class NeverTakenError(LifecycleError, AssertionError):
    """A store goes on refusing what nobody else is there to disturb."""

    def __str__(self) -> str:
        return f"nobody else is there, and {_ATTEMPTS} commits were refused"


def commit_with_retries(store: Store, work: Action) -> list[PendingCommit]:
    """Do it again for as long as it is refused.

    Returns:
        What was decided each time; the last of it was taken.

    Raises:
        NeverTakenError: The store never takes it.
    """
    every: list[PendingCommit] = []
    for _ in range(_ATTEMPTS):
        every.append(work(store))
        if every[-1].is_nothing or commit(store, every[-1]):
            return every
    raise NeverTakenError


def at(minutes: float) -> datetime:
    """So many minutes after a scene's beginning."""
    return START + timedelta(minutes=minutes)


@attrs.frozen
class RaceTenant:
    """One app user, the app that asks for them, and the ids that may be minted for them.

    Attributes:
        caller: Who asks.
        api_key: Their API key.
        user: The app user.
        id_prefix: What the ids begin with, eight digits.
        page_url_prefix: What the URLs of hosted pages begin with.
        settings: What the server chose.
    """

    caller: Caller
    api_key: str
    user: AppUserId
    id_prefix: str
    page_url_prefix: str
    settings: Settings

    @classmethod
    def of(cls, number: int, settings: Settings) -> RaceTenant:
        """A stage of its own."""
        mark = f"{0x5A000000 + number:08x}"
        caller = Caller(
            api_key_id=ApiKeyId(f"key-{mark}"),
            app_id=AppId(f"app-{mark}"),
            customer_account_id=CustomerAccountId(f"{mark}-0000-4000-8000-00000000000a"),
            environment=Environment.LIVE,
            scopes=frozenset({CONNECTION_WRITE}),
        )
        pages = f"https://connect.example/{mark}/"
        return cls(
            caller=caller,
            api_key=f"cae_live_{mark}",
            user=AppUserId(f"user-{mark}"),
            id_prefix=mark,
            page_url_prefix=pages,
            settings=settings,
        )

    @property
    def digest(self) -> str:
        """Of the API key."""
        return ApiKey(self.api_key).digest()

    @property
    def coordinate(self) -> Coordinate:
        """The app user, as the app knows them."""
        return self.caller.coordinate(self.user)

    @property
    def first(self) -> ConnectionId:
        """The connection that a scene begins with."""
        return ConnectionId(self._uuid(_FIRST))

    @property
    def second(self) -> ConnectionId:
        """What recovered it."""
        return ConnectionId(self._uuid(_SECOND))

    @property
    def waiting(self) -> SessionId:
        """A session that waits for a sign-up."""
        return SessionId(self._uuid(_SESSIONS + _FIRST))

    def minted(self, number: int, now: datetime) -> NewIds:
        """The ids that go by a number."""
        return NewIds(
            connection_id=ConnectionId(self._uuid(number)),
            session_id=SessionId(self._uuid(_SESSIONS + number)),
            user_id=UserId(f"user-{number}"),
            next_action=NextAction(f"{self.page_url_prefix}{number}", now + _LIFETIME),
        )

    def request_action(self, operation: Operation, number: int, key: str | None = None) -> Action:
        """A request, read; what it mints goes by a number, and so does its key."""
        unkeyed = isinstance(operation, GetConnection | StartGraduation)
        idempotency_key = None if unkeyed else IdempotencyKey(key or f"k-{number}")
        call = Call(
            caller=self.caller, operation=operation, key=idempotency_key, settings=self.settings
        )

        def work(store: Store) -> PendingCommit:
            loaded = store.load(call.needs, self.digest)
            new_ids = self.minted(number, loaded.now)
            decision = decide(call, snapshot=loaded.snapshot, now=loaded.now, new_ids=new_ids)
            page = hosted_page_for(call, decision.reply, loaded.snapshot.binding)
            return PendingCommit(loaded, respond(decision).changes, page)

        return work

    def create_action(self, number: int) -> Action:
        """A request for a connection."""
        return self.request_action(CreateConnection(self.user, (DataPackage("labs"),)), number)

    def actions(self) -> Mapping[str, Action]:
        """Everything that may happen to the user of a scene, one of each kind."""
        first, second, asks = self.first, self.second, self.request_action
        landed = HandoffCompleted(self.waiting, UserId("user-9"))
        sign_up = Initiate(self.user, prefer_signup=True)
        return {
            "create": self.create_action(11),
            "get": asks(GetConnection(first), 12),
            "reconnect the first": asks(Reconnect(first), 13),
            "reconnect the second": asks(Reconnect(second), 14),
            "revoke the first": asks(Revoke(first), 15),
            "revoke the second": asks(Revoke(second), 16),
            "initiate": asks(Initiate(self.user), 17),
            "initiate with the same key": asks(Initiate(self.user), 18, "k-17"),
            "sign up": asks(sign_up, 19),
            "graduation": asks(StartGraduation(self.user), 20),
            "the first is authorized": fact_action(Authorized(first, happened_at=at(20))),
            "the second is authorized": fact_action(Authorized(second)),
            "the first needs action": fact_action(ActionRequired(first, "portal_login")),
            "the first is over": fact_action(Expired(first)),
            "the patient revokes the first": fact_action(Revoked(first, Actor.PATIENT)),
            "upstream revokes the second": fact_action(Revoked(second, Actor.UPSTREAM)),
            "the hand-off is complete": fact_action(landed),
            "graduated": fact_action(Graduated(self.coordinate)),
            "tombstone": fact_action(Tombstoned(self.coordinate)),
        }

    def _uuid(self, number: int) -> str:
        return f"{self.id_prefix}-0000-4000-8000-{number:012x}"


Past = tuple[tuple[float, Action], ...]
"""What happened, and after how many minutes."""


@attrs.frozen
class Scenario:
    """What happened before, and when the two that race do.

    Attributes:
        before: What happened on a stage.
        race_minute: After how many minutes the race is.
        buckets: The platform's, where they matter.
    """

    before: Callable[[RaceTenant], Past]
    race_minute: float
    buckets: tuple[Bucket, ...] = ()


def _created(stage: RaceTenant) -> Past:
    return ((0.0, stage.create_action(1)),)


def _waits(stage: RaceTenant) -> Past:
    return ((0.0, stage.request_action(Initiate(stage.user, prefer_signup=True), 1)),)


def _bound(stage: RaceTenant) -> Past:
    return (*_created(stage), (0.0, stage.request_action(Initiate(stage.user), 3)))


def _recovered(stage: RaceTenant) -> Past:
    return ((40.0, stage.request_action(Reconnect(stage.first), 2)),)


def _revoked(stage: RaceTenant) -> Past:
    # A session waits for a user who is bound by now.
    past = (*_created(stage), *_waits(stage), *_bound(stage)[1:], *_recovered(stage))
    return (*past, (41.0, fact_action(Revoked(stage.second, Actor.APP))))


def _asked(stage: RaceTenant, operation: Operation, count: int) -> Past:
    return tuple([(20.0, stage.request_action(operation, 30 + number)) for number in range(count)])


def _but_one(stage: RaceTenant) -> Past:
    return _asked(stage, GetConnection(stage.first), stage.settings.buckets[0].capacity - 1)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "nobody is bound, one is pending": Scenario(
        lambda stage: (*_created(stage), *_waits(stage)), 20
    ),
    "a user is bound, one is pending": Scenario(_bound, 20),
    "the pending one has lapsed": Scenario(_bound, 40),
    "one is active": Scenario(
        lambda stage: (*_bound(stage), (1.0, fact_action(Authorized(stage.first)))), 20
    ),
    "a successor is pending": Scenario(lambda stage: (*_bound(stage), *_recovered(stage)), 41),
    "a successor is revoked": Scenario(_revoked, 42),
    "nine initiates were admitted": Scenario(
        lambda stage: _asked(stage, Initiate(stage.user), 9), 20
    ),
    "one request is left to the key": Scenario(
        _but_one, 20, (Bucket(name="platform", capacity=3, refill=1, seconds=60),)
    ),
}
"""Where a race begins."""
