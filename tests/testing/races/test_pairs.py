"""Tests of which sequences a race of two allows, on an arena whose contents are only claimed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

import attrs
import pytest

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.effects import HandoffCancelled
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import PageWrite, Write
from curae_lifecycle.stores.contract import Loaded, Store, StoreUnavailableError
from curae_lifecycle.testing.races import (
    SCENARIOS,
    Action,
    Arena,
    Content,
    PendingCommit,
    RaceResult,
    RaceTenant,
    Scenario,
    commit_in_sequence,
    race_all,
)
from curae_lifecycle.testing.races.scenarios import START

PAGE: Final = HostedPage("d", kind=PageKind.SESSION, subject="s", expires_at=START)
SCENARIO: Final = next(iter(SCENARIOS.values()))
EITHER, FIRST, SECOND = {"in order", "swapped"}, {"in order"}, {"swapped"}


class Step(NamedTuple):
    """A step of an action on one of the two stores."""

    store: int
    step: str
    action: str


class Half:
    """One of two objects for the same store, which writes down the steps in it."""

    def __init__(self, number: int, steps: list[Step], error: Exception | None = None) -> None:
        self.number = number
        self.steps = steps
        self.error = error

    def caller_of(self, key_digest: str) -> Caller | None:
        del key_digest
        return None

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        del needs, key_digest
        return Loaded(Snapshot(), START)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        del loaded, page
        if self.error is not None:
            raise self.error
        (effect,) = changes.effects
        assert isinstance(effect, HandoffCancelled)
        self.steps.append(Step(self.number, "commits", str(effect.connection_id)))
        return True


def action(name: str, *writes: Write, page: HostedPage | None = None) -> Action:
    changes = Changes(writes, effects=(HandoffCancelled(ConnectionId(name)),))

    def decide(store: Store) -> PendingCommit:
        assert isinstance(store, Half)
        store.steps.append(Step(store.number, "loads", name))
        return PendingCommit(store.load(Needs()), changes, page)

    return decide


class Tenant(RaceTenant):
    """A tenant with actions that open a page, name one, do neither, and change nothing."""

    def actions(self) -> Mapping[str, Action]:
        return {
            "opens": action("opens", page=PAGE),
            "names": action("names", PageWrite(PAGE, attrs.evolve(PAGE, version=2))),
            "plain": action("plain"),
            "changes nothing": lambda store: PendingCommit(store.load(Needs()), NO_CHANGES),
        }


NAMES: Final = ("opens", "names", "plain")


class Claims:
    """An arena that claims that the actions of a race ended in order, or swapped.

    Its reference has the order in which actions were committed.
    """

    def __init__(self, claimed: str = "", *, extra: bool = False) -> None:
        self.steps: list[Step] = []
        self.set_ups: list[Scenario] = []
        self.touched: list[list[Write]] = []
        self.error: Exception | None = None
        self._claimed, self._extra = claimed, extra

    def set_up(self, scenario: Scenario) -> RaceTenant:
        self.set_ups.append(scenario)
        self.steps.clear()
        return Tenant.of(1, Settings())

    def stores(self) -> tuple[Store, Store]:
        return Half(0, self.steps, self.error), Half(1, self.steps, self.error)

    def content(self, tenant: RaceTenant, touched: Iterable[Write]) -> Content:
        assert isinstance(tenant, Tenant)
        self.touched.append([*touched])
        if not self._claimed:
            committed = [each.action for each in self.steps if each.step == "commits"]
            return {"order": " ".join(committed)}
        first, second = [each.action for each in self.steps if each.step == "loads"][:2]
        order = f"{first} {second}" if self._claimed == "in order" else f"{second} {first}"
        return {"order": order, "with": "more"} if self._extra else {"order": order}

    def reference(self) -> Arena[Store]:
        return Claims()


def results(
    arena: Claims, accepted: tuple[bool, bool] = (True, True)
) -> dict[tuple[str, str], RaceResult]:
    """Return the results of the races in which the store accepts these commits."""

    def interleave(
        first: Store, one: PendingCommit, second: Store, two: PendingCommit
    ) -> tuple[bool, bool]:
        del first, one, second, two
        return accepted

    found = [*race_all(arena, SCENARIO, interleave)]
    return {(each.first, each.second): each for each in found}


def test_races_cover_every_ordered_pair_of_changing_actions() -> None:
    pairs = [*results(Claims("in order"))]
    assert pairs == [(first, second) for first in NAMES for second in NAMES]


@pytest.mark.parametrize(
    ("accepted", "allowed", "allowed_with_page"),
    [
        # The second found the page of the first, which was not replaced.
        ((True, True), EITHER, FIRST),
        ((True, False), FIRST, FIRST),
        ((False, True), SECOND, SECOND),
        ((False, False), EITHER, EITHER),
    ],
)
@pytest.mark.parametrize("claimed", sorted(EITHER))
def test_race_passes_if_accepted_commits_match_a_serial_order(
    claimed: str,
    accepted: tuple[bool, bool],
    allowed: set[str],
    allowed_with_page: set[str],
) -> None:
    for pair, result in results(Claims(claimed), accepted).items():
        first, second = pair
        right = allowed_with_page if pair == ("opens", "names") else allowed
        passes = claimed in right or first == second
        swapped = f"{second} {first}" if claimed == "swapped" else f"{first} {second}"
        expected = f"{first} {second}" if claimed == "swapped" else f"{second} {first}"
        wrong = (f"order: {swapped}, not {expected}",)
        assert result == RaceResult(first, second, () if passes else wrong)


def test_race_reports_differences_from_the_closest_serial_order() -> None:
    found = results(Claims("swapped", extra=True))
    assert found["names", "plain"].differences == ("with: more, not absent",)
    # Only the order of the race is allowed.
    assert found["opens", "names"].differences == (
        "order: names opens, not opens names",
        "with: more, not absent",
    )


@pytest.mark.parametrize(
    ("accepted", "retried"),
    [
        ((True, True), []),
        ((True, False), [(1, "loads", "plain"), (1, "commits", "plain")]),
        ((False, True), [(0, "loads", "names"), (0, "commits", "names")]),
    ],
)
def test_action_whose_commit_conflicts_loads_and_commits_again(
    accepted: tuple[bool, bool], retried: list[tuple[int, str, str]]
) -> None:
    arena = Claims("in order")
    steps = []
    for result in race_all(arena, SCENARIO, lambda *_: accepted):
        if (result.first, result.second) == ("names", "plain"):
            steps = [*arena.steps]
    assert steps == [(0, "loads", "names"), (1, "loads", "plain"), *retried]


def test_race_gives_interleave_function_both_stores_and_commits() -> None:
    arena = Claims("in order")
    given: list[tuple[int, str, int, str]] = []

    def interleave(
        first: Store, one: PendingCommit, second: Store, two: PendingCommit
    ) -> tuple[bool, bool]:
        assert isinstance(first, Half)
        assert isinstance(second, Half)
        effects = [each.changes.effects[0] for each in (one, two)]
        ids = [str(each.connection_id) for each in effects if isinstance(each, HandoffCancelled)]
        given.append((first.number, ids[0], second.number, ids[1]))
        return True, True

    assert len([*race_all(arena, SCENARIO, interleave)]) == len(given)
    assert given == [(0, first, 1, second) for first in NAMES for second in NAMES]


def test_race_compares_values_of_refused_commits_too() -> None:
    arena = Claims("in order")
    found = list(results(arena, (False, False)))
    names_page = Tenant.of(1, Settings()).actions()["names"](Half(0, [])).changes.writes
    touched = dict(zip(found, arena.touched, strict=True))
    opened = PageWrite(PAGE, PAGE)
    assert touched["opens", "plain"] == [opened] * 2
    assert touched["opens", "names"] == [opened, *names_page, opened, *names_page]
    assert touched["names", "names"] == [*names_page] * 4
    assert set(map(id, arena.set_ups)) == {id(SCENARIO)}


def test_race_reports_the_error_that_a_store_raises() -> None:
    arena = Claims("in order")
    races = race_all(arena, SCENARIO, commit_in_sequence)
    first = next(races)
    arena.error = RuntimeError("no room")
    assert first.differences == ()
    assert {each.differences for each in races} == {("raised RuntimeError: no room",)}


def test_race_fails_if_interleave_function_returns_one_result() -> None:
    def interleave(*_: object) -> tuple[bool, bool]:
        return cast("tuple[bool, bool]", (True,))

    found = [*race_all(Claims("in order"), SCENARIO, interleave)]
    assert all(each.differences[0].startswith("raised ValueError: ") for each in found)


def test_race_raises_if_its_scenario_cannot_be_set_up() -> None:
    class Broken(Claims):
        def set_up(self, scenario: Scenario) -> RaceTenant:
            del scenario
            raise RuntimeError("no table")

    with pytest.raises(RuntimeError, match="no table"):
        next(race_all(Broken(), SCENARIO))


def test_commit_in_sequence_returns_whether_each_was_accepted() -> None:
    steps: list[Step] = []
    gone = StoreUnavailableError("gone")
    one, two = [action(name)(Half(0, [])) for name in ("one", "two")]
    first, second = Half(0, steps), Half(1, steps)
    assert commit_in_sequence(first, one=one, second=second, two=two) == (True, True)
    assert steps == [(0, "commits", "one"), (1, "commits", "two")]
    assert commit_in_sequence(first, one=one, second=Half(1, steps, gone), two=two) == (True, False)
    assert commit_in_sequence(Half(0, steps, gone), one=one, second=second, two=two) == (
        False,
        True,
    )
