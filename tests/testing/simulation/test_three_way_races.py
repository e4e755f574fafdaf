"""Tests that the simulation runs into each race of three, on written seeds.

Each store here makes one mistake, in one race only: it stores a bind that it should refuse, since
a tombstone and a new connection came between its load and its commit.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

import attrs
import pytest

from curae_lifecycle.rules.binding import (
    AccountState,
    LimitedAccountAppBinding,
    account_state,
    present_era,
)
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import ConnectionId, Coordinate
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.races import THREE_WAY_RACES
from curae_lifecycle.testing.simulation import simulate


class Maker(StrEnum):
    """The requests that make a connection, by what they recover."""

    CREATE = "create"
    RECOVERS_AUTHORIZED = "reconnect of a connection that was authorized"
    RECOVERS_LAPSED = "reconnect of a connection that was never authorized"
    RECOVERS_REVOKED = "reconnect of a connection that an actor revoked"


class _BindsUnmoved(MemoryStore):
    """A store that stores a stale bind of one kind, if one kind of request made a connection.

    It compares the bind in every other case, and it compares every other write.
    """

    binds: ClassVar[AccountState]
    """The state of the account after the bind."""

    from_states: ClassVar[frozenset[AccountState]]
    """The states of the account before the bind, as the bind was decided."""

    def __init__(self, maker: Maker, settings: Settings = DEFAULT_SETTINGS) -> None:
        super().__init__(settings)
        self._maker = maker
        # New bindings, and the makers of new connections, in the order of their commits.
        self._events: list[tuple[Coordinate, LimitedAccountAppBinding | Maker]] = []
        self._revoked_by_actor: set[ConnectionId] = set()

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return attrs.evolve(super().load(needs, key_digest), seen=len(self._events))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        writes = tuple([self._unmoved(each, loaded) for each in changes.writes])
        if not super().commit(loaded, attrs.evolve(changes, writes=writes), page):
            return False
        for write in writes:
            if isinstance(write, BindingWrite):
                self._events.append((write.after.coordinate, write.after))
            elif isinstance(write, ConnectionWrite):
                self._note(write, loaded.snapshot.connection)
        return True

    def _unmoved(self, write: Write, loaded: Loaded) -> Write:
        if isinstance(write, BindingWrite) and self._is_stale_bind(write, loaded):
            return BindingWrite(self.binding(write.after.coordinate), write.after)
        return write

    def _is_stale_bind(self, write: BindingWrite, loaded: Loaded) -> bool:
        before, after = write.before, write.after
        if account_state(before) not in self.from_states or after.state is not self.binds:
            return False
        assert isinstance(loaded.seen, int)
        since = [each for at, each in self._events[loaded.seen :] if at == after.coordinate]
        eras = [each.era for each in since if not isinstance(each, Maker)]
        return self._maker in since and any(era != present_era(before) for era in eras)

    def _note(self, write: ConnectionWrite, recovered: Connection | None) -> None:
        identity = write.after.identity
        if write.before is None:
            self._events.append((identity.coordinate, self._maker_of(write, recovered)))
        elif write.after.status == "REVOKED":
            present = present_era(self.binding(identity.coordinate))
            # A sweep after a tombstone revokes connections of other eras.
            if identity.era == present:
                self._revoked_by_actor.add(write.after.id)

    def _maker_of(self, write: ConnectionWrite, recovered: Connection | None) -> Maker:
        if write.after.identity.predecessor_id is None:
            return Maker.CREATE
        assert recovered is not None
        if recovered.id in self._revoked_by_actor:
            return Maker.RECOVERS_REVOKED
        was_authorized = recovered.authorized_at is not None
        return Maker.RECOVERS_AUTHORIZED if was_authorized else Maker.RECOVERS_LAPSED


class SignUpsUnmoved(_BindsUnmoved):
    """The store of hand-offs that bind the user who signed up."""

    from_states = frozenset({AccountState.UNLINKED})
    binds = AccountState.ACTIVE


class ProvisionsUnmoved(_BindsUnmoved):
    """The store of initiates that provision a LIMITED user."""

    from_states = frozenset({AccountState.UNLINKED, AccountState.TOMBSTONED})
    binds = AccountState.LIMITED


class GraduatesUnmoved(_BindsUnmoved):
    """The store of graduations."""

    from_states = frozenset({AccountState.LIMITED})
    binds = AccountState.ACTIVE


SEEDS: Final[dict[tuple[str, tuple[str, str, str]], tuple[type[_BindsUnmoved], Maker, int]]] = {
    (
        "no user is bound, one connection is pending",
        ("create", "the hand-off is complete", "tombstone"),
    ): (SignUpsUnmoved, Maker.CREATE, 4786),
    (
        "no user is bound, one connection is pending",
        ("create", "initiate", "tombstone"),
    ): (ProvisionsUnmoved, Maker.CREATE, 5448),
    (
        "a user is bound, one connection is pending",
        ("create", "graduated", "tombstone"),
    ): (GraduatesUnmoved, Maker.CREATE, 4488),
    (
        "one connection is active",
        ("reconnect the first", "graduated", "tombstone"),
    ): (GraduatesUnmoved, Maker.RECOVERS_AUTHORIZED, 3),
    (
        "the pending connection has lapsed",
        ("reconnect the first", "initiate", "tombstone"),
    ): (ProvisionsUnmoved, Maker.RECOVERS_LAPSED, 5448),
    (
        "a successor is revoked",
        ("reconnect the second", "initiate", "tombstone"),
    ): (ProvisionsUnmoved, Maker.RECOVERS_REVOKED, 7154),
}
"""For each race of three, the store that fails in it alone, and a seed that finds the mistake."""

CLIENTS: Final = 1
HOURS: Final = 24


def test_table_of_seeds_lists_every_three_way_race_in_order() -> None:
    assert tuple(SEEDS) == THREE_WAY_RACES


@pytest.mark.heavy
@pytest.mark.parametrize(("plant", "maker", "seed"), SEEDS.values(), ids=map(str, SEEDS))
def test_simulation_finds_the_bug_planted_in_each_three_way_race(
    plant: type[_BindsUnmoved], maker: Maker, seed: int
) -> None:
    found = simulate(
        seed, clients=CLIENTS, hours=HOURS, make_store=lambda settings: plant(maker, settings)
    ).violation
    assert found is not None
    # The binding has the user or the era from before the tombstone again.
    assert found.law in {1, 17}


@pytest.mark.heavy
@pytest.mark.parametrize("seed", sorted({seed for _, _, seed in SEEDS.values()}))
def test_seeds_of_three_way_races_break_no_law_without_bugs(seed: int) -> None:
    assert simulate(seed, clients=CLIENTS, hours=HOURS).violation is None
