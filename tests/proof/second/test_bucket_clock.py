"""Buckets and logs where the clock is put right, where clocks differ, and where numbers change."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curae_lifecycle import Bucket, Settings
from curae_lifecycle.rules.ratelimit import (
    Admitted,
    BucketState,
    Charge,
    ExactLog,
    LogState,
    RateLimited,
    admit,
    count_remaining,
    fresh_state,
)
from curae_lifecycle.web.respond import Answer
from tests.proof.second.client import (
    CONNECT,
    HOUR,
    MINUTE,
    SECOND,
    START,
    TICK,
    TOLERANCE,
    YEAR,
    World,
    buckets,
    code_of,
    id_of,
    in_memory,
)

FIVE_A_SECOND = ("platform", 10, 5, 1)
"""Ten tokens, five a second: from empty to full in two seconds."""

TOKEN = SECOND / 5
WINDOW = 2 * SECOND
ACCOUNT = f"{CONNECT}/account-state?appUserId=ada"


def ask(world: World) -> Answer:
    """Send a read, which costs a token."""
    return world.send("GET", ACCOUNT)


def is_admitted(world: World) -> bool:
    status = ask(world).response.status
    assert status in {200, 429}
    return status == 200


def admitted_in_a_row(world: World, most: int = 100) -> int:
    """Return how many requests are admitted at this instant."""
    return sum(1 for _ in itertools.takewhile(lambda _: is_admitted(world), range(most)))


def retry_after(answer: Answer) -> int:
    return int(dict(answer.response.headers)["retry-after"])


def limited(world: World) -> World:
    world.settings = buckets(FIVE_A_SECOND)
    return world


# A clock that ran ahead


@pytest.mark.parametrize(
    ("ahead", "admitted"),
    [(HOUR, True), (YEAR, True), (WINDOW + TOLERANCE, True), (WINDOW + TOLERANCE - TOKEN, False)],
)
def test_bucket_admits_if_clock_steps_back_past_window_and_5_min(
    world: World, ahead: timedelta, *, admitted: bool
) -> None:
    limited(world).step(ahead)
    ask(world)
    world.step(-ahead)
    # With its one charge the bucket's state lies `TOKEN` further ahead.
    assert is_admitted(world) is admitted


@pytest.mark.parametrize("ahead", [TOLERANCE + TICK, HOUR, YEAR])
def test_drained_bucket_admits_1_request_if_clock_steps_far_back(
    world: World, ahead: timedelta
) -> None:
    limited(world).step(ahead)
    assert admitted_in_a_row(world) == 10
    world.step(-ahead)
    assert admitted_in_a_row(world) == 1
    assert retry_after(ask(world)) == 1
    world.step(TOKEN - TICK)
    assert not is_admitted(world)
    world.step(TICK)
    assert admitted_in_a_row(world) == 1
    world.step(WINDOW)
    assert admitted_in_a_row(world) == 10


@pytest.mark.parametrize("ahead", [SECOND, MINUTE, TOLERANCE])
def test_bucket_drained_by_a_fast_clock_refuses_until_next_token(
    world: World, ahead: timedelta
) -> None:
    limited(world).step(ahead)
    assert admitted_in_a_row(world) == 10
    world.step(-ahead)
    refused = ask(world)
    assert code_of(refused) == "RATE_LIMITED"
    assert retry_after(refused) == ceil((ahead + TOKEN) / SECOND)
    world.step(ahead + TOKEN - TICK)
    assert not is_admitted(world)
    world.step(TICK)
    assert admitted_in_a_row(world) == 1


@pytest.mark.parametrize("ahead", [MINUTE, HOUR, YEAR])
def test_permanent_clock_step_ahead_refills_the_bucket_once(world: World, ahead: timedelta) -> None:
    assert admitted_in_a_row(limited(world)) == 10
    world.step(ahead)
    assert admitted_in_a_row(world) == 10


@pytest.mark.parametrize("back", [MINUTE, TOLERANCE])
def test_drained_bucket_admits_none_after_small_clock_step_back(
    world: World, back: timedelta
) -> None:
    assert admitted_in_a_row(limited(world)) == 10
    world.step(-back)
    assert admitted_in_a_row(world) == 0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_each_clock_step_back_of_an_hour_admits_11_more_requests(world: World, steps: int) -> None:
    limited(world)
    total = admitted_in_a_row(world)
    for _ in range(steps):
        world.step(-HOUR)
        total += admitted_in_a_row(world)
        world.step(WINDOW)
        total += admitted_in_a_row(world)
    assert total <= 10 + steps * 11
    assert total == 10 + steps * 11


def test_revoke_and_create_succeed_after_fast_clock_is_set_back(world: World) -> None:
    made = id_of(world.create())
    limited(world).step(HOUR)
    ask(world)
    world.step(-HOUR)
    assert world.revoke(made).response.status == 200
    world.step(TOKEN)
    assert world.create().response.status == 201


def test_purge_by_a_clock_5_minutes_ahead_refills_no_bucket(world: World) -> None:
    assert admitted_in_a_row(limited(world)) == 10
    world.step(TOLERANCE)
    world.inner.purge()
    world.step(-TOLERANCE)
    assert not is_admitted(world)


@pytest.mark.parametrize("numbers", [(1, 1, 86_400), (1_000_000, 1_000_000, 86_400), (3, 7, 1)])
@pytest.mark.parametrize("ahead", [TOLERANCE, YEAR, 300 * YEAR])
def test_window_decides_if_bucket_admits_after_clock_step_back(
    world: World, numbers: tuple[int, int, int], ahead: timedelta
) -> None:
    world.settings = buckets(("large", *numbers))
    window = timedelta(seconds=numbers[0] * numbers[2] / numbers[1])
    world.step(ahead)
    assert is_admitted(world)
    world.step(-ahead)
    far = timedelta(seconds=numbers[2] / numbers[1]) + ahead > window + TOLERANCE
    near = timedelta(seconds=numbers[2] / numbers[1]) + ahead <= window
    answer = ask(world)
    assert (answer.response.status == 200) is (far or (near and numbers[0] > 1))


# Clocks that differ


@pytest.mark.parametrize("apart", [timedelta(milliseconds=5), SECOND, 4 * MINUTE, TOLERANCE])
def test_bucket_on_two_clocks_admits_only_capacity_plus_refill(
    world: World, apart: timedelta
) -> None:
    limited(world)
    total = 0
    for _ in range(12):
        total += admitted_in_a_row(world)
        world.step(apart)
        total += admitted_in_a_row(world)
        world.step(-apart)
        world.step(SECOND)
    # What one bucket admits from the earliest instant that any worker saw to the latest.
    spent = 11 * SECOND + apart
    assert total <= 10 + spent // TOKEN


def test_bucket_on_clocks_4_minutes_apart_admits_capacity_twice(world: World) -> None:
    assert admitted_in_a_row(limited(world)) == 10
    world.step(4 * MINUTE)
    assert admitted_in_a_row(world) == 10
    world.step(-4 * MINUTE)
    assert admitted_in_a_row(world) == 0


def test_bucket_drained_on_a_fast_clock_refuses_on_a_slow_one(world: World) -> None:
    limited(world).step(4 * MINUTE)
    assert admitted_in_a_row(world) == 10
    world.step(-4 * MINUTE)
    assert admitted_in_a_row(world) == 0
    world.step(4 * MINUTE + TOKEN)
    assert admitted_in_a_row(world) == 1


# Several rules


def test_refusal_by_one_bucket_does_not_empty_another_bucket(world: World) -> None:
    fast, slow = FIVE_A_SECOND, ("slow", 1, 1, 60)
    world.settings = buckets(fast)
    world.step(HOUR)
    assert admitted_in_a_row(world) == 10
    world.step(-HOUR)
    world.settings = buckets(slow)
    assert is_admitted(world)
    world.settings = buckets(fast, slow)
    refused = ask(world)
    assert (refused.response.status, retry_after(refused)) == (429, 60)
    # Had the refusal emptied the first bucket, it would hold no token now.
    world.settings = buckets(fast)
    assert admitted_in_a_row(world) == 1


def test_refusal_by_one_bucket_returns_all_buckets_unchanged() -> None:
    far, near = (
        Bucket("far", capacity=10, refill=5, seconds=1),
        Bucket("near", capacity=1, refill=1, seconds=60),
    )
    states = (at(START + HOUR), at(START + 60 * SECOND))
    answer = admit((Charge(far, states[0]), Charge(near, states[1])), START)
    assert isinstance(answer, RateLimited)
    assert answer.policy == near
    assert all(one is other for one, other in zip(answer.states, states, strict=True))


@pytest.mark.parametrize("cost", [1, 3, 10])
def test_bucket_whose_refill_is_too_far_ahead_admits_any_cost(cost: int) -> None:
    rule = Bucket("far", capacity=10, refill=5, seconds=1)
    answer = admit((Charge(rule, at(START + WINDOW + TOLERANCE + TICK)),), START, cost=cost)
    assert answer == Admitted((at(START + WINDOW),))
    assert count_remaining(rule, answer.states[0], START) == 0


def at(instant: datetime) -> BucketState:
    """Return the state of a bucket that is full again at an instant."""
    return BucketState((instant - datetime.fromisoformat("1970-01-01T00:00:00Z")) // TICK)


# New numbers


def test_bucket_with_changed_settings_starts_full(world: World) -> None:
    world.settings = buckets(("platform", 20, 20, 86_400))
    assert admitted_in_a_row(world) == 20
    world.settings = buckets(("platform", 5, 5, 60))
    assert admitted_in_a_row(world) == 5
    world.step(12 * SECOND - TICK)
    assert not is_admitted(world)
    world.step(TICK)
    assert is_admitted(world)


@pytest.mark.parametrize("other", [(10, 5, 2), (10, 6, 1), (11, 5, 1)])
def test_changing_any_bucket_setting_starts_a_full_bucket(
    world: World, other: tuple[int, int, int]
) -> None:
    assert admitted_in_a_row(limited(world)) == 10
    world.settings = buckets(("platform", *other))
    assert admitted_in_a_row(world) == other[0]


def test_bucket_is_still_drained_when_its_settings_are_restored(world: World) -> None:
    assert admitted_in_a_row(limited(world)) == 10
    world.settings = buckets(("platform", 4, 1, 60))
    assert admitted_in_a_row(world) == 4
    limited(world)
    assert admitted_in_a_row(world) == 0


def test_two_buckets_with_equal_settings_keep_separate_states(world: World) -> None:
    world.settings = buckets(("one", 3, 1, 60))
    assert admitted_in_a_row(world) == 3
    world.settings = buckets(("two", 3, 1, 60))
    assert admitted_in_a_row(world) == 3


# Logs


@pytest.mark.parametrize("ahead", [MINUTE, HOUR, YEAR])
def test_initiates_under_a_fast_clock_count_after_it_is_set_back(
    world: World, ahead: timedelta
) -> None:
    world.step(ahead)
    assert [world.initiate().response.status for _ in range(3)] == [201] * 3
    world.step(-ahead)
    assert [world.initiate().response.status for _ in range(8)] == [201] * 7 + [429]
    world.step(MINUTE)
    if ahead > MINUTE:
        assert [world.initiate().response.status for _ in range(8)] == [201] * 7 + [429]
    world.clock.now = START + ahead + MINUTE - TICK
    assert [world.initiate().response.status for _ in range(8)] == [201] * 7 + [429]
    world.clock.now = START + ahead + 2 * MINUTE
    assert [world.initiate().response.status for _ in range(11)] == [201] * 10 + [429]


def test_rate_limit_used_up_by_a_fast_clock_gives_the_exact_wait(world: World) -> None:
    world.step(HOUR)
    assert [world.initiate().response.status for _ in range(10)] == [201] * 10
    world.step(-HOUR)
    assert retry_after(world.initiate()) == 3660
    world.step(HOUR + MINUTE - TICK)
    assert world.initiate().response.status == 429
    world.step(TICK)
    assert world.initiate().response.status == 201


def test_lowered_rate_limit_still_counts_earlier_admissions() -> None:
    answer = admit((Charge(ExactLog("initiate", 10, 60), fresh_state(ExactLog("i", 1, 1))),), START)
    assert isinstance(answer, Admitted)
    fewer = admit((Charge(ExactLog("initiate", 1, 60), answer.states[0]),), START)
    assert isinstance(fewer, RateLimited)


def test_lowered_rate_limit_admits_after_old_admissions_expire() -> None:
    long = LogState.of([START + each * SECOND for each in range(10)])
    few = ExactLog("initiate", 3, 60)
    answer = admit((Charge(few, long),), START + HOUR)
    assert isinstance(answer, Admitted)
    (state,) = answer.states
    assert isinstance(state, LogState)
    assert len(state.instants) == 10


# Every step, compared with a bucket written down from the rule


@attrs.define
class WrittenBucket:
    """One bucket, exactly as the rules say it; `full` counts seconds from `START`."""

    capacity: int
    refill: int
    seconds: int
    full: Fraction | None = None

    def wait(self, now: Fraction) -> Fraction:
        """Charge a token; return 0, or the exact wait without a charge."""
        window = Fraction(self.capacity * self.seconds, self.refill)
        token = Fraction(self.seconds, self.refill)
        if self.full is not None and self.full > now + window + 300:
            self.full = now + window
            return Fraction(0)
        full = now if self.full is None else max(self.full, now)
        if full + token > now + window:
            return full + token - window - now
        self.full = full + token
        return Fraction(0)


STEPS = st.one_of(
    st.sampled_from([timedelta(0), TICK, -TICK, TOKEN, TOKEN - TICK, TOKEN + TICK]),
    st.sampled_from([WINDOW, SECOND, MINUTE, HOUR, YEAR, TOLERANCE, TOLERANCE + TICK]),
    st.sampled_from([-SECOND, -MINUTE, -HOUR, -YEAR, -TOLERANCE, -TOLERANCE - TICK]),
    st.integers(-700, 700).map(lambda each: timedelta(seconds=each)),
)
NUMBERS = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 90))
NAMES = itertools.count()


def follow(world: World, numbers: tuple[int, int, int], steps: Iterable[timedelta]) -> None:
    """Send a request after each step, and compare the answer with the written bucket."""
    world.clock.now = START
    world.settings = Settings(buckets=(Bucket(f"b-{next(NAMES)}", *numbers),))
    written = WrittenBucket(*numbers)
    elapsed = Fraction(0)
    back = admitted = 0
    highest = world.clock.now
    for step in steps:
        world.step(step)
        # Several small steps back count as one when they sum up to more than five minutes.
        highest = max(highest, world.clock.now)
        if world.clock.now < highest - TOLERANCE:
            back, highest = back + 1, world.clock.now
        elapsed += max(Fraction(step // TICK, 10**6), Fraction(0))
        answer = ask(world)
        wait = written.wait(Fraction((world.now - START) // TICK, 10**6))
        assert (answer.response.status == 429) is (wait > 0)
        admitted += not wait
        if wait:
            assert retry_after(answer) == max(1, ceil(wait))
            assert wait <= Fraction(numbers[0] * numbers[2], numbers[1]) + 300
    most = numbers[0] + elapsed * numbers[1] / numbers[2] + back * (1 + numbers[0])
    assert admitted <= most


@pytest.mark.slow
@given(NUMBERS, st.lists(STEPS, max_size=25))
def test_memory_bucket_agrees_with_its_model_when_clock_steps(
    numbers: tuple[int, int, int], steps: list[timedelta]
) -> None:
    follow(in_memory(), numbers, steps)


@pytest.mark.slow
def test_sqlite_bucket_agrees_with_its_model_when_clock_steps(sqlite: World) -> None:
    @settings(max_examples=15)
    @given(NUMBERS, st.lists(STEPS, max_size=15))
    def check(numbers: tuple[int, int, int], steps: list[timedelta]) -> None:
        follow(sqlite, numbers, steps)

    check()


@pytest.mark.heavy
@settings(max_examples=3_000)
@given(NUMBERS, st.lists(STEPS, max_size=60))
def test_bucket_over_many_clock_steps_agrees_with_its_model(
    numbers: tuple[int, int, int], steps: list[timedelta]
) -> None:
    follow(in_memory(), numbers, steps)
