"""Tests of lookups in `MemoryStore`: by key, without a scan of a chain or an account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NoReturn, cast

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    CustomerAccountId,
    DataPackage,
)
from curae_lifecycle.service.changes import bump_version
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, SessionWrite
from curae_lifecycle.stores.memory_tables import Connections
from tests.support import subjects
from tests.support.instants import access_at, commit_writes, handle_at, record_at
from tests.support.memory import (
    BUCKET,
    FOR_EVER,
    MONTH,
    Store,
    guard,
    guarded,
    minted,
    revoked_chain,
)
from tests.support.server import (
    API_KEY,
    CALLER,
    ID,
    LIMITED,
    call,
    code,
    new_ids,
    request,
    world,
)
from tests.support.strategies import COORDINATE, START, at, pending, uuid


class Counted(dict[curae.ConnectionId, Connection]):
    """A dictionary that allows lookups by key only, and counts them."""

    asked = 0

    # The store passes no default, and `dict` allows one of any type.
    def get(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self, key: object, default: object = None
    ) -> Connection | None:
        del default
        self.asked += 1
        return super().get(cast("curae.ConnectionId", key))

    def __iter__(self) -> Iterator[curae.ConnectionId]:
        raise AssertionError("the store looks at all of them")

    def values(self) -> NoReturn:
        raise AssertionError("the store looks at all of them")

    def items(self) -> NoReturn:
        raise AssertionError("the store looks at all of them")


class CountedConnections(  # pyright: ignore[reportIncompatibleMethodOverride] - as above
    Counted, Connections
):
    """The store's connections, with counted lookups."""


def counted(made: curae.MemoryStore) -> tuple[Counted, Counted]:
    """Count the lookups of a store's connections and successors; return both."""
    connections = made._connections
    connections.__class__ = CountedConnections
    successors = connections._successors = Counted(connections._successors)
    connections._heads = Counted(connections._heads)
    return cast("CountedConnections", connections), successors


def test_memory_store_finds_successor_and_head_in_two_lookups() -> None:
    chain = revoked_chain(500)
    made = world(curae.Settings(), *chain)
    connections, successors = counted(made)
    for place in (0, 1, 250, 498, 499):
        before = connections.asked + successors.asked
        loaded = made.load(call(GetConnection(chain[place].id), None).needs).snapshot
        assert connections.asked + successors.asked == before + 2
        assert loaded.connection is chain[place]
        is_head = place == 499
        assert loaded.successor is (None if is_head else chain[place + 1])
        assert loaded.head is (None if is_head else chain[-1])
        fact = curae.Authorized(chain[place].id)
        held = made.load(fact.needs()).snapshot
        assert (held.connection, held.successor, held.head) == (
            loaded.connection,
            loaded.successor,
            loaded.head,
        )
        assert held.following == ()


def test_chain_head_does_not_depend_on_the_order_of_writes() -> None:
    chain = revoked_chain(3)
    made = world(curae.Settings(), *chain)
    for each in reversed(chain):
        assert commit_writes(made, (ConnectionWrite(each, bump_version(each)),))
    loaded = made.load(call(GetConnection(ID), None).needs).snapshot
    assert (loaded.successor, loaded.head) == (bump_version(chain[1]), bump_version(chain[2]))


def test_patient_revocation_loads_every_later_chain_connection() -> None:
    chain = revoked_chain(300)
    for place in (0, 150, 299):
        made = world(curae.Settings(), *chain)
        fact = curae.Revoked(chain[place].id, curae.Actor.PATIENT)
        held = made.load(fact.needs()).snapshot
        assert (held.connection, held.following) == (chain[place], tuple(chain[place + 1 :]))
        assert isinstance(record_at(made, fact, at(400)), curae.Done)
        head = made.connection(chain[-1].id)
        assert head is not None
        assert head.status is Status.REVOKED


def test_connections_of_a_user_are_found_without_a_scan() -> None:
    mine, other = revoked_chain(3), attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2"))
    theirs = [
        attrs.evolve(each, identity=attrs.evolve(each.identity, coordinate=other))
        for each in (pending(number=number) for number in range(10, 400))
    ]
    made = world(curae.Settings(), *theirs, *mine)
    counted(made)
    needs = Needs(connections=ConnectionsPage(COORDINATE))
    assert made.load(needs).snapshot.connections == tuple(mine)
    assert made.load(Needs(connections=ConnectionsPage(other))).snapshot.connections == tuple(
        theirs
    )
    nobody = attrs.evolve(COORDINATE, environment=curae.Environment.TEST)
    assert made.load(Needs(connections=ConnectionsPage(nobody))).snapshot.connections == ()
    assert made.load(curae.Graduated(COORDINATE).needs()).snapshot.connections == ()
    moved = bump_version(mine[1])
    assert commit_writes(made, (ConnectionWrite(mine[1], moved),))
    assert set(made.load(needs).snapshot.connections) == {mine[0], moved, mine[2]}


