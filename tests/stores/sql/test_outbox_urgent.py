"""Tests that an ended access is delivered before other messages, and does not hold them up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest

from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql import outbox_worker
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_statements import due_messages
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.stores.sql.posting import pass_time, post, raising

FLOOD = 12
"""The number of messages of a flood, more than a batch of the tests."""


@pytest.fixture
def outbox(database: SqlDatabase) -> SqlDatabase:
    """A database with an empty outbox, of each kind."""
    SqlStore(database).create_tables()
    return database


def flood(outbox: SqlDatabase, kind: str = "UserProvisioned") -> None:
    """Post a flood of messages, each about another subject."""
    post(outbox, *[f"flood {number}" for number in range(FLOOD)], kind=kind)


def end_access(outbox: SqlDatabase, *subjects: str) -> None:
    post(outbox, *subjects, kind="AccessEnded")


def deliver(outbox: SqlDatabase, batch: int) -> list[int]:
    """Deliver one batch, and return the numbers of its messages in order."""
    seen: list[int] = []
    Outbox(outbox, DeliverySettings(batch=batch)).deliver_batch(
        lambda delivery: seen.append(delivery.number)
    )
    return seen


def deliver_async(outbox: SqlDatabase, batch: int) -> list[int]:
    """Deliver one batch as an async worker, and return the numbers of its messages in order."""
    seen: list[int] = []

    async def handle(delivery: Delivery) -> None:
        seen.append(delivery.number)

    worker = AsyncOutbox(ThreadedDatabase(outbox), DeliverySettings(batch=batch))
    asyncio.run(worker.deliver_batch(handle))
    return seen


@pytest.mark.parametrize("by", [deliver, deliver_async])
def test_access_ended_message_overtakes_many_earlier_messages(
    outbox: SqlDatabase, by: Callable[[SqlDatabase, int], list[int]]
) -> None:
    flood(outbox)
    end_access(outbox, "gone")
    assert by(outbox, 4) == [FLOOD + 1, 1, 2, 3]


def test_access_ended_follows_earlier_messages_of_its_subject(outbox: SqlDatabase) -> None:
    flood(outbox)
    post(outbox, "gone", "gone")
    end_access(outbox, "gone")
    batches = [deliver(outbox, 2) for _ in range(4)]
    assert batches == [[FLOOD + 1, 1], [FLOOD + 2, 2], [FLOOD + 3, 3], [4, 5]]


def test_two_access_ended_messages_of_a_subject_arrive_once_each(outbox: SqlDatabase) -> None:
    flood(outbox)
    end_access(outbox, "gone", "gone")
    assert deliver(outbox, 2) == [FLOOD + 1, 1]
    assert deliver(outbox, 2) == [FLOOD + 2, 2]
    assert deliver(outbox, 2) == [3, 4]


def test_retried_access_ended_message_overtakes_earlier_ones(outbox: SqlDatabase) -> None:
    flood(outbox)
    end_access(outbox, "gone")
    assert Outbox(outbox, DeliverySettings(batch=1)).deliver_batch(raising) == 1
    assert deliver(outbox, 2) == [1, 2]
    pass_time(outbox)
    assert deliver(outbox, 2) == [FLOOD + 1, 3]


def test_access_ended_waits_for_a_failed_message_of_its_subject(outbox: SqlDatabase) -> None:
    post(outbox, "gone")
    assert Outbox(outbox).deliver_batch(raising) == 1
    end_access(outbox, "gone")
    flood(outbox)
    assert deliver(outbox, 2) == [3, 4]
    pass_time(outbox)
    assert deliver(outbox, 2) == [1, 5]
    assert deliver(outbox, 2) == [2, 6]


def test_access_ended_overtakes_a_dead_message_of_its_subject(outbox: SqlDatabase) -> None:
    post(outbox, "gone")
    assert Outbox(outbox, DeliverySettings(attempts=1)).deliver_batch(raising) == 1
    flood(outbox)
    end_access(outbox, "gone")
    assert deliver(outbox, 2) == [FLOOD + 2, 2]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_many_access_ended_messages_take_turns_with_others(outbox: SqlDatabase, batch: int) -> None:
    post(outbox, *"abc")
    flood(outbox, "AccessEnded")
    seen: list[int] = []
    worker = Outbox(outbox, DeliverySettings(batch=batch))
    while worker.deliver_batch(lambda delivery: seen.append(delivery.number)):
        pass
    assert seen == [4, 1, 5, 2, 6, 3, *range(7, FLOOD + 4)]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_endless_access_ended_messages_do_not_starve_others(
    outbox: SqlDatabase, batch: int
) -> None:
    end_access(outbox, "first", "second")
    post(outbox, "one")
    seen: list[int] = []

    def handle(delivery: Delivery) -> None:
        seen.append(delivery.number)
        end_access(outbox, *[f"{delivery.number} {n}" for n in range(3)])

    worker = Outbox(outbox, DeliverySettings(batch=batch))
    while len(seen) < 8:
        worker.deliver_batch(handle)
    # Two messages precede it in the usual order, so it waits for at most five.
    assert 3 in seen[:6]


class GoneError(BaseException):
    """A stand-in for the death of a worker's process."""


