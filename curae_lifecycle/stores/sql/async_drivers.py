"""Connections of async drivers behind one interface: read rows, run a transaction, close.

The laws of this module: **every statement has a time limit on the client's side**, because a hung
server ends no statement itself, and its kernel still acknowledges packets; **the client never asks
PostgreSQL to cancel a statement**, because a commit that waits for a standby would then take effect
without it.

psycopg and asyncpg run PostgreSQL, aiosqlite runs SQLite, asyncmy runs MariaDB. Only
the driver of the URL is imported.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol, Self, cast

import attrs

from curae_lifecycle.stores.contract import StoreUnchangedError
from curae_lifecycle.stores.sql.failures import is_lost_connection, is_transient
from curae_lifecycle.stores.sql.pool import Closable, duplicate_socket, wait_for_server
from curae_lifecycle.stores.sql.replication import CONFIRM, Replication
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement

if TYPE_CHECKING:
    from curae_lifecycle.stores.sql.postgresql import AsyncBoundedConnection

_ROLLBACK: Final = Statement("ROLLBACK")


class AsyncConnection(Closable, Protocol):
    """A connection of an async driver in autocommit mode."""

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement and return the rows of its result."""
        ...

    async def run_all(self, statements: Sequence[Statement]) -> bool:
        """Run statements in order; the caller adds `BEGIN` and `COMMIT` if they are needed.

        Returns:
            True if each statement changed as many rows as it must (`expected_rows`). Otherwise
            False, after a rollback. PostgreSQL's drivers raise an error instead of False.
        """
        ...

    async def recover(self) -> bool:
        """Roll back a failed transaction, if any; return whether the connection is still usable."""
        ...


# --- PostgreSQL -----------------------------------------------------------------------------


@attrs.frozen(eq=False)
class PsycopgConnection:
    """An `AsyncConnection` that runs its statements on a connection of psycopg."""

    _driver: AsyncBoundedConnection

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement and return its rows."""
        return await self._run([statement])

    async def run_all(self, statements: Sequence[Statement]) -> bool:
        """Run statements in order, and always return True.

        The caller joins changes into one statement with `statement.combine`. That statement raises
        an error if a part of it does not change as many rows as it must (`expected_rows`). On
        SQLite and MariaDB, `run_all` returns False in that case.
        """
        await self._run(statements)
        return True

    async def _run(self, statements: Sequence[Statement]) -> Rows:
        from psycopg import AsyncRawCursor  # noqa: PLC0415 - needed for this driver alone

        replication = self._driver.replication
        if replication.is_in_doubt:
            with replication.confirm_earlier_commits():
                await self._driver.execute(CONFIRM)
        cursor = AsyncRawCursor(self._driver)
        for statement in statements:
            await cursor.execute(statement.as_numbered.encode(), statement.values)
        replication.check()
        return await cursor.fetchall() if cursor.description else ()

    async def recover(self) -> bool:
        """Roll back a failed transaction, if any; return whether the connection is still usable."""
        from psycopg import Error  # noqa: PLC0415 - needed for this driver alone
        from psycopg.pq import TransactionStatus  # noqa: PLC0415 - as above

        driver = self._driver
        if driver.pgconn.transaction_status in {
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        }:
            with suppress(Error):
                await driver.rollback()
        return driver.pgconn.transaction_status == TransactionStatus.IDLE

    async def close(self) -> None:
        """Close the client's end, and wait until the server has finished its statement, too."""
        driver = self._driver
        if driver.closed:
            return
        handle = duplicate_socket(driver.pgconn.socket)
        driver.pgconn.finish()
        await wait_for_server(handle)


class _Socket(Protocol):
    def fileno(self) -> int: ...


class _Transport(Protocol):
    def get_extra_info(self, name: str, /) -> _Socket | None: ...


class _AsyncpgDriver(Protocol):
    """The part of asyncpg's `Connection` that is used; asyncpg does not ship its types."""

    _transport: _Transport

    async def fetch(self, text: str, *values: object) -> Rows: ...
    async def execute(self, text: str) -> str: ...
    def add_log_listener(self, listener: Callable[[object, object], None], /) -> None: ...
    def is_closed(self) -> bool: ...
    def is_in_transaction(self) -> bool: ...
    def terminate(self) -> None: ...


@attrs.frozen
class _AsyncpgNotice:
    source_function: str | None


