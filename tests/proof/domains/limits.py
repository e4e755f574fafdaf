"""Domains of rate limits: every history of a few calls, in any order of time."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from datetime import datetime, timedelta
from itertools import product
from typing import Final

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.ratelimit import Bucket, ExactLog, RateLimited, RateState
from tests.proof.reference.limits import Log, TokenBucket
from tests.support.strategies import START, TICK

HALVES: Final = [START + timedelta(microseconds=500_000 * slot) for slot in range(24)]
THIRDS: Final = [START + timedelta(microseconds=333_333 * slot) for slot in range(24)]


def log_histories(size: int) -> int:
    """Compare every history of `size` calls in as many half seconds, in any order of time."""
    return sum(
        _histories(
            ExactLog("log", limit, seconds),
            Log(limit, seconds),
            ratelimit.FRESH_LOG,
            cost=cost,
            slots=HALVES[:size],
            left=size,
        )
        for limit, seconds in product((1, 2, 3), (1, 2))
        for cost in range(1, limit + 1)
    )


def bucket_histories(size: int) -> int:
    """Compare every history of `size` calls in as many thirds of a second, in any order of time."""
    return sum(
        _histories(
            Bucket(name="bucket", capacity=capacity, refill=refill, seconds=seconds),
            TokenBucket(capacity, refill, seconds),
            ratelimit.FULL_BUCKET,
            cost=cost,
            slots=THIRDS[:size],
            left=size,
        )
        for capacity, refill, seconds in product((1, 2, 3), (1, 2, 3), (1, 2))
        for cost in range(1, min(capacity, 2) + 1)
    )


def _histories(
    policy: ExactLog | Bucket,
    model: Log | TokenBucket,
    state: RateState,
    *,
    cost: int,
    slots: Sequence[datetime],
    left: int,
) -> int:
    cases = 0
    for now in slots if left else ():
        answer = ratelimit.admit((ratelimit.Charge(policy, state),), now, cost=cost)
        wait = model.wait(now, cost)
        cases += 1
        if wait:
            assert isinstance(answer, RateLimited)
            assert answer.retry_after == wait
            assert answer.states[0] is state
            assert answer.policy is policy
            check_wait(policy, state=state, now=now, cost=cost, wait=wait)
            continue
        assert isinstance(answer, ratelimit.Admitted)
        (after,) = answer.states
        charged = copy(model)
        charged.charge(now, cost)
        assert ratelimit.count_remaining(policy, after, now) == charged.available(now)
        assert ratelimit.state_expires_at(policy, after) == charged.as_new_at()
        cases += _histories(policy, charged, after, cost=cost, slots=slots, left=left - 1)
    return cases


def check_wait(
    policy: ExactLog | Bucket, state: RateState, now: datetime, cost: int, wait: int
) -> None:
    """Check that the wait is exact: admitted after it, and one tick to wait a tick earlier."""
    charges = (ratelimit.Charge(policy, state),)
    then = now + timedelta(microseconds=wait)
    assert isinstance(ratelimit.admit(charges, then, cost=cost), ratelimit.Admitted)
    early = ratelimit.admit(charges, then - TICK, cost=cost)
    assert early == RateLimited((state,), policy, 1)
