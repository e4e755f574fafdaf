"""A timeout for one check, in a thread and in an event loop.

The law of this module: **the caller continues when the timeout has passed**, whatever the server
does. A blocked call stays behind in a daemon thread, which does not keep the program from exiting.
A coroutine is cancelled.
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

from curae_lifecycle.rules.errors import ArgumentError, LifecycleError
from curae_lifecycle.rules.values import check_type

Result = TypeVar("Result")

DEFAULT_TIMEOUT: Final = timedelta(seconds=30)
"""The default timeout of a check."""

_GRACE: Final = 1.0
"""How many seconds a cancelled coroutine has to end."""


class CheckTimeoutError(LifecycleError, AssertionError):
    """The error of a check that did not end before its timeout."""


def check_timeout(timeout: timedelta | None) -> None:
    """Check a timeout that a program passed to the kit.

    Raises:
        ArgumentError: `timeout` is neither `None` nor a `timedelta` above zero.
    """
    if timeout is None:
        return
    allowed = "None, or a timedelta above zero such as timedelta(seconds=30)"
    check_type("timeout", timeout, timedelta, allowed=allowed)
    if timeout <= timedelta(0):
        raise ArgumentError("timeout", allowed)


def run_with_timeout(timeout: timedelta | None, function: Callable[[], Result]) -> Result:
    """Call a function, in a new thread if there is a timeout, and return its result.

    In that thread the function sees a copy of the caller's context variables. An exception of the
    function is raised again in the caller's thread.

    Args:
        timeout: How long to wait. With `None` the function runs in the caller's own thread.
        function: The function to call.

    Raises:
        CheckTimeoutError: The function did not end in time. Its thread keeps running.
    """
    if timeout is None:
        return function()
    ended: Future[Result] = Future()

    def work() -> None:
        try:
            ended.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            ended.set_exception(error)

    interval = sys.getswitchinterval()
    Thread(target=copy_context().run, args=(work,), daemon=True).start()
    wait([ended], timeout.total_seconds())
    if not ended.done():
        # The abandoned thread may have changed the interval and cannot restore it any more.
        sys.setswitchinterval(interval)
        raise CheckTimeoutError
    return ended.result()


async def run_with_timeout_async(
    timeout: timedelta | None, coroutine: Coroutine[object, object, Result]
) -> Result:
    """Await a coroutine and return its result, or raise its exception.

    Args:
        timeout: How long to wait; `None` waits without a limit.
        coroutine: The coroutine to await.

    Raises:
        CheckTimeoutError: The coroutine did not end in time and was cancelled. A coroutine that
            ignores the cancellation for a second keeps running.
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
