"""Deadlines for blocking calls, which cannot be cancelled from outside.

The law of this module: **a nested deadline never ends after the outer one**. A blocking call asks
`seconds_left` how long it may take. If no deadline is set, only the call's own limit applies.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Final

_DEADLINE: Final[ContextVar[float]] = ContextVar("deadline", default=float("inf"))


def current_deadline() -> float:
    """Return the deadline that is set for blocking calls, in seconds of `time.monotonic`.

    A `with` block of `deadline_scope` sets it. In nested blocks, the earliest deadline counts.

    Returns:
        The deadline; infinity if none is set.
    """
    return _DEADLINE.get()


def seconds_left(most: float) -> float:
    """Return how long a blocking call may take, in seconds: `most`, or less near the deadline.

    `deadline_scope` sets the deadline, for all attempts at a request or a fact. The result is 0 if
    the deadline has passed, and `most` if none is set.

    Args:
        most: The call's own limit in seconds, at least 0.
    """
    return max(0.0, min(most, _DEADLINE.get() - monotonic()))


@contextmanager
def deadline_scope(seconds: float) -> Generator[None]:
    """Set a deadline for the blocking calls in a `with` block.

    If an enclosing block has a deadline that ends sooner, that one stays in force. The block is not
    interrupted at its deadline: each blocking call asks `seconds_left` how long it may take.

    Args:
        seconds: The time from now to the deadline.
    """
    token = _DEADLINE.set(min(_DEADLINE.get(), monotonic() + seconds))
    try:
        yield
    finally:
        _DEADLINE.reset(token)
