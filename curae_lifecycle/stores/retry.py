"""Retries: how many attempts are made, for how long, and with which pauses.

The laws of this module: **retries do not spin**: there is a pause between two attempts, with a
limit that grows; **retries end**: after a number of attempts or of seconds, whichever comes first.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import check_type
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.deadline import current_deadline, deadline_scope
from curae_lifecycle.stores.wiring import check_count

_LOG: Final = logging.getLogger(__name__)

_Result = TypeVar("_Result")

ATTEMPT_GRACE_SECONDS: Final = 0.5
"""How long the last attempt at a `Store` may run after the time for all attempts, in seconds.

`RetryPolicy.seconds` is the time for all attempts. In the time after it, the database itself ends a
wait for a lock or a statement. The database's error says more than a timeout.
"""


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """The limits of the attempts at a request or a fact, and the pauses between them.

    The limits apply to each batch of a chain's revocation, or of the revocations after a tombstone,
    not to all batches together.

    The pause before each further attempt is a random part of a limit that doubles each time. The
    randomness keeps two requests that conflicted once from conflicting again.

    Attributes:
        attempts: The largest number of attempts, at least 1.
        seconds: The time for all attempts, in seconds. After that time no further attempt starts,
            and a running attempt at an `AsyncStore` is cancelled. A blocking call cannot be
            cancelled, so a `Store` must ask `stores.deadline.seconds_left` how long a call may
            take. That function already adds half a second (`ATTEMPT_GRACE_SECONDS`) to the rest of
            this time.
        attempt_seconds: The time for one attempt at an `AsyncStore`, in seconds. Make it longer
            than the store's own timeouts: their errors say why an attempt failed, and whether it
            stored nothing.
        pause: The limit of the first pause, in seconds; the pause is a random part of it.
        longest_pause: The limit of every pause, in seconds.

    Raises:
        ArgumentError: `attempts` is not an integer of at least 1, or another attribute is not a
            positive and finite number.
    """

    attempts: int = 20
    seconds: float = 4.0
    attempt_seconds: float = 2.5
    pause: float = 0.005
    longest_pause: float = 0.25

    def __attrs_post_init__(self) -> None:
        """Check the limits and the pauses of the policy.

        Raises:
            ArgumentError: `attempts` is not an integer of at least 1, or another attribute is not a
                positive and finite number.
        """
        check_count("attempts", self.attempts, least=1)
        allowed = "a finite number of seconds, more than 0"
        for name in ("seconds", "attempt_seconds", "pause", "longest_pause"):
            check_type(name, getattr(self, name), (int, float), allowed=allowed)
            if not 0 < getattr(self, name) < float("inf"):
                raise ArgumentError(name, allowed)

    def pause_after(self, attempt: int) -> float:
        """Return the limit of the pause after an attempt, in seconds.

        The pause itself is a random part of this limit.

        Args:
            attempt: The number of the attempt; the first has number 1.
        """
        # The exponent is capped, since a large power would not fit into a float.
        return min(self.longest_pause, self.pause * 2.0 ** min(attempt - 1, 64))


DEFAULT_RETRY_POLICY: Final = RetryPolicy()
"""The default policy: at most 20 attempts within four seconds, with growing pauses."""


@attrs.define
class RetryStats:
    """Counts of what happened to the attempts at a request or a fact.

    To read the counts of a request, pass a new `RetryStats` to `serve`, which updates it.

    Attributes:
        attempts: How many attempts started.
        conflicts: How many attempts ended without a result: on a conflict, or because the cached
            caller was outdated.
        unavailable: In how many attempts the store failed with `StoreUnavailableError`.
        timeouts: How many attempts were cancelled by a timeout.
        cancelled: How many attempts were cancelled together with their request or fact.
        store_full: In how many attempts of a request the customer account was full.
        unexpected_errors: How many unexpected errors ended the request.
        seconds_waited: The sum of the pauses between the attempts, in seconds.
    """

    attempts: int = 0
    conflicts: int = 0
    unavailable: int = 0
    timeouts: int = 0
    cancelled: int = 0
    store_full: int = 0
    unexpected_errors: int = 0
    seconds_waited: float = 0.0


_ALWAYS_LOGGED: Final = 20
"""How many attempts log every failure. Later ones log a failure only if it differs from the last.

