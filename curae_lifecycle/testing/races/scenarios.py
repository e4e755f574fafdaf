"""The actions that race over one app user's connections, and the scenarios that they race in.

The law of this module: **no stored value belongs to two tenants**, so many races can run in one
store. The contents that races leave are compared without the digits that mark their tenants.
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
from curae_lifecycle.service.hosted_page import HostedPage, url_digest
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.service.writes import PageWrite, Write
from curae_lifecycle.stores.contract import Loaded, Store, StoreUnavailableError
from curae_lifecycle.stores.hosted_pages import hosted_page_for
from curae_lifecycle.testing.request_store import RequestStore
from curae_lifecycle.web.respond import respond

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The instant at which every scenario begins."""

_LIFETIME: Final = timedelta(minutes=30)
_FIRST: Final = 1
_SECOND: Final = 2
_BOUND: Final = 3
_GRADUATION: Final = 4
_SIGN_UP: Final = 5
PAST_PAGES: Final = (_FIRST, _SECOND, _GRADUATION, _SIGN_UP)
"""The numbers of requests that run before a race and open a hosted page.

`StoreArena.content` returns these pages among the values to compare after the race.
`RaceTenant.page_url` returns the URL of the page that the request with a number opens.
"""

_SESSIONS: Final = 1000
_ATTEMPTS: Final = 20


