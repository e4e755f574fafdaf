"""Tests that async databases and stores do what the blocking ones do."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol, cast

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.serve import record_async, serve, serve_async
from curae_lifecycle.stores.sql.async_drivers import AsyncpgConnection
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.session_settings import MariadbLimits, mariadb_limits
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncDatabase, AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from curae_lifecycle.testing.blocking import BlockingStoreAdapter
from tests.stores.sql.worlds import no_ids
from tests.support.page_rows import check_pages
from tests.support.patiently import PATIENCE, PATIENT
from tests.support.replaced_pages import check_replaced_pages
from tests.support.server import API_KEY, CALLER, KEYED, OPERATIONS, request
from tests.support.sql.databases import Clocked, with_driver
from tests.support.sql.works import SETTINGS, minted
from tests.support.strategies import COORDINATE

ONE = Statement("SELECT 1")
ASYNC_POSTGRES = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
Act = Callable[[AsyncDatabase], Awaitable[None]]


@pytest.fixture(
    params=[
        ("threads", "sqlite"),
        ("threads", "postgres"),
        ("aiosqlite", "sqlite"),
        ("psycopg", "postgres"),
        ("asyncpg", "postgres"),
        pytest.param(("threads", "mariadb"), marks=pytest.mark.mariadb),
        pytest.param(("asyncmy", "mariadb"), marks=pytest.mark.mariadb),
    ],
    ids="-".join,
)
def awaits(request: pytest.FixtureRequest) -> Callable[[Act], None]:
    """A function that runs an async test on a database of each kind."""
    how, kind = request.param
    url: str = request.getfixturevalue(f"{kind}_url")

    async def do(act: Act) -> None:
        if how == "threads":
            waiting = create_engine(url, timeout=PATIENCE)
            await act(ThreadedDatabase(SqlDatabase(waiting)))
            waiting.dispose()
        else:
            engine = create_engine_async(with_driver(url, how), timeout=PATIENCE)
            await act(AsyncSqlDatabase(engine))
            await engine.dispose()

    return lambda act: asyncio.run(do(act))


@pytest.mark.slow
def test_async_sql_store_answers_like_the_blocking_sql_store(
    awaits: Callable[[Act], None], sqlite_database: SqlDatabase
) -> None:
    waiting = SqlStore(sqlite_database, SETTINGS)
    waiting.create_tables()
    waiting.register(ApiKey(API_KEY), CALLER)

    async def story(database: AsyncDatabase) -> None:
        store = AsyncSqlStore(database, SETTINGS)
        await store.create_tables()
        await store.create_tables()
        await store.register(ApiKey(API_KEY), CALLER)
        for number, operation in enumerate(OPERATIONS, 1):
            asked = request(operation, key=f"k-{number}")

            def mint(now: datetime, number: int = number) -> NewIds:
                return minted(number, now)

            expected = serve(
                waiting, request=asked, id_factory=mint, settings=SETTINGS, retry_policy=PATIENT
            )
            answered = await serve_async(
                store, request=asked, id_factory=mint, settings=SETTINGS, retry_policy=PATIENT
            )
            assert answered.response.status == expected.response.status
            again = await serve_async(
                store, request=asked, id_factory=mint, settings=SETTINGS, retry_policy=PATIENT
            )
            assert again.replayed == (operation in KEYED)
        fact = Tombstoned(COORDINATE)
        assert isinstance(await record_async(store, fact, retry_policy=PATIENT), Done)
        page = await store.hosted_page("https://connect.example/5")
        assert page is not None
        await store.purge()
        await store.withdraw(ApiKey(API_KEY))
        gone = await serve_async(
            store,
            request=request("get"),
            id_factory=no_ids,
            settings=SETTINGS,
            retry_policy=PATIENT,
        )
        assert gone.response.status == 401

    awaits(story)


@pytest.mark.slow
def test_async_database_raises_errors_and_rolls_back_conflicts(
    awaits: Callable[[Act], None],
) -> None:
    async def fail(database: AsyncDatabase) -> None:
        missing = Statement("DELETE FROM missing WHERE id = ?", (7,))
        for act in (
            database.rows(missing),
            database.run_transaction([missing]),
            database.run_ddl([missing]),
        ):
            with pytest.raises(Exception, match="missing"):
                await act
        await database.run_ddl([Statement("CREATE TABLE kept (id INTEGER PRIMARY KEY)")])
        put = Statement("INSERT INTO kept (id) VALUES (?)", (1,), 1)
        assert await database.run_transaction([put])
        assert not await database.run_transaction([put])
        # More statements than are joined into one.
        more = [
            Statement("INSERT INTO kept (id) VALUES (?)", (number,), 1) for number in range(2, 99)
        ]
        assert not await database.run_transaction([*more, put])
        assert len(await database.rows(Statement("SELECT id FROM kept"))) == 1
        assert await database.run_transaction(more)
        assert len(await database.rows(Statement("SELECT id FROM kept"))) == 98
        # A row that is not there cannot be changed, and what was changed before is undone.
        changes = [
            Statement(f"UPDATE kept SET id = {new} WHERE id = ?", (old,), 1)
            for old, new in ((1, 201), (1, 202))
        ]
        assert not await database.run_transaction(changes)
        assert len(await database.rows(Statement("SELECT id FROM kept WHERE id > 200"))) == 0

    awaits(fail)


@ASYNC_POSTGRES
def test_async_database_without_connection_raises_unavailable(
    postgres_url: str, tmp_path: Path, driver: str
) -> None:
    async def fail() -> None:
        nowhere = with_driver(f"postgresql://curae@/curae?host={tmp_path}", driver)
        engine = create_engine_async(nowhere)
        with pytest.raises(StoreUnavailableError, match="no connection") as raised:
            await AsyncSqlDatabase(engine).rows(ONE)
        # Operators need the driver's text to see why.
        assert raised.value.__cause__ is not None
        await engine.dispose()
        engine = create_engine_async(
            with_driver(postgres_url, driver), timeout=PATIENCE, pool_size=1
        )
        held = await engine.pool.acquire()
        engine.pool.timeout = 0.05
        with pytest.raises(StoreUnavailableError, match="no connection was free in time"):
            await AsyncSqlDatabase(engine).rows(ONE)
        engine.pool.timeout = PATIENCE
        engine.pool.release(held)
        assert await AsyncSqlDatabase(engine).rows(ONE)
        await engine.dispose()

    asyncio.run(fail())


@ASYNC_POSTGRES
def test_async_db_connections_closed_by_the_server_are_replaced(
    postgres_url: str, driver: str
) -> None:
    async def lose() -> None:
        engine = create_engine_async(with_driver(postgres_url, driver), timeout=PATIENCE)
        database = AsyncSqlDatabase(engine)
        for each in [await engine.pool.acquire() for _ in range(4)]:
            engine.pool.release(each)
        waiting = create_engine(postgres_url, timeout=PATIENCE)
        ended = SqlDatabase(waiting).rows(
            Statement(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database() "
                "AND backend_type = 'client backend'"
            )
        )
        waiting.dispose()
        assert len(ended) == 4
        with pytest.raises(StoreUnavailableError):
            await database.rows(ONE)
        # The other three connections are not tried.
        for _ in range(4):
            assert await database.rows(ONE)
        await engine.dispose()

    asyncio.run(lose())


class _Driver(Protocol):
    # asyncpg does not ship its types.
    _protocol: asyncio.Protocol


def test_asyncpg_connection_whose_end_is_announced_is_replaced(postgres_url: str) -> None:
    # As after pg_terminate_backend: its message is read an instant before the end of the stream.
    fields = b"SFATAL\0C57P01\0Mterminating connection\0\0"
    announcement = b"E" + (4 + len(fields)).to_bytes(4, "big") + fields

    async def lose() -> None:
        url = with_driver(postgres_url, "asyncpg")
        engine = create_engine_async(url, timeout=PATIENCE, pool_size=1)
        database = AsyncSqlDatabase(engine)
        connection = await engine.pool.acquire()
        assert isinstance(connection, AsyncpgConnection)
        cast("_Driver", connection.driver)._protocol.data_received(announcement)
        engine.pool.release(connection)
        with pytest.raises(StoreUnavailableError, match="InternalClientError of postgresql"):
            await database.rows(ONE)
        assert await database.rows(ONE)
        await engine.dispose()

    asyncio.run(lose())


@ASYNC_POSTGRES
def test_serialization_failure_of_async_read_raises_unavailable(
    postgres_url: str, driver: str
) -> None:
    refuse = Statement(
        "CREATE FUNCTION refuse() RETURNS integer LANGUAGE plpgsql AS "
        "'BEGIN RAISE SQLSTATE ''40001''; END'"
    )

    async def fail() -> None:
        engine = create_engine_async(with_driver(postgres_url, driver), timeout=PATIENCE)
        database = AsyncSqlDatabase(engine)
        await database.run_ddl([refuse])
        with pytest.raises(StoreUnavailableError, match="code 40001"):
            await database.rows(Statement("SELECT refuse()"))
        with pytest.raises(StoreUnavailableError, match="code 40001"):
            await database.run_ddl([Statement("DO 'BEGIN PERFORM refuse(); END'")])
        await engine.dispose()

    asyncio.run(fail())


# --- Engines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "oracle://curae:hunter2@host/curae",
        "postgresql+psycopg2://curae:hunter2@host/curae",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:hunter2?mode=memory&uri=true",
    ],
)
def test_invalid_engine_url_raises_without_showing_it(url: str) -> None:
    for create in (create_engine, create_engine_async):
        with pytest.raises(ArgumentError, match="url: must be") as raised:
            create(url)
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("make", "driver", "reason"),
    [
        (create_engine, "postgresql+psycopg2", "postgresql+psycopg2 is not supported"),
        (create_engine, "mysql+mysqldb", "mysql+mysqldb is not supported"),
        (create_engine, "postgresql+asyncpg", "postgresql+asyncpg is an async driver"),
        (create_engine_async, "mariadb+aiomysql", "mariadb+aiomysql is not supported"),
        (create_engine_async, "mariadb+pymysql", "mariadb+pymysql is a blocking driver"),
        (create_engine_async, "postgresql+pg8000", "postgresql+pg8000 is not supported"),
    ],
)
def test_unsupported_driver_error_lists_the_supported_drivers(
    make: Callable[[str], object], driver: str, reason: str
) -> None:
    with pytest.raises(ArgumentError, match="url: must be the URL of a database with ") as raised:
        make(f"{driver}://curae:hunter2@host/curae")
    told = str(raised.value)
    assert reason in told
    assert "postgresql+psycopg, sqlite+" in told
    assert "hunter2" not in told


class AsyncPages(BlockingStoreAdapter):
    """The pages of an async store, in blocking calls."""

    def __init__(self, store: AsyncSqlStore, runner: asyncio.Runner) -> None:
        super().__init__(store, runner)
        self._async_store = store
        self._async_runner = runner

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self._async_runner.run(self._async_store.register(api_key, caller))

    def hosted_page(self, url: str) -> HostedPage | None:
        return self._async_runner.run(self._async_store.hosted_page(url))

    def purge(self) -> None:
        self._async_runner.run(self._async_store.purge())


def test_async_sql_store_finds_a_hosted_page_until_it_expires(sqlite_database: SqlDatabase) -> None:
    clocked = Clocked(sqlite_database)
    store = AsyncSqlStore(ThreadedDatabase(clocked))
    kept = Statement("SELECT * FROM curae_page")
    set_clock = partial(setattr, clocked, "now")
    with asyncio.Runner() as runner:
        runner.run(store.create_tables())
        check_pages(
            AsyncPages(store, runner),
            set_clock,
            lambda: [str(row) for row in sqlite_database.rows(kept)],
        )


def test_database_on_a_plain_sqlalchemy_engine_raises(sqlite_url: str) -> None:
    with pytest.raises(ArgumentError, match="engine: must be an engine from create_engine"):
        SqlDatabase(sa.create_engine(sqlite_url))


REPEATED_OPTIONS = "options=-c%20application_name%3Dcurae&options=-c%20work_mem%3D5MB"
SHOWN = ("application_name", "work_mem", "statement_timeout", "lock_timeout")


def test_engine_keeps_the_options_of_its_database_url(postgres_url: str) -> None:
    engine = create_engine(f"{postgres_url}&{REPEATED_OPTIONS}", timeout=60)
    database = SqlDatabase(engine)
    shown = [database.rows(Statement(f"SHOW {name}"))[0][0] for name in SHOWN]
    assert shown == ["curae", "5MB", "1min", "59875ms"]
    engine.dispose()


@ASYNC_POSTGRES
def test_async_engine_keeps_the_options_of_its_database_url(postgres_url: str, driver: str) -> None:
    url = postgres_url.replace("+psycopg", f"+{driver}")

    async def show() -> list[object]:
        engine = create_engine_async(f"{url}&{REPEATED_OPTIONS}", timeout=60)
        database = AsyncSqlDatabase(engine)
        try:
            return [(await database.rows(Statement(f"SHOW {name}")))[0][0] for name in SHOWN]
        finally:
            await engine.dispose()

    assert asyncio.run(show()) == ["curae", "5MB", "1min", "59875ms"]


@pytest.mark.mariadb
def test_mariadb_engines_set_strict_mode_isolation_and_timeouts(mariadb_url: str) -> None:
    expected = {
        "transaction_isolation": "READ-COMMITTED",
        "innodb_lock_wait_timeout": 60,
        "max_statement_time": 60.125,
        "sql_mode": "STRICT_ALL_TABLES",
        "wsrep_sync_wait": 1,
    }
    asked = Statement(f"SELECT {', '.join(f'@@{name}' for name in expected)}")
    engine = create_engine(mariadb_url, timeout=60)
    shown = SqlDatabase(engine).rows(asked)[0]
    assert dict(zip(expected, shown, strict=True)) == expected
    engine.dispose()

    async def shown_async() -> Sequence[object]:
        opened = create_engine_async(mariadb_url.replace("+pymysql", "+asyncmy"), timeout=60)
        try:
            return (await AsyncSqlDatabase(opened).rows(asked))[0]
        finally:
            await opened.dispose()

    assert dict(zip(expected, asyncio.run(shown_async()), strict=True)) == expected


@pytest.mark.mariadb
def test_mariadb_without_galera_sets_isolation_and_lock_timeout(
    mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_galera(wait: float) -> MariadbLimits:
        usual = mariadb_limits(wait)
        unknown = usual.init_command.replace("wsrep_sync_wait", "no_such_variable")
        return attrs.evolve(usual, init_command=unknown)

    monkeypatch.setattr(f"{create_engine.__module__}.mariadb_limits", without_galera)
    engine = create_engine(mariadb_url, timeout=60)
    asked = Statement("SELECT @@transaction_isolation, @@innodb_lock_wait_timeout")
    assert [*SqlDatabase(engine).rows(asked)[0]] == ["READ-COMMITTED", 60]
    engine.dispose()


@pytest.mark.mariadb
def test_mariadb_raises_for_a_value_longer_than_its_column(mariadb_url: str) -> None:
    plain = create_engine(mariadb_url)
    SqlDatabase(plain).run_ddl([Statement("CREATE TABLE kept (word VARCHAR(3))")])
    data_error = cast("type[Exception]", importlib.import_module("pymysql.err").DataError)
    with pytest.raises(data_error):
        SqlDatabase(plain).run_transaction([Statement("INSERT INTO kept VALUES (?)", ("long",))])
    plain.dispose()


@pytest.mark.slow
def test_async_sql_store_refuses_a_fact_of_replaced_hosted_page(
    awaits: Callable[[Act], None],
) -> None:
    async def act(database: AsyncDatabase) -> None:
        store = AsyncSqlStore(database, SETTINGS)
        await store.create_tables()
        await store.register(ApiKey(API_KEY), CALLER)
        await check_replaced_pages(store)

    awaits(act)
