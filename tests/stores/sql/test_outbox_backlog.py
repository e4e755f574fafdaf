"""Tests of the backlog of an outbox: how many messages wait, and for how long."""

from __future__ import annotations

import asyncio
import time

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