def without_cancel(connection_class: type) -> type:
    """Return a subclass of asyncpg's `Connection` that never asks the server to cancel a statement.

    By itself, asyncpg sends that request, over a further connection, if a call is cancelled or
    exceeds a time limit. The caller must close the connection then, because asyncpg goes on waiting
    for an answer to the request.
    """
    return type(
        "Connection", (connection_class,), {"__slots__": (), "_cancel_current_command": _do_nothing}
    )


def _do_nothing(*_: object) -> None:
    pass


def _as_asyncpg(driver: object) -> _AsyncpgDriver:
    return cast("_AsyncpgDriver", driver)


@attrs.define(eq=False)
class AsyncpgConnection:
    """An `AsyncConnection` that runs its statements on a connection of asyncpg.

    Attributes:
        driver: The connection object of asyncpg, of a class from `without_cancel`.
        seconds: The longest wait for each response.
        replication: Gets the notices of the server, and counts by them the commits of this database
            that a failover might lose.
    """

    driver: _AsyncpgDriver = attrs.field(converter=_as_asyncpg)
    seconds: float
    replication: Replication
    _is_lost: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Pass the server's notices to `replication`: some say that a commit may be lost."""

        def listen(_: object, notice: object) -> None:
            function = getattr(notice, "server_source_function", None)
            self.replication.handle_notice(_AsyncpgNotice(function))

        self.driver.add_log_listener(listen)

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement and return its rows."""
        return await self._run([statement])

    async def run_all(self, statements: Sequence[Statement]) -> bool:
        """Run statements in order, and always return True.

        A statement raises an error if it does not change as many rows as it must (`expected_rows`),
        as in `PsycopgConnection.run_all`.
        """
        await self._run(statements)
        return True

    async def _run(self, statements: Sequence[Statement]) -> Rows:
        replication, rows = self.replication, cast("Rows", ())
        try:
            if replication.is_in_doubt:
                with replication.confirm_earlier_commits():
                    async with asyncio.timeout(self.seconds):
                        await self.driver.execute(CONFIRM)
            for statement in statements:
                async with asyncio.timeout(self.seconds):
                    rows = await self.driver.fetch(statement.as_numbered, *statement.values)
        except Exception as error:
            # After a timeout, the server may still run the statement.
            self._is_lost = isinstance(error, TimeoutError) or is_lost_connection(error)
            raise
        replication.check()
        return rows

    async def recover(self) -> bool:
        """Roll back a failed transaction, if any; return whether the connection is still usable."""
        if self._is_lost or self.driver.is_closed():
            return False
        if self.driver.is_in_transaction():
            async with asyncio.timeout(self.seconds):
                await self.driver.execute("ROLLBACK")
        return True

    async def close(self) -> None:
        """Close the client's end, and wait until the server has finished its statement, too."""
        if self.driver.is_closed():
            return
        # asyncpg has no public way to its socket.
        found = self.driver._transport.get_extra_info("socket")  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as above
        handle = None if found is None else duplicate_socket(found.fileno())
        # The driver's end may be closed already.
        with suppress(Exception):
            self.driver.terminate()
        await wait_for_server(handle)


# --- SQLite and MariaDB -----------------------------------------------------------------------


class _AiosqliteCursor(Protocol):
    """The part of aiosqlite's `Cursor` that is used."""

    @property
    def rowcount(self) -> int: ...


class _AiosqliteDriver(Protocol):
    """The part of aiosqlite's `Connection` that is used."""

    @property
    def in_transaction(self) -> bool: ...
    async def execute(self, text: str, values: Sequence[object], /) -> _AiosqliteCursor: ...
    async def execute_fetchall(self, text: str, values: Sequence[object], /) -> Rows: ...
    async def rollback(self) -> None: ...
    async def close(self) -> None: ...


def _as_aiosqlite(driver: object) -> _AiosqliteDriver:
    return cast("_AiosqliteDriver", driver)


@attrs.define(eq=False)
class SqliteWriteLock:
    """A lock that lets the transactions of a process run one by one, in order of arrival.

    Without this lock, each transaction would ask SQLite again and again whether its write lock is
    free.

    Attributes:
        seconds: The longest wait of a transaction for the lock.
    """

    seconds: float
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)

    @asynccontextmanager
    async def hold(self) -> AsyncGenerator[None, None]:
        """Wait for the lock on SQLite transactions, and hold it while one runs in the `with` block.

        Raises:
            StoreUnchangedError: Earlier transactions held the lock for too long. This one did not
                begin.
        """
        lock = self._lock_of_loop()
        try:
            async with asyncio.timeout(self.seconds):
                await lock.acquire()
        except TimeoutError:
            raise StoreUnchangedError("no write lock was free in time") from None
        try:
            yield
        finally:
            lock.release()

    def _lock_of_loop(self) -> asyncio.Lock:
        # A lock that was waited for in one event loop raises an error in the next one.
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        return self._lock


