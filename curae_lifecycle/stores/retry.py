"""How often and how long something is tried, and how it waits in between.

The laws of this module: **nothing spins**: between two attempts it waits, longer each time;
**nothing is tried for ever**: attempts and seconds are counted, whichever is over first.
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
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.deadline import current_deadline, deadline_scope

_LOG: Final = logging.getLogger(__name__)

_Answered = TypeVar("_Answered")

ATTEMPT_GRACE_SECONDS: Final = 0.5
"""Seconds that an attempt at a `Store` which began in time may go on when the time is over: what
waits for a lock or a statement until then is ended by the database, whose own answer says more."""


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often and how long something is tried, and how it waits in between.

    Before each further attempt it waits a random part of a pause that doubles each time, so that
    those who met once do not meet again.

    Attributes:
        attempts: How often it is tried at most.
        seconds: For how long it is tried in all. No attempt begins after that, and one at an
            `AsyncStore` ends then. A thread that waits cannot be called back, so a `Store` looks
            itself how long it may (`stores.deadline`): until `OVERTIME` later.
        attempt_seconds: How long one attempt at an `AsyncStore` may take.
        pause: The first pause, in seconds.
        longest_pause: The longest one, in seconds.
    """

    attempts: int = 20
    seconds: float = 4.0
    attempt_seconds: float = 2.0
    pause: float = 0.005
    longest_pause: float = 0.25

    def __attrs_post_init__(self) -> None:
        """Refuse what would try nothing, or without a wait."""
        if self.attempts < 1:
            raise ArgumentError("attempts", "at least 1")
        for name in ("seconds", "attempt_seconds", "pause", "longest_pause"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ArgumentError(name, "a number of seconds, more than 0")

    def pause_after(self, attempt: int) -> float:
        """How long to wait at most after an attempt, counted from 1."""
        # No more than that is asked for by any number of attempts, and a float can hold it.
        return min(self.longest_pause, self.pause * 2.0 ** min(attempt - 1, 64))


DEFAULT_RETRY_POLICY: Final = RetryPolicy()
"""Twenty attempts within four seconds, and pauses that grow."""


@attrs.define
class RetryStats:
    """What a request or a fact took; whoever wants to know hands in an empty one.

    Attributes:
        attempts: How many attempts began.
        conflicts: In how many of them somebody else was faster.
        unavailable: In how many the store could not.
        timeouts: How many took too long, at a store that is awaited.
        store_full: How many found no room for a new value.
        unexpected_errors: How many ended in an error that nobody foresaw.
        seconds_waited: How many seconds were waited between attempts.
    """

    attempts: int = 0
    conflicts: int = 0
    unavailable: int = 0
    timeouts: int = 0
    store_full: int = 0
    unexpected_errors: int = 0
    seconds_waited: float = 0.0


@attrs.frozen
class Retrier:
    """A way to try something as often and as long as patience goes.

    Attributes:
        policy: How often and how long.
        sleep: Lets some seconds pass.
        timeout: Ends an attempt with `TimeoutError` that takes longer than some seconds; `None` where
            an attempt waits, so that nobody could.
        stats: Where it is noted what it took.
    """

    policy: RetryPolicy
    sleep: Callable[[float], Awaitable[None]]
    timeout: Callable[[float], AbstractAsyncContextManager[object]] | None
    stats: RetryStats

    async def run(self, attempt: Callable[[], Awaitable[_Answered | None]]) -> _Answered | None:
        """Try until an attempt was done.

        Args:
            attempt: Does it, and answers; `None` where somebody was faster. Where it raises
                `StoreUnavailableError`, it is tried again too.

        Returns:
            What the attempt answered; `None` where patience ran out.
        """
        patience, began = self.policy, time.monotonic()
        # Where whoever asked waits no longer, nobody hears of a further attempt.
        ends = min(began + patience.seconds, current_deadline())
        number = 0
        with deadline_scope(patience.seconds + ATTEMPT_GRACE_SECONDS):
            while True:
                number += 1
                left = ends - time.monotonic()
                answered = await self._once(attempt, number, min(patience.attempt_seconds, left))
                if answered is not None:
                    return answered
                pause = patience.pause_after(number) * random.random()  # noqa: S311 - no secret
                if time.monotonic() + pause >= ends or number == patience.attempts:
                    _LOG.warning("gave up after attempt %d", number)
                    return None
                self.stats.seconds_waited += pause
                await self.sleep(pause)

    def single_attempt(self) -> Retrier:
        """A way to try something a single time."""
        return attrs.evolve(self, policy=attrs.evolve(self.policy, attempts=1))

    async def _once(
        self, attempt: Callable[[], Awaitable[_Answered | None]], number: int, seconds: float
    ) -> _Answered | None:
        effort = self.stats
        effort.attempts += 1
        try:
            if self.timeout is None:
                answered = await attempt()
            else:
                async with self.timeout(seconds):
                    answered = await attempt()
        except StoreUnavailableError as error:
            effort.unavailable += 1
            _LOG.warning("attempt %d: %s", number, error)
        except TimeoutError:
            effort.timeouts += 1
            _LOG.warning("attempt %d: no answer within %.3f seconds", number, seconds)
        else:
            effort.conflicts += answered is None
            return answered
        return None


def blocking_retrier(policy: RetryPolicy, stats: RetryStats | None = None) -> Retrier:
    """A way to try at a `Store`, whose calls wait.

    Args:
        policy: How often and how long it is tried.
        stats: Where it is noted what it took.
    """
    return Retrier(policy=policy, sleep=_wait, timeout=None, stats=stats or RetryStats())


def async_retrier(policy: RetryPolicy, stats: RetryStats | None = None) -> Retrier:
    """A way to try at an `AsyncStore`, whose calls are awaited.

    Args:
        policy: How often and how long it is tried.
        stats: Where it is noted what it took.
    """
    return Retrier(
        policy=policy, sleep=asyncio.sleep, timeout=asyncio.timeout, stats=stats or RetryStats()
    )


async def _wait(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - there is no loop that it could hold up
