"""Tests of outbox messages whose stored document is damaged."""

from __future__ import annotations

import asyncio

import pytest

from curae_lifecycle.stores.outbox import AnyDelivery, Delivery, MalformedDelivery
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from curae_lifecycle.web.json import MalformedError
from tests.stores.sql.posting import left, post
from tests.support.commands import Command

DAMAGED = ["", '{"for', "null", "5", "[]", '"text"', "{}", '{"format": "1"}', '{"format": 0}']


@pytest.fixture
def database(sqlite_database: SqlDatabase) -> SqlDatabase:
    """A database with three messages."""
    SqlStore(sqlite_database).create_tables()
    post(sqlite_database, *"abc")
    return sqlite_database


def damage(database: SqlDatabase, document: str) -> None:
    """Replace the document of the second message."""
    text = "UPDATE curae_outbox SET document = ? WHERE id = 2"
    assert database.run_transaction([Statement(text, (document,), 1)])


def deliver(
    database: SqlDatabase, settings: DeliverySettings, *, is_async: bool
) -> tuple[int, list[int], tuple[AnyDelivery, ...]]:
    """Return how many messages were tried, which were handled, and the dead ones."""
    seen: list[int] = []
    if not is_async:
        outbox = Outbox(database, settings)
        return outbox.deliver_batch(lambda each: seen.append(each.number)), seen, outbox.list_dead()

    async def handle(delivery: Delivery) -> None:
        seen.append(delivery.number)

    async def run() -> tuple[int, list[int], tuple[AnyDelivery, ...]]:
        outbox = AsyncOutbox(ThreadedDatabase(database), settings)
        return await outbox.deliver_batch(handle), seen, await outbox.list_dead()

    return asyncio.run(run())


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("document", DAMAGED)
def test_malformed_outbox_message_fails_but_others_are_delivered(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture, document: str, *, is_async: bool
) -> None:
    damage(database, document)
    assert deliver(database, DeliverySettings(), is_async=is_async) == (3, [1, 3], ())
    assert left(database) == 1
    assert "message 2: attempt 1 of 50: MalformedError" in caplog.text


@pytest.mark.parametrize("is_async", [False, True])
def test_malformed_outbox_message_is_dead_after_last_attempt(
    database: SqlDatabase, *, is_async: bool
) -> None:
    damage(database, "{")
    tried, seen, dead = deliver(database, DeliverySettings(attempts=1), is_async=is_async)
    assert (tried, seen) == (3, [1, 3])
    (malformed,) = dead
    assert isinstance(malformed, MalformedDelivery)
    assert (malformed.number, malformed.attempt, malformed.kind) == (2, 1, "kind")
    assert isinstance(malformed.error, MalformedError)


def test_malformed_message_blocks_its_subject_until_it_is_dead(database: SqlDatabase) -> None:
    damage(database, "{")
    post(database, "b")
    outbox, seen = Outbox(database, DeliverySettings(attempts=1)), list[Delivery]()
    assert [outbox.deliver_batch(seen.append) for _ in range(3)] == [3, 1, 0]
    assert [each.number for each in seen] == [1, 3, 4]


def test_sql_store_outbox_method_raises_for_a_malformed_message(database: SqlDatabase) -> None:
    damage(database, "[]")
    with pytest.raises(MalformedError):
        SqlStore(database).outbox()


def test_outbox_dead_option_prints_fault_of_a_malformed_message(
    database: SqlDatabase,
    sqlite_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage(database, "[]")
    Outbox(database, DeliverySettings(attempts=1)).deliver_batch(lambda _: None)
    ask = Command(capsys, monkeypatch, ("--database", sqlite_url))
    status, (listed,), _ = ask("outbox", "--dead")
    assert (status, listed["number"], listed["error"]) == (0, 2, "the document: INVALID")
    assert "document" not in listed
