"""Tests of the comparison of what a race of two left with what a sequence leaves."""

from __future__ import annotations

from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.races import (
    SCENARIOS,
    THREE_WAY_RACES,
    RaceTenant,
    StoreArena,
    commit_with_retries,
    race_all,
)
from curae_lifecycle.testing.races.runner import compare_contents
from curae_lifecycle.testing.races.scenarios import START
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore
from tests.support.charging import AdmitsUncharged, ChargesOnlyApart
from tests.support.strategies import at
from tests.support.wrong_stores import KeepsPage, LoadsNoPage


@pytest.mark.parametrize(
    ("actual", "expected", "differences"),
    [
        ({"row": "1"}, {"row": "1"}, ()),
        ({"row": "2"}, {"row": "1"}, ("row: 2, not 1",)),
        ({}, {"row": "1"}, ("row: absent, not 1",)),
        ({"row": "1"}, {}, ("row: 1, not absent",)),
        ({"b": "1", "a": "1"}, {}, ("a: 1, not absent", "b: 1, not absent")),
    ],
)
def test_race_differences_list_changed_missing_and_extra_parts(
    actual: dict[str, str], expected: dict[str, str], differences: tuple[str, ...]
) -> None:
    assert compare_contents(actual, expected) == differences


class LosesWrites(MemoryStore):
    """A store that loses the writes of one kind, of new values or of changed ones."""

    def __init__(self, kind: type[Write], *, of_new: bool) -> None:
        super().__init__()
        self._kind = kind
        self._of_new = of_new

    def _store(self, writes: tuple[Write, ...]) -> bool:
        return super()._store(tuple([each for each in writes if not self._is_lost(each)]))

    def _is_lost(self, write: Write) -> bool:
        return isinstance(write, self._kind) and (write.before is None) is self._of_new


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "of_new"),
    [
        (ConnectionWrite, True),
        (ConnectionWrite, False),
        (BindingWrite, True),
        (BindingWrite, False),
        (RateWrite, True),
        (RateWrite, False),
        (SessionWrite, True),
        (SessionWrite, False),
        # No action changes a record.
        (RecordWrite, True),
    ],
)
def test_race_detects_a_store_that_loses_one_kind_of_write(
    kind: type[Write], *, of_new: bool
) -> None:
    store = LosesWrites(kind, of_new=of_new)
    results = race_all(StoreArena(store), SCENARIOS["no user is bound, one connection is pending"])
    assert any(each.differences for each in results)


@pytest.mark.slow
def test_races_detect_a_store_that_loads_no_hosted_page() -> None:
    scenario = "a user is bound, one connection is pending"
    results = [*race_all(StoreArena(LoadsNoPage()), SCENARIOS[scenario])]
    assert {each.first for each in results} == changing(scenario)
    failed = [
        {each.first, each.second}
        for each in results
        if any(not part.startswith("page ") for part in each.differences)
    ]
    assert failed
    assert all("the page graduates" in names for names in failed)


@pytest.mark.slow
def test_race_detects_a_hosted_page_stored_by_a_refused_commit() -> None:
    results = race_all(StoreArena(KeepsPage()), SCENARIOS["the pending connection has lapsed"])
    failed = {(each.first, each.second): each.differences for each in results if each.differences}
    part, *_ = failed["initiate", "initiate with the same key"]
    assert part == "page 18.expires_at: 2026-01-01T01:10:00Z, not absent"


ONE_LEFT: Final = SCENARIOS["the key has one request left"]


@pytest.mark.slow
def test_races_pass_in_a_store_charging_buckets_before_commit() -> None:
    results = [*race_all(StoreArena(ChargesOnlyApart()), ONE_LEFT)]
    assert results
    assert [each for each in results if each.differences] == []


@pytest.mark.slow
def test_race_detects_a_store_that_admits_an_uncharged_request() -> None:
    failed = [
        each for each in race_all(StoreArena(AdmitsUncharged()), ONE_LEFT) if each.differences
    ]
    assert {(each.first, each.second) for each in failed} >= {("create", "initiate")}


@pytest.mark.slow
def test_request_retried_in_a_race_is_charged_once() -> None:
    wide = Bucket(name="platform", capacity=9, refill=1, seconds=10**6)
    scenario = attrs.evolve(SCENARIOS["the pending connection has lapsed"], buckets=(wide,))
    results = [*race_all(StoreArena(ChargesOnlyApart()), scenario)]
    assert results
    assert [each for each in results if each.differences] == []


@pytest.mark.slow
def test_races_pass_in_a_store_that_earlier_races_used() -> None:
    store, scenario = MemoryStore(), SCENARIOS["the pending connection has lapsed"]
    tenants = [StoreArena(store).set_up(scenario) for _ in range(3)]
    assert len({each.api_key for each in tenants}) == len(tenants)
    (result, *_) = race_all(StoreArena(store), scenario)
    assert result.differences == ()


def changing(scenario: str) -> set[str]:
    """Return the actions that change something at the beginning of a scenario."""
    arena = StoreArena(MemoryStore())
    tenant, store = arena.set_up(SCENARIOS[scenario]), arena.stores()[0]
    return {name for name, action in tenant.actions().items() if not action(store).is_empty}


def test_every_race_action_changes_something_in_a_scenario() -> None:
    tenant = StoreArena(MemoryStore()).set_up(next(iter(SCENARIOS.values())))
    assert set[str]().union(*map(changing, SCENARIOS)) == {*tenant.actions()}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_preparing_action_of_a_scenario_changes_something(scenario: str) -> None:
    store = SimulatedClockStore(MemoryStore(), START)
    begin = SCENARIOS[scenario]
    tenant = RaceTenant.of(1, Settings(buckets=begin.buckets))
    store.register(ApiKey(tenant.api_key), tenant.caller)
    for minutes, action in begin.before(tenant):
        store.now = at(minutes)
        (decided,) = commit_with_retries(store, action)
        statuses = [
            write.after.response.status
            for write in decided.changes.writes
            if isinstance(write, RecordWrite) and isinstance(write.after.response, Response)
        ]
        assert not decided.is_empty
        assert [status for status in statuses if status >= 400] == []


@pytest.mark.parametrize(("scenario", "actions"), THREE_WAY_RACES)
def test_each_action_of_a_race_of_three_changes_something(
    scenario: str, actions: tuple[str, str, str]
) -> None:
    assert changing(scenario) >= {*actions}
