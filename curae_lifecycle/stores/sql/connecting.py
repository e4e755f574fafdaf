"""A time limit for opening a blocking connection: a thread opens it, and is abandoned at the limit.

The limits of the drivers themselves are for each address of a host. They cover neither all
addresses together nor the DNS lookup.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Protocol, TypeVar

from curae_lifecycle.stores.deadline import seconds_left


class _Closable(Protocol):
    def close(self) -> object: ...


_Connection = TypeVar("_Connection", bound=_Closable)


def connect_in_thread(
    connect: Callable[[], _Connection], seconds: float, error: Callable[[str], Exception]
) -> _Connection:
    """Open a connection in a thread, and stop waiting for it at the time limit.

    The thread closes a connection that it opens later.

    Args:
        connect: Opens the connection.
        seconds: The longest wait. A deadline that the calling code has set with
            `stores.deadline.deadline_scope` may end it earlier.
        error: Makes an exception of the driver from a text. It is raised if there was no connection
            in time, or if no thread could be started.
    """
    made: Future[_Connection] = Future()

    def run() -> None:
        try:
            connected = connect()
        except BaseException as failure:  # noqa: BLE001 - raised in the waiting thread
            if made.set_running_or_notify_cancel():
                made.set_exception(failure)
            return
        if made.set_running_or_notify_cancel():
            made.set_result(connected)
        else:
            connected.close()

    try:
        Thread(target=run, daemon=True).start()
    except RuntimeError as failure:
        raise error("no thread could be started to connect") from failure
    with suppress(TimeoutError):
        made.exception(seconds_left(seconds))
    if made.cancel():
        raise error("no connection in time")
    return made.result()
