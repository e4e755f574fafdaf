"""Races of three actions: their schedules, the sequences they allow and the errors of a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count, permutations

import pytest

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import HandoffCancelled
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import BindingWrite, PageWrite, SessionWrite, Write
from curae_lifecycle.stores.contract import Loaded, Store
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.races import (
    SCENARIOS,
    THREE_WAY_RACES,
    Content,
    RaceTenant,
    Scenario,
    StoreArena,
    ThreeWayResult,
    race_three,
)
from curae_lifecycle.testing.races.scenarios import START, Action, PendingCommit
from curae_lifecycle.testing.races.three_way import schedules_of
from tests.support.wrong_stores import LoadsNoEra

UNBOUND, LANDING = THREE_WAY_RACES[0]
ACTIVE, RECOVERY = THREE_WAY_RACES[3]


def race(store: MemoryStore, scenario: str, actions: tuple[str, str, str]) -> list[ThreeWayResult]:
    return [*race_three(StoreArena(store), scenario, actions)]


def failed(every: list[ThreeWayResult]) -> set[tuple[str, ...]]:
    return {each.schedule for each in every if each.differences}


def ends_before(schedule: tuple[str, ...], first: str, second: str) -> bool:
    """Return whether the first action commits before the second loads."""
    return len(schedule) - 1 - schedule[::-1].index(first) < schedule.index(second)


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "actions"), THREE_WAY_RACES)
def test_correct_store_passes_all_races_of_three_actions(
    scenario: str, actions: tuple[str, str, str]
) -> None:
    every = race(MemoryStore(), scenario, actions)
    assert failed(every) == set()
    schedules = {each.schedule for each in every}
    assert len(every) == len(schedules) >= 36
    assert all(schedule.count(name) == 2 for schedule in schedules for name in actions)
    assert scenario in SCENARIOS


def test_race_of_three_detects_reconnects_that_ignore_tombstones() -> None:
    every = race(LoadsNoEra(), ACTIVE, RECOVERY)
    reconnect, _, tombstone = RECOVERY
    late = {each.schedule for each in every if ends_before(each.schedule, tombstone, reconnect)}
    assert failed(every) == late
    assert late


def is_tombstone(changes: Changes) -> bool:
    return any(
        isinstance(write, BindingWrite) and write.after.state is AccountState.TOMBSTONED
        for write in changes.writes
    )


class CommitsLate(MemoryStore):
    """A store that commits a tombstone only with the commit after it."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[Loaded, Changes]] = []

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        for each in self._waiting:
            super().commit(*each)
        self._waiting.clear()
        if is_tombstone(changes):
            self._waiting.append((loaded, changes))
            return True
        return super().commit(loaded, changes, page)


def test_race_of_three_fails_if_no_serial_order_ends_the_same() -> None:
    # What is committed first must be seen by what loads afterwards.
    create, landing, tombstone = LANDING
    lost = failed(race(CommitsLate(), UNBOUND, LANDING))
    assert (create, create, landing, landing, tombstone, tombstone) in lost
    assert (tombstone, tombstone, create, create, landing, landing) in lost
    # The commit after the tombstone meets it, and is then decided anew.
    assert (create, create, tombstone, tombstone, landing, landing) not in lost
    assert (create, landing, tombstone, tombstone, landing, create) not in lost


class LosesLandings(MemoryStore):
    """A store that loses the change of a session whose hand-off landed."""

    def _store(self, writes: tuple[Write, ...]) -> bool:
        kept = [each for each in writes if not isinstance(each, SessionWrite) or not each.before]
        return super()._store(tuple(kept))


def test_race_of_three_detects_a_store_that_loses_a_handoff() -> None:
    assert failed(race(LosesLandings(), UNBOUND, LANDING))


class RefusingStore:
    """A store that refuses the first commit of some actions and keeps the order of the others."""

    def __init__(self, refused: Iterable[str]) -> None:
        self.order: list[str] = []
        self._refused = set(refused)

    def caller_of(self, key_digest: str) -> Caller | None:
        del key_digest
        return None

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        del needs, key_digest
        return Loaded(Snapshot(), START)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        del loaded, page
        (effect,) = changes.effects
        assert isinstance(effect, HandoffCancelled)
        name = str(effect.connection_id)
        if name in self._refused:
            self._refused.remove(name)
            return False
        self.order.append(name)
        return True


def page_of(name: str, version: int) -> HostedPage:
    return HostedPage(name, kind=PageKind.SESSION, subject=name, expires_at=START, version=version)


