"""Tests of the databases on an engine: which connections they keep, and what their errors become."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final, cast

import attrs
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.sql.async_drivers import AsyncConnection
from curae_lifecycle.stores.sql.drivers import DriverConnection
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    _reraise_unconnected,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.engine_factory import COUNTED, AsyncEngine, limits_of
from curae_lifecycle.stores.sql.pool import AsyncPool
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from tests.stores.sql.fake_psycopg import FakeCursor, FakePgconn, FakePsycopg
from tests.support.serving import run_async

ONE: Final = Statement("SELECT 1")
MAKE: Final = Statement("CREATE TABLE kept (id INTEGER PRIMARY KEY)")
PUT: Final = Statement("INSERT INTO kept (id) VALUES (?)", (1,), 1)
UNUSED: Final = "sqlite:///never-opened.db"
NOT_FREE: Final = "no connection was free in time"


class SqlAlchemyAsyncEngine:
    """Looks like the `AsyncEngine` of SQLAlchemy, which needs a package of C code."""

    async def dispose(self) -> None:
        """Close all connections."""


@pytest.mark.parametrize(
    ("is_async", "engine", "fix"),
    [
        *[
            (
                each,
                SqlAlchemyAsyncEngine(),
                "this one is SQLAlchemy's, so pass its URL to that function",
            )
            for each in (False, True)
        ],
        (False, create_engine_async(UNUSED), "this one is async, so use AsyncSqlDatabase"),
        (
            True,
            create_engine(UNUSED),
            "this one is blocking, so use ThreadedDatabase(SqlDatabase(engine))",
        ),
        *[(each, UNUSED, "pass the URL to that function") for each in (False, True)],
        *[(each, 5, "int is no engine") for each in (False, True)],
    ],
)
def test_error_for_a_wrong_engine_says_how_to_fix_it(
    engine: object, fix: str, *, is_async: bool
) -> None:
    kind = cast("Callable[[object], object]", AsyncSqlDatabase if is_async else SqlDatabase)
    with pytest.raises(ArgumentError) as raised:
        kind(engine)
    maker = "create_engine_async" if is_async else "create_engine"
    allowed = f"an engine from {maker}: {fix}"
    assert (raised.value.argument, raised.value.allowed) == ("engine", allowed)


# --- SQLite -------------------------------------------------------------------------------------


@attrs.define
class Counts:
    """The numbers of connections that an engine opened and closed."""

    opened: int = 0
    closed: int = 0


def counts_of(engine: sa.Engine) -> Counts:
    counts = Counts()

    def count_opened(*_: object) -> None:
        counts.opened += 1

    def count_closed(*_: object) -> None:
        counts.closed += 1

    event.listen(engine, "connect", count_opened)
    event.listen(engine, "close", count_closed)
    return counts


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[sa.Engine]:
    made = create_engine(sqlite_url, timeout=0.01, pool_size=2)
    yield made
    made.dispose()


def test_statements_reuse_one_connection_even_after_sql_errors(engine: sa.Engine) -> None:
    database, counts = SqlDatabase(engine), counts_of(engine)
    for _ in range(2):
        assert [*database.rows(ONE)] == [(1,)]
        with pytest.raises(sqlite3.OperationalError, match="missing"):
            database.rows(Statement("SELECT id FROM missing"))
    assert counts == Counts(opened=1, closed=0)


def test_losing_a_db_connection_closes_all_idle_connections(engine: sa.Engine) -> None:
    database, counts = SqlDatabase(engine), counts_of(engine)
    for each in [engine.raw_connection() for _ in range(2)]:
        each.close()

    def lose(connection: DriverConnection) -> None:
        vars(connection)["_connection"].close()
        connection.run(ONE)

    with pytest.raises(sqlite3.ProgrammingError):
        database._with_connection(lose)
    assert counts == Counts(opened=2, closed=2)
    assert [*database.rows(ONE)] == [(1,)]
    assert counts == Counts(opened=3, closed=2)


def test_lock_timeout_of_a_commit_stores_nothing(engine: sa.Engine, sqlite_url: str) -> None:
    database = SqlDatabase(engine)
    database.run_ddl([MAKE])
    path = sa.make_url(sqlite_url).database
    assert path is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for act in (database.run_transaction, database.run_ddl):
            with pytest.raises(StoreUnchangedError, match="code SQLITE_BUSY") as raised:
                act([PUT])
            # The driver's error may hold a stored value.
            assert raised.value.__cause__ is None
        other.execute("ROLLBACK")
    assert database.run_transaction([PUT])
    assert not database.run_transaction([PUT]), "the row exists"


def test_statement_raises_if_no_connection_slot_frees_in_time(engine: sa.Engine) -> None:
    free = limits_of(engine).free
    for _ in range(2):
        assert free.acquire(blocking=False)
    late = threading.Timer(5, free.release)
    late.start()
    with pytest.raises(StoreUnchangedError, match=NOT_FREE):
        SqlDatabase(engine).rows(ONE)
    late.cancel()


def test_statement_raises_if_all_pooled_connections_stay_in_use(engine: sa.Engine) -> None:
    held = [engine.raw_connection() for _ in range(2)]
    with pytest.raises(StoreUnchangedError, match=NOT_FREE):
        SqlDatabase(engine).rows(ONE)
    for each in held:
        each.close()
    assert SqlDatabase(engine).rows(ONE)


# --- PostgreSQL ---------------------------------------------------------------------------------


@attrs.define
class Pooled:
    """A pooled connection of SQLAlchemy to PostgreSQL."""

    driver_connection: FakePsycopg
    info: dict[str, object] = attrs.field(factory=dict[str, object])
    is_valid: bool = True
    closed: int = 0

    def invalidate(self) -> None:
        assert self.is_valid
        self.is_valid = False

    def close(self) -> None:
        self.closed += 1


@attrs.define(eq=False)
class Acting(FakePsycopg):
    """A connection of psycopg that does something while a statement runs."""

    act: Callable[[], object] = lambda: None

    def record(self, text: str, values: Sequence[object]) -> None:
        super().record(text, values)
        self.act()


@attrs.define
class Server:
    """A server of PostgreSQL with one connection, and a database on it."""

    engine: sa.Engine
    pooled: Pooled
    end: socket.socket
    # The threads of earlier tests, which may not end.
    others: frozenset[threading.Thread]

    @property
    def database(self) -> SqlDatabase:
        return SqlDatabase(self.engine)

    def is_free(self) -> bool:
        """Return whether another connection may be used now."""
        free = limits_of(self.engine).free
        if not free.acquire(blocking=False):
            return False
        free.release()
        return True

    def check_counted(self) -> None:
        """Check that the closed connection counts until the server has closed it."""
        assert not self.pooled.is_valid
        assert COUNTED in self.pooled.info
        assert not self.is_free()
        self.pooled.driver_connection.closed = True
        self.end.close()
        for each in {*threading.enumerate()} - self.others:
            each.join(10)
        assert self.is_free()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(psycopg, "RawCursor", FakeCursor)
    others = frozenset(threading.enumerate())
    ours, theirs = socket.socketpair()
    made = create_engine("postgresql://127.0.0.1:9/none", timeout=60.0, pool_size=1)
    pooled = Pooled(Acting(pgconn=FakePgconn(socket=ours.detach())))
    monkeypatch.setattr(made, "raw_connection", lambda: pooled)
    with theirs:
        yield Server(made, pooled, end=theirs, others=others)
    socket.close(pooled.driver_connection.pgconn.socket)


def lose() -> None:
    raise psycopg.OperationalError("the server is gone")


def test_postgresql_ddl_runs_in_one_transaction(server: Server) -> None:
    server.database.run_ddl([MAKE, ONE])
    ran = [text for text, _ in server.pooled.driver_connection.ran]
    assert ran == ["BEGIN", MAKE.text, ONE.text, "COMMIT"]
    assert (server.pooled.closed, server.pooled.is_valid, server.is_free()) == (1, True, True)


def test_lost_db_connection_holds_a_slot_until_server_closes_it(server: Server) -> None:
    driver = server.pooled.driver_connection
    assert isinstance(driver, Acting)
    driver.act = lose
    driver.pgconn.transaction_status = 1
    pool = server.engine.pool
    with pytest.raises(StoreUnavailableError, match="OperationalError"):
        server.database.rows(ONE)
    assert server.engine.pool is not pool
    assert (server.pooled.closed, [text for text, _ in driver.ran]) == (1, ["SELECT 1", "ROLLBACK"])
    server.check_counted()


def test_connection_of_a_disposed_pool_holds_slot_until_closed(server: Server) -> None:
    driver = server.pooled.driver_connection
    assert isinstance(driver, Acting)
    driver.act = server.engine.dispose
    server.database.run_ddl([ONE])
    server.check_counted()


def test_failed_first_connect_raises_with_the_drivers_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = psycopg.OperationalError("the server is gone")

    def connect() -> object:
        raise DBAPIError("SELECT version()", None, cause)

    monkeypatch.setattr(server.engine, "raw_connection", connect)
    with pytest.raises(StoreUnchangedError) as raised:
        server.database.rows(ONE)
    assert "no connection (OperationalError of postgresql)" in str(raised.value)
    assert raised.value.__cause__ is cause


# --- Async --------------------------------------------------------------------------------------


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("a test")
    error.sqlite_errorcode = code
    return error


BUSY: Final = sqlite_error(sqlite3.SQLITE_BUSY)


@attrs.define(eq=False)
class AsyncFake:
    """An async connection that fails with `error`, and recovers or not."""

    error: BaseException | None = None
    recovers: bool | Exception = True
    recovered: int = 0
    closed: bool = False
    ran: list[Statement] = attrs.field(factory=list[Statement])

    async def rows(self, statement: Statement) -> Rows:
        await self.run_all([statement])
        return [(1,)]

    async def run_all(self, statements: Sequence[Statement]) -> bool:
        self.ran += statements
        if self.error is not None:
            raise self.error
        return True

    async def recover(self) -> bool:
        self.recovered += 1
        if isinstance(self.recovers, Exception):
            raise self.recovers
        return self.recovers

    async def close(self) -> None:
        self.closed = True


@attrs.define
class AsyncFakes:
    """A database whose first connection is given, and the connections that it opens."""

    first: AsyncFake
    opened: list[AsyncFake] = attrs.field(factory=list[AsyncFake])

    async def connect(self) -> AsyncConnection:
        self.opened.append(AsyncFake() if self.opened else self.first)
        return self.opened[-1]

    def database(self) -> AsyncSqlDatabase:
        pool = AsyncPool(self.connect, 1, 60.0)
        return AsyncSqlDatabase(AsyncEngine(Dialect.SQLITE, pool, (sqlite3.Error,)))


def test_async_database_reuses_one_connection_for_all_statements() -> None:
    fakes = AsyncFakes(AsyncFake())

    async def act() -> None:
        database = fakes.database()
        assert database.dialect is Dialect.SQLITE
        assert await database.rows(ONE) == [(1,)]
        assert await database.run_transaction([PUT]) is True
        await database.run_ddl([MAKE])

    run_async(act())
    (used,) = fakes.opened
    ran = [each.text for each in used.ran]
    begin = "BEGIN IMMEDIATE"
    assert ran == [ONE.text, begin, PUT.text, "COMMIT", begin, MAKE.text, "COMMIT"]
    assert used.recovered == 0


@pytest.mark.parametrize(
    ("error", "recovers", "recovered", "opened"),
    [
        (BUSY, True, 1, 1),
        (BUSY, False, 1, 2),
        (BUSY, sqlite3.OperationalError("lost"), 1, 2),
        (asyncio.CancelledError(), True, 0, 2),
    ],
)
def test_async_connection_is_reused_only_if_its_cleanup_succeeds(
    error: BaseException, recovered: int, opened: int, *, recovers: bool | Exception
) -> None:
    fakes = AsyncFakes(AsyncFake(error, recovers))

    async def act() -> None:
        database = fakes.database()
        raised = StoreUnchangedError if error is BUSY else asyncio.CancelledError
        with pytest.raises(raised):
            await database.rows(ONE)
        fakes.first.error = None
        assert await database.rows(ONE) == [(1,)]

    run_async(act())
    assert (fakes.first.recovered, len(fakes.opened)) == (recovered, opened)
    assert fakes.first.closed == (opened == 2)


def test_async_sqlite_busy_error_raises_store_unchanged_error() -> None:
    fakes = AsyncFakes(AsyncFake(BUSY))

    async def act() -> None:
        database = fakes.database()
        for run in (
            lambda: database.rows(ONE),
            lambda: database.run_ddl([MAKE]),
            lambda: database.run_transaction([PUT]),
        ):
            with pytest.raises(StoreUnchangedError, match="code 5"):
                await run()

    run_async(act())


def test_async_permanent_errors_are_raised_unchanged() -> None:
    error = sqlite_error(sqlite3.SQLITE_CORRUPT)
    fakes = AsyncFakes(AsyncFake(error))

    async def act() -> None:
        database = fakes.database()
        for run in (
            lambda: database.rows(ONE),
            lambda: database.run_ddl([MAKE]),
            lambda: database.run_transaction([PUT]),
        ):
            with pytest.raises(sqlite3.OperationalError) as raised:
                await run()
            assert raised.value is error

    run_async(act())


@pytest.mark.parametrize(
    ("dialect", "refusal", "code"),
    [
        (Dialect.POSTGRESQL, psycopg.errors.ObjectNotInPrerequisiteState("no"), "55000"),
        (Dialect.MARIADB, sqlite3.OperationalError(1045, "Access denied"), "1045"),
        (Dialect.MARIADB, sqlite3.OperationalError(1129, "Host is blocked"), "1129"),
    ],
)
def test_error_of_refused_async_connect_has_the_servers_code(
    dialect: Dialect, refusal: Exception, code: str
) -> None:
    async def connect() -> AsyncConnection:
        raise refusal

    async def act() -> None:
        pool = AsyncPool(connect, 1, 60.0)
        database = AsyncSqlDatabase(AsyncEngine(dialect, pool, (type(refusal),)))
        with pytest.raises(StoreUnchangedError, match=f"code {code}") as raised:
            await database.rows(ONE)
        assert raised.value.__cause__ is refusal

    run_async(act())


def test_async_commit_of_an_existing_row_is_a_conflict() -> None:
    fakes = AsyncFakes(AsyncFake(sqlite_error(sqlite3.SQLITE_CONSTRAINT_UNIQUE)))

    async def act() -> bool:
        return await fakes.database().run_transaction([PUT])

    assert run_async(act()) is False


@pytest.mark.parametrize("dialect", Dialect)
def test_connect_error_not_from_the_server_is_raised_unchanged(dialect: Dialect) -> None:
    with pytest.raises(LookupError):
        _reraise_unconnected(dialect, LookupError("no such host"))
