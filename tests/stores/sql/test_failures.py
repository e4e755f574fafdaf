"""Tests of the meaning of database errors: conflict, transient failure, or mistake."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from time import sleep
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql import engine_factory
from curae_lifecycle.stores.sql.drivers import DriverConnection
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.failures import is_conflict, is_transient, reason, to_store_error
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.support import patiently
from tests.support.patiently import PATIENCE
from tests.support.server import API_KEY, CALLER, request
from tests.support.sql.databases import short_of_time
from tests.support.sql.works import DIGEST, minted

SECRET = "hunter2"
SHORT = 0.3
"""Seconds after which a waiting statement must fail."""

MAKE = Statement("CREATE TABLE kept (id INTEGER PRIMARY KEY, held INTEGER)")
PUT = Statement("INSERT INTO kept (id, held) VALUES (?, 1)", (1,), 1)
MOVE = Statement("UPDATE kept SET held = held + 1 WHERE id = ?", (1,), 1)
MOVE_OTHER = Statement("UPDATE kept SET held = held + 1 WHERE id = ?", (2,), 1)
ONE = Statement("SELECT 1")


@contextmanager
def on(url: str, *, wait: float = PATIENCE, pool_size: int = 10) -> Iterator[SqlDatabase]:
    """Yield a database with one table and one row."""
    engine = create_engine(url, timeout=wait, pool_size=pool_size)
    database = SqlDatabase(engine)
    database.run_ddl([MAKE])
    assert database.run_transaction([PUT])
    try:
        yield database
    finally:
        engine.dispose()


@contextmanager
def short_timeout_database(url: str, wait: float = SHORT) -> Iterator[SqlDatabase]:
    """Yield the same database with a short server-side timeout."""
    with pytest.MonkeyPatch.context() as patched:
        # The server must time out first, even if it pauses.
        patched.setattr(engine_factory, "GRACE", 10.0)
        engine = create_engine(url, timeout=wait)
    try:
        yield SqlDatabase(engine)
    finally:
        engine.dispose()


@contextmanager
def other_application(url: str) -> Iterator[Callable[[str], object]]:
    """Yield a function that runs statements as another application."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection.exec_driver_sql
    engine.dispose()


def test_insert_of_existing_row_key_conflicts_and_is_rolled_back(url: str) -> None:
    with on(url) as database:
        other = Statement("INSERT INTO kept (id, held) VALUES (?, 1)", (2,), 1)
        assert not database.run_transaction([other, PUT])
        assert database.rows(Statement("SELECT id FROM kept")) in ([(1,)], ((1,),))


def test_update_that_changes_no_row_rolls_back_the_commit(url: str) -> None:
    with on(url) as database:
        assert not database.run_transaction([MOVE, MOVE_OTHER])
        assert database.rows(Statement("SELECT held FROM kept"))[0][0] == 1
        assert database.run_transaction([MOVE])
        assert database.rows(Statement("SELECT held FROM kept"))[0][0] == 2


@pytest.mark.slow
def test_lock_timeout_raises_store_unchanged_then_retry_succeeds(url: str) -> None:
    # On PostgreSQL the statement's own timeout must not come first, even if the server pauses.
    wait = 2.0 if url.startswith("postgresql") else SHORT
    with (
        on(url) as database,
        short_timeout_database(url, wait) as waits,
        other_application(url) as runs,
    ):
        runs("BEGIN IMMEDIATE" if database.dialect is Dialect.SQLITE else "BEGIN")
        runs("UPDATE kept SET held = 5 WHERE id = 1")
        # The error says that nothing was stored, and that a lock was not free.
        code = {Dialect.SQLITE: "SQLITE_BUSY", Dialect.POSTGRESQL: "55P03", Dialect.MARIADB: 1205}
        with pytest.raises(StoreUnchangedError, match=f"code {code[database.dialect]}$") as raised:
            waits.run_transaction([MOVE])
        assert "UPDATE" not in str(raised.value)
        runs("COMMIT")
        assert database.run_transaction([MOVE])
        assert database.rows(Statement("SELECT held FROM kept"))[0][0] == 6


