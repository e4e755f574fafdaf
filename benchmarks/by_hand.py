"""Hand-written floor of `benchmarks/servers.py`: the library's statements on the bare driver.

A floor is the least code that could do the work. The parent process records the statements of one
request of each kind for each client. The floor's server runs the same SQL directly on the driver,
with new keys where keys must be new. So it reads and writes the same rows as the library, but
decides nothing.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final, Protocol, cast
from uuid import uuid4

import attrs

from curae_lifecycle.stores.sql.statement import (
    Dialect,
    Rows,
    Statement,
    Value,
    combine_in_batches,
)
from curae_lifecycle.stores.sql.store import Database

if TYPE_CHECKING:
    import sqlalchemy as sa

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
POOL: Final = 10
_FIRST_INSTANT: Final = 10**15
"""The lower bound of instants in a statement, in microseconds since 1970.

It is in 2001; larger numbers are instants.
"""

Stored = tuple[str, list[Value]]
"""A statement in JSON: its text and its values."""


# --- Recording ------------------------------------------------------------------------------


@attrs.define
class Recorder:
    """A database that records its statements.

    Attributes:
        database: The database that runs them.
        read: The last SELECT.
        written: The statements of the last transaction after that SELECT; empty if there was none.
    """

    database: Database
    read: Statement = attrs.field(factory=lambda: Statement(""))
    written: list[Statement] = attrs.field(factory=list[Statement])

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        return self.database.dialect

    def rows(self, statement: Statement) -> Rows:
        """Run and record a SELECT."""
        self.read, self.written = statement, []
        return self.database.rows(statement)

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run DDL statements."""
        self.database.run_ddl(statements)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run and record a transaction."""
        self.written = [*statements]
        return self.database.run_transaction(statements)


@attrs.frozen
class Recording:
    """The statements of one request of one client, as JSON.

    Attributes:
        read: The SELECT.
        written: The statements of the transaction.
        new: The keys that must be new in each request.
        version: The version, in the recorded request, of the row that each request of the client
            increments; 0 if there is no such row.
        at: The instant of the recording, in microseconds since 1970.
    """

    read: Stored
    written: list[Stored]
    new: list[str]
    version: int
    at: int


def record(recorder: Recorder, ask: Callable[[], None]) -> Recording:
    """Record a request of one client.

    Args:
        recorder: The recorder, in the store that `ask` uses.
        ask: Sends a request that differs from the previous one only in values that must be new.
    """
    ask()
    first = _all_values(recorder)
    ask()
    second = _all_values(recorder)
    changed = [
        (before, after) for before, after in zip(first, second, strict=True) if before != after
    ]
    keys = {after for _, after in changed if isinstance(after, str) and _is_key(after)}
    versions = {
        after
        for before, after in changed
        if isinstance(before, int) and isinstance(after, int) and after == before + 1
    }
    assert len(versions) <= 1, versions
    return Recording(
        read=(recorder.read.text, [*recorder.read.values]),
        written=[(each.text, [*each.values]) for each in _joined(recorder)],
        new=sorted(keys),
        version=versions.pop() if versions else 0,
        at=_now(),
    )


def _joined(recorder: Recorder) -> list[Statement]:
    if recorder.dialect is Dialect.POSTGRESQL and recorder.written:
        return combine_in_batches(recorder.written)
    return recorder.written


def _all_values(recorder: Recorder) -> list[Value]:
    return [value for each in (recorder.read, *recorder.written) for value in each.values]


def _is_key(text: str) -> bool:
    return bool(_UUID.fullmatch(text) or _DIGEST.fullmatch(text))


@attrs.define
class Floor:
    """The hand-written floor of one kind of request of one client.

    Attributes:
        recording: The recorded request.
        number: The number of requests so far.
    """

    recording: Recording
    number: int = 0

    def statements(self) -> tuple[Statement, list[Statement]]:
        """Return the SELECT and the statements of the transaction, for the next request."""
        self.number += 1
        recording = self.recording
        new: dict[Value, Value] = {
            key: str(uuid4()) if "-" in key else secrets.token_hex(32) for key in recording.new
        }
        if recording.version:
            new[recording.version] = recording.version + self.number
        passed = _now() - recording.at
        for _, values in recording.written:
            # A bucket refuses an old charge, so every instant moves on with the time.
            new |= {
                value: value + passed
                for value in values
                if isinstance(value, int) and value > _FIRST_INSTANT
            }
        written = [_with_new(each, new) for each in recording.written]
        return _with_new(recording.read, new), written


def _with_new(stored: Stored, new: dict[Value, Value]) -> Statement:
    text, values = stored
    return Statement(text, tuple([new.get(value, value) for value in values]))


def _now() -> int:
    return time.time_ns() // 1000


# --- Running --------------------------------------------------------------------------------


class ByHand(Protocol):
    """A driver as a careful engineer uses it, with a connection pool and prepared statements."""

    async def rows(self, statement: Statement) -> object:
        """Run a SELECT."""
        ...

    async def write(self, statements: Sequence[Statement]) -> None:
        """Run a transaction."""
        ...


class _AsyncpgConnection(Protocol):
    # asyncpg ships without type hints.
    async def fetch(self, text: str, *values: Value) -> object: ...


class _AsyncpgPool(Protocol):
    def acquire(self) -> AbstractAsyncContextManager[_AsyncpgConnection]: ...


class _AsyncpgModule(Protocol):
    async def create_pool(
        self, url: str, *, min_size: int, max_size: int, reset: Callable[[object], Awaitable[None]]
    ) -> _AsyncpgPool: ...


class _Asyncpg:
    def __init__(self, url: sa.URL) -> None:
        self._url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._pool: _AsyncpgPool | None = None
        self._opening = asyncio.Lock()

    async def rows(self, statement: Statement) -> object:
        async with self._opening:
            if self._pool is None:
                asyncpg = cast("_AsyncpgModule", importlib.import_module("asyncpg"))
                self._pool = await asyncpg.create_pool(
                    self._url, min_size=POOL, max_size=POOL, reset=_no_reset
                )
        async with self._pool.acquire() as connection:
            return await connection.fetch(statement.as_numbered, *statement.values)

    async def write(self, statements: Sequence[Statement]) -> None:
        (statement,) = statements
        await self.rows(statement)


async def _no_reset(_: object) -> None:
    """Skip the reset of asyncpg's pool, which costs one more round trip."""