def action_named(name: str) -> Action:
    versions = count(1)

    def action(store: Store) -> PendingCommit:
        write = PageWrite(page_of(name, 0), page_of(name, next(versions)))
        effect = HandoffCancelled(ConnectionId(name))
        return PendingCommit(store.load(Needs()), Changes((write,), (effect,)))

    return action


class TenantOfThree(RaceTenant):
    """A tenant with three actions, each of which tries to write one page."""

    def actions(self) -> Mapping[str, Action]:
        return {name: action_named(name) for name in "abc"}


class ClaimingArena:
    """An arena whose contents are the order of the commits, or an order that is only claimed."""

    def __init__(self, claimed: tuple[str, ...] = (), refused: Iterable[str] = ()) -> None:
        self._claimed, self._refused = claimed, tuple(refused)
        self._store = RefusingStore(())
        self.touched: list[list[Write]] = []

    def set_up(self, scenario: Scenario) -> RaceTenant:
        del scenario
        self._store = RefusingStore(self._refused)
        return TenantOfThree.of(1, Settings())

    def stores(self) -> tuple[Store, Store]:
        return self._store, self._store

    def content(self, tenant: RaceTenant, touched: Iterable[Write]) -> Content:
        del tenant
        self.touched.append([*touched])
        return {"order": " ".join(self._claimed or self._store.order)}

    def reference(self) -> ClaimingArena:
        return ClaimingArena()


@pytest.mark.parametrize("refused", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("claimed", [*permutations("abc")])
def test_race_of_three_passes_only_if_a_serial_order_is_possible(
    claimed: tuple[str, ...], refused: str
) -> None:
    def is_allowed(schedule: tuple[str, ...]) -> bool:
        last = {name: 5 - schedule[::-1].index(name) for name in claimed}
        # A refused action loads again at its last step.
        loaded = {name: last[name] if name in refused else schedule.index(name) for name in claimed}
        later = ((one, other) for at, one in enumerate(claimed) for other in claimed[at + 1 :])
        return all(last[other] > loaded[one] for one, other in later)

    every = [*race_three(ClaimingArena(claimed, refused), UNBOUND, "abc")]
    passed = {each.schedule for each in every if not each.differences}
    assert passed == {each.schedule for each in every if is_allowed(each.schedule)}
    assert 0 < len(passed) < len(every)


@pytest.mark.parametrize(
    ("refused", "tries"), [("", (1, 1, 1)), ("b", (1, 2, 1)), ("ac", (2, 1, 2))]
)
def test_race_of_three_compares_values_of_refused_commits_too(
    refused: str, tries: tuple[int, ...]
) -> None:
    arena = ClaimingArena(tuple("abc"), refused)
    every = [*race_three(arena, UNBOUND, "abc")]
    expected = {
        page_of(name, version)
        for name, tried in zip("abc", tries, strict=True)
        for version in range(1, tried + 1)
    }
    assert len(arena.touched) == len(every)
    assert [{write.after for write in each} for each in arena.touched] == [expected] * len(every)
    assert {each.scenario for each in every} == {UNBOUND}


class ClaimsMore(ClaimingArena):
    """An arena whose contents have a part that no sequence has."""

    def content(self, tenant: RaceTenant, touched: Iterable[Write]) -> Content:
        return {**super().content(tenant, touched), "with": "more"}


def test_race_of_three_reports_the_closest_serial_order() -> None:
    every = {each.schedule: each.differences for each in race_three(ClaimsMore(), UNBOUND, "abc")}
    # Each commit conflicts with no other, so the contents are those of the commits in order.
    assert set(every.values()) == {("with: more, not absent",)}


def test_races_differing_in_order_of_adjacent_loads_run_once() -> None:
    assert ["".join(each) for each in schedules_of("ab")] == ["aabb", "abab", "abba", "bbaa"]
    # Adjacent commits stay apart: the store may refuse the later one.
    assert {"abcabc", "abccba"} < {"".join(each) for each in schedules_of("abc")}


class Broken(MemoryStore):
    """A store that raises when it commits a tombstone."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        if is_tombstone(changes):
            raise RuntimeError("no room")
        return super().commit(loaded, changes, page)


def test_race_of_three_reports_the_error_that_a_store_raises() -> None:
    create, initiate, tombstone = THREE_WAY_RACES[1][1]
    every = race(Broken(), UNBOUND, (create, initiate, tombstone))
    assert {each.differences for each in every} <= {(), ("raised RuntimeError: no room",)}
    assert any(each.differences for each in every)


def test_race_of_three_is_printed_as_steps() -> None:
    result = ThreeWayResult(UNBOUND, ("a", "b", "b", "c", "a", "c"), ())
    assert str(result) == "a loads, b loads, b commits, c loads, a commits, c commits"
