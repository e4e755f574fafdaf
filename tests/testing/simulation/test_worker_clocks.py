"""Tests of the clocks of simulated workers: how far they are apart, and their steps."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pytest

from curae_lifecycle.rules.values import CLOCK_TOLERANCE
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.testing.simulation.clocks import STEPS, Clocks
from curae_lifecycle.testing.simulation.mishaps import Dice, Mishap, WorldProfile
from tests.support.strategies import START

APART = timedelta(microseconds=CLOCK_TOLERANCE) / 2
ZERO = timedelta(0)


def clocks_with(*mishaps: Mishap, seed: int = 0) -> Clocks:
    """Return clocks of a world in which these mishaps happen whenever they can."""
    profile = WorldProfile(
        rates=dict.fromkeys(mishaps, 1.0),
        requests_per_hour=1,
        users=1,
        days_of_a_user=1,
        settings=DEFAULT_SETTINGS,
    )
    return Clocks(Dice(Random(seed), profile))  # noqa: S311 - a world's dice, no secret


def drawn(clocks: Clocks, now: datetime = START) -> set[timedelta]:
    """Return the errors of the clocks of many drawn workers."""
    return {clocks.draw_worker(now) - now for _ in range(400)}


def test_clocks_without_mishaps_show_the_exact_time() -> None:
    clocks = clocks_with()
    assert not clocks.maybe_step()
    assert drawn(clocks) == {ZERO}
    assert clocks.shown(START) == clocks.earliest(START) == START


def test_worker_clocks_differ_by_at_most_the_clock_tolerance() -> None:
    assert drawn(clocks_with(Mishap.CLOCKS_APART)) == {-APART, APART}


def test_clock_moved_by_a_mishap_is_wrong_by_up_to_1_5_seconds() -> None:
    errors = drawn(clocks_with(Mishap.CLOCK_MOVED))
    assert len(errors) > 300
    assert timedelta(seconds=-1.5) <= min(errors) < timedelta(seconds=-1.4)
    assert timedelta(seconds=1.4) < max(errors) <= timedelta(seconds=1.5)


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_clock_step_moves_all_clocks_until_they_are_corrected(step: timedelta) -> None:
    stepped = [clocks_with(Mishap.CLOCKS_STEPPED, seed=seed) for seed in range(40)]
    assert all(clocks.maybe_step() for clocks in stepped)
    clocks = next(each for each in stepped if each.wrong_by == step)
    assert drawn(clocks) == {step}
    assert clocks.shown(START) == START + step
    # A purge at this instant drops nothing that is live for a worker, before the step or after.
    assert clocks.earliest(START) == START + min(step, ZERO)
    clocks.put_right()
    assert drawn(clocks) == {ZERO}
    assert clocks.shown(START) == clocks.earliest(START) == START
