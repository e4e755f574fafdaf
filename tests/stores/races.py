"""Pairs of requests and facts that meet on one row or one chain, for any store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    DataPackage,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, fact_needs, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.contract import Loaded, Store
from curae_lifecycle.web.respond import respond
from tests.server import API_KEY, CALLER
from tests.stores.served import MINT

USER: Final = AppUserId("user-1")
COORDINATE: Final = CALLER.coordinate(USER)
DIGEST: Final = ApiKey(API_KEY).digest()
SETTINGS: Final = Settings(buckets=(Bucket("platform", 1000, 500, 1),))
FEW: Final = Settings(buckets=(Bucket("few", 2, 1, 3600),))

Made = TypeVar("Made")

Work = Callable[[Store], tuple[Loaded, Changes]]
"""Loads and decides, and says what is to be committed."""


def asks(operation: Operation, key: str, settings: Settings = SETTINGS) -> Work:
    """A request that was read."""
    call = Call(CALLER, operation, IdempotencyKey(key), settings)

    def work(store: Store) -> tuple[Loaded, Changes]:
        loaded = store.for_call(DIGEST, needs(call))
        decision = decide(call, loaded.snapshot, loaded.now, MINT(loaded.now))
        return loaded, respond(decision).changes

    return work


def happens(fact: Fact) -> Work:
    """A fact that is recorded."""

    def work(store: Store) -> tuple[Loaded, Changes]:
        loaded = store.for_fact(fact_needs(fact))
        answer = record_fact(fact, loaded.snapshot, loaded.now)
        return loaded, answer.value if isinstance(answer, Done) else NO_CHANGES

    return work


def do(store: Store, work: Work) -> Changes:
    """Do it with nobody beside it."""
    loaded, changes = work(store)
    assert store.commit(loaded, changes)
    return changes


def connect(store: Store) -> ConnectionId:
    """A connection that was created and revoked, so that it can be recovered."""
    made = do(store, asks(CreateConnection(USER, (DataPackage("labs"),)), "made"))
    return ConnectionId(str(made.events[0].subject_id))


def revoked(store: Store) -> ConnectionId:
    """A connection that can be recovered."""
    id_ = connect(store)
    do(store, happens(Revoked(id_, Actor.APP)))
    return id_


def session(store: Store, key: str) -> SessionId:
    """A session that waits for its sign-up."""
    made = do(store, asks(Initiate(USER, prefer_signup=True), key))
    return SessionId(str(made.events[0].subject_id))


def _chain(store: Store) -> tuple[Work, Work]:
    first = connect(store)
    do(store, happens(Authorized(first)))
    do(store, happens(ActionRequired(first, "portal_login")))
    recovery = do(store, asks(Reconnect(first), "recovery"))
    second = ConnectionId(str(recovery.events[0].subject_id))
    do(store, happens(Revoked(second, Actor.APP)))
    return asks(Reconnect(second), "again"), happens(Revoked(first, Actor.PATIENT))


# fmt: off
RACES: Final[dict[str, Callable[[Store], tuple[Work, Work]]]] = {
    "connection: two reconnects": lambda store: _twice(
        lambda id_, key: asks(Reconnect(id_), key), revoked(store)),
    "connection: two revocations": lambda store: _twice(
        lambda id_, key: asks(Revoke(id_), key), connect(store)),
    "connection: authorized and revoked": lambda store: _both(
        connect(store), lambda id_: happens(Authorized(id_)), lambda id_: asks(Revoke(id_), "gone")),
    "connection: the head recovered, and the whole chain revoked": _chain,
    "session: landed twice": lambda store: _both(
        session(store, "one"), lambda id_: happens(HandoffCompleted(id_, UserId("u-1"))),
        lambda id_: happens(HandoffCompleted(id_, UserId("u-2")))),
    "binding: two sessions land": lambda store: (
        happens(HandoffCompleted(session(store, "one"), UserId("u-1"))),
        happens(HandoffCompleted(session(store, "two"), UserId("u-2")))),
    "binding: provisioned twice": lambda _: (
        asks(Initiate(USER), "one"), asks(Initiate(USER), "two")),
    "binding: graduated and tombstoned": lambda store: _both(
        do(store, asks(Initiate(USER), "one")), lambda _: happens(Graduated(COORDINATE, None)),
        lambda _: happens(Tombstoned(COORDINATE))),
    "binding: created and tombstoned": lambda store: _both(
        do(store, asks(Initiate(USER), "one")),
        lambda _: asks(CreateConnection(USER, (DataPackage("labs"),)), "two"),
        lambda _: happens(Tombstoned(COORDINATE))),
    "record: one key twice": lambda _: (
        asks(CreateConnection(USER, (DataPackage("labs"),)), "one"),
        asks(CreateConnection(USER, (DataPackage("labs"),)), "one")),
    "rate: the tenth and the eleventh": lambda store: _both(
        [do(store, asks(Initiate(USER), f"earlier-{number}")) for number in range(9)],
        lambda _: asks(Initiate(USER), "tenth"), lambda _: asks(Initiate(USER), "eleventh")),
    "rate: the last of a bucket": lambda store: _both(
        do(store, asks(Initiate(AppUserId("other")), "earlier", FEW)),
        lambda _: asks(Initiate(USER), "last", FEW),
        lambda _: asks(Initiate(AppUserId("user-2")), "one too many", FEW)),
}
# fmt: on
"""What both read and each writes; whoever commits second must be refused."""


def _both(
    made: Made, first: Callable[[Made], Work], second: Callable[[Made], Work]
) -> tuple[Work, Work]:
    return first(made), second(made)


def _twice(work: Callable[[ConnectionId, str], Work], id_: ConnectionId) -> tuple[Work, Work]:
    return work(id_, "one"), work(id_, "two")


def race(store: Store, first: Work, second: Work) -> list[bool]:
    """Both load and decide, then one commits after the other; what each commit answered."""
    loaded = [first(store), second(store)]
    return [store.commit(*each) for each in loaded]
