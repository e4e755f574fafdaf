"""Tests of the backlog of an outbox: how many messages wait, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace

import attrs
import pytest

from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql import outbox_worker
from curae_lifecycle.stores.sql.clock import SQLITE_CLOCK
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_statements import Backlog, parse_backlog
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.stores.sql.posting import database, post, raising, url

__all__ = ["database", "url"]


def test_empty_outbox_has_no_backlog_and_age_zero(database: SqlDatabase) -> None:
    assert Outbox(database).backlog() == Backlog(0, 0, 0.0)


def test_outbox_backlog_counts_waiting_and_dead_messages(database: SqlDatabase) -> None:
    post(database, "one", "two", "bad")
    outbox = Outbox(database, DeliverySettings(attempts=1))
    assert (outbox.backlog().messages, outbox.backlog().dead) == (3, 0)
    assert outbox.deliver_batch(raising) == 3
    assert outbox.backlog() == Backlog(0, 3, 0.0)
    assert asyncio.run(AsyncOutbox(ThreadedDatabase(database)).backlog()) == Backlog(0, 3, 0.0)


def test_outbox_backlog_has_the_age_of_the_oldest_due_message(
    database: SqlDatabase,
) -> None:
    post(database, "one", "two")
    # One message has been due for a while, and one is claimed for longer.
    now = time.time_ns() // 1000
    for number, ahead in ((1, -1000), (2, 1000)):
        due = Statement("UPDATE curae_outbox SET due_at = ? WHERE id = ?")
        assert database.run_transaction([due._replace(values=(now + ahead * 1_000_000, number))])
    behind = Outbox(database).backlog()
    assert behind.messages == 2
    assert 1000 <= behind.oldest_due_seconds < 2000


def test_outbox_message_not_yet_due_gives_backlog_age_zero() -> None:
    assert parse_backlog([(1, 0, 5_000_000, 4_000_000)]) == Backlog(1, 0, 0.0)
    assert parse_backlog([(1, 0, 4_000_000, 6_500_000)]) == Backlog(1, 0, 2.5)


# --- Slow handlers ---------------------------------------------------------------------------


@attrs.define
class Slow:
    """A handler that takes some seconds of a clock, and notes the backlog after each message."""

    database: SqlDatabase
    takes: float
    seconds: float = 1000.0
    claimed: list[int] = attrs.field(factory=list[int])
    ages: list[float] = attrs.field(factory=list[float])

    def __call__(self, _: Delivery) -> None:
        self.seconds += self.takes
        claims = Statement("SELECT COUNT(claim) FROM curae_outbox")
        self.claimed.append(int(str(self.database.rows(claims)[0][0])))
        self.ages.append(Outbox(self.database).backlog().oldest_due_seconds)


@pytest.fixture
def slow(database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """A handler that takes a second."""
    made = Slow(database, 1.0)
    clock = SimpleNamespace(monotonic=lambda: made.seconds)
    monkeypatch.setattr(outbox_worker, "time", clock)
    token = SQLITE_CLOCK.set(lambda: int(made.seconds * 1_000_000))
    yield made
    SQLITE_CLOCK.reset(token)


def test_slow_outbox_worker_claims_what_it_can_start_in_time(slow: Slow) -> None:
    post(slow.database, *"abcdefghi")
    worker = Outbox(slow.database, DeliverySettings(lease=6.0, batch=8))
    slow.takes = 1.5
    assert [worker.deliver_batch(slow) for _ in range(2)] == [2, 2]
    assert slow.claimed == [8, 7, 2, 1]
    # It learns that its handler is fast again.
    slow.takes = 0.0
    assert worker.deliver_batch(slow) == 2
    post(slow.database, *"abcdefghi")
    assert worker.deliver_batch(slow) == 8


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_backlog_of_a_slow_outbox_worker_ages(slow: Slow) -> None:
    post(slow.database, *"abcdefghijkl")
    worker = Outbox(slow.database, DeliverySettings(lease=6.0))
    while worker.deliver_batch(slow):
        pass
    # The first batch claims all messages, and returns those that it has no time for.
    assert slow.ages == [0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0]
