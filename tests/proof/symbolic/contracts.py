"""Contracts for CrossHair: assertions about the public functions.

`python -m crosshair check --analysis_kind=asserts tests.proof.symbolic.contracts`. The proofs in
`prove.py` put numbers into the arithmetic; here the values are real datetimes, policies and
records, with every check on the way.
"""

from __future__ import annotations

from datetime import timedelta

from curae_lifecycle.rules.connection import Standing, standing
from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    Bucket,
    BucketState,
    ExactLog,
    LogState,
    admit_one,
    state_expires_at,
)
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    SECOND,
    add_microseconds,
    ceil_seconds,
    elapsed,
    from_epoch_microseconds,
    to_epoch_microseconds,
)
from tests.support.strategies import START, pending

DAY = 24 * 60 * 60 * SECOND


def whole_seconds(span: int) -> None:
    """Assert that the wait is the fewest whole seconds that are no less, at least 1."""
    assert -DAY < span < DAY
    seconds = ceil_seconds(span)
    assert seconds == max(1, seconds)
    assert span <= seconds * SECOND
    assert seconds == 1 or span > (seconds - 1) * SECOND


def later_is_elapsed(by: int) -> None:
    """Assert that `elapsed` finds what `later` adds."""
    assert 0 <= by < DAY
    assert elapsed(START, add_microseconds(START, by)) == by


def an_instant_survives_its_number(since_epoch: int) -> None:
    """Assert that an instant survives conversion to a number and back."""
    assert 0 <= since_epoch < DAY
    assert to_epoch_microseconds(from_epoch_microseconds(since_epoch)) == since_epoch


def later_never_runs_out(by: int) -> None:
    """Assert that `later` stops at the last instant."""
    assert by >= 0
    assert START <= add_microseconds(START, by) <= LAST_INSTANT


def a_pending_connection_ends_at_its_deadline(after: int) -> None:
    """Assert that a connection is pending before its deadline and lapsed from then on."""
    assert 0 <= after < DAY
    connection = pending()
    deadline = connection.handoff_deadline
    assert deadline is not None
    now = add_microseconds(START, after)
    over = standing(connection, now, era=None) is Standing.LAPSED
    assert over == (now >= deadline)


def a_log_s_wait_is_exact(held: int, after: int) -> None:
    """Assert that a log admits at the end of the wait and not a tick earlier."""
    assert 0 <= held <= after < 60 * SECOND
    policy = ExactLog("initiate", 1, 60)
    state, now = LogState.of((add_microseconds(START, held),)), add_microseconds(START, after)
    wait = admit_one(policy, state, now)
    assert isinstance(wait, int)
    assert isinstance(admit_one(policy, state, add_microseconds(now, wait)), LogState)
    assert isinstance(admit_one(policy, state, add_microseconds(now, wait - 1)), int)


def a_bucket_s_wait_is_exact(owed: int, after: int) -> None:
    """Assert that a bucket admits at the end of the wait and not a tick earlier."""
    assert 0 <= owed <= 3 * SECOND
    assert 0 <= after < SECOND
    policy = Bucket(name="platform", capacity=3, refill=2, seconds=1)
    state, now = (
        BucketState(to_epoch_microseconds(START) + owed // 2, owed % 2),
        add_microseconds(START, after),
    )
    wait = admit_one(policy, state, now)
    if isinstance(wait, int):
        assert isinstance(admit_one(policy, state, add_microseconds(now, wait)), BucketState)
        assert isinstance(admit_one(policy, state, add_microseconds(now, wait - 1)), int)


def a_full_bucket_may_be_dropped(owed: int) -> None:
    """Assert that an expired bucket behaves as if it was never charged."""
    assert 1 <= owed <= 3 * SECOND
    policy = Bucket(name="platform", capacity=3, refill=2, seconds=1)
    state = BucketState(to_epoch_microseconds(START) + owed // 2, owed % 2)
    end = state_expires_at(policy, state)
    assert end is not None
    assert admit_one(policy, state, end) == admit_one(policy, FULL_BUCKET, end)
    tick = timedelta(microseconds=1)
    assert admit_one(policy, state, end - tick) != admit_one(policy, FULL_BUCKET, end - tick)
