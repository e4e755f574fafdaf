"""Rate limits (section 5 of the rules): windows, exact waits, all-or-nothing charges."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import product
from typing import Final, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import (
    INITIATE_LIMIT,
    Admitted,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    LogState,
    Policy,
    RateLimited,
    RateState,
    admit,
    fresh_state,
)
from curae_lifecycle.rules.values import LAST_INSTANT, from_epoch_microseconds
from curae_lifecycle.testing import laws
from curae_lifecycle.web.respond import format_rate_limit, format_rate_limit_policy
from tests.support.strategies import START, TICK, Frozen


def test_rate_limit_headers_follow_the_ietf_draft_syntax() -> None:
    assert format_rate_limit_policy(INITIATE_LIMIT) == '"initiate";q=10;w=60'
    limited = RateLimited((), INITIATE_LIMIT, 11_000_001)
    assert format_rate_limit(limited) == '"initiate";r=0;t=12'
    assert (
        format_rate_limit_policy(Bucket(name="platform", capacity=10, refill=3, seconds=1))
        == '"platform";q=10;w=4'
    )


SECOND: Final = timedelta(seconds=1)
LOG: Final = ExactLog("log", 2, 1)
BUCKET: Final = Bucket(name="bucket", capacity=3, refill=7, seconds=2)

Call = tuple[datetime, int]
"""Time and cost of a call."""


def micros(count: int) -> timedelta:
    return timedelta(microseconds=count)


logs = st.builds(ExactLog, st.just("log"), st.integers(1, 4), st.integers(1, 3))
buckets = st.builds(
    Bucket, st.just("bucket"), st.integers(1, 5), st.integers(1, 7), st.integers(1, 3)
)
policies = st.one_of(logs, buckets)

# Mostly near whole seconds and thirds of seconds, where windows end and tokens refill.
instants = st.one_of(
    st.tuples(st.integers(0, 18), st.integers(-1, 1)).map(
        lambda part: START + SECOND * part[0] / 3 + TICK * part[1]
    ),
    st.integers(0, 6_000_000).map(lambda us: START + micros(us)),
)
calls = st.lists(st.tuples(instants, st.integers(1, 2)), max_size=14)


def ordered(unordered: list[Call]) -> list[Call]:
    return sorted(unordered)


def play(policy: Policy, history: Sequence[Call]) -> tuple[RateState, list[Call]]:
    """Return the state after a history of calls, and the admitted calls."""
    state, admitted = fresh_state(policy), []
    for now, cost in history:
        cheap = min(cost, policy.limit)
        answer = admit((Charge(policy, state),), now, cost=cheap)
        if isinstance(answer, Admitted):
            (state,) = answer.states
            admitted.append((now, cheap))
    return state, admitted


def in_window(admitted: Sequence[Call], since: datetime, length: timedelta) -> int:
    return sum(cost for at, cost in admitted if since <= at < since + length)


def check_windows(policy: ExactLog, admitted: Sequence[Call]) -> None:
    # A call of cost 2 counts as two calls at one instant.
    each = [at for at, cost in admitted for _ in range(cost)]
    laws.check_rate_limit(each, limit=policy.limit, seconds=policy.seconds)


# --- Law 10 ----------------------------------------------------------------------------------


@given(logs, calls)
def test_law_10_any_half_open_window_admits_at_most_the_limit(
    policy: ExactLog, history: list[Call]
) -> None:
    _, admitted = play(policy, history)
    check_windows(policy, admitted)


@given(
    st.lists(
        st.integers(0, 4 * 60 * 10**6).map(lambda us: (START + micros(us), 1)),
        min_size=11,
        max_size=60,
    )
)
@example([*[(START, 1)] * 10, (START + 60 * SECOND - TICK, 1)])
def test_law_10_any_60_seconds_admit_at_most_10_initiates(history: list[Call]) -> None:
    _, admitted = play(INITIATE_LIMIT, history)
    laws.check_rate_limit(at for at, _ in admitted)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("seconds", [1, 2])
def test_law_10_limit_is_never_exceeded_in_histories_of_6_calls(limit: int, seconds: int) -> None:
    policy, window = ExactLog("log", limit, seconds), SECOND * seconds

    def go_on(state: RateState, admitted: list[Call], calls: int, *, steady: bool) -> None:
        # Histories that begin alike share their first calls.
        if not calls:
            check_windows(policy, admitted)
            return
        for place in range(5):
            now = START + SECOND * place / 2
            steadily = steady and all(at <= now for at, _ in admitted)
            answer = ratelimit.admit_one(policy, state, now)
            # As long as no clock runs backwards, a call is admitted exactly if there is room.
            room = in_window(admitted, now - window + TICK, window) < limit
            assert not steadily or room is not isinstance(answer, int)
            if isinstance(answer, int):
                go_on(state, admitted, calls - 1, steady=steadily)
            else:
                go_on(answer, [*admitted, (now, 1)], calls - 1, steady=steadily)

    go_on(ratelimit.FRESH_LOG, [], 6, steady=True)


def test_law_10_window_is_half_open_to_the_microsecond() -> None:
    state, admitted = play(INITIATE_LIMIT, [(START, 1)] * 11)
    assert len(admitted) == 10
    minute = timedelta(seconds=60)
    refused = ratelimit.admit_one(INITIATE_LIMIT, state, START + minute - TICK)
    assert refused == 1
    assert isinstance(ratelimit.admit_one(INITIATE_LIMIT, state, START + minute), LogState)


@given(policies, calls, instants, st.integers(1, 5))
def test_law_10_retry_after_is_exact_to_the_microsecond(
    policy: Policy, history: list[Call], now: datetime, cost: int
) -> None:
    state, _ = play(policy, history)
    charges, cost = (Charge(policy, state),), min(cost, policy.limit)
    answer = admit(charges, now, cost=cost)
    if isinstance(answer, RateLimited):
        wait = micros(answer.retry_after)
        laws.check_retry_after(
            lambda then: isinstance(admit(charges, then, cost=cost), Admitted), now, wait
        )
        # One tick earlier, the wait is one tick.
        early = admit(charges, now + wait - TICK, cost=cost)
        assert early == RateLimited((state,), policy, 1)


# --- Buckets against a token model -----------------------------------------------------------


@given(buckets, calls.map(ordered))
def test_bucket_decides_like_a_token_bucket_of_exact_fractions(
    policy: Bucket, history: list[Call]
) -> None:
    rate = Fraction(policy.refill, policy.seconds * 1_000_000)
    tokens, before = Fraction(policy.capacity), START - SECOND
    state: RateState = ratelimit.FULL_BUCKET
    for now, asked in history:
        cost = min(asked, policy.capacity)
        tokens = min(Fraction(policy.capacity), tokens + rate * ((now - before) // TICK))
        before = now
        assert ratelimit.count_remaining(policy, state, now) == tokens // 1
        answer = admit((Charge(policy, state),), now, cost=cost)
        if tokens >= cost:
            assert isinstance(answer, Admitted)
            (state,) = answer.states
            tokens -= cost
        else:
            assert isinstance(answer, RateLimited)
            assert answer.retry_after == -((tokens - cost) / rate // 1)


@given(buckets, calls)
def test_bucket_admits_at_most_capacity_plus_refill_on_any_clock(
    policy: Bucket, history: list[Call]
) -> None:
    _, admitted = play(policy, history)
    rate = Fraction(policy.refill, policy.seconds * 1_000_000)
    for (since, _), (until, _) in product(admitted, admitted):
        if since <= until:
            most = policy.capacity + rate * ((until - since) // TICK)
            assert in_window(admitted, since, until - since + TICK) <= most


def test_bucket_starts_full_and_refills_evenly() -> None:
    policy = Bucket(name="platform", capacity=2, refill=1, seconds=3)
    state, admitted = play(policy, [(START, 1)] * 3)
    assert len(admitted) == 2
    assert ratelimit.admit_one(policy, state, START) == 3_000_000


# --- Several limits --------------------------------------------------------------------------

several = st.lists(st.tuples(policies, calls), min_size=1, max_size=4)


@pytest.mark.slow
@given(several, instants)
def test_limits_charge_all_or_none_and_report_the_longest_wait(
    rules: list[tuple[Policy, list[Call]]], now: datetime
) -> None:
    charges = tuple(Charge(policy, play(policy, history)[0]) for policy, history in rules)
    before = deepcopy(charges)
    alone = [admit((charge,), now) for charge in charges]
    waits = [one.retry_after if isinstance(one, RateLimited) else 0 for one in alone]
    answer = admit(charges, now)
    assert charges == before
    assert admit(charges, now) == answer
    assert len(answer.states) == len(charges)
    if max(waits) == 0:
        assert isinstance(answer, Admitted)
        assert answer.states == tuple(one.states[0] for one in alone)
        return
    assert isinstance(answer, RateLimited)
    assert answer.retry_after == max(waits)
    assert answer.policy is charges[waits.index(max(waits))].policy
    for charge, state in zip(charges, answer.states, strict=True):
        assert state is charge.state
    then = now + micros(answer.retry_after)
    assert isinstance(admit(charges, then), Admitted)
    early = admit(charges, then - TICK)
    assert isinstance(early, RateLimited)
    assert early.policy is answer.policy


def test_refusal_with_equal_waits_names_the_first_limit() -> None:
    first, second = Bucket(name="first", capacity=1, refill=1, seconds=1), ExactLog("second", 1, 1)
    charges = [Charge(policy, play(policy, [(START, 1)])[0]) for policy in (first, second)]
    for pair in (charges, charges[::-1]):
        answer = admit(tuple(pair), START)
        assert isinstance(answer, RateLimited)
        assert answer.policy is pair[0].policy


def test_admit_without_limits_admits_any_cost() -> None:
    assert admit((), START, cost=10**9) == Admitted(())


@given(policies, calls, instants)
def test_function_admit_one_equals_admit_with_a_single_limit(
    policy: Policy, history: list[Call], now: datetime
) -> None:
    state, _ = play(policy, history)
    short, full = ratelimit.admit_one(policy, state, now), admit((Charge(policy, state),), now)
    if isinstance(short, int):
        assert full == RateLimited((state,), policy, short)
    else:
        assert full == Admitted((short,))


@pytest.mark.parametrize("cost", [0, -1])
@pytest.mark.parametrize("charges", [(), (Charge(LOG, ratelimit.FRESH_LOG),)])
def test_request_cost_below_one_raises_argument_error(
    charges: tuple[Charge, ...], cost: int
) -> None:
    with pytest.raises(ArgumentError, match="cost"):
        admit(charges, START, cost=cost)


def test_request_cost_above_a_rate_limit_raises_cost_error() -> None:
    full = Charge(ExactLog("small", 3, 1), play(ExactLog("small", 3, 1), [(START, 1)] * 3)[0])
    for charges in (
        (full, Charge(LOG, ratelimit.FRESH_LOG)),
        (Charge(LOG, ratelimit.FRESH_LOG), full),
    ):
        with pytest.raises(ratelimit.CostError) as error:
            admit(charges, START, cost=3)
        assert (error.value.policy, error.value.cost, error.value.limit) == ("log", 3, 2)
        assert isinstance(admit(charges, START, cost=2), RateLimited)


@pytest.mark.parametrize(
    ("policy", "state"),
    [(LOG, ratelimit.FULL_BUCKET), (BUCKET, ratelimit.FRESH_LOG), (LOG, BucketState(1))],
)
def test_admit_with_a_state_of_another_limit_kind_raises(policy: Policy, state: RateState) -> None:
    with pytest.raises(ArgumentError, match=policy.name):
        admit((Charge(policy, state),), START)


@pytest.mark.parametrize("policy", [LOG, BUCKET])
def test_admitting_a_request_raises_if_now_is_not_utc(policy: Policy) -> None:
    naive = START.replace(tzinfo=None)
    with pytest.raises(ArgumentError, match="now"):
        admit((Charge(policy, fresh_state(policy)),), naive)
    with pytest.raises(ArgumentError, match="now"):
        ratelimit.admit_one(policy, fresh_state(policy), naive)
    with pytest.raises(ArgumentError, match="now"):
        ratelimit.admit_one(policy, fresh_state(policy), cast("datetime", START.isoformat()))
    other = Frozen(2026, 1, 1, 0, 20, tzinfo=UTC)
    admitted = ratelimit.admit_one(policy, fresh_state(policy), other)
    assert admitted == ratelimit.admit_one(
        policy, fresh_state(policy), START + timedelta(minutes=20)
    )


# --- Remaining calls and expiry --------------------------------------------------------------


@given(policies, calls, instants)
def test_rate_limit_admits_the_remaining_count_and_no_more(
    policy: Policy, history: list[Call], now: datetime
) -> None:
    state, _ = play(policy, history)
    charges, left = (Charge(policy, state),), ratelimit.count_remaining(policy, state, now)
    assert 0 <= left <= policy.limit
    if left > 0:
        assert isinstance(admit(charges, now, cost=left), Admitted)
    if left < policy.limit:
        assert isinstance(admit(charges, now, cost=left + 1), RateLimited)


@given(policies, calls.filter(bool), instants)
def test_rate_limit_state_expires_when_equal_to_a_fresh_state(
    policy: Policy, history: list[Call], now: datetime
) -> None:
    state, _ = play(policy, history)
    over = ratelimit.state_expires_at(policy, state)
    assert over is not None
    charges = (Charge(policy, state),)
    assert ratelimit.count_remaining(policy, state, over - TICK) < policy.limit
    assert isinstance(admit(charges, over - TICK, cost=policy.limit), RateLimited)
    later = max(over, now)
    assert ratelimit.count_remaining(policy, state, later) == policy.limit
    # From then on, a dropped state and a kept one always give the same answers.
    kept, fresh = state, fresh_state(policy)
    for cost in (policy.limit, 1):
        one = admit((Charge(policy, kept),), later, cost=cost)
        other = admit((Charge(policy, fresh),), later, cost=cost)
        assert type(one) is type(other)
        (kept,), (fresh,) = one.states, other.states
        assert kept == fresh


@pytest.mark.parametrize("policy", [LOG, BUCKET])
def test_fresh_rate_limit_state_has_no_expiry(policy: Policy) -> None:
    assert ratelimit.state_expires_at(policy, fresh_state(policy)) is None
    assert ratelimit.count_remaining(policy, fresh_state(policy), START) == policy.limit


@pytest.mark.parametrize(
    "policy",
    [ExactLog("log", 1, 10**15 - 1), Bucket(name="b", capacity=1, refill=1, seconds=10**15 - 1)],
)
def test_rate_limit_state_expires_no_later_than_datetime_max(policy: Policy) -> None:
    state, _ = play(policy, [(START, 1)])
    assert ratelimit.state_expires_at(policy, state) == LAST_INSTANT


@given(logs, calls)
def test_rate_limit_log_stays_sorted_and_drops_only_old_instants(
    policy: ExactLog, history: list[Call]
) -> None:
    state: RateState = ratelimit.FRESH_LOG
    for now, cost in history:
        answer = admit((Charge(policy, state),), now, cost=min(cost, policy.limit))
        (after,) = answer.states
        assert isinstance(state, LogState)
        assert isinstance(after, LogState)
        assert len(after.instants) <= policy.limit
        assert list(after.instants) == sorted(after.instants)
        dropped = list(state.instants)
        for instant in after.instants:
            if instant in dropped:
                dropped.remove(instant)
        assert all(instant + SECOND * policy.seconds <= now for instant in dropped)
        state = after


def test_app_user_limits_are_ten_a_minute() -> None:
    assert ExactLog("initiate", 10, 60) == INITIATE_LIMIT
    assert ExactLog("graduation", 10, 60) == ratelimit.GRADUATION_LIMIT


# --- Header fields ---------------------------------------------------------------------------


def parse_item(field: str) -> tuple[str, dict[str, int]]:
    """Parse a structured-field string with integer parameters (RFC 9651)."""
    assert field[0] == '"'
    text, at = "", 1
    while field[at] != '"':
        at += field[at] == "\\"
        assert 0x20 <= ord(field[at]) <= 0x7E
        text, at = text + field[at], at + 1
    rest = field[at + 1 :]
    assert re.fullmatch(r"(;[a-z]=[0-9]{1,15})*", rest)
    return text, {part[0]: int(part[2:]) for part in rest.split(";")[1:]}


names = st.text([chr(number) for number in range(0x20, 0x7F)], min_size=1, max_size=8)
sizes = st.one_of(st.integers(1, 100), st.integers(1, 10**15 - 1))


@pytest.mark.slow
@given(names, sizes, sizes)
def test_policy_header_of_a_rate_limit_log_has_limit_and_window(
    name: str, limit: int, seconds: int
) -> None:
    field = format_rate_limit_policy(ExactLog(name, limit, seconds))
    assert parse_item(field) == (name, {"q": limit, "w": seconds})


@given(names, *[st.integers(1, 1000)] * 3)
def test_policy_header_of_a_bucket_has_its_capacity_and_window(
    name: str, capacity: int, refill: int, seconds: int
) -> None:
    text, parameters = parse_item(
        format_rate_limit_policy(
            Bucket(name=name, capacity=capacity, refill=refill, seconds=seconds)
        )
    )
    assert (text, parameters["q"]) == (name, capacity)
    filled_by = Fraction(refill, seconds) * parameters["w"]
    assert filled_by >= capacity > filled_by - Fraction(refill, seconds)


@given(names, st.integers(1, 10**9))
def test_ratelimit_header_rounds_its_wait_up_to_whole_seconds(name: str, wait: int) -> None:
    text, parameters = parse_item(format_rate_limit(RateLimited((), ExactLog(name, 1, 1), wait)))
    assert (text, parameters["r"]) == (name, 0)
    seconds = parameters["t"]
    assert seconds >= 1
    assert (seconds - 1) * 1_000_000 < wait <= seconds * 1_000_000


# --- Invalid policies --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "é", "a\n", "\x7f", "a\tb", "\ud800"])
def test_rate_limit_name_outside_printable_ascii_raises(name: str) -> None:
    with pytest.raises(ArgumentError, match="name"):
        ExactLog(name, 1, 1)
    with pytest.raises(ArgumentError, match="name"):
        Bucket(name=name, capacity=1, refill=1, seconds=1)


@pytest.mark.parametrize("bad", [0, -1, True, 1.0, "1", None, 10**15])
def test_rate_limit_size_that_headers_cannot_carry_raises(bad: int) -> None:
    for size, make in (
        ("limit", lambda: ExactLog("a", bad, 1)),
        ("seconds", lambda: ExactLog("a", 1, bad)),
        ("capacity", lambda: Bucket(name="a", capacity=bad, refill=1, seconds=1)),
        ("refill", lambda: Bucket(name="a", capacity=1, refill=bad, seconds=1)),
        ("seconds", lambda: Bucket(name="a", capacity=1, refill=1, seconds=bad)),
    ):
        with pytest.raises(ArgumentError) as error:
            make()
        assert error.value.argument == size


def test_bucket_window_above_the_header_maximum_raises() -> None:
    most = 10**15 - 1
    assert Bucket(name="a", capacity=most, refill=most, seconds=most).window == most
    assert Bucket(name="a", capacity=most, refill=1, seconds=1).window == most
    with pytest.raises(ArgumentError, match="capacity"):
        Bucket(name="a", capacity=most, refill=1, seconds=2)


def test_rate_limit_log_round_trips_through_its_microseconds() -> None:
    later, earlier = from_epoch_microseconds(2_000_000), from_epoch_microseconds(-1)
    state = LogState.of([later, earlier])
    assert state.microseconds == [-1, 2_000_000]
    assert LogState.of_microseconds(state.microseconds) == state
