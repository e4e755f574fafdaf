"""Stores in memory for tests: two accounts, requests that fill them, and watched dicts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar, cast

import attrs

import curae_lifecycle as curae
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import (
    ApiKeyId,
    CustomerAccountId,
)
from curae_lifecycle.service.writes import ConnectionWrite, PageWrite, Write
from curae_lifecycle.stores.memory_accounts import AnyCollection
from curae_lifecycle.stores.memory_tables import Kind, Owner
from curae_lifecycle.testing.store_invariants import check_store
from curae_lifecycle.web.respond import Answer
from tests.support import server, subjects
from tests.support.instants import commit_writes, handle_at
from tests.support.server import (
    API_KEY,
    CALLER,
    document,
    new_ids,
    request,
)
from tests.support.strategies import COORDINATE, START, apply_trigger, at, pending, uuid

BUCKET: Final = curae.Bucket(name="platform", capacity=2, refill=1, seconds=60)
TOLERANCE: Final = timedelta(minutes=5)
DAY: Final = timedelta(hours=24)
MONTH: Final = timedelta(days=30)
ACTIVE: Final = apply_trigger(pending(), "authorize", at(1))
FOR_EVER: Final = apply_trigger(pending(), "authorize for ever", at(1))
REVOKED: Final = apply_trigger(pending(), "APP", START)
NEIGHBOUR: Final = attrs.evolve(
    CALLER, api_key_id=ApiKeyId("key-2"), customer_account_id=CustomerAccountId(uuid(99))
)
NEIGHBOURS_KEY: Final = curae.ApiKey("cae_live_k2")


class Store(curae.MemoryStore):
    """A store that counts its contents."""

    def sizes(self) -> dict[str, int]:
        """Return the number of entries of each of its collections."""
        collections = {
            name: held
            for name, held in [*vars(self).items(), *vars(self._connections).items()]
            if name not in {"_callers", "_instants", "_accounts", "_by_kind", "commits"}
            and hasattr(held, "__len__")
        }
        sizes = {name.strip("_"): len(held) for name, held in collections.items()}
        accounts = self._accounts._by_owner.values()
        sizes["deadlines"] = sum(len(account.deadlines) for account in accounts)
        sizes["counted"] = sum(account.held.total() for account in accounts)
        return sizes

    def counted(self) -> int:
        """Count its values."""
        values = self._connections, self._sessions, self._bindings, self._records, self._rates
        return sum([len(held) for held in values])

    def check(self, now: datetime) -> None:
        """Check the invariants of its values."""
        held = self._connections.values(), self._sessions.values(), self._bindings.values()
        check_store(*held, now)


def store(
    *connections: Connection,
    settings: curae.Settings | None = None,
    capacity: int = 1000,
    keep_over: timedelta | None = None,
) -> Store:
    """Return a store for two customer accounts."""
    made = Store(
        settings or curae.Settings(),
        capacity=capacity,
        ended_retention=keep_over,
        clock=lambda: START,
    )
    made.register(curae.ApiKey(API_KEY), CALLER)
    made.register(NEIGHBOURS_KEY, NEIGHBOUR)
    for each in connections:
        assert commit_writes(made, (ConnectionWrite(None, each),))
    return made


def by_neighbour(asked: curae.Request) -> curae.Request:
    """Return the same request from the other account."""
    headers = tuple(each for each in asked.headers if each[0] != "Authorization")
    return attrs.evolve(asked, headers=(*headers, ("Authorization", "Bearer cae_live_k2")))


EMPTY: Final = store().sizes()


def of_neighbour(number: int) -> Connection:
    """Return a pending connection of the other account."""
    made = pending(number=number)
    coordinate = NEIGHBOUR.coordinate(COORDINATE.app_user_id)
    return attrs.evolve(made, identity=attrs.evolve(made.identity, coordinate=coordinate))


def unknown(number: int) -> curae.Request:
    """Return a revocation of an unknown connection, under a fresh key."""
    return request("revoke", id=uuid(500), key=f"junk-{number}")


def fill_records(made: Store, number: int, now: datetime = START, first: int = 0) -> None:
    for each in range(first, first + number):
        assert handle_at(made, unknown(each), now).response.status == 404


def revoked_chain(length: int, last: Connection | None = None) -> list[Connection]:
    """Return a chain of revoked connections, with a given last one."""
    connections = [pending()]
    while len(connections) < length:
        recovered = apply_trigger(connections[-1], "APP", START)
        connections[-1] = recovered
        connections.append(subjects.recovered(recovered, START, len(connections) + 1))
    if last is not None:
        connections[-1] = attrs.evolve(last, identity=connections[-1].identity)
    return connections


K = TypeVar("K")
V = TypeVar("V")
LOOKS: Final = (
    "__contains__",
    "__delitem__",
    "__getitem__",
    "__iter__",
    "__len__",
    "__setitem__",
    "get",
    "setdefault",
    "values",
)


def guard(kept: dict[K, V], looked_at: Callable[[], None]) -> None:
    """Call a function at each access to one of the store's own dicts."""
    kept.__class__ = type("Guarded", (type(kept),), _looks(type(kept), looked_at))


def guarded(held: dict[K, V], looked_at: Callable[[], None]) -> dict[K, V]:
    """Return the same plain dict, which calls a function at each access."""
    kind = type(held)
    return cast("dict[K, V]", type("Guarded", (kind,), _looks(kind, looked_at))(held))


def _looks(kind: type, looked_at: Callable[[], None]) -> dict[str, object]:
    def telling(name: str) -> Callable[[object], object]:
        plain = getattr(kind, name)

        def method(self: object, *arguments: object) -> object:
            looked_at()
            found: object = plain(self, *arguments)
            return found

        return method

    return {name: telling(name) for name in LOOKS}


def minted(answer: Answer, member: str) -> str:
    """Return the id of the connection or session in a response."""
    value = document(answer)[member]
    assert isinstance(value, dict)
    return str(value["id"])


class _Unlooked:
    """Values of a kind that always compare as unchanged."""

    def __init__(self, kept: AnyCollection) -> None:
        self._kept = kept

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self._kept, name)
        return found

    def locate(self, write: Write) -> tuple[object, object, Owner]:
        key, _, owner = self._kept.locate(write)
        return key, write.before, owner


def compares_all_but(made: curae.MemoryStore, *kinds: Kind) -> None:
    """Make a store skip the comparison of these kinds."""
    for kind in kinds:
        made._by_kind[kind] = cast("AnyCollection", _Unlooked(made._by_kind[kind]))


def is_current(made: curae.MemoryStore, write: Write) -> bool:
    """Return whether the stored value equals the one that a write replaces."""
    if isinstance(write, PageWrite):
        return made._pages.get(write.after.digest) == write.before
    return made._by_kind[type(write)].locate(write)[1] == write.before


def overwrite(made: curae.MemoryStore, write: Write) -> None:
    """Store a write over any value."""
    if isinstance(write, PageWrite):
        made._pages.add(write.after)
        return
    kept = made._by_kind[type(write)]
    kept.set(kept.locate(write)[0], write)


def written_by(operation: str) -> tuple[Write, ...]:
    """Return all writes of a request that was decided on an empty store."""
    made = server.world(curae.Settings(buckets=(BUCKET,)))
    reading = curae.read(request(operation), caller=CALLER, now=START, settings=made.settings)
    assert not isinstance(reading, curae.Decision)
    decision = curae.decide(
        reading, snapshot=made.load(reading.needs).snapshot, now=START, new_ids=new_ids(1)
    )
    return curae.respond(decision).changes.writes