class _Psycopg:
    def __init__(self, url: sa.URL) -> None:
        from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415 - needed for this driver alone

        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._pool = AsyncConnectionPool(
            plain, min_size=POOL, max_size=POOL, open=False, kwargs={"autocommit": True}
        )
        self._is_open = False

    async def rows(self, statement: Statement) -> object:
        from psycopg import AsyncRawCursor  # noqa: PLC0415 - as above

        if not self._is_open:
            self._is_open = True
            await self._pool.open()
        async with self._pool.connection() as connection:
            cursor = AsyncRawCursor(connection)
            await cursor.execute(statement.as_numbered.encode(), statement.values)
            return await cursor.fetchall() if cursor.description else ()

    async def write(self, statements: Sequence[Statement]) -> None:
        (statement,) = statements
        await self.rows(statement)


class _Cursor(Protocol):
    def execute(self, text: str, values: Sequence[Value], /) -> object: ...
    def fetchall(self) -> object: ...


class _Threads:
    """A blocking driver of SQLite or MariaDB, run in threads with a connection each."""

    def __init__(self, connect: Callable[[], Callable[[], _Cursor]], begin: str, mark: str) -> None:
        self._connect = connect
        self._begin = begin
        self._mark = mark
        self._mine = threading.local()

    def _cursor(self) -> _Cursor:
        if not hasattr(self._mine, "cursor"):
            self._mine.cursor = self._connect()
        cursor: Callable[[], _Cursor] = self._mine.cursor
        return cursor()

    def _text(self, statement: Statement) -> str:
        return statement.text if self._mark == "?" else statement.as_format

    def _read(self, statement: Statement) -> object:
        cursor = self._cursor()
        cursor.execute(self._text(statement), statement.values)
        return cursor.fetchall()

    def _write(self, statements: Sequence[Statement]) -> None:
        cursor = self._cursor()
        cursor.execute(self._begin, ())
        for statement in statements:
            cursor.execute(self._text(statement), statement.values)
        cursor.execute("COMMIT", ())

    async def rows(self, statement: Statement) -> object:
        return await asyncio.to_thread(self._read, statement)

    async def write(self, statements: Sequence[Statement]) -> None:
        await asyncio.to_thread(self._write, statements)


def by_hand(url: sa.URL) -> ByHand:
    """Return a database opened by its URL's driver, or by a blocking one for SQLite and MariaDB."""
    match url.get_backend_name():
        case "sqlite":

            def connect() -> Callable[[], _Cursor]:
                opened = sqlite3.connect(str(url.database), timeout=60, isolation_level=None)
                opened.execute("PRAGMA journal_mode = WAL")
                return opened.cursor

            return _Threads(connect, "BEGIN IMMEDIATE", "?")
        case "mariadb":
            pymysql = importlib.import_module("pymysql")
            _, named = (
                url.set(drivername="mariadb+pymysql").get_dialect()().create_connect_args(url)
            )

            def open_mariadb() -> Callable[[], _Cursor]:
                opened = pymysql.connect(**named, autocommit=True, charset="utf8mb4")
                return cast("Callable[[], _Cursor]", opened.cursor)

            return _Threads(open_mariadb, "BEGIN", "%s")
        case _:
            return _Asyncpg(url) if url.get_driver_name() == "asyncpg" else _Psycopg(url)
