"""How often and how long something is tried, and how it waits in between."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnavailableError

_LOG: Final = logging.getLogger(__name__)

_Answered = TypeVar("_Answered")


@attrs.frozen(kw_only=True)
class Patience:
    """How often and how long something is tried, and how it waits in between.

    Before each further attempt it waits a random part of a pause that doubles each time, so that
    those who met once do not meet again.

    Attributes:
        attempts: How often it is tried at most.
        seconds: How long after the first attempt no further one begins.
        answer_seconds: How long one answer of a store that is awaited may take. A store that
            waits has its own limits: a thread that waits cannot be called back.
        pause: The first pause, in seconds.
        longest_pause: The longest one, in seconds.
    """

    attempts: int = 20
    seconds: float = 4.0
    answer_seconds: float = 2.0
    pause: float = 0.005
    longest_pause: float = 0.25

    def __attrs_post_init__(self) -> None:
        """Refuse what would try nothing, or without a wait."""
        if self.attempts < 1:
            raise ArgumentError("attempts", "at least 1")
        for name in ("seconds", "answer_seconds", "pause", "longest_pause"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ArgumentError(name, "a number of seconds, more than 0")

    def pause_after(self, attempt: int) -> float:
        """How long to wait after an attempt, counted from 1, where chance says the most."""
        return min(self.longest_pause, self.pause * 2.0 ** min(attempt - 1, 64))


DEFAULT_PATIENCE: Final = Patience()


class Sleep(Protocol):
    """Lets some seconds pass."""

    def __call__(self, delay: float, /) -> Awaitable[None]:
        """Wait as long."""
        ...


async def until_done(
    attempt: Callable[[], Awaitable[_Answered | None]], patience: Patience, sleep: Sleep
) -> _Answered | None:
    """Try again until an attempt was done.

    Returns:
        What it answered; `None` where patience ran out.
    """
    began = time.monotonic()
    for number in range(1, patience.attempts + 1):
        try:
            answered = await attempt()
        except StoreUnavailableError as error:
            _LOG.warning("attempt %d of %d: %s", number, patience.attempts, error)
            answered = None
        if answered is not None:
            return answered
        pause = patience.pause_after(number) * random.random()  # noqa: S311 - no secret
        if number == patience.attempts or time.monotonic() + pause - began >= patience.seconds:
            break
        await sleep(pause)
    return None