@attrs.frozen(eq=False)
class AiosqliteConnection:
    """A connection of aiosqlite, which runs each statement in the connection's own thread.

    Attributes:
        driver: The connection object of aiosqlite.
        write_lock: The lock that all connections to a database share, so that the process runs one
            transaction at a time.
    """

    driver: _AiosqliteDriver = attrs.field(converter=_as_aiosqlite)
    write_lock: SqliteWriteLock

    async def prepare(self, lock_timeout: float) -> None:
        """Switch the database of a new connection to a write-ahead log, and set the wait for locks.

        The connection was opened with the driver's `timeout=0`, so the switch does not wait for a
        lock. If SQLite refuses the switch for now, that is ignored: another connection makes it.

        Args:
            lock_timeout: The longest wait for a lock, in seconds.
        """
        try:
            # With a write-ahead log, readers and the one writer do not wait for each other.
            await self.driver.execute("PRAGMA journal_mode = WAL", ())
        except sqlite3.OperationalError as error:
            # If two connections set the mode of a new file at once, SQLite refuses one of them.
            if not is_transient(Dialect.SQLITE, error):
                raise
        await self.driver.execute(f"PRAGMA busy_timeout = {int(lock_timeout * 1000)}", ())

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement and return its rows."""
        return await self.driver.execute_fetchall(statement.text, statement.values)

    async def run_all(self, statements: Sequence[Statement]) -> bool:
        """Run statements in order, while holding the write lock.

        Returns:
            True if each statement changed as many rows as it must (`expected_rows`). Otherwise
            False, after a rollback.

        Raises:
            StoreUnchangedError: The write lock was not free in time. No statement ran.
        """
        async with self.write_lock.hold():
            for statement in statements:
                cursor = await self.driver.execute(statement.text, statement.values)
                if statement.expected_rows not in {None, cursor.rowcount}:
                    await self.driver.rollback()
                    return False
        return True

    async def recover(self) -> bool:
        """Roll back a failed transaction, if any; return whether the connection is still usable."""
        if self.driver.in_transaction:
            await self.driver.rollback()
        return True

    async def close(self) -> None:
        """Close the connection after its running statement."""
        await self.driver.close()


class _AsyncmyCursor(Protocol):
    """The part of asyncmy's `Cursor` that is used."""

    @property
    def rowcount(self) -> int: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *raised: object) -> None: ...
    async def execute(self, text: str, values: Sequence[object], /) -> object: ...
    async def fetchall(self) -> Rows: ...


class _AsyncmyDriver(Protocol):
    """The part of asyncmy's `Connection` that is used."""

    def cursor(self) -> _AsyncmyCursor: ...
    def close(self) -> None: ...


def _as_asyncmy(driver: object) -> _AsyncmyDriver:
    return cast("_AsyncmyDriver", driver)


@attrs.define(eq=False)
class AsyncmyConnection:
    """An `AsyncConnection` that runs its statements on a connection of asyncmy.

    Attributes:
        driver: The connection object of asyncmy.
        seconds: The longest wait for each response.
    """

    driver: _AsyncmyDriver = attrs.field(converter=_as_asyncmy)
    seconds: float
    _is_hung: bool = attrs.field(default=False, init=False)

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement and return its rows."""
        _, rows = await self._run(statement)
        return rows

    async def run_all(self, statements: Sequence[Statement]) -> bool:
        """Run statements in order.

        Returns:
            True if each statement changed as many rows as it must (`expected_rows`). Otherwise
            False, after a rollback.
        """
        for statement in statements:
            changed, _ = await self._run(statement)
            if statement.expected_rows not in {None, changed}:
                await self._run(_ROLLBACK)
                return False
        return True

    async def _run(self, statement: Statement) -> tuple[int, Rows]:
        try:
            async with asyncio.timeout(self.seconds), self.driver.cursor() as cursor:
                await cursor.execute(statement.as_format, statement.values)
                return cursor.rowcount, await cursor.fetchall()
        except TimeoutError:
            # The server may still run the statement.
            self._is_hung = True
            raise

    async def recover(self) -> bool:
        """Roll back a failed transaction, if any; return whether the connection is still usable."""
        if self._is_hung:
            return False
        await self._run(_ROLLBACK)
        return True

    async def close(self) -> None:
        """Close the client's end; the server notices once it has run its current statement."""
        self.driver.close()
