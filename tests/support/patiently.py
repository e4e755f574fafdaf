"""Short timeouts in tests, on machines that may pause.

On such a machine an operation with a short timeout may fail although it is correct; a failure
before the timeout is real.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, TypeVar

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.run_sync import run_sync

PATIENCE: Final = 60.0
"""Seconds after which an event counts as missing."""

PATIENT: Final = RetryPolicy(seconds=PATIENCE, attempt_seconds=PATIENCE)
"""A retry policy for requests that must succeed on any machine."""

Answer = TypeVar("Answer")


def run(act: Callable[[], Answer], limit: float) -> Answer:
    """Retry a call of a store that is unavailable only because its time is over.

    Args:
        act: The call.
        limit: Its timeout in seconds.
    """

    async def acted() -> Answer:
        return act()

    return run_sync(run_async(acted, limit))


async def run_async(act: Callable[[], Awaitable[Answer]], limit: float) -> Answer:
    """Retry an async call in the same way."""
    until = monotonic() + PATIENCE
    while True:
        began = monotonic()
        try:
            return await act()
        except StoreUnavailableError:
            # A clock may be a tick behind.
            if monotonic() - began < limit / 2 or monotonic() > until:
                raise
