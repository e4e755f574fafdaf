"""Tests that a forked process uses and closes no connection of its parent."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from weakref import WeakKeyDictionary

import pytest
from sqlalchemy.pool import QueuePool

from curae_lifecycle.stores.sql import forks
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine, create_engine_async
from curae_lifecycle.stores.sql.engine_factory import _forget_connections, limits_of
from curae_lifecycle.stores.sql.forks import forget_after_fork
from curae_lifecycle.stores.sql.pool import AsyncPool
from curae_lifecycle.stores.sql.statement import Statement
from tests.stores.sql.fake_server import FakeConnection, FakeServer
from tests.support.forking import run_in_fork

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PROGRAM = """
import asyncio, os, sys
from curae_lifecycle.stores.sql import engine
from curae_lifecycle.stores.sql.statement import Statement

ASK = Statement("SELECT pg_backend_pid()")
kind, url = sys.argv[1:]
if kind == "blocking":
    database = engine.SqlDatabase(engine.create_engine(url, pool_size=1))
    ask = lambda: database.rows(ASK)
else:
    database = engine.AsyncSqlDatabase(engine.create_engine_async(url, pool_size=1))
    # As in a server, whose loop has not ended when it forks.
    loop = asyncio.new_event_loop()
    ask = lambda: loop.run_until_complete(database.rows(ASK))

before = ask()
reading, writing = os.pipe()
if not os.fork():
    if kind == "async":
        loop = asyncio.new_event_loop()
    os.write(writing, str([ask() != before, ask() != before]).encode())
    sys.exit()
os.wait()
print(os.read(reading, 100).decode(), ask() == before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "driver"), [("blocking", "psycopg"), ("async", "psycopg"), ("async", "asyncpg")]
)
def test_forked_process_keeps_its_parents_connections_open(
    postgres_url: str, kind: str, driver: str
) -> None:
    url = postgres_url.replace("+psycopg", f"+{driver}")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, kind, url],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.stdout, ended.returncode) == ("[True, True] True\n", 0), ended.stderr


class Owner:
    """An owner of connections."""

    def __init__(self) -> None:
        self.forgot: list[str] = []

    def forget(self) -> object:
        self.forgot.append("all")
        return self


def test_after_fork_callback_runs_only_in_the_forked_process() -> None:
    owner = Owner()
    forget_after_fork(owner, Owner.forget)
    assert run_in_fork(lambda: owner.forgot == ["all"])
    assert owner.forgot == []


def test_result_of_an_after_fork_callback_is_kept_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forks, "_FORGETTING", WeakKeyDictionary())
    monkeypatch.setattr(forks, "_INHERITED", [])
    owner = Owner()
    forget_after_fork(owner, Owner.forget)
    forks._forget_all()
    assert [owner] == forks._INHERITED
    assert owner.forgot == ["all"]


def test_after_fork_callback_does_not_keep_its_owner_alive() -> None:
    forgot: list[int] = []

    class Dropped(Owner):
        def __del__(self) -> None:
            forgot.append(1)

    forget_after_fork(Dropped(), Dropped.forget)
    gc.collect()
    assert forgot == [1]


def test_engine_in_a_forked_process_starts_with_a_new_pool(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url, pool_size=1)
    database, pool = SqlDatabase(engine), engine.pool
    database.rows(Statement("SELECT 1"))
    limits_of(engine).free.acquire()  # as by a thread that the forked process does not have

    def check() -> bool:
        free = limits_of(engine).free
        return engine.pool is not pool and free.acquire(timeout=0) and not free.acquire(timeout=0)

    assert run_in_fork(check)
    assert engine.pool is pool
    engine.dispose()


def test_engine_forgets_connections_without_closing_them(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url, pool_size=1)
    SqlDatabase(engine).rows(Statement("SELECT 1"))
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    assert _forget_connections(engine) is pool
    assert engine.pool is not pool
    assert pool.checkedin() == 1
    pool.dispose()
    engine.dispose()


def test_async_engine_forgets_its_pool_after_a_fork(sqlite_url: str) -> None:
    engine = create_engine_async(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
    assert forks._FORGETTING[engine.pool] == AsyncPool.forget


def test_async_pool_forgets_connections_without_closing_them() -> None:
    server = FakeServer()
    server.opens.set()
    pool: AsyncPool[FakeConnection] = AsyncPool(server.connect, size=2, timeout=60)

    async def use() -> None:
        used, idle = await pool.acquire(), await pool.acquire()
        pool.release(idle)
        held = pool.forget()
        assert pool.count == 0
        assert isinstance(held, tuple)
        assert used in held[1]
        assert {await pool.acquire(), await pool.acquire()} == {*server.opened[2:]}
        assert pool.count == 2
        assert not any(each.closed for each in server.opened)

    asyncio.run(use())