def die(_: Delivery) -> None:
    raise GoneError


def test_access_ended_takes_turns_with_retries_after_a_crash(outbox: SqlDatabase) -> None:
    post(outbox, *"abc")
    with pytest.raises(GoneError):
        Outbox(outbox).deliver_batch(die)
    # The worker released the messages that it had not tried; it should hold all three.
    claim = "UPDATE curae_outbox SET claim = 'lost', attempts = 1, due_at = 1, waits_from = 1"
    assert outbox.run_transaction([Statement(claim)])
    end_access(outbox, "gone", "lost")
    worker, seen = Outbox(outbox), list[int]()
    counts = [worker.deliver_batch(lambda each: seen.append(each.number)) for _ in range(6)]
    # Another crash costs no second message an attempt.
    assert counts == [1, 1, 1, 1, 1, 0]
    assert seen == [4, 1, 5, 2, 3]


def test_slow_access_ended_messages_do_not_hold_up_others(
    outbox: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(outbox, "one")
    end_access(outbox, *"abc")
    seen, seconds = list[int](), 0.0
    clock = SimpleNamespace(monotonic=lambda: seconds)
    monkeypatch.setattr(outbox_worker, "time", clock)

    def handle(delivery: Delivery) -> None:
        nonlocal seconds
        # A batch has time for one message.
        seconds += 40
        seen.append(delivery.number)

    worker = Outbox(outbox, DeliverySettings(lease=60.0))
    while worker.deliver_batch(handle):
        pass
    assert seen == [2, 1, 3, 4]


def row(number: int, due_at: int, *, urgent: int) -> tuple[int, int, int, None, str, int]:
    return (number, due_at, 0, None, key_of(str(number)), urgent)


def test_urgent_messages_get_half_of_a_batch_at_most() -> None:
    urgent = [row(number, 0, urgent=1) for number in range(1, 9)]
    others = [row(number, 0, urgent=0) for number in range(9, 17)]
    choose = partial(due_messages, [*others, *urgent], 4)
    assert [each.number for each in choose()] == [1, 9, 2, 10]
    assert [each.number for each in choose(urgent_first=False)] == [9, 1, 10, 2]
    assert [each.number for each in due_messages([*urgent, *others[:1]], 4)] == [1, 9, 2, 3]


def test_message_found_by_urgent_and_usual_search_is_taken_once() -> None:
    rows = [row(1, 0, urgent=0), row(2, 0, urgent=0), row(2, 0, urgent=1), row(2, 0, urgent=1)]
    assert [(each.number, each.urgent) for each in due_messages(rows, 9)] == [(2, 1), (1, 0)]
    usual_first = due_messages(rows, 9, urgent_first=False)
    assert [(each.number, each.urgent) for each in usual_first] == [(1, 0), (2, 1)]
