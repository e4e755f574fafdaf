"""Tests of transactions that the database refuses because a concurrent one came first.

PostgreSQL does so above READ COMMITTED. Nothing that was refused may count as done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import attrs
import pytest

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.erasing import erase
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.stores.sql.expiring import put_row
from tests.stores.sql.posting import left, post, raising
from tests.support.server import API_KEY, CALLER
from tests.support.serving import fake_time
from tests.support.sql.databases import Forwarding
from tests.support.strategies import COORDINATE, pending

KEY = ApiKey(API_KEY)


@attrs.define
class Refusing(Forwarding):
    """A database that refuses some transactions, as PostgreSQL refuses with SQLSTATE 40001.

    Attributes:
        text: A part of a statement of the transactions to refuse.
        times: How many of them are refused.
    """

    text: str = ""
    times: int = 0

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        if self.times and any(self.text in each.text for each in statements):
            self.times -= 1
            return False
        return super().run_transaction(statements)


@pytest.fixture
def refusing(sqlite_database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> Refusing:
    """A database with its tables, on a clock that passes at once."""
    fake_time(monkeypatch)
    SqlStore(sqlite_database).create_tables()
    return Refusing(sqlite_database)


def register(database: Refusing) -> None:
    SqlStore(database).register(KEY, CALLER)


def register_async(database: Refusing) -> None:
    asyncio.run(AsyncSqlStore(ThreadedDatabase(database)).register(KEY, CALLER))


def withdraw(database: Refusing) -> None:
    SqlStore(database).withdraw(KEY)


def withdraw_async(database: Refusing) -> None:
    asyncio.run(AsyncSqlStore(ThreadedDatabase(database)).withdraw(KEY))


def stored_caller(database: Refusing) -> Caller | None:
    return SqlStore(database).load(Needs(), KEY.digest()).caller


@pytest.mark.parametrize("change", [register, register_async])
def test_api_key_registration_is_retried_after_a_conflict(
    refusing: Refusing, change: Callable[[Refusing], None]
) -> None:
    refusing.times = 3
    change(refusing)
    assert stored_caller(refusing) == CALLER


@pytest.mark.parametrize("change", [withdraw, withdraw_async])
def test_api_key_withdrawal_is_retried_after_a_conflict(
    refusing: Refusing, change: Callable[[Refusing], None]
) -> None:
    register(refusing)
    refusing.times = 3
    change(refusing)
    assert stored_caller(refusing) is None


@pytest.mark.parametrize("change", [register, withdraw])
def test_api_key_change_raises_if_every_attempt_conflicts(
    refusing: Refusing, change: Callable[[Refusing], None]
) -> None:
    refusing.times = 10**6
    with pytest.raises(StoreUnavailableError, match="concurrent transactions won"):
        change(refusing)


def erase_connection(database: Refusing) -> None:
    """Store a connection of a user, and erase the user."""
    store = SqlStore(database)
    assert store.commit(store.load(Needs()), Changes((ConnectionWrite(None, pending()),)))
    assert erase(database, COORDINATE).connections == 1


def purge_later(database: Refusing) -> None:
    """Purge as if five minutes had passed since the erasure, and every message was delivered."""
    database.run_transaction([Statement("DELETE FROM curae_outbox")])
    database.run_transaction([Statement("UPDATE curae_erasure SET due_at = 0")])
    SqlStore(database).purge()


def counts(database: Refusing) -> list[object]:
    tables = ("connection", "binding", "erasure")
    found = [database.rows(Statement(f"SELECT COUNT(*) FROM curae_{each}")) for each in tables]
    return [rows[0][0] for rows in found]


def test_storing_an_erasure_is_retried_after_a_conflict(refusing: Refusing) -> None:
    refusing.text, refusing.times = "curae_erasure", 3
    erase_connection(refusing)
    assert counts(refusing) == [1, 1, 1]


def test_next_purge_deletes_rows_left_after_a_conflict(refusing: Refusing) -> None:
    erase_connection(refusing)
    refusing.text, refusing.times = "DELETE FROM curae_connection", 1
    purge_later(refusing)
    assert counts(refusing) == [1, 1, 1]
    purge_later(refusing)
    assert counts(refusing) == [0, 0, 0]


def test_purge_retries_deleting_expired_rows_after_a_conflict(refusing: Refusing) -> None:
    assert refusing.run_transaction([put_row("curae_record", "0", 0)])
    refusing.text, refusing.times = "DELETE FROM curae_record", 3
    SqlStore(refusing).purge()
    assert refusing.rows(Statement("SELECT id FROM curae_record")) == []


def deliver(_: Delivery) -> None:
    """Deliver a message."""


@pytest.mark.parametrize(
    ("handle", "text", "rest"),
    [(deliver, "DELETE FROM curae_outbox", 0), (raising, "SET claim = NULL", 1)],
)
def test_storing_a_delivery_result_is_retried_after_a_conflict(
    refusing: Refusing,
    caplog: pytest.LogCaptureFixture,
    handle: Callable[[Delivery], None],
    text: str,
    rest: int,
) -> None:
    post(refusing, "one")
    refusing.text, refusing.times = text, 3
    assert Outbox(refusing).deliver_batch(handle) == 1
    assert left(refusing) == rest
    assert refusing.rows(Statement("SELECT id FROM curae_outbox WHERE claim IS NOT NULL")) == []
    assert "claim was lost" not in caplog.text


def revive(database: Forwarding, number: int) -> bool:
    return Outbox(database).revive(number)


def revive_async(database: Forwarding, number: int) -> bool:
    return asyncio.run(AsyncOutbox(ThreadedDatabase(database)).revive(number))


def discard(database: Forwarding, number: int) -> bool:
    return Outbox(database).discard(number)


def discard_async(database: Forwarding, number: int) -> bool:
    return asyncio.run(AsyncOutbox(ThreadedDatabase(database)).discard(number))


CHANGES = pytest.mark.parametrize(
    ("change", "text"),
    [
        (revive, "UPDATE curae_outbox"),
        (revive_async, "UPDATE curae_outbox"),
        (discard, "DELETE FROM curae_outbox"),
        (discard_async, "DELETE FROM curae_outbox"),
    ],
)
"""The changes of a dead message, each with the start of its statement."""


@CHANGES
def test_outbox_revive_or_discard_is_retried_after_a_conflict(
    refusing: Refusing, change: Callable[[Refusing, int], bool], text: str
) -> None:
    post(refusing, "one")
    post(refusing, "two")
    outbox = Outbox(refusing, DeliverySettings(attempts=1))
    outbox.deliver_batch(raising)
    other, dead = outbox.list_dead()
    refusing.text, refusing.times = text, 3
    assert change(refusing, dead.number) is True
    assert outbox.list_dead() == (other,)
    assert refusing.times == 0
    for no_dead_one in (dead.number, dead.number + 1):
        assert change(refusing, no_dead_one) is False


@CHANGES
def test_outbox_revive_or_discard_raises_if_it_always_conflicts(
    refusing: Refusing,
    change: Callable[[Refusing, int], bool],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RetryPolicy, "pause_after", lambda *_: 0.0)
    post(refusing, "one")
    outbox = Outbox(refusing, DeliverySettings(attempts=1))
    outbox.deliver_batch(raising)
    (dead,) = outbox.list_dead()
    refusing.text, refusing.times = text, 10**6
    with pytest.raises(StoreUnavailableError, match="concurrent transactions won"):
        change(refusing, dead.number)
    assert outbox.list_dead() == (dead,)


@attrs.define
class Beaten(Forwarding):
    """A database in which another operator revives a dead message before the next transaction."""

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        self.database.run_transaction([Statement("UPDATE curae_outbox SET due_at = 0")])
        return super().run_transaction(statements)


@CHANGES
def test_outbox_revive_or_discard_is_false_if_already_revived(
    refusing: Refusing, change: Callable[[Forwarding, int], bool], text: str
) -> None:
    post(refusing, "one")
    outbox = Outbox(refusing, DeliverySettings(attempts=1))
    outbox.deliver_batch(raising)
    (dead,) = outbox.list_dead()
    assert change(Beaten(refusing), dead.number) is False, text
    assert outbox.backlog().messages == 1
