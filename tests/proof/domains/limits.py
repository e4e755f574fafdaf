"""Domains of rate limits: every history of a few calls, in any order of time."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product
from typing import Final

from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.ratelimit import (
    Bucket,
    BucketState,
    ExactLog,
    LogState,
    RateLimited,
    RateState,
)
from tests.support.strategies import START, TICK

HALF: Final = 500_000
SLOTS: Final = tuple(START + timedelta(microseconds=HALF * slot) for slot in range(24))


def log_histories(size: int) -> int:
    """Compare every history of `size` calls in as many half seconds, in any order of time.

    The reference keeps every admission: it admits a call if the limit-th latest of those in its
    window is a full window old.
    """
    return sum(
        _log_histories(
            ExactLog("log", limit, seconds),
            cost=cost,
            size=size,
            state=ratelimit.FRESH_LOG,
            admitted=[],
        )
        for limit, seconds in product((1, 2, 3), (1, 2))
        for cost in range(1, limit + 1)
    )


def check_wait(
    policy: ExactLog | Bucket, state: RateState, now: datetime, cost: int, wait: int
) -> None:
    """Check that the wait is exact: admitted after it, and one tick to wait a tick earlier."""
    charges = (ratelimit.Charge(policy, state),)
    then = now + timedelta(microseconds=wait)
    assert isinstance(ratelimit.admit(charges, then, cost=cost), ratelimit.Admitted)
    early = ratelimit.admit(charges, then - TICK, cost=cost)
    assert early == RateLimited((state,), policy, 1)


def _log_histories(
    policy: ExactLog, cost: int, size: int, state: LogState, admitted: list[int], depth: int = 0
) -> int:
    if depth == size:
        return 0
    cases = 0
    window = policy.seconds * 2
    room = policy.limit - cost
    for slot in range(size):
        now = SLOTS[slot]
        # All admissions in the way but the `room` latest must be a full window old.
        crowd = sorted(admitted)[: len(admitted) - room] if room < len(admitted) else []
        wait = max((crowd[-1] + window - slot, 0)) if crowd else 0
        answer = ratelimit.admit((ratelimit.Charge(policy, state),), now, cost=cost)
        cases += 1
        if wait:
            assert isinstance(answer, RateLimited)
            assert answer.retry_after == wait * HALF
            assert answer.states[0] is state
            assert answer.policy is policy
            check_wait(policy, state=state, now=now, cost=cost, wait=answer.retry_after)
            continue
        assert isinstance(answer, ratelimit.Admitted)
        (after,) = answer.states
        assert isinstance(after, LogState)
        joined = [*admitted, *[slot] * cost]
        kept = sorted(joined)[-policy.limit :]
        left = sum(slot - at < window for at in kept)
        assert ratelimit.count_remaining(policy, after, now) == policy.limit - left
        ends = SLOTS[max(kept)] + timedelta(seconds=policy.seconds)
        assert ratelimit.state_expires_at(policy, after) == ends
        cases += _log_histories(
            policy, cost=cost, size=size, state=after, admitted=joined, depth=depth + 1
        )
    return cases


THIRD: Final = 333_333
THIRDS: Final = tuple(START + timedelta(microseconds=THIRD * slot) for slot in range(24))


def bucket_histories(size: int) -> int:
    """Compare every history of `size` calls in as many thirds of a second, in any order of time.

    The reference is a bucket of water: it holds `capacity` units of `seconds` × 10⁶ drops, and
    every microsecond adds `refill` drops.
    """
    cases = 0
    for capacity, refill, seconds in product((1, 2, 3), (1, 2, 3), (1, 2)):
        policy = Bucket(name="bucket", capacity=capacity, refill=refill, seconds=seconds)
        full = capacity * seconds * 1_000_000
        for cost in range(1, min(capacity, 2) + 1):
            cases += _bucket_histories(
                policy, cost=cost, size=size, state=ratelimit.FULL_BUCKET, water=(full, 0), depth=0
            )
    return cases


def _bucket_histories(
    policy: Bucket, cost: int, size: int, state: RateState, water: tuple[int, int], depth: int
) -> int:
    if depth == size:
        return 0
    unit = policy.seconds * 1_000_000
    full = policy.capacity * unit
    level, since = water
    cases = 0
    for slot in range(size):
        now = THIRDS[slot]
        # If time runs backwards, later refills do not count yet.
        there = min(full, level + (slot - since) * THIRD * policy.refill)
        answer = ratelimit.admit((ratelimit.Charge(policy, state),), now, cost=cost)
        cases += 1
        missing = cost * unit - there
        if missing > 0:
            assert isinstance(answer, RateLimited)
            assert (answer.retry_after - 1) * policy.refill < missing
            assert missing <= answer.retry_after * policy.refill
            check_wait(policy, state=state, now=now, cost=cost, wait=answer.retry_after)
            continue
        assert isinstance(answer, ratelimit.Admitted)
        (after,) = answer.states
        assert isinstance(after, BucketState)
        left = there - cost * unit
        assert ratelimit.count_remaining(policy, after, now) == left // unit
        ends = ratelimit.state_expires_at(policy, after)
        assert ends is not None
        filled = (ends - now) // TICK
        assert left + filled * policy.refill >= full > left + (filled - 1) * policy.refill
        cases += _bucket_histories(
            policy, cost=cost, size=size, state=after, water=(left, slot), depth=depth + 1
        )
    return cases