SLOW = {
    Dialect.POSTGRESQL: Statement("SELECT pg_sleep(60)"),
    Dialect.MARIADB: Statement("SELECT SUM(a.seq) FROM seq_1_to_1000000 a, seq_1_to_1000000 b"),
}
WAITING = {
    Dialect.POSTGRESQL: Statement("SELECT 1 FROM pg_locks WHERE NOT granted"),
    Dialect.MARIADB: Statement(
        "SELECT 1 FROM information_schema.global_status "
        "WHERE variable_name = 'innodb_row_lock_current_waits' AND variable_value > 0"
    ),
}


def until_waiting(database: SqlDatabase) -> None:
    """Return when a transaction waits for a lock."""
    while not database.rows(WAITING[database.dialect]):
        sleep(0.01)


@pytest.fixture(params=["postgres", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def server_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database that has a server."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.mark.slow
def test_slow_statement_is_aborted_by_the_server(server_url: str) -> None:
    with short_timeout_database(server_url) as database:
        with pytest.raises(StoreUnavailableError, match=r"code (57014|1969)"):
            database.rows(SLOW[database.dialect])
        assert patiently.run(lambda: database.rows(ONE), SHORT)


@pytest.mark.slow
def test_deadlock_raises_unavailable_and_a_retry_succeeds(server_url: str) -> None:
    with on(server_url, wait=20) as database, other_application(server_url) as runs:
        assert database.run_transaction([Statement("INSERT INTO kept (id, held) VALUES (2, 1)")])
        if database.dialect is Dialect.POSTGRESQL:
            # The side that detects the deadlock first is rolled back; this one waits longer.
            runs("SET deadlock_timeout = '60s'")
        runs("BEGIN")
        # MariaDB rolls back the transaction that changed less.
        runs("INSERT INTO kept (id, held) VALUES (3, 1), (4, 1), (5, 1), (6, 1)")
        runs("UPDATE kept SET held = 5 WHERE id = 2")
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(database.run_transaction, [MOVE, MOVE_OTHER])
            until_waiting(database)
            runs("UPDATE kept SET held = 5 WHERE id = 1")
            with pytest.raises(StoreUnavailableError, match=r"code (40P01|1213)"):
                waits.result()
        runs("ROLLBACK")
        assert database.run_transaction([MOVE])


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_postgresql_serialization_failure_is_a_commit_conflict(
    postgres_url: str, level: str
) -> None:
    option = quote("-c default_transaction_isolation=" + level.replace(" ", "\\ "))
    with (
        on(f"{postgres_url}&options={option}", wait=20) as database,
        other_application(postgres_url) as runs,
    ):
        runs("BEGIN")
        runs("UPDATE kept SET held = 5 WHERE id = 1")
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(database.run_transaction, [MOVE])
            until_waiting(database)
            runs("COMMIT")
            assert waits.result() is False


def test_db_connection_lost_during_a_statement_is_replaced(postgres_url: str) -> None:
    with on(postgres_url, wait=20) as database:
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(database.rows, Statement("SELECT pg_sleep(60)"))
            ended = Statement(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query = 'SELECT pg_sleep(60)'"
            )
            while not database.rows(ended):
                sleep(0.01)
            with pytest.raises(StoreUnavailableError, match="57P01"):
                waits.result()
        assert database.run_transaction([MOVE])


def test_all_db_connections_closed_by_the_server_are_replaced(postgres_url: str) -> None:
    with on(postgres_url) as database, other_application(postgres_url) as runs:
        for each in [database._engine.raw_connection() for _ in range(4)]:
            each.close()
        pool = database._engine.pool
        assert isinstance(pool, sa.QueuePool)
        assert pool.checkedin() == 4
        runs(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        with pytest.raises(StoreUnavailableError):
            database.rows(ONE)
        # The other three connections are not tried.
        for _ in range(4):
            assert database.rows(ONE)


def test_connection_returned_to_a_disposed_pool_is_closed(url: str) -> None:
    with on(url) as database:
        closed: list[object] = []
        event.listen(database._engine, "close", lambda *given: closed.append(given[0]))
        database._with_connection(lambda _: database._engine.dispose())
        assert len(closed) == 1
        assert database.rows(ONE)


def test_exhausted_pool_raises_unavailable(postgres_url: str) -> None:
    with on(postgres_url, pool_size=1) as database:
        held = database._engine.raw_connection()
        with (
            short_of_time(database._engine, PATIENCE),
            pytest.raises(StoreUnavailableError, match="no connection was free in time"),
        ):
            database.rows(ONE)
        held.close()
        assert database.rows(ONE)


def test_missing_database_server_error_hides_the_password(tmp_path: Path) -> None:
    for url in (
        f"postgresql://curae:{SECRET}@/curae?host={tmp_path}",
        f"mariadb://curae:{SECRET}@127.0.0.1:1/curae",
    ):
        engine = create_engine(url)
        with pytest.raises(StoreUnavailableError, match="no connection") as raised:
            SqlDatabase(engine).rows(ONE)
        assert SECRET not in f"{raised.value} {raised.value.__cause__}"
        with pytest.raises(StoreUnavailableError, match="no connection"):
            SqlDatabase(engine).run_transaction([MOVE])


def test_permanent_database_error_is_raised_unchanged(url: str) -> None:
    engine = create_engine(url, timeout=PATIENCE)
    database = SqlDatabase(engine)
    error = engine.dialect.loaded_dbapi.Error
    for act in (
        lambda: database.rows(Statement("SELECT id FROM missing WHERE id = ?", (7,))),
        lambda: database.run_transaction([Statement("DELETE FROM missing WHERE id = ?", (7,))]),
        lambda: database.run_ddl([Statement("CREATE INDEX missing_id ON missing (id)")]),
    ):
        with pytest.raises(error, match="missing"):
            act()
    # The connections are still usable.
    assert database.rows(ONE)
    engine.dispose()


def test_unopenable_sqlite_file_raises_sqlite_error(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/missing/file")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        SqlDatabase(engine).rows(ONE)
    engine.dispose()


def test_interrupted_transaction_is_rolled_back(url: str) -> None:
    with on(url, pool_size=1) as database:
        begin = "BEGIN IMMEDIATE" if database.dialect is Dialect.SQLITE else "BEGIN"

        def interrupted(connection: DriverConnection) -> None:
            connection.run(Statement(begin))
            connection.run(MOVE)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            database._with_connection(interrupted)
        assert database.rows(Statement("SELECT held FROM kept"))[0][0] == 1
        assert database.run_transaction([MOVE])


# --- Log output -------------------------------------------------------------------------------


@pytest.mark.slow
def test_sql_store_logs_hold_no_values_keys_or_urls(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        on(url) as database,
        short_timeout_database(url) as waits,
        other_application(url) as runs,
        caplog.at_level(logging.DEBUG),
    ):
        store, once = SqlStore(database), RetryPolicy(attempts=1, seconds=PATIENCE)
        store.create_tables()
        store.register(ApiKey(API_KEY), CALLER)

        def ask(operation: str, key: str, number: int, store: SqlStore = store) -> int:
            asked = request(operation, key=key, user="ada-of-the-hill")
            return serve(
                store, asked, lambda now: minted(number, now), retry_policy=once
            ).response.status

        assert ask("create", "k-1", 1) == 201
        runs("BEGIN IMMEDIATE" if database.dialect is Dialect.SQLITE else "BEGIN")
        runs("UPDATE curae_connection SET version = 9")
        assert ask("revoke", key="k-2", number=2, store=SqlStore(waits)) == 500
        runs("ROLLBACK")
        runs("ALTER TABLE curae_outbox RENAME TO elsewhere")
        assert ask("create", "k-3", 3) == 500
    assert "the store cannot be used now" in caplog.text
    assert "a request failed" in caplog.text
    for secret in ("ada-of-the-hill", API_KEY, "connect.example", DIGEST):
        assert secret not in caplog.text


# --- Codes ------------------------------------------------------------------------------------


class OperationalError(Exception):
    """An exception with the name that drivers use."""

    sqlstate: str | None = None
    sqlite_errorcode: int | None = None


def of_postgresql(state: str | None) -> OperationalError:
    error = OperationalError("told by the server")
    error.sqlstate = state
    return error


def of_sqlite(code: int) -> OperationalError:
    error = OperationalError("database is locked")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("dialect", "error", "overtaken", "passing"),
    [
        (Dialect.POSTGRESQL, of_postgresql("23505"), True, False),
        (Dialect.POSTGRESQL, of_postgresql("40001"), True, True),
        (Dialect.POSTGRESQL, of_postgresql("22012"), True, False),
        (Dialect.POSTGRESQL, of_postgresql("40P01"), False, True),
        (Dialect.POSTGRESQL, of_postgresql("55P03"), False, True),
        (Dialect.POSTGRESQL, of_postgresql("57014"), False, True),
        (Dialect.POSTGRESQL, of_postgresql("57P01"), False, True),
        (Dialect.POSTGRESQL, of_postgresql("53300"), False, True),
        (Dialect.POSTGRESQL, of_postgresql("08006"), False, True),
        (Dialect.POSTGRESQL, of_postgresql("25006"), False, True),
        (Dialect.POSTGRESQL, of_postgresql("25P03"), False, True),
        (Dialect.POSTGRESQL, of_postgresql("25P04"), False, True),
        (Dialect.POSTGRESQL, of_postgresql("25P02"), False, False),
        (Dialect.POSTGRESQL, of_postgresql("23502"), False, False),
        (Dialect.POSTGRESQL, of_postgresql("42P01"), False, False),
        (Dialect.POSTGRESQL, of_postgresql(None), False, True),
        (Dialect.POSTGRESQL, ValueError("no value of that type"), False, False),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_BUSY), False, True),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), False, True),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_LOCKED), False, True),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_CONSTRAINT_UNIQUE), True, False),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY), True, False),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_CONSTRAINT_NOTNULL), False, False),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_FULL), False, True),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_IOERR_WRITE), False, True),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_CORRUPT), False, False),
        (Dialect.SQLITE, OperationalError("closed"), False, False),
        (Dialect.MARIADB, OperationalError(1062, "Duplicate entry"), True, False),
        (Dialect.MARIADB, OperationalError(1020, "Record has changed"), True, False),
        (Dialect.MARIADB, OperationalError(1213, "Deadlock found"), False, True),
        (Dialect.MARIADB, OperationalError(1205, "Lock wait timeout"), False, True),
        (Dialect.MARIADB, OperationalError(1047, "WSREP has not yet prepared node"), False, True),
        (Dialect.MARIADB, OperationalError(1180, "Got error 6 during COMMIT"), False, True),
        (Dialect.MARIADB, OperationalError(2013, "Lost connection"), False, True),
        (Dialect.MARIADB, OperationalError(0, ""), False, True),
        (Dialect.MARIADB, OperationalError(1021, "Disk full"), False, True),
        (Dialect.MARIADB, OperationalError(1114, "The table is full"), False, True),
        (Dialect.MARIADB, OperationalError(1045, "Access denied"), False, False),
        (Dialect.MARIADB, OperationalError(1146, "No such table"), False, False),
        (Dialect.MARIADB, OperationalError(), False, False),
    ],
)
def test_sql_error_code_is_classified_as_conflict_or_transient(
    dialect: Dialect, error: Exception, *, overtaken: bool, passing: bool
) -> None:
    assert (is_conflict(dialect, error), is_transient(dialect, error)) == (overtaken, passing)


