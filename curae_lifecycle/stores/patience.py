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
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.frozen import frozen
from curae_lifecycle.stores.contract import StoreUnavailableError

_LOG: Final = logging.getLogger(__name__)

_Answered = TypeVar("_Answered")


@frozen(kw_only=True)
class Patience:
    """How often and how long something is tried, and how it waits in between.

    Before each further attempt it waits a random part of a pause that doubles each time, so that
    those who met once do not meet again.

    Attributes:
        attempts: How often it is tried at most.
        seconds: For how long it is tried in all. No attempt begins after that, and one at an
            `AsyncStore` ends then; a `Store` has time limits of its own, since a thread that
            waits cannot be called back.
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


DEFAULT_PATIENCE: Final = Patience()


@frozen
class Trying:
    """A way to try something as often and as long as patience goes.

    Attributes:
        patience: How often and how long.
        sleep: Lets some seconds pass.
        limit: Ends an attempt with `TimeoutError` that takes longer than some seconds.
    """

    patience: Patience
    sleep: Callable[[float], Awaitable[None]]
    limit: Callable[[float], AbstractAsyncContextManager[object]]

    async def until_done(
        self, attempt: Callable[[], Awaitable[_Answered | None]]
    ) -> _Answered | None:
        """Try until an attempt was done.

        Args:
            attempt: Does it, and answers; `None` where somebody was faster. Where it raises
                `StoreUnavailableError`, it is tried again too.

        Returns:
            What the attempt answered; `None` where patience ran out.
        """
        patience, began = self.patience, time.monotonic()
        number = 0
        while True:
            number += 1
            left = began + patience.seconds - time.monotonic()
            answered = await self._once(attempt, number, min(patience.attempt_seconds, left))
            if answered is not None:
                return answered
            pause = patience.pause_after(number) * random.random()  # noqa: S311 - no secret
            over = time.monotonic() + pause >= began + patience.seconds
            if over or number == patience.attempts:
                _LOG.warning("gave up after attempt %d", number)
                return None
            await self.sleep(pause)

    def once(self) -> Trying:
        """A way to try something a single time."""
        return attrs.evolve(self, patience=attrs.evolve(self.patience, attempts=1))

    async def _once(
        self, attempt: Callable[[], Awaitable[_Answered | None]], number: int, seconds: float
    ) -> _Answered | None:
        try:
            async with self.limit(seconds):
                return await attempt()
        except StoreUnavailableError as error:
            _LOG.warning("attempt %d: %s", number, error)
        except TimeoutError:
            _LOG.warning("attempt %d: no answer within %.3f seconds", number, seconds)
        return None


def waiting(patience: Patience) -> Trying:
    """A way to try at a `Store`, whose calls wait."""
    return Trying(patience, _wait, nullcontext)


def awaiting(patience: Patience) -> Trying:
    """A way to try at an `AsyncStore`, whose calls are awaited."""
    return Trying(patience, asyncio.sleep, asyncio.timeout)


async def _wait(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - there is no loop that it could hold up
