"""The pool of async connections: order, limits, and what counts as a connection."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import weakref
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

import psycopg
import pytest
import sqlalchemy as sa

from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.deadline import deadline_scope
from curae_lifecycle.stores.sql import pool as pools
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.pool import AsyncPool
from curae_lifecycle.stores.sql.statement import Statement
from tests.stores.sql.fake_server import FakeConnection, FakeServer, settle
from tests.support.serving import run_async

LONG = 60.0
SIZE = 3


def run(
    act: Callable[[AsyncPool[FakeConnection], FakeServer], Awaitable[None]],
    *,
    size: int = 2,
    timeout: float = LONG,
) -> None:
    async def started() -> None:
        server = FakeServer()
        server.opens.set()
        await act(AsyncPool(server.connect, size, timeout), server)

    # In a loop that raises an error if it would wait for ever.
    run_async(started())


def test_pool_hands_out_the_last_returned_connection_first() -> None:
    async def act(pool: AsyncPool[FakeConnection], _: FakeServer) -> None:
        first, second = await pool.acquire(), await pool.acquire()
        pool.release(second)
        pool.release(first)
        assert await pool.acquire() is first
        assert pool.count == 2

    run(act)


def test_pool_serves_waiters_in_order_of_arrival() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        held = [await pool.acquire() for _ in range(2)]
        waiting = [asyncio.create_task(pool.acquire()) for _ in range(3)]
        await settle()
        pool.release(held[1])
        await settle()
        assert [task.done() for task in waiting] == [True, False, False]
        pool.release(held[0])
        await settle()
        assert [task.done() for task in waiting] == [True, True, False]
        assert waiting[0].result() is held[1]
        assert len(server.opened) == 2
        waiting[2].cancel()

    run(act)


def test_exhausted_pool_raises_after_its_timeout() -> None:
    async def act(pool: AsyncPool[FakeConnection], _: FakeServer) -> None:
        held = [await pool.acquire() for _ in range(2)]
        with pytest.raises(StoreUnchangedError, match="no connection was free in time"):
            await pool.acquire()
        pool.release(held[0])
        # The pool skips a client that has stopped waiting.
        assert await pool.acquire() is held[0]

    run(act, timeout=0.01)


def test_pool_raises_at_timeout_if_server_opens_no_connection() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        server.opens.clear()
        with pytest.raises(StoreUnchangedError, match="no connection was opened in time"):
            await pool.acquire()
        server.opens.set()
        assert await pool.acquire() in server.opened

    run(act, timeout=0.01)


def test_failed_connect_raises_and_frees_its_pool_slot() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        server.error = OSError("refused")
        failing = [asyncio.create_task(pool.acquire()) for _ in range(5)]
        await asyncio.wait(failing)
        assert [str(task.exception()) for task in failing] == ["refused"] * 5
        assert pool.count == 0
        server.error = None
        assert (await pool.acquire()).number == 1

    run(act)


def test_connection_for_a_cancelled_waiter_returns_to_the_pool() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        server.opens.clear()
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        waiting.cancel()
        await settle()
        # The opening goes on, and counts meanwhile.
        assert (pool.count, len(server.opened)) == (1, 0)
        server.opens.set()
        await settle()
        assert (await pool.acquire()).number == 1
        held = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        # Handed over and cancelled at once.
        pool.release(held)
        waiting.cancel()
        await settle()
        assert waiting.cancelled()
        assert await pool.acquire() is held

    run(act)


def test_failed_connect_of_a_cancelled_waiter_frees_its_slot() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        server.opens.clear()
        server.error = OSError("refused")
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        waiting.cancel()
        server.opens.set()
        await settle()
        assert pool.count == 0

    run(act)


def test_discarded_connection_uses_a_pool_slot_until_closed() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        lost, idle = await pool.acquire(), await pool.acquire()
        pool.release(idle)
        pool.discard(lost)
        await settle()
        # The idle one is closed too.
        assert (lost.closed, idle.closed, pool.count) == (True, True, 2)
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        assert len(server.opened) == 2
        lost.server_closed.set()
        await settle()
        assert waiting.result().number == 3
        assert pool.count == 2

    run(act)


def test_pool_frees_slot_of_unclosed_connection_after_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "CLOSING_SECONDS", 0.01)

    async def act(pool: AsyncPool[FakeConnection], _: FakeServer) -> None:
        pool.discard(await pool.acquire())
        assert (await pool.acquire()).number == 2

    run(act, size=1)


def test_disposed_pool_closes_a_connection_as_soon_as_it_is_idle() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        used, other, idle = [await pool.acquire() for _ in range(3)]
        pool.release(idle)
        for each in server.opened:
            each.server_closed.set()
        await pool.dispose()
        assert (used.closed, idle.closed) == (False, True)
        pool.release(used)
        pool.discard(other)
        await settle()
        assert (used.closed, other.closed, pool.count) == (True, True, 0)
        await pool.dispose()
        assert (await pool.acquire()).number == 4

    run(act, size=3)


def test_pool_dispose_does_not_wait_for_a_hung_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_DISPOSE_SECONDS", 0.01)

    async def act(pool: AsyncPool[FakeConnection], _: FakeServer) -> None:
        pool.release(await pool.acquire())
        await pool.dispose()
        assert pool.count == 1

    run(act)


def test_disposed_pool_closes_connections_being_opened() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        server.opens.clear()
        gone, stays = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
        await settle()
        gone.cancel()
        disposing = asyncio.create_task(pool.dispose())
        await settle()
        server.opens.set()
        await settle()
        used, idle = server.opened
        assert (await stays, idle.closed, disposing.done()) == (used, True, False)
        idle.server_closed.set()
        await disposing
        assert (used.closed, pool.count) == (False, 1)
        pool.release(used)
        await settle()
        assert used.closed

    run(act)


def test_disposed_pool_closes_a_connection_just_handed_over() -> None:
    async def act(pool: AsyncPool[FakeConnection], _: FakeServer) -> None:
        held = [await pool.acquire() for _ in range(2)]
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        pool.release(held[0])
        disposing = asyncio.create_task(pool.dispose())
        await disposing
        pool.release(await waiting)
        await settle()
        assert held[0].closed

    run(act)


def test_disposed_pool_closes_a_reused_connection_on_its_return() -> None:
    async def act(pool: AsyncPool[FakeConnection], _: FakeServer) -> None:
        pool.release(await pool.acquire())
        again = await pool.acquire()
        await pool.dispose()
        pool.release(again)
        await settle()
        assert again.closed

    run(act)


def test_pool_disposed_twice_closes_connections_being_opened() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        await pool.dispose()
        server.opens.clear()
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        disposing = asyncio.create_task(pool.dispose())
        await settle()
        server.opens.set()
        opened = await waiting
        pool.release(opened)
        await settle()
        assert opened.closed
        opened.server_closed.set()
        await disposing

    run(act)


def test_pool_keeps_no_closed_connection_in_memory() -> None:
    async def act(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        idle, outdated, lost, lost_later = [await pool.acquire() for _ in range(4)]
        pool.release(idle)
        pool.discard(lost)
        disposing = asyncio.create_task(pool.dispose())
        server.opens.clear()
        gone = asyncio.create_task(pool.acquire())
        await settle()
        gone.cancel()
        await pool.dispose()
        server.opens.set()
        pool.release(outdated)
        pool.discard(lost_later)
        await settle()
        for number in range(5):
            server.opened[number].server_closed.set()
        await disposing
        await settle()
        seen = [weakref.ref(each) for each in server.opened]
        server.opened.clear()
        del idle, outdated, lost, lost_later
        gc.collect()
        assert (len(seen), [ref() for ref in seen], pool.count) == (5, [None] * 5, 0)

    run(act, size=5)


# --- What PostgreSQL counts -----------------------------------------------------------------


LOCK = Statement("SELECT id FROM kept WHERE id = ? FOR UPDATE", (1,))
BACKENDS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name = 'pool'"
)


@contextmanager
def held_lock(url: str, _: Callable[[], list[int]]) -> Iterator[None]:
    with psycopg.connect(url) as holder:
        holder.execute(LOCK.text.replace("?", "1").encode())
        yield


@contextmanager
def stopped_backends(_: str, backends: Callable[[], list[int]]) -> Iterator[None]:
    stopped = backends()
    if not all(Path(f"/proc/{pid}").exists() for pid in stopped):
        pytest.skip("only a server on this machine can be stopped")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def terminated_backends(url: str, backends: Callable[[], list[int]]) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as other:
        for pid in backends():
            other.execute("SELECT pg_terminate_backend(%s)", [pid])
        yield


ENEMIES = {
    "held lock": held_lock,
    "stopped backends": stopped_backends,
    "terminated backends": terminated_backends,
}


@pytest.mark.slow
@pytest.mark.parametrize("enemy", ENEMIES)
def test_blocking_pool_never_exceeds_its_size_on_the_server(postgres_url: str, enemy: str) -> None:
    plain = sa.make_url(postgres_url).set(drivername="postgresql")
    url = plain.render_as_string(hide_password=False)
    named = plain.update_query_dict({"options": "-c application_name=pool"})
    engine = create_engine(
        named.render_as_string(hide_password=False), timeout=LONG, pool_size=SIZE
    )
    database = SqlDatabase(engine)
    database.run_ddl([Statement("CREATE TABLE kept (id INTEGER PRIMARY KEY)")])
    database.run_transaction([Statement("INSERT INTO kept (id) VALUES (?)", (1,))])

    def client() -> None:
        for _ in range(6):
            with suppress(StoreUnavailableError), deadline_scope(0.1):
                database.rows(LOCK)

    with psycopg.connect(url, autocommit=True) as other, ThreadPoolExecutor(4 * SIZE) as threads:

        def backends() -> list[int]:
            return [pid for (pid,) in other.execute(BACKENDS).fetchall()]

        most = 0
        for each in [threads.submit(client) for _ in range(2 * SIZE)]:
            each.result()
        with ENEMIES[enemy](url, backends):
            clients = [threads.submit(client) for _ in range(4 * SIZE)]
            while not all(each.done() for each in clients):
                most = max(most, len(backends()))
                sleep(0.005)
            for each in clients:
                each.result()
        assert database.rows(LOCK)
    engine.dispose()
    assert 1 <= most <= SIZE


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("enemy", ENEMIES)
def test_async_pool_never_exceeds_its_size_on_the_server(
    postgres_url: str, driver: str, enemy: str
) -> None:
    plain = sa.make_url(postgres_url).set(drivername="postgresql")
    url = plain.render_as_string(hide_password=False)
    named = plain.set(drivername=f"postgresql+{driver}").update_query_dict(
        {"options": "-c application_name=pool"}
    )

    async def act() -> int:
        engine = create_engine_async(
            named.render_as_string(hide_password=False), timeout=LONG, pool_size=SIZE
        )
        database = AsyncSqlDatabase(engine)
        await database.run_ddl([Statement("CREATE TABLE kept (id INTEGER PRIMARY KEY)")])
        await database.run_transaction([Statement("INSERT INTO kept (id) VALUES (?)", (1,))])
        with psycopg.connect(url, autocommit=True) as other:

            def backends() -> list[int]:
                return [pid for (pid,) in other.execute(BACKENDS).fetchall()]

            async def client() -> None:
                # The client gives up long before the server does.
                for _ in range(6):
                    with suppress(TimeoutError, StoreUnavailableError):
                        async with asyncio.timeout(0.1):
                            await database.rows(LOCK)

            most = 0
            await asyncio.gather(*(client() for _ in range(2 * SIZE)))
            with ENEMIES[enemy](url, backends):
                clients = asyncio.gather(*(client() for _ in range(4 * SIZE)))
                while not clients.done():
                    most = max(most, len(backends()))
                    await asyncio.sleep(0.005)
                await clients
            async with asyncio.timeout(LONG):
                assert await database.rows(LOCK)
            # Meanwhile the enemy may have ended each backend before it was counted.
            most = max(most, len(backends()))
        await engine.dispose()
        return most

    assert 1 <= asyncio.run(act()) <= SIZE
