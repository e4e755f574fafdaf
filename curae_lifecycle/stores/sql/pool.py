"""A pool of async connections to a database.

The laws of this module: **a PostgreSQL server never has more connections of a pool than its size**,
and **no wait for a connection lasts longer than the pool's timeout**.

A connection counts from before it is opened until the server has closed it, not until the client
has (on SQLite and MariaDB: until the client has). A server may notice late that its client is gone,
for example while it waits for a lock. So a request that is cancelled does not open one connection
more. But after `CLOSING_SECONDS` a closed connection no longer counts, even if its commit still
waits for a standby.

The connection that was returned last is used first, since its caches are warm. Requests wait in
order of arrival.

psycopg's and asyncpg's pools count a connection until the client closes it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

import attrs

from curae_lifecycle.stores.contract import StoreUnchangedError

CLOSING_SECONDS: Final = 60.0
"""The longest time for which a closed connection still counts towards its pool's size, in seconds.

A connection that the client has closed counts until the server has closed it, too.
"""

_DISPOSE_SECONDS: Final = 0.25
"""How long `dispose` waits for the server to close connections, in seconds."""

_READ_SIZE: Final = 65536

_PROBE_SECONDS: Final = 1
"""How often the kernel probes the host of a closing connection, in seconds."""

_PROBES: Final = 4
"""The number of unanswered probes after which the kernel takes that host for dead."""


class Closable(Protocol):
    """A connection that a pool can close."""

    async def close(self) -> None:
        """Close the connection.

        On PostgreSQL, return when the server has closed it, too, or is not reachable.
        """
        ...


_Connection = TypeVar("_Connection", bound=Closable)
_Result = TypeVar("_Result")


@attrs.define(eq=False)
class AsyncPool(Generic[_Connection]):
    """A pool of async connections, for one event loop at a time.

    If that loop has ended and another one uses the pool, the pool closes the idle connections and
    opens others.

    Attributes:
        connect: Opens a connection, and itself limits how long that may take.
        size: The largest number of connections.
        timeout: How long `acquire` waits for a connection at most, in seconds, until one is free or
            opened.
    """

    connect: Callable[[], Awaitable[_Connection]]
    size: int
    timeout: float
    _count: int = attrs.field(default=0, init=False)
    _idle: list[_Connection] = attrs.field(factory=list[_Connection], init=False)
    _used: set[_Connection] = attrs.field(factory=set[_Connection], init=False)
    _outdated: set[_Connection] = attrs.field(factory=set[_Connection], init=False)
    _waiters: deque[asyncio.Future[_Connection]] = attrs.field(
        factory=deque[asyncio.Future[_Connection]], init=False
    )
    _opening: int = attrs.field(default=0, init=False)
    _disposals: int = attrs.field(default=0, init=False)
    # The event loop keeps only weak references to its tasks.
    _tasks: set[asyncio.Task[object]] = attrs.field(factory=set[asyncio.Task[object]], init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)

    @property
    def count(self) -> int:
        """The number of connections: idle, in use, being opened or being closed."""
        return self._count

    async def acquire(self) -> _Connection:
        """Take a connection; give it back with `release` or `discard`.

        Raises:
            StoreUnchangedError: No connection was free or opened in time.
            Exception: The error of `connect`, if no connection can be opened.
        """
        self._leave_ended_loop()
        if not self._idle:
            return await self._wait()
        connection = self._idle.pop()
        self._used.add(connection)
        return connection

    def release(self, connection: _Connection) -> None:
        """Give back a connection that is open and has no transaction."""
        self._used.discard(connection)
        if connection in self._outdated:
            self._outdated.discard(connection)
            self._close(connection)
        else:
            self._hand_over(connection)

    def discard(self, connection: _Connection) -> None:
        """Give back a connection that is lost or busy: close it, and all idle ones too.

        What happened to one connection has often happened to the idle ones too, for example if the
        server was restarted.
        """
        self._used.discard(connection)
        self._outdated.discard(connection)
        self._close(connection)
        self._close_idle()

    async def dispose(self) -> None:
        """Close all connections: idle ones now, the others once they are idle.

        The pool can be used afterwards; it then opens new connections.
        """
        self._leave_ended_loop()
        self._disposals += 1
        self._outdated |= self._used
        self._close_idle()
        with suppress(TimeoutError):
            async with asyncio.timeout(_DISPOSE_SECONDS):
                while self._tasks:
                    await asyncio.wait(self._tasks)

    def forget(self) -> object:
        """Forget all connections without closing them; return an object that refers to them.

        A forked process calls this, because its parent uses the connections. The process must keep
        the object, because garbage collection would close the connections.
        """
        held = (self._idle, self._used, self._outdated, self._waiters, self._tasks, self._loop)
        self._idle, self._used, self._outdated = [], set(), set()
        self._waiters, self._tasks, self._loop = deque(), set(), None
        self._count = self._opening = 0
        return held

    def _leave_ended_loop(self) -> None:
        loop, earlier = asyncio.get_running_loop(), self._loop
        self._loop = loop
        # A loop that is running has not ended; it may be this one.
        if earlier is None or earlier.is_running():
            return
        # An ended event loop leaves tasks that never end. Their connections would count for ever.
        self._count = len(self._idle)
        self._opening = 0
        for each in (self._used, self._outdated, self._waiters, self._tasks):
            each.clear()
        # asyncpg and asyncmy cannot use a connection in another loop than the one that opened it.
        self._close_idle()

    async def _wait(self) -> _Connection:
        waiter: asyncio.Future[_Connection] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._open_for_waiters()
        try:
            await asyncio.wait([waiter], timeout=self.timeout)
        except asyncio.CancelledError:
            if waiter.done() and waiter.exception() is None:
                self.release(waiter.result())
            waiter.cancel()
            raise
        if waiter.done():
            return waiter.result()
        waiter.cancel()
        # While connections are being opened, the server is at fault and not the size of the pool.
        state = "opened" if self._opening else "free"
        raise StoreUnchangedError(f"no connection was {state} in time")

    def _open_for_waiters(self) -> None:
        # Connections are opened in tasks, which a cancelled request does not cancel.
        waiting = sum(not waiter.done() for waiter in self._waiters)
        while self._opening < waiting and self._count < self.size:
            self._count += 1
            self._opening += 1
            opening = self._start(self._open())
            opening.add_done_callback(partial(self._end_opening, self._disposals))

    async def _open(self) -> _Connection:
        return await self.connect()

    # The callbacks of both kinds of tasks count, since a task that is cancelled before its first
    # step runs none of its code. Only the end of the event loop cancels them; no task may then be
    # started.

    def _end_opening(self, disposals: int, opening: asyncio.Task[_Connection]) -> None:
        self._opening -= 1
        if opening.cancelled():
            self._count -= 1
            return
        error = opening.exception()
        if error is not None:
            self._count -= 1
            waiter = self._next_waiter()
            if waiter is not None:
                waiter.set_exception(error)
            self._open_for_waiters()
            return
        connection = opening.result()
        if disposals != self._disposals:
            self._outdated.add(connection)
        self._hand_over(connection)

    def _hand_over(self, connection: _Connection) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            self._used.add(connection)
            waiter.set_result(connection)
        elif connection in self._outdated:
            self._outdated.discard(connection)
            self._close(connection)
        else:
            self._idle.append(connection)

    def _next_waiter(self) -> asyncio.Future[_Connection] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _close_idle(self) -> None:
        for connection in self._idle:
            self._close(connection)
        self._idle.clear()

    def _close(self, connection: _Connection) -> None:
        self._start(_close_in_time(connection)).add_done_callback(self._end_closing)

    def _end_closing(self, closing: asyncio.Task[None]) -> None:
        self._count -= 1
        if not closing.cancelled():
            self._open_for_waiters()

    def _start(self, work: Coroutine[None, None, _Result]) -> asyncio.Task[_Result]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _close_in_time(connection: Closable) -> None:
    # Nothing else can be done with a connection that cannot be closed.
    with suppress(Exception):
        async with asyncio.timeout(CLOSING_SECONDS):
            await connection.close()


def duplicate_socket(fileno: int) -> socket.socket | None:
    """Return a second handle of the socket with this descriptor, or None if there is none.

    As long as the second handle is open, a driver that closes its own handle does not close the
    connection. So the caller can wait until the server has closed it, with `wait_for_server`.
    """
    try:
        return socket.socket(fileno=os.dup(fileno))
    except OSError:
        return None


async def wait_for_server(handle: socket.socket | None) -> None:
    """Wait until the server has closed a connection that the client gives up.

    Until then the connection counts towards the size of its pool.

    First this function shuts down the client's side of the connection, so that the server closes
    the connection. PostgreSQL does that only after it has released everything else that belongs to
    the connection, such as locks. The wait also ends if the server's host is dead: it no longer
    responds to TCP keepalive packets. There is no other limit, so the caller sets one.

    Args:
        handle: A handle from `duplicate_socket`, which stays open when the driver closes its own.
            This function closes it at the end. `None`, if there is no socket, returns at once.
    """
    if handle is None:
        return
    with handle, suppress(OSError):
        handle.setblocking(False)
        _end_sending(handle)
        loop = asyncio.get_running_loop()
        while await loop.sock_recv(handle, _READ_SIZE):
            pass


def wait_for_server_blocking(handle: socket.socket) -> None:
    """Block until the server has closed a connection that the client gives up.

    Until then the connection counts towards the size of its pool.

    First this function shuts down the client's side of the connection. Then the server releases the
    connection's locks and closes the connection. The wait ends after `CLOSING_SECONDS` at the
    latest.

    Args:
        handle: A handle from `duplicate_socket`, which stays open when the driver closes its own.
            This function closes it at the end.
    """
    end = monotonic() + CLOSING_SECONDS
    with handle, suppress(OSError):
        _end_sending(handle)
        # A server that goes on sending is not waited for after the end, either.
        while (left := end - monotonic()) > 0:
            # The read raises a TimeoutError, which is an OSError, at the end.
            handle.settimeout(left)
            if not handle.recv(_READ_SIZE):
                return


def _end_sending(handle: socket.socket) -> None:
    if handle.family in {socket.AF_INET, socket.AF_INET6}:
        _probe_host(handle)
    handle.shutdown(socket.SHUT_WR)


def _probe_host(handle: socket.socket) -> None:
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _PROBE_SECONDS),
        ("TCP_KEEPINTVL", _PROBE_SECONDS),
        ("TCP_KEEPCNT", _PROBES),
        # For data that the host has not acknowledged; the kernel sends no probes then.
        ("TCP_USER_TIMEOUT", _PROBE_SECONDS * _PROBES * 1000),
    ):
        # Not every system has all of them.
        with suppress(AttributeError):
            handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
