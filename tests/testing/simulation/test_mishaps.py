"""Tests of the dice of a simulated world, and of the profiles that seeds draw."""

from __future__ import annotations

from random import Random

import pytest

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.testing.simulation.mishaps import Dice, Mishap, WorldProfile

LOST, LATE = Mishap.REQUEST_LOST, Mishap.DELAYED


def profiles() -> list[WorldProfile]:
    """Return the profiles that many seeds draw."""
    return [WorldProfile.draw(Random(seed)) for seed in range(400)]  # noqa: S311 - no secret


class Fixed(Random):
    """A source of chance that draws one number again and again."""

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self.number = number

    def random(self) -> float:
        return self.number


def dice_with(rates: dict[Mishap, float]) -> Dice:
    profile = WorldProfile(
        rates=rates,
        requests_per_hour=1,
        users=1,
        days_of_a_user=1,
        settings=DEFAULT_SETTINGS,
    )
    return Dice(Random(0), profile)  # noqa: S311 - a world's dice, no secret


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_mishap_strikes_at_its_rate_and_is_counted(rate: float) -> None:
    dice = dice_with({LOST: rate})
    struck = sum(dice.strikes(LOST) for _ in range(2000))
    assert struck == pytest.approx(2000 * rate, rel=0.1)
    assert dice.counts[LOST] == struck


def test_mishap_without_a_rate_never_strikes() -> None:
    dice = dice_with({LOST: 1.0})
    assert not any(dice.strikes(LATE) for _ in range(100))
    assert LATE not in dice.counts


def test_simulated_event_of_probability_0_never_happens() -> None:
    dice = dice_with({LOST: 0.0})
    dice.chance = Fixed(0)
    assert not dice.strikes(LOST)
    assert not dice.likely(0)


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_event_happens_at_its_probability_and_counts_no_mishap(probability: float) -> None:
    dice = dice_with({})
    happened = sum(dice.likely(probability) for _ in range(2000))
    assert happened == pytest.approx(2000 * probability, rel=0.1)
    assert not dice.counts


@pytest.mark.parametrize("mean", [0.05, 600])
def test_drawn_numbers_are_never_negative_and_average_the_mean(mean: float) -> None:
    dice = dice_with({})
    numbers = [dice.around(mean) for _ in range(2000)]
    assert min(numbers) >= 0
    assert sum(numbers) / 2000 == pytest.approx(mean, rel=0.1)


def test_simulation_profiles_differ_in_mishaps_and_their_rates() -> None:
    drawn = profiles()
    rates = [rate for profile in drawn for rate in profile.rates.values()]
    assert 0.003 <= min(rates) < 0.004
    assert 0.11 < max(rates) <= 0.12
    # A quarter of the mishaps never happen in a world, and others happen in each.
    assert len(rates) / len(drawn) / len(Mishap) == pytest.approx(0.75, abs=0.02)
    assert {mishap for profile in drawn for mishap in profile.rates} == {*Mishap}
    assert len({tuple(profile.rates) for profile in drawn}) > 300


@pytest.mark.parametrize(("number", "mishaps"), [(0.25 - 2**-53, 0), (0.25, len(Mishap))])
def test_profile_omits_a_mishap_if_its_random_draw_is_below_0_25(
    number: float, mishaps: int
) -> None:
    assert len(WorldProfile.draw(Fixed(number)).rates) == mishaps


def test_drawn_profiles_vary_request_rate_users_and_settings() -> None:
    drawn = profiles()
    requests = [profile.requests_per_hour for profile in drawn]
    assert (min(requests), max(requests)) == (40, 250)
    users = {profile.users for profile in drawn}
    assert users == {*range(3, 16)}
    assert {profile.days_of_a_user for profile in drawn} == {0.1, 1, 10}
    settings = [profile.settings for profile in drawn]
    assert {each.environment for each in settings} == {None, Environment.LIVE}
    assert {each.active_spelling for each in settings} == {"ACTIVE", "AUTHORIZED"}
    names = {tuple(bucket.name for bucket in each.buckets) for each in settings}
    assert names == {(), ("platform",), ("second", "hour")}
