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

    If the connection opens after the limit, the thread closes it.

    Args:
        connect: Opens the connection.
        seconds: The longest wait. A deadline that the calling code has set with
            `stores.deadline.deadline_scope` may end it earlier.
        error: Builds the driver's exception from a text. It is raised if there was no connection in
            time, or if no thread could be started.
    """
    opened: Future[_Connection] = Future()

    def run() -> None:
        try:
            connected = connect()
        except BaseException as failure:  # noqa: BLE001 - raised in the waiting thread
            if opened.set_running_or_notify_cancel():
                opened.set_exception(failure)
            return
        if opened.set_running_or_notify_cancel():
            opened.set_result(connected)
        else:
            connected.close()

    try:
        Thread(target=run, daemon=True).start()
    except RuntimeError as failure:
        raise error("no thread could be started to connect") from failure
    try:
        with suppress(TimeoutError):
            opened.exception(seconds_left(seconds))
    finally:
        # After a KeyboardInterrupt, too, the thread closes a connection that opens later.
        is_late = opened.cancel()
    if is_late:
        raise error("no connection in time")
    return opened.result()