A job that no request waits for makes hundreds of attempts while a database restarts.
"""


@attrs.frozen
class _Failure:
    """The reason why an attempt failed, in words that hold no stored value, and its error if any."""

    reason: str
    error: Exception | None = None


@attrs.define
class _AttemptLog:
    # The number of the current attempt of one run, and the last failure.
    number: int = 0
    last_failure: str = ""

    def add(self, failure: str) -> None:
        if self.number <= _ALWAYS_LOGGED or failure != self.last_failure:
            _LOG.warning("attempt %d: %s", self.number, failure)
        self.last_failure = failure


@attrs.frozen
class Retrier:
    """A runner of attempts: it repeats an attempt until the attempt succeeds or a limit is reached.

    Attributes:
        policy: The limits and the pauses.
        sleep: Waits for a number of seconds.
        timeout: Returns a context that raises `TimeoutError` after a number of seconds, as
            `asyncio.timeout` does. `None` for blocking attempts, which cannot be cancelled.
        stats: The counts of attempts, conflicts and failures, to update.

    Raises:
        ArgumentError: `policy` is no `RetryPolicy`, or `stats` no `RetryStats`.
    """

    policy: RetryPolicy
    sleep: Callable[[float], Awaitable[None]]
    timeout: Callable[[float], AbstractAsyncContextManager[object]] | None
    stats: RetryStats

    def __attrs_post_init__(self) -> None:
        """Check the types of `policy` and `stats`.

        Raises:
            ArgumentError: `policy` is no `RetryPolicy`, or `stats` no `RetryStats`. The error calls
                `policy` by the name that the argument has in `serve`: `retry_policy`.
        """
        allowed = "a RetryPolicy, such as RetryPolicy(attempts=5)"
        check_type("retry_policy", self.policy, RetryPolicy, allowed=allowed)
        check_type("stats", self.stats, RetryStats, allowed="a RetryStats or None")

    async def run(self, attempt: Callable[[], Awaitable[_Result | None]]) -> _Result | None:
        """Repeat an attempt until it succeeds or a limit of the policy is reached.

        Args:
            attempt: Returns its result, or None on a conflict. Conflicts, timeouts and
                `StoreUnavailableError` are retried; any other error is raised at once.

        Returns:
            The result of the attempt that succeeded; None if a limit was reached first.
        """
        result = await self._repeat(attempt)
        return None if isinstance(result, _Failure) else result

    async def run_or_raise(
        self, attempt: Callable[[], Awaitable[_Result | None]], message: str
    ) -> _Result:
        """Repeat an attempt as `run` does, but raise if a limit is reached before it succeeds.

        Args:
            attempt: Returns its result, or None on a conflict. It is retried as `run` describes.
            message: The beginning of the error's reason, such as `no attempt succeeded in time`.

        Returns:
            The result of the attempt that succeeded.

        Raises:
            StoreUnavailableError: A limit was reached first. The reason is the message and the
                reason of the last failure, whose error is the cause.
        """
        result = await self._repeat(attempt)
        if isinstance(result, _Failure):
            raise StoreUnavailableError(f"{message}: {result.reason}") from result.error
        return result

    async def _repeat(self, attempt: Callable[[], Awaitable[_Result | None]]) -> _Result | _Failure:
        policy, start = self.policy, time.monotonic()
        # After the caller's own deadline the result of a further attempt would not be used.
        end = min(start + policy.seconds, current_deadline())
        log = _AttemptLog()
        with deadline_scope(policy.seconds + ATTEMPT_GRACE_SECONDS):
            while True:
                log.number += 1
                seconds = min(policy.attempt_seconds, end - time.monotonic())
                result = await self._run_once(attempt, seconds, log)
                if not isinstance(result, _Failure):
                    return result
                pause = policy.pause_after(log.number) * random.random()  # noqa: S311 - no secret
                if time.monotonic() + pause >= end or log.number == policy.attempts:
                    _LOG.warning("gave up after attempt %d: %s", log.number, result.reason)
                    return result
                self.stats.seconds_waited += pause
                await self.sleep(pause)

    def single_attempt(self) -> Retrier:
        """Return a copy of the retrier that makes only one attempt.

        It is for clean-up once the retries are used up, such as releasing an idempotency key.
        """
        return attrs.evolve(self, policy=attrs.evolve(self.policy, attempts=1))

    async def _run_once(
        self, attempt: Callable[[], Awaitable[_Result | None]], seconds: float, log: _AttemptLog
    ) -> _Result | _Failure:
        stats = self.stats
        stats.attempts += 1
        try:
            if self.timeout is None:
                result = await attempt()
            else:
                async with self.timeout(seconds):
                    result = await attempt()
        except StoreUnavailableError as error:
            stats.unavailable += 1
            log.add(str(error))
            return _Failure(error.reason, error)
        except TimeoutError as error:
            stats.timeouts += 1
            reason = f"no answer within {seconds:.3f} seconds"
            log.add(reason)
            return _Failure(reason, error)
        except asyncio.CancelledError:
            stats.cancelled += 1
            raise
        if result is None:
            stats.conflicts += 1
            return _Failure("a conflict")
        return result


def blocking_retrier(policy: RetryPolicy, stats: RetryStats | None = None) -> Retrier:
    """Return a retrier for attempts at a `Store`, whose calls block.

    Args:
        policy: The limits and the pauses.
        stats: The counts of attempts and failures to update; `None` if the caller ignores them.
    """
    return Retrier(policy=policy, sleep=_wait, timeout=None, stats=stats or RetryStats())


def async_retrier(policy: RetryPolicy, stats: RetryStats | None = None) -> Retrier:
    """Return a retrier for attempts at an `AsyncStore`.

    Args:
        policy: The limits and the pauses.
        stats: The counts of attempts and failures to update; `None` if the caller ignores them.
    """
    return Retrier(
        policy=policy, sleep=asyncio.sleep, timeout=asyncio.timeout, stats=stats or RetryStats()
    )


async def _wait(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - a blocking store runs without an event loop
