"""Deadlines for blocking calls, which cannot be cancelled from outside.

The law of this module: **a nested deadline never ends after the outer one**. A blocking call asks
`seconds_left` how long it may take. If no deadline is set, only the call's own limit applies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Final

_DEADLINE: Final[ContextVar[float]] = ContextVar("deadline", default=float("inf"))


def current_deadline() -> float:
    """Return the current deadline on the clock of `time.monotonic`; infinity if none is set."""
    return _DEADLINE.get()


def seconds_left(most: float) -> float:
    """Return the smaller of `most` and the seconds until the deadline, but at least 0."""
    return max(0.0, min(most, _DEADLINE.get() - monotonic()))


@contextmanager
def deadline_scope(seconds: float) -> Iterator[None]:
    """Set a deadline that many seconds from now, unless an earlier one is set already."""
    token = _DEADLINE.set(min(_DEADLINE.get(), monotonic() + seconds))
    try:
        yield
    finally:
        _DEADLINE.reset(token)