@attrs.frozen
class PendingCommit:
    """The changes that an action, such as a request, decided and has not committed yet.

    Attributes:
        loaded: The loaded values that the changes were decided from.
        changes: The changes to commit.
        page: The hosted page to register in the same commit, if any.
    """

    loaded: Loaded
    changes: Changes
    page: HostedPage | None = None

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to commit: no changes and no page."""
        return self.page is None and self.changes == NO_CHANGES

    @property
    def touched(self) -> tuple[Write, ...]:
        """The writes, and a `PageWrite` for the page to register, if any.

        The `before` and `after` of that `PageWrite` are both the page. After a race,
        `Arena.content` reads the values that all these writes name, to compare stores.
        """
        pages = () if self.page is None else (PageWrite(self.page, self.page),)
        return (*self.changes.writes, *pages)


Action = Callable[[Store], PendingCommit]
"""A function that loads values from a store and decides what to commit, but does not commit it."""


def fact_action(fact: Fact) -> Action:
    """Return a function that loads what a fact needs from a store and decides its changes.

    The function commits nothing: it returns the changes as a `PendingCommit`, for its caller to
    commit. If the fact is ignored or refused, the `PendingCommit` is empty.
    """

    def action(store: Store) -> PendingCommit:
        loaded = store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, loaded.now)
        return PendingCommit(loaded, answer.value if isinstance(answer, Done) else NO_CHANGES)

    return action


def commit(store: Store, decided: PendingCommit) -> bool:
    """Try once to commit what an action decided.

    Args:
        store: The store.
        decided: The decided changes, with the values from which they were decided.

    Returns:
        Whether the store accepted the commit. False on a conflict, or if the store was unavailable.
    """
    try:
        return store.commit(decided.loaded, decided.changes, decided.page)
    except StoreUnavailableError:
        return False


class CommitRefusedError(LifecycleError, AssertionError):
    """The error for a store that refuses a commit again and again without a reason.

    It refused 20 commits of one action although no other transaction ran.
    """

    def __str__(self) -> str:
        return f"the store refused {_ATTEMPTS} commits although no other transaction ran"


def commit_with_retries(store: Store, action: Action) -> list[PendingCommit]:
    """Run an action and commit what it decides; repeat both until the store accepts the commit.

    Args:
        store: The store.
        action: The function that loads values from the store and decides what to commit.

    Returns:
        The pending commits in order. The store refused all but the last. The last was accepted, or
        was empty and needed no commit.

    Raises:
        CommitRefusedError: The store refused the commit 20 times.
    """
    tried: list[PendingCommit] = []
    for _ in range(_ATTEMPTS):
        decided = action(store)
        tried.append(decided)
        if decided.is_empty or commit(store, decided):
            return tried
    raise CommitRefusedError


def at(minutes: float) -> datetime:
    """Return the instant that is `minutes` after `START`, at which every scenario begins."""
    return START + timedelta(minutes=minutes)


@attrs.frozen
class RaceTenant:
    """An app user for one race, with an app, API key and ids that no other race uses.

    Attributes:
        caller: The caller of `api_key`, with the app that the user uses.
        api_key: The API key of the app.
        user: The id of the app user.
        id_prefix: The first eight hex digits of every UUID that is made for the tenant.
        page_url_prefix: The first part of the URL of every hosted page of the tenant.
        settings: The settings of the server, by which requests are decided.
    """

    caller: Caller
    api_key: str
    user: AppUserId
    id_prefix: str
    page_url_prefix: str
    settings: Settings

    @classmethod
    def of(cls, number: int, settings: Settings) -> RaceTenant:
        """Build the app user for one race, the tenant, with ids and an API key made from a number.

        Args:
            number: The number. Tenants with different numbers share no stored value.
            settings: The settings of the server.
        """
        mark = f"{0x5A000000 + number:08x}"
        caller = Caller(
            api_key_id=ApiKeyId(f"key-{mark}"),
            app_id=AppId(f"app-{mark}"),
            customer_account_id=CustomerAccountId(f"{mark}-0000-4000-8000-00000000000a"),
            environment=Environment.LIVE,
            scopes=frozenset({CONNECTION_WRITE}),
        )
        return cls(
            caller=caller,
            api_key=f"cae_live_{mark}",
            user=AppUserId(f"user-{mark}"),
            id_prefix=mark,
            page_url_prefix=f"https://connect.example/{mark}/",
            settings=settings,
        )

    @property
    def digest(self) -> str:
        """The digest of the tenant's API key, by which a store finds the key's caller."""
        return ApiKey(self.api_key).digest()

    @property
    def coordinate(self) -> Coordinate:
        """The coordinate of the app user."""
        return self.caller.coordinate(self.user)

    @property
    def first(self) -> ConnectionId:
        """The id of the connection that most scenarios create before the race."""
        return ConnectionId(self._uuid(_FIRST))

    @property
    def second(self) -> ConnectionId:
        """The id of the successor of `first`; unused if the scenario creates no successor."""
        return ConnectionId(self._uuid(_SECOND))

    @property
    def open_session_id(self) -> SessionId:
        """The id of the session that waits for a sign-up, in scenarios that open one."""
        return SessionId(self._uuid(_SESSIONS + _SIGN_UP))

    def page_url(self, number: int) -> str:
        """Return the URL of the hosted page that the tenant's request with this number opens.

        Each request of the tenant has a number, from which its new ids and URL are made.
        """
        return f"{self.page_url_prefix}{number}"

    def page_number(self, digest: str) -> int:
        """Return the number of the request whose hosted page has this digest; undoes `page_url`.

        Args:
            digest: The digest of the page's URL.

        Raises:
            ValueError: No page URL of the tenant's requests 0 to 999 has this digest.
        """
        digests = (url_digest(self.page_url(number)) for number in range(_SESSIONS))
        for number, each in enumerate(digests):
            if each == digest:
                return number
        raise ValueError("the page is not one of this tenant")

    def new_ids(self, number: int, now: datetime) -> NewIds:
        """Return the ids and the next action that the request with this number may use.

        Args:
            number: The number. Different numbers give different ids.
            now: The current instant. The next action expires 30 minutes later.
        """
        return NewIds(
            connection_id=ConnectionId(self._uuid(number)),
            session_id=SessionId(self._uuid(_SESSIONS + number)),
            user_id=UserId(f"user-{number}"),
            next_action=NextAction(self.page_url(number), now + _LIFETIME),
        )

    def request_action(self, operation: Operation, number: int, key: str | None = None) -> Action:
        """Return a function that loads what a request needs from a store and decides it.

        The function commits nothing: it returns the changes as a `PendingCommit`.

        Args:
            operation: The requested operation.
            number: The request's number, from which `new_ids` makes its ids.
            key: The idempotency key; by default it is made from the number. Ignored if the
                operation takes no key.
        """
        unkeyed = isinstance(operation, GetConnection | StartGraduation)
        idempotency_key = None if unkeyed else IdempotencyKey(key or f"k-{number}")

        def action(store: Store) -> PendingCommit:
            # Made here, since a race runs two of a tenant's many actions.
            call = Call(
                caller=self.caller, operation=operation, key=idempotency_key, settings=self.settings
            )
            if isinstance(store, RequestStore) and store.charges:
                call = attrs.evolve(call, charged=True)
            loaded = store.load(call.needs, self.digest)
            new_ids = self.new_ids(number, loaded.now)
            decision = decide(call, snapshot=loaded.snapshot, now=loaded.now, new_ids=new_ids)
            page = hosted_page_for(call, decision.reply, loaded.snapshot.binding)
            return PendingCommit(loaded, respond(decision).changes, page)

        return action

    def create_action(self, number: int) -> Action:
        """Return a function that loads values from a store and decides to create a connection.

        The function commits nothing: it returns the changes as a `PendingCommit`, as
        `request_action` describes.

        Args:
            number: The request's number, from which its ids are made; no other request of the
                tenant has it.
        """
        return self.request_action(CreateConnection(self.user, (DataPackage("labs"),)), number)

    def actions(self) -> Mapping[str, Action]:
        """Return the actions of the tenant that race against each other, by name.

        An action is a function that loads values from a store and decides what to commit.
        """
        first, second, request = self.first, self.second, self.request_action
        landed = HandoffCompleted(self.open_session_id, UserId("user-9"))
        graduated = Graduated(
            self.coordinate, UserId(f"user-{_BOUND}"), page_url=self.page_url(_GRADUATION)
        )
        sign_up = Initiate(self.user, prefer_signup=True)
        return {
            "create": self.create_action(11),
            "get": request(GetConnection(first), 12),
            "reconnect the first": request(Reconnect(first), 13),
            "reconnect the second": request(Reconnect(second), 14),
            "revoke the first": request(Revoke(first), 15),
            "revoke the second": request(Revoke(second), 16),
            "initiate": request(Initiate(self.user), 17),
            "initiate with the same key": request(Initiate(self.user), 18, "k-17"),
            "sign up": request(sign_up, 19),
            "graduation": request(StartGraduation(self.user), 20),
            "the first is authorized": fact_action(Authorized(first, happened_at=at(20))),
            "the second is authorized": fact_action(Authorized(second)),
            "the first needs action": fact_action(ActionRequired(first, "portal_login")),
            "the first expires": fact_action(Expired(first)),
            "the patient revokes the first": fact_action(Revoked(first, Actor.PATIENT)),
            "upstream revokes the second": fact_action(Revoked(second, Actor.UPSTREAM)),
            "the hand-off is complete": fact_action(landed),
            "graduated": fact_action(Graduated(self.coordinate)),
            "the page graduates": fact_action(graduated),
            "the page authorizes the second": fact_action(
                Authorized(second, page_url=self.page_url(_SECOND))
            ),
            "tombstone": fact_action(Tombstoned(self.coordinate)),
        }

    def _uuid(self, number: int) -> str:
        return f"{self.id_prefix}-0000-4000-8000-{number:012x}"


Past = tuple[tuple[float, Action], ...]
"""Earlier actions, as pairs: a minute, counted from `START`, and the action that runs then."""


@attrs.frozen
class Scenario:
    """The state in which a race begins: earlier actions, and the instant of the race.

    Attributes:
        before: Returns the actions of a tenant before the race, each with its minute.
        race_minute: The minute of the race. Minutes are counted from `START`.
        buckets: The token buckets of the server's settings; by default there are none.
    """

    before: Callable[[RaceTenant], Past]
    race_minute: float
    buckets: tuple[Bucket, ...] = ()


def _create(tenant: RaceTenant) -> Past:
    return ((0.0, tenant.create_action(1)),)


def _open_session(tenant: RaceTenant) -> Past:
    sign_up = Initiate(tenant.user, prefer_signup=True)
    return ((0.0, tenant.request_action(sign_up, _SIGN_UP)),)


def _bind_user(tenant: RaceTenant) -> Past:
    return ((0.0, tenant.request_action(Initiate(tenant.user), _BOUND)),)


def _graduating(tenant: RaceTenant) -> Past:
    graduation = tenant.request_action(StartGraduation(tenant.user), _GRADUATION)
    return (*_pending(tenant), (1.0, graduation))


def _recover(tenant: RaceTenant) -> Past:
    return ((40.0, tenant.request_action(Reconnect(tenant.first), 2)),)


def _pending(tenant: RaceTenant) -> Past:
    return (*_create(tenant), *_bind_user(tenant))


def _authorized(tenant: RaceTenant) -> Past:
    return (*_pending(tenant), (1.0, fact_action(Authorized(tenant.first))))


def _recovered(tenant: RaceTenant) -> Past:
    return (*_pending(tenant), *_recover(tenant))


def _revoked(tenant: RaceTenant) -> Past:
    # The session still waits for a sign-up, which the user who was bound meanwhile refuses.
    sessions = (*_open_session(tenant), *_bind_user(tenant))
    revocation = fact_action(Revoked(tenant.second, Actor.APP))
    return (*_create(tenant), *sessions, *_recover(tenant), (41.0, revocation))


def _repeated(tenant: RaceTenant, operation: Operation, count: int) -> Past:
    return tuple([(20.0, tenant.request_action(operation, 30 + number)) for number in range(count)])


def _all_but_one(tenant: RaceTenant) -> Past:
    return _repeated(tenant, GetConnection(tenant.first), tenant.settings.buckets[0].capacity - 1)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "no user is bound, one connection is pending": Scenario(
        lambda tenant: (*_create(tenant), *_open_session(tenant)), 20
    ),
    "a user is bound, one connection is pending": Scenario(_graduating, 20),
    "the pending connection has lapsed": Scenario(_pending, 40),
    "one connection is active": Scenario(_authorized, 20),
    "a successor is pending": Scenario(_recovered, 41),
    "a successor is revoked": Scenario(_revoked, 42),
    "nine initiates were admitted": Scenario(
        lambda tenant: _repeated(tenant, Initiate(tenant.user), 9), 20
    ),
    "the key has one request left": Scenario(
        _all_but_one, 20, (Bucket(name="platform", capacity=3, refill=1, seconds=60),)
    ),
}
"""The scenarios by name; each is the state of a store in which a race begins."""
