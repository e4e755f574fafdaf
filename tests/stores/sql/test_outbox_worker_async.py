"""Tests of the async outbox worker."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, SqlDatabase, create_engine_async
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.statement import Rows, Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.stores.sql.posting import database, left, post, url

__all__ = ["database", "url"]


def test_async_outbox_delivers_messages_and_revives_a_dead_one(database: SqlDatabase) -> None:
    post(database, "one", "two", "one", "bad")
    seen: list[int] = []

    async def run() -> None:
        outbox = AsyncOutbox(
            ThreadedDatabase(database), DeliverySettings(attempts=1, poll_seconds=0.01)
        )
        stop = asyncio.Event()

        async def handle(delivery: Delivery) -> None:
            if delivery.subject == key_of("bad"):
                raise ValueError
            seen.append(delivery.number)

        assert await outbox.deliver_batch(handle) == 3
        assert [each.number for each in await outbox.list_dead()] == [4]
        assert await outbox.revive(4)

        async def last(delivery: Delivery) -> None:
            seen.append(delivery.number)
            if delivery.number == 3:
                await asyncio.to_thread(post, database, "late")
            if len(seen) == 5:
                stop.set()

        await asyncio.gather(*[outbox.run(last, stop) for _ in range(3)])

    asyncio.run(run())
    assert sorted(seen) == [1, 2, 3, 4, 5]
    assert left(database) == 0


async def fail(_: Delivery) -> None:
    raise ValueError


def test_blocking_and_async_outbox_list_dead_messages_in_pages(database: SqlDatabase) -> None:
    post(database, *"abc")
    settings = DeliverySettings(attempts=1)
    blocking = Outbox(database, settings)
    waiting = AsyncOutbox(ThreadedDatabase(database), settings)

    async def run() -> None:
        assert await waiting.deliver_batch(fail) == 3
        for after, limit, expected in ((0, 2, [1, 2]), (2, 2, [3]), (1, 1, [2]), (3, 9, [])):
            for page in (
                blocking.list_dead(after=after, limit=limit),
                await waiting.list_dead(after=after, limit=limit),
            ):
                assert [each.number for each in page] == expected

    asyncio.run(run())


def test_async_outbox_worker_polls_until_stopped(database: SqlDatabase) -> None:
    stop, looked = asyncio.Event(), list[str]()

    class Idle(ThreadedDatabase):
        async def rows(self, statement: Statement) -> Rows:
            looked.append(statement.text)
            if len(looked) == 2:
                stop.set()
            return await super().rows(statement)

    outbox = AsyncOutbox(Idle(database), DeliverySettings(poll_seconds=0.01))
    asyncio.run(outbox.run(lambda _: asyncio.sleep(0), stop))
    assert len(looked) == 2


def test_async_outbox_worker_waits_if_its_database_is_down(database: SqlDatabase) -> None:
    looks = waits = 0

    class Impatient(asyncio.Event):
        async def wait(self) -> Literal[True]:
            nonlocal waits
            waits += 1
            if waits == 5:
                self.set()
            raise TimeoutError

    stop = Impatient()

    class Down(ThreadedDatabase):
        async def rows(self, statement: Statement) -> Rows:
            del statement
            nonlocal looks
            looks += 1
            if looks == 10:
                stop.set()
            raise StoreUnavailableError("it is down")

    outbox = AsyncOutbox(Down(database), DeliverySettings(poll_seconds=0.5))
    asyncio.run(outbox.run(lambda _: asyncio.sleep(0), stop))
    assert (looks, waits) == (5, 5)


def test_async_worker_waits_only_after_it_found_no_due_message(database: SqlDatabase) -> None:
    post(database, *"abcd")
    seen, waits = list[int](), list[int]()

    class Idle(asyncio.Event):
        async def wait(self) -> Literal[True]:
            waits.append(len(seen))
            self.set()
            return True

    async def handle(delivery: Delivery) -> None:
        seen.append(delivery.number)

    outbox = AsyncOutbox(ThreadedDatabase(database), DeliverySettings(batch=1, poll_seconds=60))
    asyncio.run(outbox.run(handle, Idle()))
    assert (len(seen), waits) == (4, [4])


def test_async_outbox_handler_is_cancelled_after_half_its_lease(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, "one")
    lived: list[float] = []

    async def run() -> int:
        loop = asyncio.get_running_loop()
        real, ahead = loop.time, 0.0
        # Move the clock of the loop, so that no test waits and no machine is too slow for a lease.
        setattr(loop, "time", lambda: real() + ahead)  # noqa: B010 - a method, to type checkers

        async def handle(_: Delivery) -> None:
            nonlocal ahead
            for ahead in (2400.0, 3600.0):
                await asyncio.sleep(0.01)
                lived.append(ahead)

        return await AsyncOutbox(
            ThreadedDatabase(database), DeliverySettings(lease=7200.0)
        ).deliver_batch(handle)

    assert asyncio.run(run()) == 1
    # A handler may take half of its lease.
    assert lived == [2400.0]
    assert "message 1: attempt 1 of 50: TimeoutError" in caplog.text


async def await_cancelled_task(delivery: Delivery) -> None:
    """Handle the first message by waiting for a task that is cancelled."""
    if delivery.number == 1:
        inner = asyncio.ensure_future(asyncio.sleep(0))
        inner.cancel()
        await inner


def test_handler_awaiting_a_cancelled_task_fails_its_attempt(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, "one", "two")
    outbox = AsyncOutbox(ThreadedDatabase(database))
    assert asyncio.run(outbox.deliver_batch(await_cancelled_task)) == 2
    assert left(database) == 1
    assert "message 1: attempt 1 of 50: CancelledError" in caplog.text


def test_cancelled_asyncio_run_in_a_handler_fails_the_attempt(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, "one", "two")
    outbox = Outbox(database)
    assert outbox.deliver_batch(lambda each: asyncio.run(await_cancelled_task(each))) == 2
    assert left(database) == 1
    assert "message 1: attempt 1 of 50: CancelledError" in caplog.text


def test_cancelled_outbox_worker_counts_no_failed_attempt(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, "one", "two")

    async def run() -> None:
        async def handle(_: Delivery) -> None:
            worker.cancel()
            await asyncio.sleep(60)

        worker = asyncio.ensure_future(AsyncOutbox(ThreadedDatabase(database)).run(handle))
        with pytest.raises(asyncio.CancelledError):
            await worker

    asyncio.run(run())
    assert "attempt 1 of 50" not in caplog.text
    # The second message was claimed and not tried.
    claimed = Statement("SELECT id FROM curae_outbox WHERE claim IS NOT NULL")
    assert [*database.rows(claimed)] == [(1,)]


def test_outbox_worker_on_an_async_engine_delivers_once(postgres_url: str) -> None:
    seen: list[int] = []

    async def run() -> None:
        engine = create_engine_async(postgres_url, timeout=30)
        database = AsyncSqlDatabase(engine)
        await AsyncSqlStore(database).create_tables()
        columns = "curae_outbox (subject, kind, document, attempts, due_at, waits_from)"
        values = "VALUES ('s', 'k', '{\"format\": 1}', 0, 0, 0)"
        text = f"INSERT INTO {columns} {values}"
        assert await database.run_transaction([Statement(text, (), 1)])

        async def handle(delivery: Delivery) -> None:
            seen.append(delivery.number)

        outbox = AsyncOutbox(database)
        assert [await outbox.deliver_batch(handle), await outbox.deliver_batch(handle)] == [1, 0]
        await engine.dispose()

    asyncio.run(run())
    assert seen == [1]