@pytest.mark.parametrize(
    ("dialect", "error", "unchanged"),
    [
        *[
            (Dialect.POSTGRESQL, of_postgresql(code), True)
            for code in ("40001", "40P01", "55P03", "57014")
        ],
        # The connection ended, possibly after the commit.
        *[
            (Dialect.POSTGRESQL, of_postgresql(code), False)
            for code in (None, "57P01", "57P02", "08006", "53100", "25006", "25P04")
        ],
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_BUSY), True),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), True),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_LOCKED), True),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_FULL), False),
        (Dialect.SQLITE, of_sqlite(sqlite3.SQLITE_IOERR_WRITE), False),
        (Dialect.SQLITE, OperationalError("closed"), False),
        (Dialect.MARIADB, OperationalError(1213, "Deadlock found"), True),
        (Dialect.MARIADB, OperationalError(1205, "Lock wait timeout"), True),
        (Dialect.MARIADB, OperationalError(2013, "Lost connection"), False),
        (Dialect.MARIADB, OperationalError(1053, "Shutdown in progress"), False),
        (Dialect.MARIADB, OperationalError(1047, "WSREP has not yet prepared node"), False),
        # A cluster node that lost the others during a commit.
        (Dialect.MARIADB, OperationalError(1180, "Got error 6 during COMMIT"), False),
    ],
)
def test_sql_error_code_tells_if_the_commit_stored_nothing(
    dialect: Dialect, error: Exception, *, unchanged: bool
) -> None:
    assert isinstance(to_store_error(dialect, error), StoreUnchangedError) is unchanged
    assert not {*map(str, error.args)} & {*reason(dialect, error).split(": ")}