def test_loading_a_session_also_loads_its_coordinates_binding() -> None:
    made = world()
    writes = (SessionWrite(None, subjects.WAITING), BindingWrite(None, LIMITED))
    assert commit_writes(made, writes)
    loaded = made.load(Needs(session=subjects.SESSION)).snapshot
    assert (loaded.session, loaded.binding) == (subjects.WAITING, LIMITED)


OWNERS = [
    attrs.evolve(CALLER, app_id=AppId("app-2")),
    attrs.evolve(CALLER, customer_account_id=CustomerAccountId(uuid(99))),
    attrs.evolve(CALLER, environment=curae.Environment.TEST),
]


@pytest.mark.parametrize("owner", OWNERS)
def test_api_key_reregistered_for_a_new_owner_replays_nothing(
    owner: curae.Caller,
) -> None:
    made = world(curae.Settings(buckets=(BUCKET,)))
    first = handle_at(made, request("create"), START, new_ids=new_ids(1))
    made.register(curae.ApiKey(API_KEY), owner)
    second = handle_at(made, request("create"), START, new_ids=new_ids(2))
    assert (second.response.status, second.replayed) == (201, False)
    assert minted(second, "connection") != minted(first, "connection")
    third = handle_at(made, request("create", key="k-2"), START, new_ids=new_ids(3))
    assert third.response.status == 201, "a bucket of its own, of two tokens"
    full = handle_at(made, request("create", key="k-3"), START, new_ids=new_ids(4))
    assert (full.response.status, code(full)) == (429, "RATE_LIMITED")
    # Both buckets of the first owner are unchanged.
    made.register(curae.ApiKey(API_KEY), attrs.evolve(CALLER, scopes=frozenset()))
    made.register(curae.ApiKey(API_KEY), CALLER)
    again = handle_at(made, request("create"), START, new_ids=new_ids(5))
    assert (again.replayed, again.response) == (True, first.response)
    assert (
        code(handle_at(made, request("create", key="k-4"), START, new_ids=new_ids(6)))
        == "RATE_LIMITED"
    )


# --- Long chains ----------------------------------------------------------------------------------


class Counting(Store):
    """A store that counts the lookups of its connections and their indexes."""

    looks = 0

    def count(self) -> None:
        def looked_at() -> None:
            self.looks += 1

        guard(self._connections, looked_at)
        kept = self._connections
        kept._successors = guarded(kept._successors, looked_at)
        kept._heads = guarded(kept._heads, looked_at)
        self.looks = 0


ON_A_CHAIN: Final[dict[str, Callable[[Store], object]]] = {
    "get": lambda made: handle_at(made, request("get"), at(3)),
    "get a later one": lambda made: handle_at(made, request("get", id=uuid(2)), at(3)),
    "reconnect": lambda made: handle_at(made, request("reconnect"), at(3), new_ids=new_ids(900)),
    "revoke": lambda made: handle_at(made, request("revoke"), at(3)),
    "access": lambda made: access_at(made, ID, DataPackage("labs"), now=at(3)),
    "authorized": lambda made: record_at(made, curae.Authorized(ID), at(3)),
    "upstream": lambda made: record_at(made, curae.Revoked(ID, curae.Actor.UPSTREAM), at(3)),
    "a look whether it is over": lambda made: made.purge(START + 3 * MONTH),
}


@pytest.mark.parametrize("use", ON_A_CHAIN)
def test_memory_store_lookups_do_not_grow_with_the_chain(use: str) -> None:
    looks: list[int] = []
    for length in (3, 300):
        made = Counting(ended_retention=MONTH)
        made.register(curae.ApiKey(API_KEY), CALLER)
        for each in revoked_chain(length, FOR_EVER):
            assert commit_writes(made, (ConnectionWrite(None, each),))
        made.count()
        ON_A_CHAIN[use](made)
        looks.append(made.looks)
    assert looks[0] == looks[1] <= 12
