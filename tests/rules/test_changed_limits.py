"""Rate-limit states under changed limits (section 5 of the rules).

A changed setting is one rule after another; old and new workers side by side are two rules in
turns. Each answer is compared with lists of instants and exact fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.ratelimit import (
    FRESH_LOG,
    FULL_BUCKET,
    Admitted,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    LogState,
    RateLimited,
    RateState,
    admit,
    admit_one,
)
from curae_lifecycle.testing import laws
from tests.support.strategies import START, TICK

_Rule = TypeVar("_Rule", ExactLog, Bucket)
Turn = tuple[_Rule, datetime, int]
"""One call: the rule of its worker, the time on its clock, and the cost."""

DECADE: Final = 10 * 365 * 24 * 60 * 60
SECOND: Final = timedelta(seconds=1)

# Mostly near whole seconds and thirds of seconds; some are decades away.
instants = st.one_of(
    st.tuples(st.integers(0, 18), st.integers(-1, 1)).map(
        lambda part: START + SECOND * part[0] / 3 + TICK * part[1]
    ),
    st.integers(0, 6_000_000).map(lambda us: START + TICK * us),
    st.tuples(st.integers(-5, 500), st.integers(-1, 1)).map(
        lambda part: START + SECOND * DECADE * part[0] + TICK * part[1]
    ),
)


def logs(
    limits: st.SearchStrategy[int], seconds: st.SearchStrategy[int]
) -> st.SearchStrategy[ExactLog]:
    return st.builds(ExactLog, st.just("log"), limits, seconds)


buckets = st.builds(
    Bucket,
    st.just("bucket"),
    st.integers(1, 5),
    st.one_of(st.integers(1, 7), st.integers(1, 10**9)),
    st.one_of(st.integers(1, 3), st.sampled_from([DECADE, 3 * DECADE + 1])),
)


def turns(rules: st.SearchStrategy[_Rule]) -> st.SearchStrategy[list[Turn[_Rule]]]:
    """Draw calls under one to three rules, with clocks in any order."""
    some = st.lists(rules, min_size=1, max_size=3)
    return some.flatmap(
        lambda each: st.lists(
            st.tuples(st.sampled_from(each), instants, st.integers(1, 3)), max_size=16
        )
    )


def charged(rule: ExactLog | Bucket, state: RateState, now: datetime, cost: int) -> RateState | int:
    """Return the state after a call, or its wait if it is refused."""
    answer = admit((Charge(rule, state),), now, cost=cost)
    return answer.states[0] if isinstance(answer, Admitted) else answer.retry_after


def micros(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // TICK


def check_wait(rule: ExactLog | Bucket, state: RateState, turn: datetime, cost: int) -> None:
    """Check that the wait is exact, whichever rule charged the state before."""
    wait = charged(rule, state=state, now=turn, cost=cost)
    if isinstance(wait, int):
        try:
            then = turn + TICK * wait
        except OverflowError:
            return
        laws.check_retry_after(
            lambda at: not isinstance(charged(rule, state=state, now=at, cost=cost), int),
            turn,
            then - turn,
        )


# --- Exact logs ------------------------------------------------------------------------------


def counted(admitted: Sequence[datetime], now: datetime, seconds: int) -> int:
    return sum(now - at < SECOND * seconds for at in admitted)


def check_against_history(history: Sequence[Turn[ExactLog]]) -> None:
    """Check that each rule admits exactly what its numbers allow, counting all admissions."""
    state: RateState = FRESH_LOG
    admitted: list[datetime] = []
    for rule, now, asked in history:
        cost = min(asked, rule.limit)
        check_wait(rule, state=state, turn=now, cost=cost)
        after = charged(rule, state=state, now=now, cost=cost)
        room = counted(admitted, now, rule.seconds) + cost <= rule.limit
        assert room is isinstance(after, LogState)
        if isinstance(after, LogState):
            state = after
            admitted += [now] * cost
        free = max(0, rule.limit - counted(admitted, now, rule.seconds))
        assert ratelimit.count_remaining(rule, state, now) == free


@given(
    st.sampled_from([1, 2, DECADE]).flatmap(lambda s: turns(logs(st.integers(1, 5), st.just(s))))
)
def test_another_limit_counts_exactly_the_newest(history: list[Turn[ExactLog]]) -> None:
    check_against_history(sorted(history, key=lambda turn: turn[1]))


@given(
    st.integers(1, 5).flatmap(
        lambda limit: turns(logs(st.just(limit), st.sampled_from([1, 2, 3, DECADE, 7 * DECADE])))
    )
)
def test_another_window_counts_exactly_what_is_in_it_whatever_the_clocks_say(
    history: list[Turn[ExactLog]],
) -> None:
    check_against_history(history)


any_logs = logs(st.integers(1, 5), st.sampled_from([1, 2, 3, DECADE]))


@given(turns(any_logs))
def test_of_any_logs_a_state_remembers_the_newest_as_many_as_the_largest_limit_needs(
    history: list[Turn[ExactLog]],
) -> None:
    state: RateState = FRESH_LOG
    remembered: list[datetime] = []
    for rule, now, asked in history:
        cost = min(asked, rule.limit)
        check_wait(rule, state=state, turn=now, cost=cost)
        after = charged(rule, state=state, now=now, cost=cost)
        if isinstance(after, LogState):
            state = after
            kept = max(len(remembered), min(rule.limit, len(remembered) + cost))
            remembered = sorted([*remembered, *[now] * cost])[-kept:]
            assert after.instants == tuple(remembered)
        else:
            assert counted(remembered, now, rule.seconds) + cost > rule.limit


@given(turns(any_logs))
def test_of_any_logs_the_shortest_window_never_holds_more_than_the_largest_limit(
    history: list[Turn[ExactLog]],
) -> None:
    state: RateState = FRESH_LOG
    admitted: list[datetime] = []
    for rule, now, _ in sorted(history, key=lambda turn: turn[1]):
        after = admit_one(rule, state, now)
        if not isinstance(after, int):
            state = after
            admitted.append(now)
    if history:
        limit = max(rule.limit for rule, _, _ in history)
        seconds = min(rule.seconds for rule, _, _ in history)
        laws.check_rate_limit(admitted, limit=limit, seconds=seconds)


def test_a_lower_limit_locks_nobody_out_and_a_higher_one_finds_what_counts() -> None:
    few, many = ExactLog("log", 2, 60), ExactLog("log", 5, 3600)
    state: RateState = LogState.of(START + SECOND * place for place in range(5))
    # The newest two are at seconds 3 and 4.
    assert admit_one(few, state, START + SECOND * 62) == SECOND // TICK
    after = admit_one(few, state, START + SECOND * 63)
    assert isinstance(after, LogState)
    # A worker that still has the higher limit finds all the instants that it needs.
    assert len(after.instants) == 5
    assert ratelimit.count_remaining(many, after, START + SECOND * 63) == 0
    assert ratelimit.count_remaining(few, after, START + SECOND * 63) == 0


def test_no_more_go_than_must_make_room() -> None:
    rule = ExactLog("log", 3, 60)
    later = START + SECOND * 60
    after = charged(rule, state=LogState.of((START, START + SECOND)), now=later, cost=2)
    assert after == LogState.of((START + SECOND, later, later))


def test_a_log_is_eight_bytes_for_each_instant_the_first_byte_the_greatest() -> None:
    early = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    state = LogState.of((START, early))
    assert bytes(state) == b"\xff" * 8 + micros(START).to_bytes(8, "big")
    assert repr(state) == f"LogState.of({(early, START)})"


def test_clocks_before_1970_are_in_order_too() -> None:
    early = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    rule = ExactLog("log", 2, 60)
    after = admit_one(rule, LogState.of((START,)), early)
    assert after == LogState.of((early, START))
    assert isinstance(after, LogState)
    assert after.instants == (early, START)


# --- Buckets ---------------------------------------------------------------------------------


def full_at(state: RateState) -> Fraction:
    """Return when the bucket is full again, in microseconds since 1970."""
    assert isinstance(state, BucketState)
    assert 0 <= state.part < state.parts
    return state.full_at + Fraction(state.part, state.parts)


def per_token(rule: Bucket) -> Fraction:
    return Fraction(rule.seconds * 1_000_000, rule.refill)


@given(turns(buckets))
def test_the_instant_at_which_a_bucket_is_full_holds_for_whoever_reads_it(
    history: list[Turn[Bucket]],
) -> None:
    state: RateState = FULL_BUCKET
    for rule, now, asked in history:
        cost, at = min(asked, rule.capacity), Fraction(micros(now))
        full, window = full_at(state), rule.capacity * per_token(rule)
        check_wait(rule, state=state, turn=now, cost=cost)
        # It is full from that instant on, and not before.
        assert (ratelimit.count_remaining(rule, state, now) == rule.capacity) is (full <= at)
        exact = max(full, at) + cost * per_token(rule)
        after = charged(rule, state=state, now=now, cost=cost)
        # A fraction left by another refill rate is rounded up by less than one part.
        rounding = 0 if isinstance(state, BucketState) and state.parts == rule.refill else 1
        most = exact + Fraction(rounding, rule.refill)
        if isinstance(after, int):
            assert most > at + window if rounding else exact > at + window
            # No call waits longer than until the bucket is full, to the tick.
            assert after < full - at + 1
        else:
            assert exact <= at + window
            assert exact <= full_at(after) < most if rounding else full_at(after) == exact
            assert full_at(after) > full
            state = after


@given(turns(buckets))
def test_workers_side_by_side_admit_no_more_than_the_widest_bucket_and_what_came_back(
    history: list[Turn[Bucket]],
) -> None:
    state: RateState = FULL_BUCKET
    admitted: list[tuple[int, Fraction]] = []
    for rule, now, _ in history:
        after = admit_one(rule, state, now)
        if not isinstance(after, int):
            state = after
            admitted.append((micros(now), per_token(rule)))
    widest = max((rule.capacity * per_token(rule) for rule, _, _ in history), default=Fraction(0))
    for since, _ in admitted:
        for until, _ in admitted:
            spent = sum(cost for at, cost in admitted if since <= at <= until)
            assert spent <= widest + max(0, until - since)


@given(buckets, buckets, instants, st.integers(1, 5))
def test_at_once_two_workers_admit_fewer_than_both_buckets_hold(
    old: Bucket, new: Bucket, now: datetime, first: int
) -> None:
    state: RateState = FULL_BUCKET
    count = 0
    for rule in [old] * first + [new] * 6 + [old] * 6:
        after = admit_one(rule, state, now)
        if not isinstance(after, int):
            state, count = after, count + 1
    assert count < old.capacity + new.capacity


@given(turns(buckets), buckets, buckets)
def test_when_a_bucket_s_state_expires_is_the_same_for_all(
    history: list[Turn[Bucket]], one: Bucket, other: Bucket
) -> None:
    state: RateState = FULL_BUCKET
    for rule, now, _ in history:
        after = admit_one(rule, state, now)
        state = state if isinstance(after, int) else after
    over = ratelimit.state_expires_at(one, state)
    assert over == ratelimit.state_expires_at(other, state)
    assert (over is None) == (state == FULL_BUCKET)
    if over is not None and over.year < 9999:
        assert micros(over) - 1 < full_at(state) <= micros(over)


def test_a_bucket_s_state_expires_with_the_last_fraction_of_a_microsecond() -> None:
    rule = Bucket(name="bucket", capacity=3, refill=3, seconds=1)
    for part, ticks in ((0, 0), (1, 1), (2, 1)):
        state = BucketState(micros(START), part, 3)
        assert ratelimit.state_expires_at(rule, state) == START + ticks * TICK


@pytest.mark.parametrize(("before", "after"), [(50, 25), (25, 50), (3, 7), (10**9, 1), (1, 10**9)])
def test_another_refill_neither_locks_out_nor_fills(before: int, after: int) -> None:
    old, new = (
        Bucket(name="bucket", capacity=100, refill=before, seconds=1),
        Bucket(name="bucket", capacity=100, refill=after, seconds=1),
    )
    drained = charged(old, state=FULL_BUCKET, now=START, cost=100)
    assert isinstance(drained, BucketState)
    full = full_at(drained) - micros(START)
    assert full == 100 * per_token(old)
    left = max(0, (100 * per_token(new) - full) // per_token(new))
    assert ratelimit.count_remaining(new, drained, START) == left < 100
    wait = admit_one(new, drained, START)
    assert not isinstance(wait, int) if left else isinstance(wait, int)
    if isinstance(wait, int):
        assert wait <= full


def test_one_that_was_charged_before_it_grew_is_full_when_it_would_have_been() -> None:
    old, new = (
        Bucket(name="bucket", capacity=2, refill=1, seconds=1),
        Bucket(name="bucket", capacity=10, refill=1, seconds=1),
    )
    drained = charged(old, state=FULL_BUCKET, now=START, cost=2)
    assert not isinstance(drained, int)
    assert ratelimit.count_remaining(new, drained, START) == 8
    assert ratelimit.count_remaining(new, drained, START + 2 * SECOND) == 10
    again = charged(new, state=drained, now=START, cost=8)
    assert not isinstance(again, int)
    # The smaller bucket waits until it is full again, less one token.
    assert admit_one(old, again, START) == 9 * SECOND // TICK


def test_a_fraction_that_another_refill_left_is_rounded_up() -> None:
    third = charged(
        Bucket(name="bucket", capacity=3, refill=3, seconds=1), state=FULL_BUCKET, now=START, cost=1
    )
    assert isinstance(third, BucketState)
    assert third == BucketState(micros(START) + 333_333, 1, 3)
    half = charged(
        Bucket(name="bucket", capacity=4, refill=2, seconds=1), state=third, now=START, cost=1
    )
    assert half == BucketState(micros(START) + 833_333, 1, 2)
    nine = BucketState(micros(START), 8, 9)
    whole = charged(
        Bucket(name="bucket", capacity=4, refill=1, seconds=1), state=nine, now=START, cost=1
    )
    assert whole == BucketState(micros(START) + 1_000_001, 0, 1)


def test_alternating_refills_cost_less_than_a_millionth_of_a_token_a_call() -> None:
    rules = (
        Bucket(name="bucket", capacity=10**6, refill=7, seconds=1),
        Bucket(name="bucket", capacity=10**6, refill=11, seconds=1),
    )
    state: RateState = FULL_BUCKET
    exact = Fraction(micros(START))
    for number in range(1000):
        rule = rules[number % 2]
        after = admit_one(rule, state, START)
        assert not isinstance(after, int)
        state, exact = after, exact + per_token(rule)
        lost = full_at(state) - exact
        assert 0 <= lost <= (number + 1) * per_token(rules[0]) / 1_000_000


def test_a_refusal_hands_back_what_another_rule_left() -> None:
    drained = charged(
        Bucket(name="bucket", capacity=3, refill=3, seconds=1), state=FULL_BUCKET, now=START, cost=3
    )
    assert not isinstance(drained, int)
    new = Bucket(name="bucket", capacity=1, refill=2, seconds=1)
    answer = admit((Charge(new, drained),), START)
    assert isinstance(answer, RateLimited)
    assert answer.states[0] is drained
