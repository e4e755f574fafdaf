"""The drivers' own connections: how each runs a statement, and what state it says it is in."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from curae_lifecycle.stores.sql.replication import CONFIRM
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import Rows

if TYPE_CHECKING:
    from curae_lifecycle.stores.sql.postgresql import AsyncBoundedConnection, BoundedConnection

_MARIADB_BEGUN: Final = 1
"""What is set in MariaDB's status while a transaction is open."""


class Cursor(Protocol):
    """What a statement was run on."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchall(self) -> Rows:
        """The rows that it gave."""
        ...


class DriverConnection(Protocol):
    """A connection that statements run on."""

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and nothing was begun on it."""
        ...

    def set_lock_timeout(self, seconds: float) -> None:
        """Let no lock be waited for any longer, where the database does not count it itself."""
        ...

    def run(self, statement: Statement) -> Cursor:
        """Run a statement."""
        ...

    def rollback(self) -> None:
        """Undo what was begun."""
        ...


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def is_idle(self) -> bool:
        return not self._connection.in_transaction

    def set_lock_timeout(self, seconds: float) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}").close()

    def run(self, statement: Statement) -> Cursor:
        return self._connection.execute(statement.text, statement.values)

    def rollback(self) -> None:
        self._connection.rollback()


class _Postgresql:
    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection

    @property
    def is_idle(self) -> bool:
        return _is_idle(self._connection)

    def set_lock_timeout(self, seconds: float) -> None:
        """Its server counts, and the connection counts the seconds of an answer."""

    def run(self, statement: Statement) -> Cursor:
        from psycopg import RawCursor  # noqa: PLC0415 - needed for PostgreSQL alone

        replication = self._connection.replication
        if replication.is_in_doubt and self.is_idle:
            doubts = replication.cancelled_waits
            self._connection.execute(CONFIRM)
            replication.settle(doubts)
        cursor = RawCursor(self._connection)
        cursor.execute(statement.as_numbered.encode(), statement.values)
        replication.check()
        return cursor

    def rollback(self) -> None:
        self._connection.rollback()


class _PymysqlCursor(Cursor, Protocol):
    def execute(self, text: str, values: Sequence[object], /) -> object: ...


class _Pymysql(Protocol):
    # PyMySQL comes without types.
    @property
    def open(self) -> bool: ...
    @property
    def server_status(self) -> int: ...
    def cursor(self) -> _PymysqlCursor: ...
    def rollback(self) -> None: ...


class _Mariadb:
    def __init__(self, connection: _Pymysql) -> None:
        self._connection = connection

    @property
    def is_idle(self) -> bool:
        return self._connection.open and not self._connection.server_status & _MARIADB_BEGUN

    def set_lock_timeout(self, seconds: float) -> None:
        """Its server counts."""

    def run(self, statement: Statement) -> Cursor:
        cursor = self._connection.cursor()
        cursor.execute(statement.as_format, statement.values)
        return cursor

    def rollback(self) -> None:
        self._connection.rollback()


def connection_of(dialect: Dialect, connection: object) -> DriverConnection:
    """A driver's own connection, as one that statements run on."""
    match dialect:
        case Dialect.SQLITE:
            return _Sqlite(cast("sqlite3.Connection", connection))
        case Dialect.POSTGRESQL:
            return _Postgresql(cast("BoundedConnection", connection))
        case Dialect.MARIADB:
            return _Mariadb(cast("_Pymysql", connection))


class AsyncDriverConnection:
    """A connection of psycopg that is awaited."""

    def __init__(self, connection: object) -> None:
        self._connection = cast("AsyncBoundedConnection", connection)

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and nothing was begun on it."""
        return _is_idle(self._connection)

    async def run(self, statements: Sequence[Statement]) -> Rows:
        """Run statements, one after another, and give the rows of the last."""
        from psycopg import AsyncRawCursor  # noqa: PLC0415 - needed for PostgreSQL alone

        replication = self._connection.replication
        if replication.is_in_doubt:
            doubts = replication.cancelled_waits
            await self._connection.execute(CONFIRM)
            replication.settle(doubts)
        cursor = AsyncRawCursor(self._connection)
        for statement in statements:
            await cursor.execute(statement.as_numbered.encode(), statement.values)
        replication.check()
        return await cursor.fetchall() if cursor.description else ()

    async def rollback(self) -> None:
        """Undo what was begun."""
        await self._connection.rollback()


def _is_idle(connection: BoundedConnection | AsyncBoundedConnection) -> bool:
    return not connection.closed and connection.pgconn.transaction_status == 0
