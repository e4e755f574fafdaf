"""Tests that a pool can be used in one event loop after another."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async
from curae_lifecycle.stores.sql.pool import AsyncPool
from curae_lifecycle.stores.sql.statement import Statement
from tests.stores.sql.fake_server import FakeConnection, FakeServer, settle
from tests.support.patiently import PATIENCE


def end_loop_while(
    act: Callable[[AsyncPool[FakeConnection], FakeServer], Awaitable[None]], left: int = 0
) -> None:
    """Run a pool of one connection in a loop that ends after `act`, and use it in another.

    Between the two loops, the pool counts the connections that are `left`.
    """
    server = FakeServer()
    pool = AsyncPool(server.connect, size=1, timeout=0.01)

    async def first() -> None:
        await act(pool, server)

    async def second() -> None:
        server.opens.set()
        assert await pool.acquire() in server.opened
        assert pool.count == 1

    asyncio.run(first())
    assert pool.count == left
    asyncio.run(second())


@pytest.mark.parametrize("steps", [1, 20])
def test_pool_frees_slot_if_loop_ends_while_a_connection_opens(steps: int) -> None:
    waiting: list[asyncio.Task[FakeConnection]] = []

    async def open_one(pool: AsyncPool[FakeConnection], _: FakeServer) -> None:
        waiting.append(asyncio.create_task(pool.acquire()))
        await settle(steps)
        assert pool.count == 1

    end_loop_while(open_one)


def test_pool_frees_slot_if_loop_ends_while_connection_closes() -> None:
    async def close_one(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        server.opens.set()
        pool.discard(await pool.acquire())
        await settle()
        assert pool.count == 1

    end_loop_while(close_one)


def test_pool_frees_slot_if_event_loop_end_cancels_a_request() -> None:
    requests: list[asyncio.Task[None]] = []

    async def use_one(pool: AsyncPool[FakeConnection], server: FakeServer) -> None:
        async def request() -> None:
            connection = await pool.acquire()
            try:
                await asyncio.Event().wait()
            finally:
                pool.discard(connection)

        server.opens.set()
        requests.append(asyncio.create_task(request()))
        await settle()

    # The loop is over before it could close the connection.
    end_loop_while(use_one, left=1)
    # asyncio logs that a task is lost.
    gc.collect()


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "left open"])
def test_pool_closes_the_idle_connection_of_a_loop_that_ended(*, closes: bool) -> None:
    server = FakeServer()
    server.opens.set()
    pool = AsyncPool(server.connect, size=1, timeout=60)

    async def first() -> None:
        pool.release(await pool.acquire())

    async def second() -> None:
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        # The server still has it, so there is no other one yet.
        assert [each.closed for each in server.opened] == [True]
        server.opened[0].server_closed.set()
        assert await waiting is server.opened[1]
        assert pool.count == 1

    loop = asyncio.new_event_loop()
    loop.run_until_complete(first())
    if closes:
        loop.close()
    asyncio.run(second())
    loop.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_async_engine_runs_statements_in_a_second_event_loop(
    postgres_url: str, driver: str
) -> None:
    url = postgres_url.replace("+psycopg", f"+{driver}")
    engine = create_engine_async(url, timeout=PATIENCE, pool_size=1)

    async def ask(*, is_last: bool) -> list[tuple[object, ...]]:
        rows = await AsyncSqlDatabase(engine).rows(Statement("SELECT 1"))
        if is_last:
            await engine.dispose()
        return [tuple(row) for row in rows]

    assert [asyncio.run(ask(is_last=each)) for each in (False, False, True)] == [[(1,)]] * 3
    # asyncpg leaves what belonged to a closed loop to the garbage collection.
    gc.collect()
