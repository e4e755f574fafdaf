"""Tests of the retry policy: limits on attempts and time, and growing pauses."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle import ArgumentError, RetryPolicy
from curae_lifecycle.rules.errors import describe
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.retry import (
    DEFAULT_RETRY_POLICY,
    Retrier,
    RetryStats,
    async_retrier,
    blocking_retrier,
)
from tests.support.serving import FakeTime, fake_time, run_async


class Tried:
    """An attempt that gives its results one after the other, and raises those that are errors."""

    def __init__(self, *answers: str | Exception | None) -> None:
        self.answers = list(answers)
        self.times = 0

    async def __call__(self) -> str | None:
        self.times += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def until_done(attempt: Tried, patience: RetryPolicy = DEFAULT_RETRY_POLICY) -> str | None:
    return asyncio.run(blocking_retrier(patience).run(attempt))


SECONDS: Final[dict[str, Callable[[float], RetryPolicy]]] = {
    "seconds": lambda value: RetryPolicy(seconds=value),
    "attempt_seconds": lambda value: RetryPolicy(attempt_seconds=value),
    "pause": lambda value: RetryPolicy(pause=value),
    "longest_pause": lambda value: RetryPolicy(longest_pause=value),
}


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_retry_policy_of_non_positive_or_infinite_seconds_raises(name: str, value: float) -> None:
    with pytest.raises(
        ArgumentError, match=f"^{name}: must be a finite number of seconds, more than 0"
    ):
        SECONDS[name](value)


def test_retry_policy_with_fewer_than_one_attempt_raises() -> None:
    with pytest.raises(ArgumentError, match=r"^attempts: must be an integer of at least 1, not 0$"):
        RetryPolicy(attempts=0)
    assert RetryPolicy(attempts=1).attempts == 1


@pytest.mark.parametrize("given", ["3", None, timedelta(seconds=3)])
def test_retry_policy_field_of_a_wrong_type_raises(given: object) -> None:
    value, kind = cast("int", given), re.escape(describe(given))
    with pytest.raises(ArgumentError, match=rf"^attempts: must be an integer .* not {kind}$"):
        RetryPolicy(attempts=value)
    for name, policy in SECONDS.items():
        with pytest.raises(ArgumentError, match=rf"^{name}: must be a finite .* not {kind}$"):
            policy(value)


def test_retry_policy_with_a_fractional_attempt_count_raises() -> None:
    with pytest.raises(ArgumentError, match=r"^attempts: must be an integer .* not a float$"):
        RetryPolicy(attempts=cast("int", 1.5))


def test_retry_policy_with_a_boolean_as_attempts_raises() -> None:
    with pytest.raises(ArgumentError, match=r"^attempts: must be an integer .* not True$"):
        RetryPolicy(attempts=True)


def test_retry_pauses_double_up_to_the_longest_pause() -> None:
    patience = RetryPolicy(pause=0.005, longest_pause=0.25)
    pauses = [patience.pause_after(attempt) for attempt in range(1, 9)]
    assert pauses == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25]


def test_retry_pause_doubles_at_most_64_times() -> None:
    patience = RetryPolicy(pause=1e-300)
    assert patience.pause_after(65) == patience.pause_after(10**6) == 1e-300 * 2.0**64


@given(st.integers(1, 10**6))
def test_retry_pauses_are_positive_and_at_most_the_longest_pause(attempt: int) -> None:
    patience = RetryPolicy(pause=1e-300)
    assert 0 < patience.pause_after(attempt) <= patience.longest_pause


def test_retrier_returns_a_first_success_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = fake_time(monkeypatch)
    attempt = Tried("done", "never asked for")
    assert until_done(attempt) == "done"
    assert (attempt.times, time.pauses) == (1, [])


def test_retrier_returns_a_false_result_without_a_retry() -> None:
    async def attempt() -> bool:
        return False

    assert asyncio.run(blocking_retrier(DEFAULT_RETRY_POLICY).run(attempt)) is False


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_retry_pauses_grow_and_are_randomized(
    monkeypatch: pytest.MonkeyPatch, chance: float
) -> None:
    time = fake_time(monkeypatch, chance)
    attempt = Tried(None, StoreUnavailableError("locked"), TimeoutError(), "done")
    assert until_done(attempt) == "done"
    assert attempt.times == 4
    assert time.pauses == [pytest.approx(chance * each) for each in (0.005, 0.01, 0.02)]


def test_retrier_stops_after_the_configured_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    time = fake_time(monkeypatch)
    attempt = Tried()
    assert until_done(attempt, RetryPolicy(attempts=5)) is None
    assert (attempt.times, len(time.pauses)) == (5, 4), "after the last one nothing is waited for"


def test_retrier_starts_no_attempt_after_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    time = fake_time(monkeypatch)
    attempt = Tried()
    patience = RetryPolicy(attempts=10**6, seconds=1.0, pause=0.25, longest_pause=0.25)
    assert until_done(attempt, patience) is None
    assert (attempt.times, time.passed) == (4, 0.75), "the fifth one would begin at the end"


def test_duration_of_an_attempt_counts_towards_the_retry_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = fake_time(monkeypatch)
    times: list[float] = []

    async def attempt() -> None:
        times.append(time.passed)
        time.passed += 3.0

    assert asyncio.run(blocking_retrier(DEFAULT_RETRY_POLICY).run(attempt)) is None
    assert times == [0.0, 3.005]


def test_retrier_raises_a_permanent_error_at_once() -> None:
    attempt = Tried(KeyError("a mistake"), "never asked for")
    with pytest.raises(KeyError):
        until_done(attempt)
    assert attempt.times == 1


def test_single_attempt_policy_tries_once_with_the_usual_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = fake_time(monkeypatch)
    attempt = Tried()
    effort = RetryStats(attempts=2)
    trying = blocking_retrier(DEFAULT_RETRY_POLICY, effort).single_attempt()
    assert asyncio.run(trying.run(attempt)) is None
    assert effort == RetryStats(attempts=3, conflicts=1)
    assert (attempt.times, time.pauses) == (1, [])
    assert trying.policy.attempt_seconds == DEFAULT_RETRY_POLICY.attempt_seconds


class Hanging:
    """An attempt that never ends, and the times at which it began."""

    def __init__(self, time: FakeTime) -> None:
        self.time = time
        self.began: list[float] = []

    async def __call__(self) -> str:
        self.began.append(self.time.passed)
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never


FOUR_SECONDS = RetryPolicy(seconds=4.0, attempt_seconds=1.5, pause=0.1, longest_pause=0.1)


def test_hanging_attempt_is_cancelled_and_retried_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = fake_time(monkeypatch)
    attempt, trying = Hanging(time), async_retrier(FOUR_SECONDS)
    assert run_async(trying.run(attempt), time) is None
    assert attempt.began == [pytest.approx(each) for each in (0.0, 1.6, 3.2)]
    assert time.passed == pytest.approx(4.0), "the last one had no more than what was left"


def test_retrier_does_not_retry_after_the_task_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = fake_time(monkeypatch)
    attempt, trying = Hanging(time), async_retrier(FOUR_SECONDS)

    async def cancelled() -> None:
        task = asyncio.create_task(trying.run(attempt))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(cancelled(), time)
    assert attempt.began == [0.0]


def test_retrier_counts_each_kind_of_failed_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    time = fake_time(monkeypatch)
    failures = (None, StoreUnavailableError("locked"), TimeoutError())
    stats = RetryStats()
    retrier = blocking_retrier(DEFAULT_RETRY_POLICY, stats)
    assert asyncio.run(retrier.run(Tried(*failures, *failures, "done"))) == "done"
    # `sum` rounds otherwise from Python 3.12 on.
    assert stats.seconds_waited == pytest.approx(sum(time.pauses))
    assert attrs.evolve(stats, seconds_waited=0.0) == RetryStats(
        attempts=7, conflicts=2, unavailable=2, timeouts=2
    )


def test_retrier_adds_a_cancelled_attempt_to_its_counts() -> None:
    stats = RetryStats(attempts=1, cancelled=1)

    async def attempt() -> None:
        raise asyncio.CancelledError

    async def cancelled() -> None:
        with pytest.raises(asyncio.CancelledError):
            await async_retrier(DEFAULT_RETRY_POLICY, stats).run(attempt)

    asyncio.run(cancelled())
    assert stats == RetryStats(attempts=2, cancelled=2)


def test_retrier_logs_each_failed_attempt_and_giving_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_time(monkeypatch)
    with caplog.at_level(logging.INFO):
        until_done(
            Tried(StoreUnavailableError("a deadlock"), TimeoutError()), RetryPolicy(attempts=3)
        )
    assert [record.getMessage() for record in caplog.records] == [
        "attempt 1: the store cannot be used now: a deadlock",
        "attempt 2: no answer within 2.500 seconds",
        "gave up after attempt 3: a conflict",
    ]


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (StoreUnavailableError("a deadlock"), "a deadlock"),
        (TimeoutError(), "no answer within 2.500 seconds"),
        (None, "a conflict"),
    ],
)
def test_retrier_that_gives_up_names_the_last_failure_as_cause(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    last: Exception | None,
    reason: str,
) -> None:
    fake_time(monkeypatch)
    retrier = blocking_retrier(RetryPolicy(attempts=2))
    attempt = Tried(StoreUnavailableError("no connection"), last)
    with pytest.raises(StoreUnavailableError) as raised:
        asyncio.run(retrier.run_or_raise(attempt, "nothing was stored"))
    assert raised.value.reason == f"nothing was stored: {reason}"
    assert raised.value.__cause__ is last
    assert caplog.messages[-1] == f"gave up after attempt 2: {reason}"


def test_retrier_logs_20_failures_then_only_changes_of_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_time(monkeypatch)
    down, starting = StoreUnavailableError("no connection"), StoreUnavailableError("code 57P03")
    failures = [*[down] * 438, *[starting] * 20, TimeoutError(), TimeoutError(), down]
    patience = RetryPolicy(attempts=1000, seconds=1000.0)
    assert until_done(Tried(*failures, "done"), patience) == "done"
    lines = [record.getMessage().partition(":") for record in caplog.records]
    assert [line[0] for line in lines] == [
        f"attempt {number}" for number in (*range(1, 21), 439, 459, 461)
    ]
    assert [line[2].rpartition(": ")[2] for line in lines[19:]] == [
        *("no connection", "code 57P03"),
        " no answer within 2.500 seconds",
        "no connection",
    ]


def test_retry_sleep_blocks_in_sync_code_and_awaits_in_async(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = fake_time(monkeypatch)
    asyncio.run(trying_to_sleep(blocking_retrier(DEFAULT_RETRY_POLICY)))
    assert time.pauses == [0.125]
    run_async(trying_to_sleep(async_retrier(DEFAULT_RETRY_POLICY)), time)
    assert (time.pauses, time.passed) == ([0.125], 0.25)


async def trying_to_sleep(trying: Retrier) -> None:
    await trying.sleep(0.125)
