"""Patience: attempts and seconds are counted, pauses grow, nothing spins and nothing hangs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle import ArgumentError, Patience
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.patience import DEFAULT_PATIENCE, Effort, Trying, awaiting, waiting
from tests.serving import FakeTime, fake_time, run_async


class Tried:
    """An attempt that answers what it is told to, one after the other; an error is raised."""

    def __init__(self, *answers: str | Exception | None) -> None:
        self.answers = list(answers)
        self.times = 0

    async def __call__(self) -> str | None:
        self.times += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def until_done(attempt: Tried, patience: Patience = DEFAULT_PATIENCE) -> str | None:
    return asyncio.run(waiting(patience).until_done(attempt))


SECONDS: Final[dict[str, Callable[[float], Patience]]] = {
    "seconds": lambda value: Patience(seconds=value),
    "attempt_seconds": lambda value: Patience(attempt_seconds=value),
    "pause": lambda value: Patience(pause=value),
    "longest_pause": lambda value: Patience(longest_pause=value),
}


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_seconds_are_some_and_come_to_an_end(name: str, value: float) -> None:
    with pytest.raises(ArgumentError, match=f"^{name}: must be a number of seconds, more than 0"):
        SECONDS[name](value)


def test_it_is_tried_at_least_once() -> None:
    with pytest.raises(ArgumentError, match=r"^attempts: must be at least 1"):
        Patience(attempts=0)
    assert Patience(attempts=1).attempts == 1


def test_pauses_double_up_to_the_longest() -> None:
    patience = Patience(pause=0.005, longest_pause=0.25)
    pauses = [patience.pause_after(attempt) for attempt in range(1, 9)]
    assert pauses == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25]


@given(st.integers(1, 10**6))
def test_every_pause_is_some_time_and_none_is_longer_than_the_longest(attempt: int) -> None:
    patience = Patience(pause=1e-300)
    assert 0 < patience.pause_after(attempt) <= patience.longest_pause


def test_the_first_answer_is_the_answer_and_nothing_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = fake_time(monkeypatch)
    attempt = Tried("done", "never asked for")
    assert until_done(attempt) == "done"
    assert (attempt.times, time.pauses) == (1, [])


def test_an_answer_that_is_false_is_an_answer() -> None:
    async def attempt() -> bool:
        return False

    assert asyncio.run(waiting(DEFAULT_PATIENCE).until_done(attempt)) is False


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_between_two_attempts_it_waits_a_random_part_of_a_pause_that_grows(
    monkeypatch: pytest.MonkeyPatch, chance: float
) -> None:
    time = fake_time(monkeypatch, chance)
    attempt = Tried(None, StoreUnavailableError("locked"), TimeoutError(), "done")
    assert until_done(attempt) == "done"
    assert attempt.times == 4
    assert time.pauses == [pytest.approx(chance * each) for each in (0.005, 0.01, 0.02)]


def test_attempts_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    time = fake_time(monkeypatch)
    attempt = Tried()
    assert until_done(attempt, Patience(attempts=5)) is None
    assert (attempt.times, len(time.pauses)) == (5, 4), "after the last one nothing is waited for"


def test_no_attempt_begins_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    time = fake_time(monkeypatch)
    attempt = Tried()
    patience = Patience(attempts=10**6, seconds=1.0, pause=0.25, longest_pause=0.25)
    assert until_done(attempt, patience) is None
    assert (attempt.times, time.passed) == (4, 0.75), "the fifth one would begin at the end"


def test_the_time_of_an_attempt_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    time = fake_time(monkeypatch)
    times: list[float] = []

    async def attempt() -> None:
        times.append(time.passed)
        time.passed += 3.0

    assert asyncio.run(waiting(DEFAULT_PATIENCE).until_done(attempt)) is None
    assert times == [0.0, 3.005]


def test_an_error_that_is_no_passing_one_comes_out_at_once() -> None:
    attempt = Tried(KeyError("a mistake"), "never asked for")
    with pytest.raises(KeyError):
        until_done(attempt)
    assert attempt.times == 1


def test_once_is_once_as_long_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    time = fake_time(monkeypatch)
    attempt = Tried()
    effort = Effort(attempts=2)
    trying = waiting(DEFAULT_PATIENCE, effort).once()
    assert asyncio.run(trying.until_done(attempt)) is None
    assert effort == Effort(attempts=3, overtaken=1)
    assert (attempt.times, time.pauses) == (1, [])
    assert trying.patience.attempt_seconds == DEFAULT_PATIENCE.attempt_seconds


class Hanging:
    """An attempt that never ends, and when it began."""

    def __init__(self, time: FakeTime) -> None:
        self.time = time
        self.began: list[float] = []

    async def __call__(self) -> str:
        self.began.append(self.time.passed)
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never


FOUR_SECONDS = Patience(seconds=4.0, attempt_seconds=1.5, pause=0.1, longest_pause=0.1)


def test_what_hangs_is_ended_and_tried_again_while_there_is_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = fake_time(monkeypatch)
    attempt, trying = Hanging(time), awaiting(FOUR_SECONDS)
    assert run_async(trying.until_done(attempt), time) is None
    assert attempt.began == [pytest.approx(each) for each in (0.0, 1.6, 3.2)]
    assert time.passed == pytest.approx(4.0), "the last one had no more than what was left"


def test_a_cancellation_from_outside_is_none_of_its_time_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = fake_time(monkeypatch)
    attempt, trying = Hanging(time), awaiting(FOUR_SECONDS)

    async def cancelled() -> None:
        task = asyncio.create_task(trying.until_done(attempt))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(cancelled(), time)
    assert attempt.began == [0.0]


def test_the_log_says_what_an_attempt_met_and_when_it_was_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_time(monkeypatch)
    with caplog.at_level(logging.INFO):
        until_done(Tried(StoreUnavailableError("a deadlock"), TimeoutError()), Patience(attempts=3))
    assert [record.getMessage() for record in caplog.records] == [
        "attempt 1: the store cannot be used now: a deadlock",
        "attempt 2: no answer within 2.000 seconds",
        "gave up after attempt 3",
    ]


def test_a_wait_is_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    time = fake_time(monkeypatch)
    asyncio.run(trying_to_sleep(waiting(DEFAULT_PATIENCE)))
    assert time.pauses == [0.125]
    run_async(trying_to_sleep(awaiting(DEFAULT_PATIENCE)), time)
    assert (time.pauses, time.passed) == ([0.125], 0.25)


async def trying_to_sleep(trying: Trying) -> None:
    await trying.sleep(0.125)
