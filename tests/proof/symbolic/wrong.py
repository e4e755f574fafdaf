"""Contracts that are wrong by one tick or one second, which CrossHair must falsify."""

from __future__ import annotations

from curae_lifecycle.rules.connection import Standing, standing
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, ExactLog, LogState, admit_one
from curae_lifecycle.rules.values import (
    SECOND,
    add_microseconds,
    ceil_seconds,
    to_epoch_microseconds,
)
from tests.proof.symbolic.contracts import DAY
from tests.support.strategies import START, pending


def whole_seconds_rounded_down(span: int) -> None:
    """Assert, wrongly, that a span that is no whole second is rounded down."""
    assert SECOND <= span < DAY
    assert ceil_seconds(span) == span // SECOND


def a_deadline_is_the_last_instant(after: int) -> None:
    """Assert, wrongly, that a connection is still pending at its deadline."""
    assert 0 <= after < DAY
    connection = pending()
    deadline = connection.handoff_deadline
    assert deadline is not None
    now = add_microseconds(START, after)
    assert (standing(connection, now, era=None) is Standing.LAPSED) == (now > deadline)


def a_log_admits_a_tick_early(held: int) -> None:
    """Assert, wrongly, that a log admits a tick before the end of the wait."""
    assert 0 <= held < 60 * SECOND
    policy, now = ExactLog("initiate", 1, 60), add_microseconds(START, 60 * SECOND - 1)
    assert isinstance(
        admit_one(policy, LogState.of((add_microseconds(START, held),)), now), LogState
    )


def a_bucket_s_wait_is_rounded_down(owed: int) -> None:
    """Assert, wrongly, that half a microsecond need not be waited for."""
    assert 0 <= owed <= 3 * SECOND
    policy = Bucket(name="platform", capacity=3, refill=2, seconds=1)
    state = BucketState(to_epoch_microseconds(START) + owed // 2, owed % 2)
    wait = admit_one(policy, state, START)
    if isinstance(wait, int):
        assert wait == (owed - 2 * SECOND) // 2
