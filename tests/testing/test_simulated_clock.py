"""Tests of stores on a simulated clock, with and without `purge` and a clock that can be set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.clock import utc_now
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.blocking import has_clock
from curae_lifecycle.testing.conformance.store_kit import NO_CLOCK, check_store
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore
from tests.testing.recording import LOADED, RecordingStore, check_calls

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAY = timedelta(days=1)


class WithoutPurge(MemoryStore):
    """A store that has a clock but no method `purge`."""

    purge: ClassVar[None] = None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride] - as if there were none


class ReadOnlyClock(WithoutPurge):
    """A store without `purge` whose clock cannot be replaced."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "clock" and "clock" in vars(self):
            raise AttributeError("clock is read-only")
        super().__setattr__(name, value)


def test_clock_of_a_store_without_purge_is_simulated() -> None:
    store = WithoutPurge()
    simulated = SimulatedClockStore(store, START)
    assert simulated.has_settable_clock
    assert store.clock() == START
    simulated.limit_purge_to(START + DAY)
    assert store.clock() == START + DAY
    assert simulated.purge(START + 2 * DAY) == 0
    assert store.clock() == START + 2 * DAY


def test_simulated_clock_store_does_not_set_a_read_only_clock() -> None:
    store = ReadOnlyClock()
    simulated = SimulatedClockStore(store, START)
    assert not simulated.has_settable_clock
    assert simulated.load(Needs()).now == START
    assert store.clock is utc_now


def test_simulated_store_passes_each_call_to_its_store() -> None:
    store = RecordingStore()
    check_calls(SimulatedClockStore(store, LOADED.now), store)


@pytest.mark.parametrize(("counted", "returned"), [(7, 7), (None, 0)])
def test_simulated_purge_returns_the_number_of_dropped_values(
    counted: int | None, returned: int
) -> None:
    seen: list[datetime] = []

    class Purgeable(RecordingStore):
        def purge(self) -> object:
            seen.append(self.clock())
            return counted

    assert SimulatedClockStore(Purgeable(), START).purge(START + DAY) == returned
    assert seen == [START + DAY]


def test_simulated_purge_does_not_purge_a_store_with_fixed_clock() -> None:
    class Fixed(RecordingStore):
        @property
        def clock(self) -> Callable[[], datetime]:  # pyright: ignore[reportIncompatibleMethodOverride] - it cannot be set
            return utc_now

    store = Fixed()
    assert SimulatedClockStore(store, START).purge(START + DAY) == 0
    assert not store.calls


def test_simulated_memory_store_charges_buckets_in_its_commit() -> None:
    assert not SimulatedClockStore(MemoryStore(), START).charges_apart


@pytest.mark.parametrize(("make", "settable"), [(MemoryStore, True), (ReadOnlyClock, False)])
def test_has_clock_is_true_only_if_the_clock_can_be_set(
    make: Callable[[], MemoryStore], *, settable: bool
) -> None:
    store = make()
    before = store.clock
    assert has_clock(store) is settable
    assert store.clock is before


def test_store_kit_passes_a_store_with_a_clock_but_no_purge() -> None:
    only = ["page.finish", "page.finish.over", "page.cancel.over", "purge.over"]
    report = check_store(WithoutPurge(), only=only, seed="1")
    assert report.passed == tuple(only[:-1]), str(report)
    assert [each.reason for each in report.not_run] == ["the store has no method purge"]


def test_kit_does_not_run_checks_that_set_a_read_only_clock() -> None:
    report = check_store(ReadOnlyClock(), only=["page.finish", "page.finish.over"], seed="1")
    assert report.passed == ("page.finish",), str(report)
    assert [each.reason for each in report.not_run] == [NO_CLOCK]
