"""Until when what is done now may take: for calls that wait in a thread, which nobody calls back.

The law of this module: **a deadline within another never ends later**. Whoever waits for something
asks here how long it may; where nobody set a deadline, as long as its own limit says.
"""

from __future__ import annotations

from contextvars import ContextVar
from time import monotonic
from typing import Final

_UNTIL: Final[ContextVar[float]] = ContextVar("until", default=float("inf"))


def current_deadline() -> float:
    """The end, by `time.monotonic`, of the time that there is; infinity where nobody set one."""
    return _UNTIL.get()


def seconds_left(most: float) -> float:
    """How many seconds something may take now: the most that it may ever, or what is left."""
    return max(0.0, min(most, _UNTIL.get() - monotonic()))


class deadline_scope:  # noqa: N801 - it is used as a function is
    """Let what is done in this context end in so many seconds, or earlier."""

    # No generator: every request enters one, and that would take three times as long.
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _UNTIL.set(min(_UNTIL.get(), monotonic() + self._seconds))

    def __exit__(self, *_: object) -> None:
        _UNTIL.reset(self._token)
