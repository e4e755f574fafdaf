"""Connections of blocking drivers behind one interface: run a statement, roll back, tell if idle."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from curae_lifecycle.stores.sql.pool import duplicate_socket
from curae_lifecycle.stores.sql.replication import CONFIRM
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement

if TYPE_CHECKING:
    from curae_lifecycle.stores.sql.postgresql import BoundedConnection

_MARIADB_IN_TRANSACTION: Final = 1
"""The bit of MariaDB's server status that is set while a transaction is open."""


class Cursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement changed or deleted."""
        ...

    def fetchall(self) -> Rows:
        """Return all rows of the result."""
        ...


class DriverConnection(Protocol):
    """The common interface of connections; each blocking driver has a class that implements it."""

    @property
    def is_idle(self) -> bool:
        """True if the connection is open and no transaction is open on it, otherwise False."""
        ...

    def set_lock_timeout(self, seconds: float) -> None:
        """Limit the wait for a lock to `seconds` on SQLite; do nothing on PostgreSQL and MariaDB.

        The servers of these two limit the wait themselves.
        """
        ...

    def run(self, statement: Statement) -> Cursor:
        """Run a statement and return its result."""
        ...

    def rollback(self) -> None:
        """Roll back the open transaction."""
        ...

    def duplicate_socket(self) -> socket.socket | None:
        """Return a second handle of the connection's socket; None except on PostgreSQL.

        With it, the caller can wait until the server has closed a connection that the driver has
        closed. The result is None for a closed connection, too.
        """
        ...


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def is_idle(self) -> bool:
        try:
            return not self._connection.in_transaction
        except sqlite3.ProgrammingError:
            # The connection is closed.
            return False

    def set_lock_timeout(self, seconds: float) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}").close()

    def run(self, statement: Statement) -> Cursor:
        return self._connection.execute(statement.text, statement.values)

    def rollback(self) -> None:
        self._connection.rollback()

    def duplicate_socket(self) -> socket.socket | None:
        return None


class _Postgresql:
    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection

    @property
    def is_idle(self) -> bool:
        connection = self._connection
        return not connection.closed and connection.pgconn.transaction_status == 0

    def set_lock_timeout(self, seconds: float) -> None:
        """Do nothing: the server limits locks, and `BoundedConnection` limits every response."""

    def run(self, statement: Statement) -> Cursor:
        from psycopg import RawCursor  # noqa: PLC0415 - needed for PostgreSQL alone

        replication = self._connection.replication
        if replication.is_in_doubt and self.is_idle:
            with replication.confirm_earlier_commits():
                self._connection.execute(CONFIRM)
        cursor = RawCursor(self._connection)
        cursor.execute(statement.as_numbered.encode(), statement.values)
        replication.check()
        return cursor

    def rollback(self) -> None:
        self._connection.rollback()

    def duplicate_socket(self) -> socket.socket | None:
        return socket_of(self._connection)


class _PymysqlCursor(Cursor, Protocol):
    def execute(self, text: str, values: Sequence[object], /) -> object: ...


class _PymysqlConnection(Protocol):
    # PyMySQL has no type annotations.
    @property
    def open(self) -> bool: ...
    @property
    def server_status(self) -> int: ...
    def cursor(self) -> _PymysqlCursor: ...
    def rollback(self) -> None: ...


class _Mariadb:
    def __init__(self, connection: _PymysqlConnection) -> None:
        self._connection = connection

    @property
    def is_idle(self) -> bool:
        driver = self._connection
        return driver.open and not driver.server_status & _MARIADB_IN_TRANSACTION

    def set_lock_timeout(self, seconds: float) -> None:
        """Do nothing: the server limits the wait for a lock."""

    def run(self, statement: Statement) -> Cursor:
        cursor = self._connection.cursor()
        cursor.execute(statement.as_format, statement.values)
        return cursor

    def rollback(self) -> None:
        self._connection.rollback()

    def duplicate_socket(self) -> socket.socket | None:
        # After a timeout PyMySQL has closed the socket already.
        return None


def socket_of(connection: BoundedConnection) -> socket.socket | None:
    """Return a second handle of a connection's socket, or None if the connection is closed.

    With it, the caller can wait until the server has closed a connection that psycopg has closed.
    """
    return None if connection.closed else duplicate_socket(connection.pgconn.socket)


def connection_of(dialect: Dialect, connection: object) -> DriverConnection:
    """Wrap a driver's connection in the common interface.

    Args:
        dialect: The database's dialect, which determines the driver.
        connection: A connection of sqlite3, PyMySQL or psycopg. One of psycopg must be a
            `BoundedConnection`, which limits the wait for each response.
    """
    match dialect:
        case Dialect.SQLITE:
            return _Sqlite(cast("sqlite3.Connection", connection))
        case Dialect.POSTGRESQL:
            return _Postgresql(cast("BoundedConnection", connection))
        case Dialect.MARIADB:
            return _Mariadb(cast("_PymysqlConnection", connection))
