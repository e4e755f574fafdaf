"""A watchdog that shuts down sockets whose response takes too long, for drivers without timeouts.

The law of this module: **only a watched socket is shut down**. The watchdog holds a duplicate of
the file descriptor, which no other socket can take over meanwhile.

A thread that waits for a response cannot be interrupted, and the kernel of a hung server still
acknowledges packets. But the wait ends when the socket is shut down.
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

from curae_lifecycle.stores.sql.forks import forget_after_fork

_NEVER: Final = float("inf")


@attrs.define
class _Watched:
    """A watched socket and the deadline of its response, by `time.monotonic`."""

    held: socket
    until: float


class SocketWatchdog:
    """A watchdog that shuts sockets down at their deadlines. One thread watches all sockets.

    Without it, a driver without timeouts would wait for ever for the response of a hung server.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._watched: dict[int, _Watched] = {}
        self._numbers = count()
        self._wakes_at = _NEVER
        self._thread: Thread | None = None
        forget_after_fork(self, SocketWatchdog.forget)

    def forget(self) -> object:
        """Forget the thread, lock and sockets of the parent, in a process that was just forked.

        The lock is replaced, since another thread may have held the old one during the fork.

        Returns:
            The old lock and sockets. `forget_after_fork`, which calls this method in the forked
            process, refers to them from then on, so that garbage collection closes no socket.
        """
        held = self._changed, self._watched
        self._changed, self._watched = Condition(), {}
        self._wakes_at, self._thread = _NEVER, None
        return held

    @contextmanager
    def watch(self, file: int, until: float) -> Generator[None, None, None]:
        """Watch a socket during a `with` block, and shut the socket down if the deadline passes.

        Code that waits for a response on the socket then gets an error.

        Args:
            file: The file descriptor of the socket.
            until: The deadline, by `time.monotonic`.
        """
        held = socket(fileno=os.dup(file))
        number = next(self._numbers)
        with self._changed:
            if self._thread is None:
                thread = Thread(target=self._run, daemon=True)
                thread.start()
                self._thread = thread
            self._watched[number] = _Watched(held, until)
            if until < self._wakes_at:
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
                self._wakes_at = _NEVER
                for each in self._watched.values():
                    if each.until <= now:
                        with suppress(OSError):
                            each.held.shutdown(SHUT_RDWR)
                        each.until = _NEVER
                    self._wakes_at = min(self._wakes_at, each.until)
                forever = self._wakes_at == _NEVER
                self._changed.wait(None if forever else self._wakes_at - now)


WATCHDOG: Final = SocketWatchdog()
"""The watchdog of this process, which shuts down sockets whose response takes too long."""
