"""Exact logs under changed limits (section 5 of the rules).

A changed setting is one rule after another; old and new workers side by side are two rules in
turns. Each answer is compared with a list of instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.ratelimit import (
    FRESH_LOG,
    Admitted,
    Bucket,
    Charge,
    ExactLog,
    LogState,
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


@pytest.mark.slow
@given(
    st.sampled_from([1, 2, DECADE]).flatmap(lambda s: turns(logs(st.integers(1, 5), st.just(s))))
)
def test_rate_limit_log_counts_old_admissions_if_limit_changes(
    history: list[Turn[ExactLog]],
) -> None:
    check_against_history(sorted(history, key=lambda turn: turn[1]))


@pytest.mark.slow
@given(
    st.integers(1, 5).flatmap(
        lambda limit: turns(logs(st.just(limit), st.sampled_from([1, 2, 3, DECADE, 7 * DECADE])))
    )
)
def test_rate_limit_log_counts_old_admissions_if_window_changes(
    history: list[Turn[ExactLog]],
) -> None:
    check_against_history(history)


any_logs = logs(st.integers(1, 5), st.sampled_from([1, 2, 3, DECADE]))


@pytest.mark.slow
@given(turns(any_logs))
def test_rate_limit_log_keeps_as_many_instants_as_largest_limit(
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


@pytest.mark.slow
@given(turns(any_logs))
def test_changed_rate_limit_never_admits_over_the_largest_limit(
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


def test_lowered_limit_applies_at_once_and_log_drops_no_instant() -> None:
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


def test_rate_limit_log_drops_oldest_instants_beyond_its_limit() -> None:
    rule = ExactLog("log", 3, 60)
    later = START + SECOND * 60
    after = charged(rule, state=LogState.of((START, START + SECOND)), now=later, cost=2)
    assert after == LogState.of((START + SECOND, later, later))


def test_rate_limit_log_state_is_8_big_endian_bytes_per_instant() -> None:
    early = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    state = LogState.of((START, early))
    assert bytes(state) == b"\xff" * 8 + micros(START).to_bytes(8, "big")
    assert repr(state) == f"LogState.of({(early, START)})"


def test_rate_limit_log_sorts_instants_before_1970() -> None:
    early = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    rule = ExactLog("log", 2, 60)
    after = admit_one(rule, LogState.of((START,)), early)
    assert after == LogState.of((early, START))
    assert isinstance(after, LogState)
    assert after.instants == (early, START)
