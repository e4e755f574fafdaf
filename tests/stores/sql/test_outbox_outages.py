"""Tests of an outbox worker whose handler or database is down for a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.lab.failover.pair import DATABASE, Pair, pair
from tests.stores.sql.posting import left, pass_time, post
from tests.support.outages import DOWN_SECONDS, FAILED, PAUSES, Outage
from tests.support.serving import FakeTime, fake_time

SETTINGS = DeliverySettings(poll_seconds=0.125)
POLLS = [0.125] * 4
"""The waits of a worker until half a second has passed."""


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return fake_time(monkeypatch)


@pytest.fixture
def database(sqlite_url: str) -> Iterator[SqlDatabase]:
    """A database with one message in its outbox."""
    engine = create_engine(sqlite_url)
    made = SqlDatabase(engine)
    SqlStore(made).create_tables()
    post(made, "one")
    yield made
    engine.dispose()


class Stop(threading.Event):
    """A stop whose waits pass in fake time, and end the pauses of messages."""

    def __init__(self, time: FakeTime, database: SqlDatabase) -> None:
        super().__init__()
        self.time = time
        self.database = database

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.time.sleep(timeout)
        pass_time(self.database)
        return self.is_set()


@attrs.frozen
class Interrupted:
    """A database that fails during an outage."""

    database: SqlDatabase
    outage: Outage

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    def rows(self, statement: Statement) -> Rows:
        return self.outage.call(lambda: self.database.rows(statement))

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.outage.call(lambda: self.database.run_ddl(statements))

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return self.outage.call(lambda: self.database.run_transaction(statements))


def down() -> Exception:
    return StoreUnavailableError("it is down")


def test_outbox_delivers_once_after_a_half_second_handler_outage(
    database: SqlDatabase, time: FakeTime
) -> None:
    outage, stop = Outage(time, OSError), Stop(time, database)
    Outbox(database, SETTINGS).run(lambda _: outage.call(stop.set), stop)
    assert (outage.failed, outage.succeeded, time.pauses) == (4, 1, POLLS)
    assert left(database) == 0


def test_outbox_delivers_once_after_half_second_database_outage(
    database: SqlDatabase, time: FakeTime
) -> None:
    outage, stop, handled = Outage(time, down), Stop(time, database), list[int]()

    def handle(delivery: Delivery) -> None:
        handled.append(delivery.attempt)
        stop.set()

    Outbox(Interrupted(database, outage), SETTINGS).run(handle, stop)
    # The due messages, the claim, the claimed ones, and the result.
    assert (outage.failed, outage.succeeded, time.pauses) == (4, 4, POLLS)
    assert (handled, left(database)) == ([1], 0)


def test_database_outage_after_the_handler_causes_no_redelivery(
    database: SqlDatabase, time: FakeTime
) -> None:
    outage, handled = Outage(time, down), list[int]()
    time.passed = DOWN_SECONDS

    def handle(delivery: Delivery) -> None:
        handled.append(delivery.attempt)
        time.passed = 0

    assert Outbox(Interrupted(database, outage), SETTINGS).deliver_batch(handle) == 1
    assert (outage.failed, outage.succeeded, time.pauses) == (FAILED, 4, PAUSES)
    assert (handled, left(database)) == ([1], 0)


def test_async_outbox_delivers_once_after_a_database_outage(
    database: SqlDatabase, time: FakeTime
) -> None:
    outage, handled = Outage(time, down), list[int]()

    class AsyncStop(asyncio.Event):
        async def wait(self) -> Literal[True]:
            time.sleep(SETTINGS.poll_seconds)
            raise TimeoutError

    stop = AsyncStop()

    async def handle(delivery: Delivery) -> None:
        handled.append(delivery.attempt)
        stop.set()

    worker = AsyncOutbox(ThreadedDatabase(Interrupted(database, outage)), SETTINGS)
    asyncio.run(worker.run(handle, stop))
    assert (outage.failed, outage.succeeded, time.pauses) == (4, 4, POLLS)
    assert (handled, left(database)) == ([1], 0)


@pytest.mark.heavy
@pytest.mark.parametrize("wanted", ["primary", "read-write"])
def test_async_outbox_worker_delivers_after_database_failover(
    wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pair(is_synchronous=False) as servers:
        hosts = [f"{each.directory / 'door'}:5432" for each in (servers.primary, servers.standby)]
        url = servers.primary.url.set(
            drivername="postgresql+asyncpg",
            database=DATABASE,
            query={"host": hosts, "target_session_attrs": wanted},
        )
        asyncio.run(
            deliver_across_failover(url.render_as_string(hide_password=False), servers, caplog)
        )


async def deliver_across_failover(
    url: str, servers: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """Deliver a message of the primary, and one of its standby after a time as a standby."""
    engine = create_engine_async(url)
    await AsyncSqlStore(AsyncSqlDatabase(engine)).create_tables()
    stop, delivered = asyncio.Event(), asyncio.Queue[str]()

    async def handle(delivery: Delivery) -> None:
        await delivered.put(delivery.subject)

    worker = AsyncOutbox(AsyncSqlDatabase(engine), DeliverySettings(poll_seconds=0.01))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(worker.run(handle, stop))
        await asyncio.to_thread(post_on, servers.primary.url, "before")
        assert await delivered.get() == key_of("before")
        await asyncio.to_thread(servers.primary.stop)
        while len(caplog.messages) < 5:
            assert not running.done()
            await asyncio.sleep(0.01)
        # The last host of the URL, the standby, was reached and is not the primary.
        reason = "no connection (TargetServerAttributeNotMatched of postgresql)"
        assert caplog.messages[-1].endswith(reason)
        await asyncio.to_thread(servers.standby.run, "pg_ctl", "--wait", "promote")
        await asyncio.to_thread(post_on, servers.standby.url, "after")
        # The new primary may still hold the first message, whose deletion it had not yet received.
        while await delivered.get() != key_of("after"):
            pass
        stop.set()
    await engine.dispose()


def post_on(server: sa.URL, subject: str) -> None:
    engine = create_engine(server.set(database=DATABASE).render_as_string(hide_password=False))
    post(SqlDatabase(engine), subject)
    engine.dispose()
