"""Tests that rate limits and their states are drawn from the whole domain, and from no more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Final

import pytest
from hypothesis import strategies as st

from curae_lifecycle.rules.ratelimit import (
    FRESH_LOG,
    FULL_BUCKET,
    GRADUATION_LIMIT,
    INITIATE_LIMIT,
    Admitted,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    LimitLeft,
    LogState,
    RateLimited,
    RateState,
    admit,
)
from curae_lifecycle.rules.values import SECOND, from_epoch_microseconds
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import START, limit
from tests.support.drawing import drawn_examples
from tests.testing.strategies.drawing import HOUR

DAY: Final = timedelta(days=1)
MOST: Final = 12
"""The largest number of requests in a drawn run."""
RECORDER: Final = ExactLog("recorder", 1_000, 1_000_000)
"""A limit that admits and remembers every request of a drawn run."""
NEVER_CHARGED: Final[tuple[RateState, ...]] = (FRESH_LOG, FULL_BUCKET)


def requests_of(charge: Charge) -> tuple[timedelta, ...]:
    """Return the times after `START` of the requests that an exact log remembers."""
    assert isinstance(charge.state, LogState)
    return tuple(instant - START for instant in charge.state.instants)


def check_state(state: RateState, longest: int) -> None:
    """Check that requests of the three hours after `START` left a state, or none did."""
    if isinstance(state, LogState):
        assert len(state.instants) <= longest
        assert all(START <= each <= START + 3 * HOUR for each in state.instants)
    elif state != FULL_BUCKET:
        full_at = from_epoch_microseconds(state.full_at)
        assert START < full_at <= START + 3 * HOUR + timedelta(seconds=longest)


def test_exact_log_rate_limits_are_drawn_in_all_listed_sizes() -> None:
    logs = drawn_examples(draw.exact_logs(), count=300)
    names = (INITIATE_LIMIT.name, GRADUATION_LIMIT.name)
    assert set(logs) == {
        ExactLog(name, limit, seconds)
        for name, limit, seconds in product(names, (1, 2, 3, 10), (1, 60))
    }


@pytest.mark.slow
def test_drawn_bucket_sizes_are_one_to_ten() -> None:
    buckets = drawn_examples(draw.buckets(), count=200)
    assert {each.name for each in buckets} == {"platform", "burst"}
    for name in ("capacity", "refill", "seconds"):
        sizes = {getattr(each, name) for each in buckets}
        assert (min(sizes), max(sizes)) == (1, 10)
    assert any(each.seconds * SECOND % each.refill for each in buckets)
    # Chance alone would rarely draw these two.
    assert {Bucket(name, capacity=10, refill=1, seconds=10) for name in ("platform", "burst")} <= {
        *buckets
    }


@pytest.mark.slow
def test_rate_limit_policies_are_drawn_as_logs_and_buckets() -> None:
    assert set(map(type, drawn_examples(draw.policies()))) == {ExactLog, Bucket}


@pytest.mark.slow
def test_drawn_run_has_at_most_twelve_requests_in_three_hours() -> None:
    charges = drawn_examples(draw.charges(RECORDER), count=110)
    runs = [requests_of(each) for each in charges]
    assert {each.policy for each in charges} == {RECORDER}
    assert all(timedelta(0) <= offset <= 3 * HOUR for run in runs for offset in run)
    lengths = set(map(len, runs))
    assert (min(lengths), max(lengths)) == (0, MOST)
    assert (timedelta(0),) * MOST in runs
    # Some requests share a window of one second or a few, and some come much later.
    assert any(timedelta(seconds=3) in run for run in runs)
    assert any(run and run[-1] > HOUR for run in runs)


@pytest.mark.slow
def test_request_maximum_of_2_draws_runs_of_0_to_2_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Runs of more than twelve requests would rarely be drawn, even without a bound.
    monkeypatch.setattr(limit, "_MOST_REQUESTS", 2)
    charges = drawn_examples(draw.charges(RECORDER), count=40)
    assert {len(requests_of(each)) for each in charges} == {0, 1, 2}


@pytest.mark.slow
def test_rate_limit_policy_is_drawn_with_a_state_it_can_reach() -> None:
    charges = drawn_examples(draw.charges(), count=110)
    kinds = {(type(each.policy), type(each.state)) for each in charges}
    assert kinds == {(ExactLog, LogState), (Bucket, BucketState)}
    for each in charges:
        window = each.policy.limit if isinstance(each.policy, ExactLog) else each.policy.window
        check_state(each.state, longest=window)
    refused = [each for each in charges if isinstance(admit((each,), START), RateLimited)]
    assert len(refused) >= len(charges) // 4
    assert any(each.state in NEVER_CHARGED for each in charges)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("states", "kind", "longest"),
    [(draw.log_states, LogState, 10), (draw.bucket_states, BucketState, 100)],
)
def test_drawn_rate_limit_states_are_valid_and_often_different(
    states: Callable[[], st.SearchStrategy[RateState]], kind: type[RateState], longest: int
) -> None:
    drawn: list[RateState] = drawn_examples(states())
    for each in drawn:
        assert isinstance(each, kind)
        check_state(each, longest)
    assert len(set(drawn)) > len(drawn) // 4


@pytest.mark.slow
def test_drawn_admitted_request_comes_one_day_after_start() -> None:
    answers = drawn_examples(draw.admissions())
    for each in answers:
        assert isinstance(each, Admitted)
        [state] = each.states
        if isinstance(state, LogState):
            assert state.instants[-1] == START + DAY
        else:
            # One token is missing: at most ten seconds until it is back.
            full_at = from_epoch_microseconds(state.full_at)
            assert START + DAY < full_at <= START + DAY + timedelta(seconds=10)
    assert {type(each.states[0]) for each in answers} == {LogState, BucketState}


@pytest.mark.slow
def test_drawn_rate_limit_refusal_is_decided_at_the_start() -> None:
    answers = drawn_examples(draw.limit_refusals())
    for each in answers:
        assert isinstance(each, RateLimited)
        [state] = each.states
        assert admit((Charge(each.policy, state),), START) == each
    assert {type(each.policy) for each in answers} == {ExactLog, Bucket}


@pytest.mark.slow
def test_drawn_rate_limit_reset_may_take_longer_than_the_window() -> None:
    answers = drawn_examples(draw.limits_left())
    for each in answers:
        assert isinstance(each, LimitLeft)
        assert 0 <= each.remaining <= each.policy.limit
        assert 0 <= each.reset_seconds <= 3 * HOUR.seconds + each.policy.window
    assert any(each.reset_seconds > each.policy.window for each in answers)


def test_drawn_limit_left_and_refusal_fit_the_drawn_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    charge = Charge(ExactLog("initiate", 2, 60), LogState.of([START]))
    monkeypatch.setattr(limit, "charges", lambda: st.just(charge))
    assert drawn_examples(draw.limits_left()) == [LimitLeft(charge.policy, 1, 60)]
    used_up = (LogState.of([START, START]),)
    assert drawn_examples(draw.limit_refusals()) == [
        RateLimited(used_up, charge.policy, 60 * SECOND)
    ]
