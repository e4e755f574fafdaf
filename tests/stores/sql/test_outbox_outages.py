"""Tests of an outbox worker whose handler or database is down for half a second."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs
import pytest

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
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


def test_outbox_handler_down_for_half_a_second_delivers_once(
    database: SqlDatabase, time: FakeTime
) -> None:
    outage, stop = Outage(time, OSError), Stop(time, database)
    Outbox(database, SETTINGS).run(lambda _: outage.call(stop.set), stop)
    assert (outage.failed, outage.succeeded, time.pauses) == (4, 1, POLLS)
    assert left(database) == 0


def test_outbox_database_down_for_half_a_second_delivers_once(
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


def test_outbox_database_down_after_the_handler_delivers_once(
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


def test_async_outbox_database_down_for_a_while_delivers_once(
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
