"""Tests of the async drivers' connections, on fake connections that record what runs on them."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sqlite3
from collections.abc import Callable
from typing import Protocol, cast

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql.async_drivers import (
    AiosqliteConnection,
    AsyncConnection,
    AsyncmyConnection,
    AsyncpgConnection,
    PsycopgConnection,
    SqliteWriteLock,
)
from curae_lifecycle.stores.sql.engine import create_engine_async
from curae_lifecycle.stores.sql.postgresql import AsyncBoundedConnection
from curae_lifecycle.stores.sql.replication import CONFIRM, Replication
from curae_lifecycle.stores.sql.statement import Statement
from tests.stores.sql.fake_async_drivers import (
    ROWS,
    SECONDS,
    FakeAiosqlite,
    FakeAsyncmy,
    FakeAsyncpg,
    FakeAsyncPsycopg,
    Ran,
)
from tests.stores.sql.fake_psycopg import FakeNotice, FakePgconn
from tests.support.serving import FakeTime, run_async

ASK = Statement("SELECT ? + ?", (3, 4))
PUT = Statement("UPDATE t SET a = ?", (5,), 1)
SENT = [("SELECT $1 + $2", (3, 4)), ("UPDATE t SET a = $1", (5,))]
LOST = "a wait for a standby was cancelled"


@pytest.fixture(autouse=True)
def _fake_cursors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psycopg, "AsyncRawCursor", lambda driver: driver)


def psycopg_on(driver: FakeAsyncPsycopg) -> AsyncConnection:
    return PsycopgConnection(cast("AsyncBoundedConnection", driver))


def asyncpg_on(driver: FakeAsyncpg) -> AsyncConnection:
    return AsyncpgConnection(driver, seconds=SECONDS, replication=Replication())


# --- Statements of PostgreSQL -------------------------------------------------------------------


def test_psycopg_sends_statements_with_numbered_placeholders() -> None:
    driver = FakeAsyncPsycopg()
    connection = psycopg_on(driver)
    assert run_async(connection.rows(ASK)) == ROWS
    driver.description = None
    assert run_async(connection.rows(PUT)) == ()
    assert driver.ran == SENT
    assert run_async(connection.run_all([ASK, PUT])) is True
    assert driver.ran == SENT * 2


def test_asyncpg_sends_statements_with_numbered_placeholders() -> None:
    driver = FakeAsyncpg()
    connection = asyncpg_on(driver)
    assert run_async(connection.rows(ASK)) == ROWS
    assert run_async(connection.run_all([PUT, ASK])) is True
    assert driver.ran == [*SENT, SENT[0]]


def of_psycopg(warns: str = "nothing") -> tuple[AsyncConnection, Ran, Callable[[], None]]:
    driver = FakeAsyncPsycopg(warns=warns)
    return psycopg_on(driver), driver.ran, lambda: driver.replication.handle_notice(FakeNotice())


def of_asyncpg(warns: str = "nothing") -> tuple[AsyncConnection, Ran, Callable[[], None]]:
    driver = FakeAsyncpg(warns=warns)
    return asyncpg_on(driver), driver.ran, driver.tell


BOTH = pytest.mark.parametrize("of", [of_psycopg, of_asyncpg])


class Of(Protocol):
    """Makes a connection, and returns what runs on it and a function that cancels a wait."""

    def __call__(
        self, warns: str = "nothing"
    ) -> tuple[AsyncConnection, Ran, Callable[[], None]]: ...


@BOTH
def test_async_query_waits_until_last_commit_is_replicated(of: Of) -> None:
    connection, ran, cancel = of()
    cancel()
    cancel()
    for _ in range(2):
        assert run_async(connection.rows(ASK)) == ROWS
    assert ran == [(CONFIRM, ()), SENT[0], SENT[0]]


@BOTH
def test_async_statement_is_not_run_if_replication_is_uncertain(of: Of) -> None:
    connection, ran, cancel = of(CONFIRM)
    cancel()
    with pytest.raises(StoreUnavailableError, match=LOST):
        run_async(connection.rows(ASK))
    assert ran == [(CONFIRM, ())]


@BOTH
def test_async_statement_that_is_not_replicated_raises(of: Of) -> None:
    connection, _, __ = of("SELECT $1")
    with pytest.raises(StoreUnavailableError, match=LOST):
        run_async(connection.rows(ASK))


def test_asyncpg_notices_unrelated_to_replication_are_ignored() -> None:
    driver = FakeAsyncpg()
    connection = asyncpg_on(driver)
    driver.tell("exec_stmt_raise")
    driver.tell(None)
    for listener in driver.listeners:
        # A notice need not name its function.
        listener(driver, object())
    assert run_async(connection.rows(ASK)) == ROWS
    assert driver.ran == SENT[:1]


# --- Recovery -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "ran", "is_usable"),
    [
        (TransactionStatus.IDLE, [], True),
        (TransactionStatus.INTRANS, ["ROLLBACK"], True),
        (TransactionStatus.INERROR, ["ROLLBACK"], True),
        (TransactionStatus.ACTIVE, [], False),
        (TransactionStatus.UNKNOWN, [], False),
    ],
)
def test_psycopg_connection_is_reused_unless_it_is_busy_or_lost(
    status: TransactionStatus, ran: list[str], *, is_usable: bool
) -> None:
    driver = FakeAsyncPsycopg(pgconn=FakePgconn(transaction_status=status))
    assert run_async(psycopg_on(driver).recover()) is is_usable
    assert [text for text, _ in driver.ran] == ran


def test_psycopg_connection_is_not_reused_if_rollback_fails() -> None:
    driver = FakeAsyncPsycopg(
        pgconn=FakePgconn(transaction_status=TransactionStatus.INTRANS),
        error=psycopg.OperationalError("lost"),
    )
    assert run_async(psycopg_on(driver).recover()) is False


@pytest.mark.parametrize(
    ("closed", "in_transaction", "ran", "is_usable"),
    [
        (False, False, [], True),
        (False, True, ["ROLLBACK"], True),
        (True, False, [], False),
        (True, True, [], False),
    ],
)
def test_asyncpg_connection_is_reused_unless_it_is_closed(
    ran: list[str], *, closed: bool, in_transaction: bool, is_usable: bool
) -> None:
    driver = FakeAsyncpg(closed=closed, in_transaction=in_transaction)
    assert run_async(asyncpg_on(driver).recover()) is is_usable
    assert [text for text, _ in driver.ran] == ran


def test_asyncpg_connection_is_not_reused_after_a_timeout() -> None:
    connection = asyncpg_on(FakeAsyncpg(hangs="UPDATE"))
    time = FakeTime()
    with pytest.raises(TimeoutError):
        run_async(connection.run_all([PUT]), time)
    assert time.passed == pytest.approx(SECONDS)
    assert run_async(connection.recover()) is False


def test_asyncpg_rollback_on_a_hanging_server_times_out() -> None:
    time = FakeTime()
    with pytest.raises(TimeoutError):
        run_async(asyncpg_on(FakeAsyncpg(in_transaction=True, hangs="ROLLBACK")).recover(), time)
    assert time.passed == pytest.approx(SECONDS)


@pytest.mark.parametrize(
    ("name", "is_usable"),
    [("InternalClientError", False), ("InterfaceError", False), ("UniqueViolationError", True)],
)
def test_asyncpg_connection_is_not_reused_after_it_is_lost(name: str, *, is_usable: bool) -> None:
    error: type[Exception] = getattr(importlib.import_module("asyncpg"), name)
    connection = asyncpg_on(FakeAsyncpg(failure=error("failed")))
    with pytest.raises(error):
        run_async(connection.run_all([PUT]))
    assert run_async(connection.recover()) is is_usable


# --- Closing ------------------------------------------------------------------------------------


def ends_of_a_connection() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return ours, theirs


async def check_waiting(closing: asyncio.Task[None], server: socket.socket) -> None:
    """Check that a close tells the server, and waits until the server has closed too."""
    assert await asyncio.get_running_loop().sock_recv(server, 1) == b""
    assert not closing.done()
    server.close()
    await asyncio.wait_for(closing, 60)


@pytest.mark.parametrize("status", [TransactionStatus.ACTIVE, TransactionStatus.IDLE])
def test_psycopg_close_waits_until_the_server_has_closed(status: TransactionStatus) -> None:
    client, server = ends_of_a_connection()
    pgconn = FakePgconn(transaction_status=status, socket=client.fileno())
    driver = FakeAsyncPsycopg(pgconn=pgconn)

    async def close() -> None:
        closing = asyncio.create_task(psycopg_on(driver).close())
        await check_waiting(closing, server)

    with client:
        asyncio.run(close())
    assert pgconn.finished


def test_closed_psycopg_connection_is_not_closed_again() -> None:
    driver = FakeAsyncPsycopg(closed=True)
    run_async(psycopg_on(driver).close())
    assert not driver.pgconn.finished


def test_asyncpg_close_waits_until_the_server_has_closed() -> None:
    client, server = ends_of_a_connection()
    driver = FakeAsyncpg(client=client)

    async def close() -> None:
        closing = asyncio.create_task(asyncpg_on(driver).close())
        await check_waiting(closing, server)

    with client:
        asyncio.run(close())
    assert driver.terminations == 1


def test_cancelled_close_of_asyncpg_leaves_no_socket() -> None:
    client, server = ends_of_a_connection()

    async def close() -> None:
        closing = asyncio.create_task(asyncpg_on(FakeAsyncpg(client=client)).close())
        assert await asyncio.get_running_loop().sock_recv(server, 1) == b""
        client.close()
        closing.cancel()
        await asyncio.wait([closing])
        # The last handle is closed, so the server cannot send.
        with pytest.raises(BrokenPipeError):
            server.sendall(b"too late")

    with server:
        asyncio.run(close())


@pytest.mark.parametrize("closed", [False, True])
def test_asyncpg_connection_without_a_socket_can_be_closed(*, closed: bool) -> None:
    driver = FakeAsyncpg(closed=closed)
    run_async(asyncpg_on(driver).close())
    assert driver.terminations == (0 if closed else 1)


# --- SQLite and MariaDB -------------------------------------------------------------------------


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("a test")
    error.sqlite_errorcode = code
    return error


PREPARED = [("PRAGMA journal_mode = WAL", ()), ("PRAGMA busy_timeout = 1500", ())]


@pytest.mark.parametrize("error", [None, sqlite_error(sqlite3.SQLITE_BUSY)])
def test_aiosqlite_connection_is_set_up_though_its_file_is_busy(
    error: Exception | None,
) -> None:
    driver = FakeAiosqlite(error)
    run_async(AiosqliteConnection(driver, SqliteWriteLock(1.0)).prepare(lock_timeout=1.5))
    assert driver.ran == PREPARED


def test_aiosqlite_connection_to_a_read_only_file_raises() -> None:
    driver = FakeAiosqlite(sqlite_error(sqlite3.SQLITE_READONLY))
    with pytest.raises(sqlite3.OperationalError):
        run_async(AiosqliteConnection(driver, SqliteWriteLock(1.0)).prepare(lock_timeout=1.5))
    assert driver.ran == PREPARED[:1]


def test_aiosqlite_rolls_back_if_a_delete_changes_no_row(sqlite_url: str) -> None:
    async def act() -> None:
        engine = create_engine_async(sqlite_url)
        connection = await engine.pool.acquire()
        assert [*await connection.rows(ASK)] == [(7,)]
        put = Statement("INSERT INTO t (a) VALUES (?)", (6,), 1)
        begin = [Statement("CREATE TABLE IF NOT EXISTS t (a INTEGER)"), Statement("BEGIN")]
        miss = Statement("DELETE FROM t WHERE a = ?", (9,), 1)
        assert await connection.run_all([*begin, put, miss, put]) is False
        assert await connection.run_all([*begin, put]) is True
        assert await connection.recover() is True
        assert await connection.recover() is True
        assert [*await connection.rows(Statement("SELECT a FROM t"))] == []
        engine.pool.release(connection)
        await engine.dispose()

    asyncio.run(act())


def test_asyncmy_sends_statements_with_format_placeholders() -> None:
    driver = FakeAsyncmy()
    connection = AsyncmyConnection(driver, SECONDS)
    assert run_async(connection.rows(ASK)) == ROWS
    assert run_async(connection.run_all([ASK, PUT])) is True
    sent = [("SELECT %s + %s", (3, 4)), ("UPDATE t SET a = %s", (5,))]
    assert driver.ran == [sent[0], *sent]


def test_asyncmy_rolls_back_if_an_update_changes_no_row() -> None:
    driver = FakeAsyncmy(rowcount=0)
    assert run_async(AsyncmyConnection(driver, SECONDS).run_all([ASK, PUT, ASK])) is False
    assert [text.split()[0] for text, _ in driver.ran] == ["SELECT", "UPDATE", "ROLLBACK"]


def test_asyncmy_connection_is_rolled_back_before_it_is_reused() -> None:
    driver = FakeAsyncmy()
    connection = AsyncmyConnection(driver, SECONDS)
    assert run_async(connection.recover()) is True
    assert driver.ran == [("ROLLBACK", ())]
    run_async(connection.close())
    assert driver.closed


def test_asyncmy_rollback_on_a_hanging_server_times_out() -> None:
    time = FakeTime()
    with pytest.raises(TimeoutError):
        run_async(AsyncmyConnection(FakeAsyncmy(hangs="ROLLBACK"), SECONDS).recover(), time)
    assert time.passed == pytest.approx(SECONDS)


@pytest.mark.parametrize("hangs", ["UPDATE", "ROLLBACK"])
def test_asyncmy_transaction_on_a_hanging_server_times_out(hangs: str) -> None:
    # The update changes no row, so that it is rolled back.
    connection = AsyncmyConnection(FakeAsyncmy(hangs=hangs, rowcount=0), SECONDS)
    time = FakeTime()
    with pytest.raises(TimeoutError):
        run_async(connection.run_all([PUT]), time)
    assert time.passed == pytest.approx(SECONDS)
    assert run_async(connection.recover()) is False