def test_full_sqlite_file_raises_unavailable_naming_sqlite_full(sqlite_url: str) -> None:
    large = Statement("INSERT INTO large (item) VALUES (?)", ("x" * 100_000,), 1)
    with on(sqlite_url, pool_size=1) as database:
        database.run_ddl([Statement("CREATE TABLE large (item TEXT)")])
        # A limit of the connection, which is the pool's only one.
        database.rows(Statement("PRAGMA max_page_count = 4"))
        with pytest.raises(StoreUnavailableError) as raised:
            database.run_transaction([large])
    assert str(raised.value).endswith(": OperationalError of sqlite, code SQLITE_FULL")


# --- A new file of SQLite -----------------------------------------------------------------------


def test_sqlite_file_enters_wal_mode_only_after_reader_closes(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE kept (id INTEGER PRIMARY KEY)")
        other.execute("BEGIN")
        other.execute("SELECT * FROM kept").fetchall()
        assert journal_of(file) == "delete"
    assert journal_of(file) == "wal"


def journal_of(file: Path) -> object:
    """Return the journal mode that a new connection sees."""
    asked = Statement("PRAGMA journal_mode")
    engine = create_engine(f"sqlite:///{file}", timeout=0.05)
    ((mode,),) = SqlDatabase(engine).rows(asked)
    engine.dispose()

    async def by_aiosqlite() -> object:
        made = create_engine_async(f"sqlite:///{file}", timeout=5.0)
        ((found,),) = await AsyncSqlDatabase(made).rows(asked)
        await made.dispose()
        return found

    assert asyncio.run(by_aiosqlite()) == mode
    return mode


def test_statement_on_read_only_sqlite_file_raises_sqlite_error(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE kept (id INTEGER PRIMARY KEY)")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        SqlDatabase(create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")).rows(ONE)

    async def by_aiosqlite() -> None:
        made = create_engine_async(f"sqlite:///file:{file}?mode=ro&uri=true")
        await AsyncSqlDatabase(made).rows(ONE)

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        asyncio.run(by_aiosqlite())
