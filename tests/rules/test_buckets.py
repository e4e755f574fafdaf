"""Buckets (section 5 of the rules): clocks that step, clocks that differ, expiry of states.

Each answer is compared with exact fractions, or with the refill of true time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Final

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    Admitted,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    RateLimited,
    RateState,
    admit,
    admit_one,
)
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    MINUTE,
    SECOND,
    from_epoch_microseconds,
    to_epoch_microseconds,
)
from tests.support.strategies import START, TICK

NOW: Final = to_epoch_microseconds(START)
HOUR: Final = 60 * MINUTE
YEAR: Final = 365 * 24 * HOUR
STEPS: Final = (MINUTE, HOUR, YEAR)

small = st.integers(1, 9)
buckets = st.builds(Bucket, st.just("b"), small, small, small)


def charge(bucket: Bucket, state: RateState, at: int, *, cost: int = 1) -> RateState | int:
    """Charge a bucket, and return the state after or the wait."""
    answer = admit((Charge(bucket, state),), from_epoch_microseconds(at), cost=cost)
    return answer.states[0] if isinstance(answer, Admitted) else answer.retry_after


def window(bucket: Bucket) -> Fraction:
    """Return the exact time from empty to full, in microseconds."""
    return Fraction(bucket.capacity * bucket.seconds * SECOND, bucket.refill)


def full_at(bucket: Bucket, state: RateState) -> Fraction:
    """Return the exact instant at which a bucket is full again."""
    assert isinstance(state, BucketState)
    assert 0 <= state.part < bucket.refill
    return state.full_at + Fraction(state.part, bucket.refill)


def last_believed(bucket: Bucket) -> BucketState:
    """Return the last state that a bucket believes at `NOW`."""
    whole, part = divmod(bucket.capacity * bucket.seconds * SECOND, bucket.refill)
    return BucketState(NOW + whole + CLOCK_TOLERANCE, part)


def later(bucket: Bucket, state: BucketState, parts: int) -> BucketState:
    """Return a state that is full a number of parts of a microsecond later."""
    whole, part = divmod(state.full_at * bucket.refill + state.part + parts, bucket.refill)
    return BucketState(whole, part)


# --- Believed states -------------------------------------------------------------------------

TABLE: Final = {
    # By how much the state is full later than an empty bucket: whether one request is admitted.
    -3 * SECOND: True,
    -2 * SECOND: True,
    -2 * SECOND + 1: False,
    0: False,
    MINUTE: False,
    CLOCK_TOLERANCE: False,
    CLOCK_TOLERANCE + 1: True,
    HOUR: True,
    YEAR: True,
}


@pytest.mark.parametrize(("beyond", "is_admitted"), TABLE.items())
def test_bucket_state_from_a_clock_over_5_minutes_fast_is_reset(
    beyond: int, *, is_admitted: bool
) -> None:
    bucket = Bucket(name="b", capacity=10, refill=1, seconds=2)
    state = BucketState(NOW + 20 * SECOND + beyond)
    after = charge(bucket, state, NOW)
    assert is_admitted is isinstance(after, BucketState)
    if beyond > CLOCK_TOLERANCE:
        assert after == BucketState(NOW + 20 * SECOND)


@given(buckets, st.integers(-3, 3), small)
@example(Bucket(name="b", capacity=1, refill=7, seconds=1), 0, 1)
@example(Bucket(name="b", capacity=1, refill=7, seconds=1), 1, 1)
def test_reset_bucket_is_left_empty_whatever_the_request_costs(
    bucket: Bucket, parts: int, cost: int
) -> None:
    assume(cost <= bucket.capacity)
    state = later(bucket, last_believed(bucket), parts)
    after = charge(bucket, state, NOW, cost=cost)
    assert isinstance(after, int) is (parts <= 0)
    if not isinstance(after, int):
        # The bucket is left empty, whatever the request costs.
        assert full_at(bucket, after) == NOW + window(bucket)


@given(buckets, st.integers(0, 2 * CLOCK_TOLERANCE), st.integers(0, 8), small)
def test_bucket_wait_is_exact_and_at_most_window_plus_5_minutes(
    bucket: Bucket, ahead: int, part: int, cost: int
) -> None:
    assume(cost <= bucket.capacity)
    state = BucketState(NOW + ahead, part % bucket.refill)
    wait = charge(bucket, state, NOW, cost=cost)
    if isinstance(wait, int):
        assert 0 < wait < window(bucket) + CLOCK_TOLERANCE + 1
        assert charge(bucket, state, NOW + wait - 1, cost=cost) == 1
        assert isinstance(charge(bucket, state, NOW + wait, cost=cost), BucketState)


def test_longest_wait_of_a_bucket_is_its_window_plus_5_minutes() -> None:
    bucket = Bucket(name="b", capacity=3, refill=7, seconds=2)
    wait = charge(bucket, last_believed(bucket), NOW, cost=3)
    assert wait == -(-6 * SECOND // 7) + CLOCK_TOLERANCE


def test_bucket_is_not_reset_if_a_rate_limit_log_refuses() -> None:
    bucket, log = Bucket(name="b", capacity=9, refill=1, seconds=1), ExactLog("log", 1, 60)
    far, full = BucketState(NOW + YEAR), ratelimit.LogState.of((START,))
    answer = admit((Charge(bucket, far), Charge(log, full)), START)
    assert isinstance(answer, RateLimited)
    assert (answer.states[0], answer.policy) == (far, log)
    # A reset bucket does not refuse, so the wait is that of the log.
    assert answer.retry_after == MINUTE


def test_bucket_dated_a_year_ahead_admits_capacity_then_refuses() -> None:
    bucket, far = Bucket(name="b", capacity=9, refill=1, seconds=1), BucketState(NOW + YEAR)
    assert ratelimit.count_remaining(bucket, far, START) == 9
    assert ratelimit.limit_left(bucket, far, START) == ratelimit.LimitLeft(bucket, 1, 9)
    after = charge(bucket, far, NOW, cost=9)
    assert not isinstance(after, int)
    assert ratelimit.count_remaining(bucket, after, START) == 0
    assert charge(bucket, after, NOW) == SECOND


# --- Clock steps -----------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("cost", [1, 2])
def test_bucket_admits_again_after_a_fast_clock_is_corrected(step: int, cost: int) -> None:
    bucket = Bucket(name="b", capacity=2, refill=1, seconds=1)
    # One request while the clock ran ahead.
    state = charge(bucket, FULL_BUCKET, NOW + step)
    assert not isinstance(state, int)
    after = charge(bucket, state, NOW, cost=cost)
    if step > CLOCK_TOLERANCE + 2 * SECOND:
        assert isinstance(after, BucketState)
    else:
        assert isinstance(after, int)
        assert after <= 2 * SECOND + CLOCK_TOLERANCE
        assert isinstance(charge(bucket, state, NOW + after, cost=cost), BucketState)


@pytest.mark.parametrize("step", STEPS)
def test_bucket_is_full_again_after_a_slow_clock_is_corrected(step: int) -> None:
    bucket = Bucket(name="b", capacity=2, refill=1, seconds=1)
    state: RateState = FULL_BUCKET
    for at in (NOW - step, NOW - step, NOW, NOW):
        after = charge(bucket, state, at)
        assert not isinstance(after, int)
        state = after
    assert charge(bucket, state, NOW) == SECOND


Turn = tuple[int, int]
"""The true microseconds that pass, and the error of the clock from then on."""

turns = st.lists(
    st.tuples(
        st.sampled_from([0, 1, SECOND // 3, SECOND, 5 * SECOND, MINUTE]),
        st.sampled_from([0, 0, *STEPS, *[-step for step in STEPS]]),
    ),
    max_size=25,
)


@given(buckets, turns)
@example(Bucket(name="b", capacity=3, refill=1, seconds=9), [(0, HOUR)] * 4 + [(0, 0)] * 4)
@example(Bucket(name="b", capacity=3, refill=1, seconds=9), [(0, 0), (0, HOUR), (0, 0), (0, 0)])
def test_each_clock_step_admits_at_most_a_full_bucket_extra(
    bucket: Bucket, turns: Sequence[Turn]
) -> None:
    state: RateState = FULL_BUCKET
    true_time, error, ahead, back, admitted = 0, 0, 0, 0, 0
    for passed, wrong_by in turns:
        true_time += passed
        ahead += wrong_by > error
        back += error - wrong_by > CLOCK_TOLERANCE
        error = wrong_by
        after = charge(bucket, state, NOW + true_time + error)
        if not isinstance(after, int):
            state, admitted = after, admitted + 1
    refilled = Fraction(true_time * bucket.refill, bucket.seconds * SECOND)
    assert admitted <= bucket.capacity * (1 + ahead) + refilled + back


# --- Clock skew ------------------------------------------------------------------------------

APART: Final = (5_000, SECOND, 4 * MINUTE, CLOCK_TOLERANCE)
QUICK: Final = (
    # They fill in a millisecond, in half a second and in four seconds.
    Bucket(name="b", capacity=2, refill=2000, seconds=1),
    Bucket(name="b", capacity=1, refill=2, seconds=1),
    Bucket(name="b", capacity=2, refill=1, seconds=2),
)


def schedules(length: int, waits: Sequence[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield every schedule: the next of two workers, and the microseconds before it."""
    return product(product((0, 1), waits), repeat=length)


