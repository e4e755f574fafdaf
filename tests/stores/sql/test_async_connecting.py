"""Connections of async drivers are opened so that they hold nothing up."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from curae_lifecycle.stores.contract import StoreUnchangedError
from curae_lifecycle.stores.sql.async_drivers import AiosqliteConnection
from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async
from curae_lifecycle.stores.sql.statement import Statement

PROGRAM = """
import asyncio, sys
from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async
from curae_lifecycle.stores.sql.statement import Statement

async def main():
    engine = create_engine_async(sys.argv[1])
    print(await AsyncSqlDatabase(engine).rows(Statement("SELECT 1")))

asyncio.run(main())
"""


@pytest.mark.slow
def test_process_exits_although_aiosqlite_connections_are_open(sqlite_url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, sqlite_url],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "[(1,)]\n")


def test_aiosqlite_busy_timeout_equals_the_timeout_of_the_engine(sqlite_url: str) -> None:
    async def ask() -> list[object]:
        engine = create_engine_async(sqlite_url, timeout=60)
        try:
            return [*await AsyncSqlDatabase(engine).rows(Statement("PRAGMA busy_timeout"))]
        finally:
            await engine.dispose()

    assert asyncio.run(ask()) == [(60_000,)]


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_async_connect_to_a_silent_server_raises_timeout_error(tmp_path: Path, driver: str) -> None:
    async def connect() -> None:
        engine = create_engine_async(
            f"postgresql+{driver}://curae@/curae?host={tmp_path}", timeout=0.05
        )
        opening = asyncio.ensure_future(engine.pool.connect())
        # Without a limit this waits in vain.
        await asyncio.wait([opening], timeout=20)
        assert opening.done()
        with pytest.raises(TimeoutError):
            opening.result()

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / ".s.PGSQL.5432"))
        silent.listen()
        asyncio.run(connect())


@pytest.mark.parametrize(
    ("text", "error"),
    [("can't start new thread", StoreUnchangedError), ("Event loop is closed", RuntimeError)],
)
def test_only_a_lack_of_threads_makes_aiosqlite_unavailable(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, text: str, error: type[Exception]
) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError(text)

    async def ask() -> None:
        engine = create_engine_async(sqlite_url)
        with monkeypatch.context() as patched:
            patched.setattr(Thread, "start", refuse)
            with pytest.raises(error):
                await AsyncSqlDatabase(engine).rows(Statement("SELECT 1"))
        await engine.dispose()

    asyncio.run(ask())


class SetUpError(Exception):
    """The error of a connection that cannot be set up."""


@pytest.mark.parametrize("error", [SetUpError, asyncio.CancelledError])
def test_aiosqlite_connection_that_cannot_be_set_up_is_closed(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    closed: list[AiosqliteConnection] = []

    async def prepare(_: AiosqliteConnection, lock_timeout: float) -> None:
        del lock_timeout
        raise error

    close = AiosqliteConnection.close

    async def record_close(connection: AiosqliteConnection) -> None:
        await close(connection)
        closed.append(connection)

    monkeypatch.setattr(AiosqliteConnection, "prepare", prepare)
    monkeypatch.setattr(AiosqliteConnection, "close", record_close)

    async def connect() -> None:
        with pytest.raises(error):
            await create_engine_async(sqlite_url).pool.connect()

    asyncio.run(connect())
    assert len(closed) == 1


INSERT = Statement("INSERT INTO kept (id) VALUES (?)", (1,), 1)


def test_aiosqlite_transactions_run_in_a_second_event_loop(sqlite_url: str) -> None:
    engine = create_engine_async(sqlite_url, timeout=60)
    database = AsyncSqlDatabase(engine)

    async def write_all() -> list[bool]:
        await database.run_ddl([Statement("CREATE TABLE IF NOT EXISTS kept (id INTEGER)")])
        # With a connection each, the transactions overlap.
        for each in [await engine.pool.acquire() for _ in range(3)]:
            engine.pool.release(each)
        done = await asyncio.gather(*(database.run_transaction([INSERT]) for _ in range(3)))
        await engine.dispose()
        return done

    assert [asyncio.run(write_all()) for _ in range(2)] == [[True] * 3] * 2


def test_aiosqlite_transaction_times_out_waiting_for_write_lock(sqlite_url: str) -> None:
    async def wait() -> None:
        engine = create_engine_async(sqlite_url, timeout=60)
        database = AsyncSqlDatabase(engine)
        await database.run_ddl([Statement("CREATE TABLE kept (id INTEGER)")])
        held = await engine.pool.acquire()
        assert isinstance(held, AiosqliteConnection)
        async with held.write_lock.hold():
            held.write_lock.seconds = 0.01
            with pytest.raises(StoreUnchangedError, match="no write lock was free in time"):
                await database.run_transaction([INSERT])
        engine.pool.release(held)
        assert await database.run_transaction([INSERT])
        await engine.dispose()

    asyncio.run(wait())
