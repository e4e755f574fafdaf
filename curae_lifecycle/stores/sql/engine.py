"""Databases that run statements, blocking and async.

The laws of this module: **a read takes one round trip, and so does a commit if the database allows
it**; **a transaction that fails is rolled back**, or its connection is not used again.

SQLAlchemy makes and pools blocking connections, and `AsyncPool` pools async ones. The statements run
on the drivers' own cursors.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import NoReturn, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from curae_lifecycle.rules.values import check_type
from curae_lifecycle.stores.contract import StoreUnchangedError
from curae_lifecycle.stores.deadline import seconds_left
from curae_lifecycle.stores.sql.async_drivers import AsyncConnection
from curae_lifecycle.stores.sql.drivers import DriverConnection, connection_of
from curae_lifecycle.stores.sql.engine_factory import (
    COUNTED,
    AsyncEngine,
    create_engine,
    create_engine_async,
    limits_of,
)
from curae_lifecycle.stores.sql.failures import (
    has_connect_error_code,
    is_conflict,
    is_read_only,
    is_transient,
    reason,
    to_store_error,
)
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement, combine_in_batches
from curae_lifecycle.stores.wiring import is_async_engine

__all__ = ["AsyncSqlDatabase", "SqlDatabase", "create_engine", "create_engine_async"]

_Result = TypeVar("_Result")


class SqlDatabase:
    """The blocking database of a `SqlStore`: SQLite, PostgreSQL or MariaDB through SQLAlchemy.

    Every method raises `StoreUnavailableError` for a transient failure, or if the server refuses
    the connection. For any other failure, it raises the driver's error.

    Args:
        engine: An engine from `create_engine`.

    Raises:
        ArgumentError: `engine` is async, from another function, or no engine.
    """

    def __init__(self, engine: sa.Engine) -> None:
        allowed = f"an engine from create_engine: {_fix_of(engine)}"
        check_type("engine", engine, sa.Engine, allowed=allowed)
        self._engine = engine
        self._limits = limits_of(engine)
        self._replacing = threading.Lock()
        self._dialect = Dialect(engine.dialect.name)
        self._error = _error_of(engine)

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        return self._dialect

    def rows(self, statement: Statement) -> Rows:
        """Run one statement as a separate transaction and return its rows."""
        try:
            return self._with_connection(lambda connection: connection.run(statement).fetchall())
        except self._error as error:
            _reraise(self._dialect, error)

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run DDL statements, in one transaction except on MariaDB, which commits each."""
        steps = _ddl_steps(self._dialect, statements)
        try:
            self._with_connection(lambda connection: _run_all(connection, steps))
        except self._error as error:
            _reraise(self._dialect, error)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction.

        Returns:
            Whether the transaction committed. If not, it was undone: a statement did not change as
            many rows as it must (`expected_rows`), a unique index refused a row, or a concurrent
            transaction won.
        """
        steps = _transaction_steps(self._dialect, statements)
        try:
            return self._with_connection(lambda connection: _run_all(connection, steps))
        except self._error as error:
            if is_conflict(self._dialect, error):
                return False
            _reraise(self._dialect, error)

    def _with_connection(self, act: Callable[[DriverConnection], _Result]) -> _Result:
        limits = self._limits
        if not limits.free.acquire(timeout=seconds_left(limits.wait)):
            raise StoreUnchangedError("no connection was free in time")
        closing: socket.socket | None = None
        try:
            pool = self._engine.pool
            pooled = self._connect()
            connection = connection_of(self._dialect, pooled.driver_connection)
            try:
                connection.set_lock_timeout(seconds_left(limits.wait))
                return act(connection)
            except BaseException as error:
                with suppress(self._error):
                    connection.rollback()
                if not connection.is_idle or is_read_only(self._dialect, error):
                    # The connection is of no use, and others of the pool may be too: drop them all.
                    closing = _invalidate(pooled, connection)
                    with self._replacing:
                        if self._engine.pool is pool:
                            self._engine.dispose()
                raise
            finally:
                if self._engine.pool is not pool and pooled.is_valid:
                    # The pool was replaced meanwhile. The old one would keep this connection open
                    # and never use it again.
                    closing = _invalidate(pooled, connection)
                pooled.close()
                if self._engine.pool is not pool:
                    # It was replaced since, and the connection went back to the old one.
                    pool.dispose()
        finally:
            limits.release_when_closed(closing)

    def _connect(self) -> PoolProxiedConnection:
        try:
            return self._engine.raw_connection()
        except (self._error, PoolTimeoutError, OSError) as error:
            _reraise_unconnected(self._dialect, error)
        except DBAPIError as error:
            # SQLAlchemy asks the server for its version on the first connection, and wraps errors.
            _reraise_unconnected(self._dialect, cast("Exception", error.orig))


class AsyncSqlDatabase:
    """The async database of an `AsyncSqlStore`: SQLite, PostgreSQL or MariaDB.

    Every method raises `StoreUnavailableError` for a transient failure, or if the server refuses
    the connection. For any other failure, it raises the driver's error.

    Args:
        engine: An engine from `create_engine_async`.

    Raises:
        ArgumentError: `engine` is blocking, from another function, or no engine.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        allowed = f"an engine from create_engine_async: {_fix_of(engine)}"
        check_type("engine", engine, AsyncEngine, allowed=allowed)
        self._dialect = engine.dialect
        self._pool = engine.pool
        self._errors = engine.errors

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        return self._dialect

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement as a separate transaction and return its rows."""
        try:
            return await self._with_connection(lambda connection: connection.rows(statement))
        except self._errors as error:
            _reraise(self._dialect, error)

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run DDL statements, in one transaction except on MariaDB, which commits each."""
        steps = _ddl_steps(self._dialect, statements)
        try:
            await self._with_connection(lambda connection: connection.run_all(steps))
        except self._errors as error:
            _reraise(self._dialect, error)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction.

        Returns:
            Whether the transaction committed. If not, it was undone: a statement did not change as
            many rows as it must (`expected_rows`), a unique index refused a row, or a concurrent
            transaction won.
        """
        steps = _transaction_steps(self._dialect, statements)
        try:
            return await self._with_connection(lambda connection: connection.run_all(steps))
        except self._errors as error:
            if is_conflict(self._dialect, error):
                return False
            _reraise(self._dialect, error)

    async def _with_connection(
        self, act: Callable[[AsyncConnection], Coroutine[None, None, _Result]]
    ) -> _Result:
        try:
            connection = await self._pool.acquire()
        except self._errors as error:
            _reraise_unconnected(self._dialect, error)
        is_usable = False
        try:
            result = await act(connection)
            is_usable = True
        except Exception as error:
            if not is_read_only(self._dialect, error):
                with suppress(*self._errors):
                    is_usable = await connection.recover()
            raise
        finally:
            if is_usable:
                self._pool.release(connection)
            else:
                self._pool.discard(connection)
        return result


def _fix_of(value: object) -> str:
    # The fix for a value that was passed instead of an engine.
    if isinstance(value, AsyncEngine):
        return "this one is async, so use AsyncSqlDatabase"
    if is_async_engine(value):
        return "this one is SQLAlchemy's, so pass its URL to that function"
    if isinstance(value, sa.Engine):
        return "this one is blocking, so use ThreadedDatabase(SqlDatabase(engine))"
    if isinstance(value, str):
        return "pass the URL to that function"
    return f"{type(value).__name__} is no engine"


def _transaction_steps(dialect: Dialect, statements: Sequence[Statement]) -> Sequence[Statement]:
    if dialect is Dialect.POSTGRESQL:
        statements = combine_in_batches(statements)
        if len(statements) == 1:
            return statements
    return _in_transaction(dialect, statements)


def _ddl_steps(dialect: Dialect, statements: Sequence[Statement]) -> Sequence[Statement]:
    # MariaDB commits each DDL statement by itself.
    return statements if dialect is Dialect.MARIADB else _in_transaction(dialect, statements)


def _in_transaction(dialect: Dialect, statements: Sequence[Statement]) -> Sequence[Statement]:
    # On SQLite, a plain BEGIN would fail if the transaction read first and another one wrote since.
    begin = "BEGIN IMMEDIATE" if dialect is Dialect.SQLITE else "BEGIN"
    return [Statement(begin), *statements, Statement("COMMIT")]


def _run_all(connection: DriverConnection, statements: Sequence[Statement]) -> bool:
    for statement in statements:
        changed = connection.run(statement).rowcount
        if statement.expected_rows not in {None, changed}:
            connection.rollback()
            return False
    return True


def _invalidate(
    pooled: PoolProxiedConnection, connection: DriverConnection
) -> socket.socket | None:
    # Closes a connection, and returns a second handle of its socket, which the server closes later.
    handle = connection.duplicate_socket()
    pooled.info[COUNTED] = True
    pooled.invalidate()
    return handle


def _error_of(engine: sa.Engine) -> type[Exception]:
    error: type[Exception] = engine.dialect.loaded_dbapi.Error
    return error


def _reraise(dialect: Dialect, error: Exception) -> NoReturn:
    # Errors that a retry may cure become a StoreUnavailableError. Others are raised unchanged.
    if is_transient(dialect, error):
        raise to_store_error(dialect, error) from None
    raise error


def _reraise_unconnected(dialect: Dialect, error: Exception) -> NoReturn:
    # No statement ran, so the driver's error holds no stored value and may be chained: operators
    # need its text to see why a server does not start.
    if isinstance(error, PoolTimeoutError):
        raise StoreUnchangedError("no connection was free in time") from None
    if has_connect_error_code(dialect, error) or is_transient(dialect, error):
        raise StoreUnchangedError(f"no connection ({reason(dialect, error)})") from error
    raise error
