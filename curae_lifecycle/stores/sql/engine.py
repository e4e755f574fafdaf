"""Statements on SQLAlchemy: its engines, pools and drivers, for all three databases.

The laws of this module: **a read and a commit are one round trip each** where the database can do
that; **what may pass is told from what would come again**, by the database's own codes; **nothing
waits for ever**: not for a connection, not for a lock, not for a statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import Rows
from curae_lifecycle.stores.sql.storing import as_one

WAIT: Final = 2.0
"""Seconds that a connection, a lock or a statement is waited for, where nothing else is said."""

_PASSING: Final = {
    # PostgreSQL: serialization failure, deadlock, lock not available, statement cancelled, too
    # many connections, shutting down.
    "40001", "40P01", "55P03", "57014", "53300", "57P01", "57P02", "57P03",
}  # fmt: skip
_PASSING_OF_MARIADB: Final = {
    # Deadlock, lock wait, row changed since it was read, statement cancelled, too many
    # connections, shutting down, server gone or lost.
    1213, 1205, 1020, 1969, 1317, 1040, 1053, 2002, 2003, 2006, 2013,
}  # fmt: skip
_PASSING_OF_SQLITE: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_NO_DIVISION: Final = "22012"
"""What PostgreSQL says where a commit of one statement undid itself."""

_SETUP_LOCK: Final = 0x63757261
"""Any number that no other application on the same PostgreSQL locks."""


def create_engine(url: str, *, wait: float = WAIT, pool_size: int = 10) -> sa.Engine:
    """An engine that a `SqlDatabase` can run on, its limits of time set.

    Args:
        url: `sqlite:///file`, `postgresql+psycopg://...` or `mariadb+pymysql://...`.
        wait: Seconds that a connection, a lock or a statement is waited for.
        pool_size: How many connections are kept, and how many there are at most.
    """
    dialect = _dialect_of(sa.make_url(url).get_backend_name())
    engine = sa.create_engine(
        url,
        # Those of a failed statement can hold the URL of a hosted page.
        hide_parameters=True,
        connect_args=_connect_args(dialect, wait),
        pool_timeout=wait,
        pool_size=pool_size,
        max_overflow=0,
        # Every transaction ends itself; MariaDB would be asked once more each time.
        pool_reset_on_return=None if dialect is Dialect.MARIADB else "rollback",
    )
    if dialect is Dialect.SQLITE:
        event.listen(engine, "connect", _write_ahead)
    return engine


def create_awaited_engine(url: str, *, wait: float = WAIT, pool_size: int = 10) -> AsyncEngine:
    """The same, awaited; for PostgreSQL. SQLite is faster in threads."""
    return create_async_engine(
        url,
        hide_parameters=True,
        connect_args=_connect_args(_dialect_of(sa.make_url(url).get_backend_name()), wait),
        pool_timeout=wait,
        pool_size=pool_size,
        max_overflow=0,
    )


class SqlDatabase:
    """Runs statements on an engine of SQLAlchemy; see `create_engine`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._dialect = _dialect_of(engine.dialect.name)

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._dialect

    def rows(self, statement: Statement) -> Rows:
        """Run one statement by itself, and give its rows."""
        try:
            with self._engine.connect() as connection:
                return _run(connection, self._dialect, statement).all()
        except (DBAPIError, PoolTimeoutError) as error:
            _failed(error)
            raise

    def create(self, statements: Sequence[Statement]) -> None:
        """Run statements that make tables, one worker after another."""
        with self._engine.connect() as connection:
            _create(connection, self._dialect, statements)

    def change(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction; false where one did not change what it must."""
        try:
            with self._engine.connect() as connection:
                return _change(connection, self._dialect, statements)
        except (DBAPIError, PoolTimeoutError) as error:
            return _failed(error)


class AsyncSqlDatabase:
    """The same, awaited; see `create_awaited_engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._dialect = _dialect_of(engine.dialect.name)

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._dialect

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement by itself, and give its rows."""

        def run(connection: sa.Connection) -> Rows:
            return _run(connection, self._dialect, statement).all()

        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(run)
        except (DBAPIError, PoolTimeoutError) as error:
            _failed(error)
            raise

    async def create(self, statements: Sequence[Statement]) -> None:
        """Run statements that make tables, one worker after another."""

        def run(connection: sa.Connection) -> None:
            _create(connection, self._dialect, statements)

        async with self._engine.connect() as connection:
            await connection.run_sync(run)

    async def change(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction; false where one did not change what it must."""

        def run(connection: sa.Connection) -> bool:
            return _change(connection, self._dialect, statements)

        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(run)
        except (DBAPIError, PoolTimeoutError) as error:
            return _failed(error)


def _run(
    connection: sa.Connection, dialect: Dialect, statement: Statement
) -> sa.CursorResult[tuple[object, ...]]:
    text = statement.text if dialect is Dialect.SQLITE else statement.as_format
    return connection.exec_driver_sql(text, statement.values)


def _change(connection: sa.Connection, dialect: Dialect, statements: Sequence[Statement]) -> bool:
    if dialect is Dialect.POSTGRESQL:
        # One statement is a transaction by itself.
        _run(connection, dialect, as_one(statements))
        return True
    with _Transaction(connection, dialect) as transaction:
        for statement in statements:
            changed = _run(connection, dialect, statement).rowcount
            if statement.rows not in {None, changed}:
                return False
        transaction.commit()
    return True


def _create(connection: sa.Connection, dialect: Dialect, statements: Sequence[Statement]) -> None:
    with _Transaction(connection, dialect) as transaction:
        if dialect is Dialect.POSTGRESQL:
            # Two that start at the same time would both find no table, and one would be refused.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SETUP_LOCK})")
        for statement in statements:
            _run(connection, dialect, statement)
        transaction.commit()


class _Transaction:
    """A transaction that is rolled back unless it was committed."""

    def __init__(self, connection: sa.Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._open = False

    def __enter__(self) -> Self:
        immediate = self._dialect is Dialect.SQLITE
        # SQLite refuses a transaction in the middle that read first and writes later.
        self._connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
        self._open = True
        return self

    def commit(self) -> None:
        """Commit it."""
        self._connection.exec_driver_sql("COMMIT")
        self._open = False

    def __exit__(self, *_: object) -> None:
        if self._open:
            with suppress(DBAPIError):
                self._connection.exec_driver_sql("ROLLBACK")
                return
            # Nobody knows what state it is in.
            self._connection.invalidate()


def _failed(error: DBAPIError | PoolTimeoutError) -> bool:
    """False where a commit undid itself; raises what may pass by name, and the rest as it is."""
    if isinstance(error, IntegrityError):
        return False
    if isinstance(error, PoolTimeoutError):
        raise StoreUnavailableError("no connection was free in time") from None
    state = getattr(error.orig, "sqlstate", None)
    if state == _NO_DIVISION:
        return False
    if error.connection_invalidated or _is_passing(error, state):
        reason = state or type(error.orig).__name__
        raise StoreUnavailableError(f"{type(error).__name__} ({reason})") from None
    raise error


def _is_passing(error: DBAPIError, state: object) -> bool:
    if state is not None or isinstance(error, InterfaceError):
        return state in _PASSING or state is None
    original = error.orig
    assert original is not None  # noqa: S101 - a DBAPI raised
    if isinstance(original, sqlite3.Error):
        return original.sqlite_errorcode & 0xFF in _PASSING_OF_SQLITE
    number = original.args[0] if original.args else None
    # psycopg says no state where it could not connect at all.
    return number in _PASSING_OF_MARIADB or isinstance(error, OperationalError)


def _dialect_of(name: str) -> Dialect:
    known = {"mysql": Dialect.MARIADB} | {each.value: each for each in Dialect}
    if name not in known:
        raise ArgumentError("engine", "one for SQLite, PostgreSQL or MariaDB")
    return known[name]


def _connect_args(dialect: Dialect, wait: float) -> dict[str, float | str]:
    milliseconds, seconds = int(wait * 1000), max(1, round(wait))
    match dialect:
        case Dialect.SQLITE:
            return {"timeout": wait}
        case Dialect.POSTGRESQL:
            limits = f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
            return {
                # libpq takes one second for two.
                "connect_timeout": max(2, seconds),
                "tcp_user_timeout": milliseconds,
                "options": limits,
            }
        case Dialect.MARIADB:
            # An update sets all its columns from what they were before.
            mode = "sql_mode = CONCAT(@@sql_mode, ',SIMULTANEOUS_ASSIGNMENT')"
            limits = f"innodb_lock_wait_timeout = {seconds}, max_statement_time = {seconds}"
            return {
                "charset": "utf8mb4",
                "connect_timeout": seconds,
                "read_timeout": 2 * seconds,
                "write_timeout": 2 * seconds,
                "init_command": f"SET SESSION {mode}, {limits}",
            }


def _write_ahead(connection: sqlite3.Connection, _: object) -> None:
    # Readers and the one writer do not wait for each other.
    connection.execute("PRAGMA journal_mode = WAL").close()
