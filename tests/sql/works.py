"""What may happen to one user's connections at the same time, and the scenes that it happens in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    DataPackage,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, fact_needs, record_fact
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
from curae_lifecycle.stores.contract import Loaded, Store
from curae_lifecycle.stores.pages import HostedPage, page_of
from curae_lifecycle.web.respond import respond
from tests.server import API_KEY, CALLER
from tests.strategies import LIFETIME, at, uuid

SETTINGS: Final = Settings(buckets=(Bucket("platform", 50, 1, 60), Bucket("other", 90, 7, 60)))
DIGEST: Final = ApiKey(API_KEY).digest()
USER: Final = AppUserId("user-1")
FIRST, SECOND = ConnectionId(uuid(1)), ConnectionId(uuid(2))
WAITING: Final = SessionId(uuid(1001))


@attrs.frozen
class Decided:
    """What is to be committed, and what it was decided from."""

    loaded: Loaded
    changes: Changes
    page: HostedPage | None = None

    @property
    def is_nothing(self) -> bool:
        return self.page is None and self.changes == NO_CHANGES


Work = Callable[[Store], Decided]
"""Loads and decides."""


def asks(operation: Operation, number: int, key: str | None = None) -> Work:
    """A request, read; what it mints goes by a number, and so does its key."""
    unkeyed = isinstance(operation, GetConnection | StartGraduation)
    idempotency_key = None if unkeyed else IdempotencyKey(key or f"k-{number}")
    call = Call(CALLER, operation, idempotency_key, SETTINGS)

    def work(store: Store) -> Decided:
        loaded = store.for_call(DIGEST, needs(call))
        decision = decide(call, loaded.snapshot, loaded.now, minted(number, loaded.now))
        return Decided(loaded, respond(decision).changes, page_of(call, decision.reply))

    return work


def minted(number: int, now: datetime) -> NewIds:
    """The ids that go by a number."""
    return NewIds(
        ConnectionId(uuid(number)),
        SessionId(uuid(1000 + number)),
        UserId(f"user-{number}"),
        NextAction(f"https://connect.example/{number}", now + LIFETIME),
    )


def happens(fact: Fact) -> Work:
    """A fact."""

    def work(store: Store) -> Decided:
        loaded = store.for_fact(fact_needs(fact))
        answer = record_fact(fact, loaded.snapshot, loaded.now)
        return Decided(loaded, answer.value if isinstance(answer, Done) else NO_CHANGES)

    return work


CREATE: Final = CreateConnection(USER, (DataPackage("labs"),))
COORDINATE: Final = CALLER.coordinate(USER)


def works() -> Mapping[str, Work]:
    """Everything that may happen to the user of a scene, one of each kind."""
    return {
        "create": asks(CREATE, 11),
        "get": asks(GetConnection(FIRST), 12),
        "reconnect the first": asks(Reconnect(FIRST), 13),
        "reconnect the second": asks(Reconnect(SECOND), 14),
        "revoke the first": asks(Revoke(FIRST), 15),
        "revoke the second": asks(Revoke(SECOND), 16),
        "initiate": asks(Initiate(USER), 17),
        "initiate with the same key": asks(Initiate(USER), 18, "k-17"),
        "sign up": asks(Initiate(USER, prefer_signup=True), 19),
        "graduation": asks(StartGraduation(USER), 20),
        "the first is authorized": happens(Authorized(FIRST, happened_at=at(20))),
        "the second is authorized": happens(Authorized(SECOND)),
        "the first needs action": happens(ActionRequired(FIRST, "portal_login")),
        "the first is over": happens(Expired(FIRST)),
        "the patient revokes the first": happens(Revoked(FIRST, Actor.PATIENT)),
        "upstream revokes the second": happens(Revoked(SECOND, Actor.UPSTREAM)),
        "the hand-off is complete": happens(HandoffCompleted(WAITING, UserId("user-9"))),
        "graduated": happens(Graduated(COORDINATE)),
        "tombstone": happens(Tombstoned(COORDINATE)),
    }


@attrs.frozen
class Scene:
    """What happened before, and when the two that race do."""

    before: tuple[tuple[float, Work], ...]
    now: float


_CREATED: Final = (0.0, asks(CREATE, 1))
_WAITS: Final = (0.0, asks(Initiate(USER, prefer_signup=True), 1))
_BOUND: Final = (0.0, asks(Initiate(USER), 3))
_RECOVERED: Final = (40.0, asks(Reconnect(FIRST), 2))

SCENES: Final = {
    "nobody is bound, one is pending": Scene((_CREATED, _WAITS), 20),
    "a user is bound, one is pending": Scene((_CREATED, _BOUND), 20),
    "the pending one has lapsed": Scene((_CREATED, _BOUND), 40),
    "one is active": Scene((_CREATED, _BOUND, (1.0, happens(Authorized(FIRST)))), 20),
    "a successor is pending": Scene((_CREATED, _BOUND, _RECOVERED), 41),
    "a successor is revoked": Scene(
        (_CREATED, _WAITS, _BOUND, _RECOVERED, (41.0, happens(Revoked(SECOND, Actor.APP)))), 42
    ),
    "nine initiates were admitted": Scene(
        tuple((20.0, asks(Initiate(USER), 30 + number)) for number in range(9)), 20
    ),
    "one request is left to the key": Scene(
        tuple((20.0, asks(GetConnection(FIRST), 30 + number)) for number in range(49)), 20
    ),
}
