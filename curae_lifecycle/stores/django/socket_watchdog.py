"""A watch over connections whose driver counts no seconds: one that has no answer in time is ended.

The law of this module: **only what is watched is ended**: the watch holds a socket by a number of
its own, so that nobody else's can take its place.

A thread that waits for an answer cannot be called back, and the kernel of a server that hangs still
acknowledges what it is sent. But a wait ends where its socket is shut down.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from itertools import count
from socket import SHUT_RDWR, socket
from threading import Condition, Thread
from time import monotonic
from typing import Final

import attrs


@attrs.define
class _Watched:
    """A socket, and until when it is waited for."""

    held: socket
    until: float


class SocketWatchdog:
    """Shuts sockets down when their time is over; one thread watches over all of them."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._watched: dict[int, _Watched] = {}
        self._numbers = count()
        self._wakes = float("inf")
        self._thread: Thread | None = None

    @contextmanager
    def watch(self, file: int, until: float) -> Generator[None, None, None]:
        """Watch over a socket, by its file's number, until an instant of `time.monotonic`."""
        held = socket(fileno=os.dup(file))
        number = next(self._numbers)
        with self._changed:
            # A process that was forked has none of its parent's threads, and none of its waits.
            if self._thread is None or not self._thread.is_alive():
                self._watched.clear()
                self._thread = Thread(target=self._run, daemon=True)
                self._thread.start()
            self._watched[number] = _Watched(held, until)
            if until < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._watched.pop(number, None)
            held.close()

    def _run(self) -> None:
        with self._changed:
            while True:
                now = monotonic()
                self._wakes = float("inf")
                for each in self._watched.values():
                    if each.until <= now:
                        with suppress(OSError):
                            each.held.shutdown(SHUT_RDWR)
                        each.until = float("inf")
                    self._wakes = min(self._wakes, each.until)
                forever = self._wakes == float("inf")
                self._changed.wait(None if forever else self._wakes - now)


WATCHDOG: Final = SocketWatchdog()
"""The one watch of this process."""