def check_schedule(
    bucket: Bucket, apart: int, schedule: Sequence[tuple[int, int]], *, cost: int = 1
) -> None:
    """Check that two workers admit what a bucket that never resets would admit."""
    state: RateState = FULL_BUCKET
    exact, true_time = Fraction(0), NOW
    token = Fraction(bucket.seconds * SECOND, bucket.refill)
    for worker, wait in schedule:
        true_time += wait
        at = true_time + worker * apart
        after = charge(bucket, state, at, cost=cost)
        wanted = max(exact, Fraction(at)) + cost * token
        assert isinstance(after, int) is (wanted > at + window(bucket))
        if not isinstance(after, int):
            state, exact = after, wanted


@pytest.mark.slow
@pytest.mark.parametrize("apart", APART)
@pytest.mark.parametrize("bucket", QUICK)
def test_two_workers_with_skewed_clocks_admit_no_extra_request(bucket: Bucket, apart: int) -> None:
    waits = (0, bucket.seconds * SECOND // bucket.refill)
    for schedule in schedules(5, waits):
        check_schedule(bucket, apart, schedule)


@pytest.mark.slow
@given(
    buckets,
    st.sampled_from(APART) | st.integers(0, CLOCK_TOLERANCE),
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([0, 1, 999, SECOND]) | st.integers(0, HOUR)),
        max_size=25,
    ),
    small,
)
def test_skewed_clocks_admit_no_extra_request_in_random_traffic(
    bucket: Bucket, apart: int, schedule: Sequence[tuple[int, int]], cost: int
) -> None:
    check_schedule(bucket, apart, schedule, cost=min(cost, bucket.capacity))


# --- Expiry of states ------------------------------------------------------------------------


@given(buckets, st.lists(st.integers(-HOUR, HOUR), max_size=9))
def test_bucket_state_expires_when_the_bucket_is_full_again(
    bucket: Bucket, instants: Sequence[int]
) -> None:
    state: RateState = FULL_BUCKET
    for offset in instants:
        after = admit_one(bucket, state, from_epoch_microseconds(NOW + offset))
        state = state if isinstance(after, int) else after
    over = ratelimit.state_expires_at(bucket, state)
    assert (over is None) == (state == FULL_BUCKET)
    if over is not None:
        at = to_epoch_microseconds(over)
        assert at - 1 < full_at(bucket, state) <= at
        assert admit_one(bucket, state, over) == admit_one(bucket, FULL_BUCKET, over)


def test_bucket_state_expiry_rounds_up_to_a_microsecond() -> None:
    bucket = Bucket(name="b", capacity=3, refill=3, seconds=1)
    for part, ticks in ((0, 0), (1, 1), (2, 1)):
        state = BucketState(NOW, part)
        assert ratelimit.state_expires_at(bucket, state) == START + ticks * TICK
