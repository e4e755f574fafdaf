"""Remaining limits on each charged answer, and their header fields."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given

import curae_lifecycle as curae
from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, Bucket, Charge, ExactLog, LimitLeft
from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.web.respond import Answer, rate_limit_headers
from tests.support.instants import handle_at
from tests.support.server import new_ids, request, world
from tests.support.strategies import START, TICK, at

BUCKETS = (
    Bucket(name="a, b", capacity=5, refill=2, seconds=1),
    Bucket(name="wide", capacity=100, refill=1, seconds=60),
)


@pytest.fixture
def made() -> curae.MemoryStore:
    return world(curae.Settings(buckets=BUCKETS))


def ask(made: curae.MemoryStore, operation: str, now: datetime, number: int = 1) -> Answer:
    return handle_at(made, request(operation, key=f"k-{number}"), now, new_ids=new_ids(number, now))


def test_admitted_request_reports_what_each_rate_limit_has_left(made: curae.MemoryStore) -> None:
    first = ask(made, "initiate", START)
    assert first.limits_left == (
        LimitLeft(BUCKETS[0], 4, 1),
        LimitLeft(BUCKETS[1], 99, 60),
        LimitLeft(INITIATE_LIMIT, 9, 60),
    )
    second = ask(made, operation="initiate", now=START + timedelta(seconds=20), number=2)
    assert second.limits_left == (
        LimitLeft(BUCKETS[0], 4, 1),
        LimitLeft(BUCKETS[1], 98, 100),
        LimitLeft(INITIATE_LIMIT, 8, 60),
    )


def test_replayed_request_reports_buckets_but_no_app_user_limit(made: curae.MemoryStore) -> None:
    first = ask(made, "initiate", START)
    again = ask(made, "initiate", START)
    assert again.replayed
    assert again.response == first.response
    # A replay charges the app user nothing, so that limit is not reported.
    assert again.limits_left == (LimitLeft(BUCKETS[0], 3, 1), LimitLeft(BUCKETS[1], 98, 120))


def test_answers_409_and_422_report_the_rate_limits_left(made: curae.MemoryStore) -> None:
    assert ask(made, "create", START).response.status == 201
    refused = ask(made, operation="reconnect", now=at(1), number=2)
    assert refused.response.status == 409
    assert refused.limits_left == (LimitLeft(BUCKETS[0], 4, 1), LimitLeft(BUCKETS[1], 99, 60))
    reused = ask(made, operation="revoke", now=at(1), number=2)
    assert reused.response.status == 422
    assert [each.remaining for each in reused.limits_left] == [3, 98]


def test_answer_429_charges_nothing_and_reports_no_limits_left(
    made: curae.MemoryStore,
) -> None:
    answers = [ask(made, operation="initiate", now=START, number=number) for number in range(6)]
    assert [answer.response.status for answer in answers] == [201] * 5 + [429]
    assert answers[4].limits_left[0] == LimitLeft(BUCKETS[0], 0, 3)
    assert answers[5].limits_left == ()


def test_rate_limit_headers_list_buckets_then_app_user_limit(
    made: curae.MemoryStore,
) -> None:
    assert rate_limit_headers(ask(made, "initiate", START).limits_left) == (
        ("ratelimit-policy", '"a, b";q=5;w=3, "wide";q=100;w=6000, "initiate";q=10;w=60'),
        ("ratelimit", '"a, b";r=4;t=1, "wide";r=99;t=60, "initiate";r=9;t=60'),
    )


def test_quotes_in_the_name_of_a_rate_limit_are_escaped() -> None:
    left = LimitLeft(ExactLog('a"b\\c', 2, 60), 1, 5)
    assert rate_limit_headers((left,)) == (
        ("ratelimit-policy", '"a\\"b\\\\c";q=2;w=60'),
        ("ratelimit", '"a\\"b\\\\c";r=1;t=5'),
    )


def test_server_without_limits_sends_no_rate_limit_headers() -> None:
    made = world()
    answer = ask(made, "create", START)
    assert answer.limits_left == ()
    assert rate_limit_headers(answer.limits_left) == ()


def is_disbelieved(charge: Charge, now: datetime) -> bool:
    policy, state = charge.policy, charge.state
    if isinstance(policy, ExactLog) or isinstance(state, ratelimit.LogState):
        return False
    ahead = state.full_at + Fraction(state.part, policy.refill) - to_epoch_microseconds(now)
    window = Fraction(policy.capacity * policy.seconds * 1_000_000, policy.refill)
    return ahead > window + 300_000_000


@given(draw.charges(), draw.instants())
def test_whole_rate_limit_is_available_again_at_the_reset(charge: Charge, now: datetime) -> None:
    policy, state = charge.policy, charge.state
    left = ratelimit.limit_left(policy, state, now)
    assert left.policy is policy
    if is_disbelieved(charge, now):
        # One request is admitted, which leaves the bucket empty.
        after = ratelimit.admit_one(policy, state, now)
        assert not isinstance(after, int)
        assert left == LimitLeft(policy, 1, policy.window)
        assert ratelimit.limit_left(policy, after, now) == LimitLeft(policy, 0, policy.window)
        return
    assert left.remaining == ratelimit.count_remaining(policy, state, now)
    reset = now + timedelta(seconds=left.reset_seconds)
    assert ratelimit.count_remaining(policy, state, reset) == policy.limit
    if left.reset_seconds:
        second = timedelta(seconds=1)
        assert ratelimit.count_remaining(policy, state, reset - second) < policy.limit
    else:
        assert left.remaining == policy.limit


def test_rate_limit_reset_is_rounded_up_to_whole_seconds() -> None:
    rule = ExactLog("log", 2, 60)
    state = ratelimit.LogState.of((START,))
    for passed, seconds in ((TICK, 60), (timedelta(seconds=1), 59), (timedelta(seconds=60), 0)):
        assert ratelimit.limit_left(rule, state, START + passed).reset_seconds == seconds
    assert ratelimit.limit_left(rule, ratelimit.FRESH_LOG, START) == LimitLeft(rule, 2, 0)
    later = START + timedelta(days=1)
    assert ratelimit.limit_left(rule, state, later) == LimitLeft(rule, 2, 0)


def test_rate_limit_with_state_of_another_type_counts_as_unused() -> None:
    bucket = Bucket(name="bucket", capacity=3, refill=1, seconds=1)
    left = ratelimit.limit_left(bucket, ratelimit.FRESH_LOG, START)
    assert left == LimitLeft(bucket, 3, 0)
    log = ExactLog("log", 2, 60)
    assert ratelimit.limit_left(log, ratelimit.FULL_BUCKET, START) == LimitLeft(log, 2, 0)


def test_rate_limit_header_values_are_capped_at_fifteen_digits() -> None:
    left = LimitLeft(ExactLog("log", 2, 60), 0, 10**15)
    assert rate_limit_headers((left,))[1] == ("ratelimit", f'"log";r=0;t={10**15 - 1}')
