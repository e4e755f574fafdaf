"""Tests that the simulation finds a planted mistake by each step of the clocks, on written seeds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest

from curae_lifecycle.testing.simulation import Violation, clocks, simulate
from tests.testing.simulation.test_planted import (
    believes_any_bucket,
    believes_for_an_hour,
    forgets_later_instants,
    holds_untried_messages,
    tells_eras_by_clock,
)

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
YEAR: Final = timedelta(days=365)

SEEDS: Final[dict[timedelta, tuple[Callable[[pytest.MonkeyPatch], None], int]]] = {
    MINUTE: (forgets_later_instants, 3110),
    HOUR: (believes_for_an_hour, 0),
    YEAR: (believes_any_bucket, 0),
    -MINUTE: (holds_untried_messages, 986),
    -HOUR: (tells_eras_by_clock, 0),
    -YEAR: (believes_any_bucket, 0),
}
"""For each step of the clocks, a mistake that it shows, and a seed."""


def violation(step: timedelta, seed: int, monkeypatch: pytest.MonkeyPatch) -> Violation | None:
    """Return what a world finds in which the clocks are stepped by one span alone."""
    monkeypatch.setattr(clocks, "STEPS", (step,))
    return simulate(seed, clients=1, hours=6).violation


def test_table_of_seeds_lists_every_clock_step_in_order() -> None:
    assert tuple(SEEDS) == clocks.STEPS


@pytest.mark.heavy
@pytest.mark.parametrize("step", SEEDS, ids=str)
def test_planted_bug_is_found_only_if_its_clock_step_happens(
    step: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, seed = SEEDS[step]
    assert violation(step, seed, monkeypatch) is None
    plant(monkeypatch)
    assert violation(step, seed, monkeypatch) is not None
    # Other mishaps of the same world do not find the mistake.
    assert violation(timedelta(0), seed, monkeypatch) is None
