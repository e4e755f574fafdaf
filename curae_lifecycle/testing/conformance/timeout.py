"""A limit on how long one check may take, in a thread and in a loop.

The law of this module: **whoever waits goes on when the limit is over**, whatever the other side
does: what hangs is left behind in a thread that keeps no program from ending, or is cancelled.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextvars import copy_context
from datetime import timedelta
from threading import Thread
from typing import Final, TypeVar

from curae_lifecycle.rules.errors import LifecycleError

Result = TypeVar("Result")

DEFAULT_TIMEOUT: Final = timedelta(seconds=30)
"""How long a check may take where nothing else is said."""

_GRACE: Final = 1.0
"""Seconds that a coroutine has to end once it was cancelled."""


class CheckTimeoutError(LifecycleError, AssertionError):
    """Something did not end before the limit was over."""


def run_with_timeout(timeout: timedelta | None, function: Callable[[], Result]) -> Result:
    """What a function returns, or raises.

    It runs in a thread of its own, with the caller's context variables; without a limit it runs
    in the caller's thread.

    Raises:
        OverError: It did not end in time. Its thread is left to itself.
    """
    if timeout is None:
        return function()
    ended: Future[Result] = Future()

    def work() -> None:
        try:
            ended.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            ended.set_exception(error)

    interval = sys.getswitchinterval()
    Thread(target=copy_context().run, args=(work,), daemon=True).start()
    wait([ended], timeout.total_seconds())
    if not ended.done():
        # What is left behind can no longer put it back.
        sys.setswitchinterval(interval)
        raise CheckTimeoutError
    return ended.result()


async def run_with_timeout_async(
    timeout: timedelta | None, coroutine: Coroutine[object, object, Result]
) -> Result:
    """What a coroutine returns, or raises.

    Raises:
        OverError: It did not end in time. It was cancelled; where it goes on all the same, it is
            left to itself.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait({task}, timeout=None if timeout is None else timeout.total_seconds())
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE)
        raise CheckTimeoutError
    finally:
        task.cancel()
