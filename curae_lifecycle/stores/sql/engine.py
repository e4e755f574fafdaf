"""What runs statements: an engine of SQLAlchemy, or one that is awaited.

The laws of this module: **a read is one round trip, and a commit one where the database can do
that**; **what was not committed is undone**, or its connection is not used again.

SQLAlchemy makes the connections and pools them; the statements run on the drivers' own cursors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from curae_lifecycle.stores.contract import StoreUnchangedError
from curae_lifecycle.stores.deadline import seconds_left
from curae_lifecycle.stores.sql.drivers import (
    AsyncDriverConnection,
    DriverConnection,
    connection_of,
)
from curae_lifecycle.stores.sql.engine_factory import (
    bounds_of,
    create_engine,
    create_engine_async,
    dialect_of,
)
from curae_lifecycle.stores.sql.failures import is_conflict, is_transient, reason, to_store_error
from curae_lifecycle.stores.sql.statement import Dialect, Statement, combine_in_batches
from curae_lifecycle.stores.sql.store import Rows

__all__ = ["AsyncSqlDatabase", "SqlDatabase", "create_engine", "create_engine_async"]

_Answered = TypeVar("_Answered")


class SqlDatabase:
    """Runs statements on an engine; see `create_engine`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._dialect = dialect_of(engine)
        self._bounds = bounds_of(engine)
        self._error = _error_of(engine)

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._dialect

    def rows(self, statement: Statement) -> Rows:
        """Run one statement by itself, and give its rows."""
        try:
            return self._connected(lambda connection: connection.run(statement).fetchall())
        except self._error as error:
            _failed(self._dialect, error)

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run statements that make tables, in one transaction where the database can."""
        steps = _making(self._dialect, statements)
        try:
            self._connected(lambda connection: _run(connection, steps))
        except self._error as error:
            _failed(self._dialect, error)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction; false where one did not change what it must."""
        steps = _transaction(self._dialect, statements)
        try:
            return self._connected(lambda connection: _run(connection, steps))
        except self._error as error:
            if is_conflict(self._dialect, error):
                return False
            _failed(self._dialect, error)

    def _connected(self, act: Callable[[DriverConnection], _Answered]) -> _Answered:
        bounds = self._bounds
        if not bounds.free.acquire(timeout=seconds_left(bounds.wait)):
            raise StoreUnchangedError("no connection was free in time")
        try:
            return self._on_one(act)
        finally:
            bounds.free.release()

    def _on_one(self, act: Callable[[DriverConnection], _Answered]) -> _Answered:
        pool = self._engine.pool
        try:
            pooled = self._engine.raw_connection()
        except (self._error, PoolTimeoutError) as error:
            _unconnected(self._dialect, error)
        except DBAPIError as error:
            # SQLAlchemy asks the first connection what its server is.
            _unconnected(self._dialect, cast("Exception", error.orig))
        connection = connection_of(self._dialect, pooled.driver_connection)
        try:
            connection.set_lock_timeout(seconds_left(self._bounds.wait))
            return act(connection)
        except BaseException:
            with suppress(self._error):
                connection.rollback()
            if not connection.is_idle:
                # It is lost; so may be all that were made at the same time.
                pooled.invalidate()
                self._engine.dispose()
            raise
        finally:
            if self._engine.pool is not pool and pooled.is_valid:
                # Nobody would take it from a pool that was disposed of meanwhile.
                pooled.invalidate()
            pooled.close()


class AsyncSqlDatabase:
    """Runs statements on an awaited engine, of PostgreSQL; see `create_engine_async`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._dialect = dialect_of(engine.sync_engine)
        self._error = _error_of(engine.sync_engine)

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._dialect

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement by itself, and give its rows."""
        try:
            return await self._run([statement])
        except self._error as error:
            _failed(self._dialect, error)

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run statements that make tables, in one transaction where the database can."""
        try:
            await self._run(_making(self._dialect, statements))
        except self._error as error:
            _failed(self._dialect, error)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction; false where one did not change what it must."""
        try:
            await self._run(_transaction(self._dialect, statements))
        except self._error as error:
            if is_conflict(self._dialect, error):
                return False
            _failed(self._dialect, error)
        return True

    async def _run(self, statements: Sequence[Statement]) -> Rows:
        # The rows of the last one.
        pool = self._engine.sync_engine.pool
        try:
            pooled = await self._engine.connect()
        except PoolTimeoutError as error:
            _unconnected(self._dialect, error)
        except DBAPIError as error:
            _unconnected(self._dialect, cast("Exception", error.orig))
        try:
            connection = AsyncDriverConnection(
                (await pooled.get_raw_connection()).driver_connection
            )
            try:
                return await connection.run(statements)
            except BaseException:
                with suppress(self._error):
                    await connection.rollback()
                if not connection.is_idle:
                    await pooled.invalidate()
                    await self._engine.dispose()
                raise
        finally:
            if self._engine.sync_engine.pool is not pool and not pooled.invalidated:
                await pooled.invalidate()
            await pooled.close()


_BEGIN: Final = Statement("BEGIN")
_COMMIT: Final = Statement("COMMIT")


def _transaction(dialect: Dialect, statements: Sequence[Statement]) -> list[Statement]:
    match dialect:
        case Dialect.SQLITE:
            # It refuses a transaction in the middle that read first and writes later.
            return [Statement("BEGIN IMMEDIATE"), *statements, _COMMIT]
        case Dialect.MARIADB:
            return [_BEGIN, *statements, _COMMIT]
        case Dialect.POSTGRESQL:
            joined = combine_in_batches(statements)
            return joined if len(joined) == 1 else [_BEGIN, *joined, _COMMIT]


def _making(dialect: Dialect, statements: Sequence[Statement]) -> list[Statement]:
    match dialect:
        case Dialect.SQLITE:
            return _transaction(dialect, statements)
        case Dialect.MARIADB:
            # Each statement that makes a table is a transaction by itself.
            return [*statements]
        case Dialect.POSTGRESQL:
            return [_BEGIN, *statements, _COMMIT]


def _run(connection: DriverConnection, statements: Sequence[Statement]) -> bool:
    for statement in statements:
        changed = connection.run(statement).rowcount
        if statement.expected_rows not in {None, changed}:
            connection.rollback()
            return False
    return True


def _error_of(engine: sa.Engine) -> type[Exception]:
    error: type[Exception] = engine.dialect.loaded_dbapi.Error
    return error


def _failed(dialect: Dialect, error: Exception) -> NoReturn:
    # What may pass has a name of its own, and the rest comes out as it is.
    if is_transient(dialect, error):
        raise to_store_error(dialect, error) from None
    raise error


def _unconnected(dialect: Dialect, error: Exception) -> NoReturn:
    # No statement was run, so no error repeats a value; whoever starts a server must see why.
    if isinstance(error, PoolTimeoutError):
        raise StoreUnchangedError("no connection was free in time") from None
    if is_transient(dialect, error):
        raise StoreUnchangedError(f"no connection ({reason(dialect, error)})") from error
    raise error
