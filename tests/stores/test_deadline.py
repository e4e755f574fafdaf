"""Tests of deadlines for blocking calls: an inner deadline never extends the outer one."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from curae_lifecycle import RetryPolicy
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.deadline import current_deadline, deadline_scope, seconds_left
from curae_lifecycle.stores.retry import ATTEMPT_GRACE_SECONDS, async_retrier, blocking_retrier


def test_timeout_without_a_deadline_is_the_configured_limit() -> None:
    assert seconds_left(7.5) == 7.5
    assert current_deadline() == float("inf")


def test_nested_deadline_never_extends_the_outer_deadline() -> None:
    before = time.monotonic()
    with deadline_scope(60):
        assert before + 60 <= current_deadline() <= time.monotonic() + 60
        assert seconds_left(1) == 1
        assert 0 < seconds_left(99) <= 60
        with deadline_scope(99):
            assert seconds_left(99) <= 60
        with deadline_scope(5):
            assert seconds_left(99) <= 5
        assert seconds_left(99) > 5
        with deadline_scope(0):
            assert seconds_left(99) == 0
    assert seconds_left(99) == 99


def test_only_asyncio_to_thread_passes_its_deadline_to_a_thread() -> None:
    with deadline_scope(5), ThreadPoolExecutor(1) as pool:
        assert pool.submit(seconds_left, 99).result() == 99
        assert asyncio.run(asyncio.to_thread(seconds_left, 99)) <= 5


@pytest.mark.parametrize("how", [blocking_retrier, async_retrier])
def test_store_attempt_may_outlast_retry_time_by_a_grace_period(
    monkeypatch: pytest.MonkeyPatch, how: type
) -> None:
    # The clock is fixed while the remaining time is read.
    monkeypatch.setattr("curae_lifecycle.stores.deadline.monotonic", lambda: 7.0)
    left: list[float] = []

    async def attempt() -> bool:
        left.append(seconds_left(99))
        return True

    assert asyncio.run(how(RetryPolicy(seconds=3)).run(attempt))
    assert left == [3 + ATTEMPT_GRACE_SECONDS]
    assert seconds_left(99) == 99


def test_store_call_is_not_retried_after_the_deadline() -> None:
    tried: list[int] = []

    async def attempt() -> None:
        tried.append(1)
        raise StoreUnavailableError("a lock")

    with deadline_scope(0):
        assert asyncio.run(blocking_retrier(RetryPolicy()).run(attempt)) is None
    assert len(tried) == 1
