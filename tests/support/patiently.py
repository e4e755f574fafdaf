"""Limits of time so short that a test can wait for their end, on a machine that may stand still.

Such a machine has what is within a short limit refused, however right it is; a refusal that comes
sooner than that is one which no machine explains.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, TypeVar

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.run_sync import run_sync

PATIENCE: Final = 60.0
"""Seconds after which what does not happen is taken for never."""

PATIENT: Final = RetryPolicy(seconds=PATIENCE, attempt_seconds=PATIENCE)
"""For whoever is not to be refused, however slow the machine is."""

Answer = TypeVar("Answer")


def run(act: Callable[[], Answer], limit: float) -> Answer:
    """What a store answers that is unavailable where its time is over, and not before.

    Args:
        act: Asks it once.
        limit: How many seconds it has before it says so.
    """

    async def acted() -> Answer:
        return act()

    return run_sync(run_async(acted, limit))


async def run_async(act: Callable[[], Awaitable[Answer]], limit: float) -> Answer:
    """The same, awaited."""
    until = monotonic() + PATIENCE
    while True:
        began = monotonic()
        try:
            return await act()
        except StoreUnavailableError:
            # A clock may be a tick behind.
            if monotonic() - began < limit / 2 or monotonic() > until:
                raise
