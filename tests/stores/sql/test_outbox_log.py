"""Tests of what an outbox worker logs, and of how long a failed message waits."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.sql import outbox_worker
from curae_lifecycle.stores.sql.clock import SQLITE_CLOCK
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.stores.sql.posting import pass_time, post, raising
from tests.support.sql.databases import Forwarding

NOW = 10**15
LOST = (
    "message 1: the claim was lost before the result was stored, so the message may be delivered "
    "twice; or the result was stored, and the database's response was lost"
)


@pytest.fixture
def database(sqlite_database: SqlDatabase) -> SqlDatabase:
    """A database with one message in its outbox."""
    SqlStore(sqlite_database).create_tables()
    post(sqlite_database, "one")
    return sqlite_database


@pytest.fixture
def _stopped_clock() -> Iterator[None]:
    token = SQLITE_CLOCK.set(lambda: NOW)
    yield
    SQLITE_CLOCK.reset(token)


class GoneError(BaseException):
    """A stand-in for the death of a worker's process."""


def die(_: Delivery) -> None:
    raise GoneError


def test_outbox_worker_logs_each_failed_attempt(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(database, DeliverySettings(attempts=2))
    assert outbox.deliver_batch(raising) == 1
    pass_time(database)
    assert outbox.deliver_batch(raising) == 1
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.WARNING, "message 1: attempt 1 of 2: ValueError"),
        (logging.ERROR, "message 1 is dead: attempt 2 of 2: ValueError"),
    ]


def test_outbox_logs_message_as_dead_if_last_attempt_crashed(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(database, DeliverySettings(attempts=1))
    with suppress(GoneError):
        outbox.deliver_batch(die)
    pass_time(database)
    assert outbox.deliver_batch(raising) == 0
    assert caplog.messages == ["message 1 is dead: its last attempt did not end"]


def test_outbox_worker_logs_that_a_message_has_a_newer_format(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    newer = Statement("UPDATE curae_outbox SET document = '{\"format\": 2}'")
    assert database.run_transaction([newer])
    assert Outbox(database).deliver_batch(raising) == 0
    (logged,) = caplog.messages
    assert logged.startswith("message 1 is returned untried: Message: stored in form 2")


def test_outbox_worker_logs_that_a_rival_claimed_its_message(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(_: Delivery) -> None:
        database.run_transaction([Statement("UPDATE curae_outbox SET claim = 'rival'")])

    assert Outbox(database).deliver_batch(handle) == 1
    assert caplog.messages == [LOST]


def test_outbox_worker_logs_a_lost_answer_as_one_possible_cause(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    class Silent(Forwarding):
        def run_transaction(self, statements: Sequence[Statement]) -> bool:
            done = super().run_transaction(statements)
            if "DELETE" in statements[0].text and done:
                raise StoreUnavailableError("the connection was lost")
            return done

    seen: list[int] = []
    outbox = Outbox(Silent(database))
    while outbox.deliver_batch(lambda each: seen.append(each.number)):
        pass
    assert seen == [1]
    assert caplog.messages[1:] == [LOST]


def test_outbox_worker_raises_if_it_cannot_store_a_result(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The transaction conflicts each time, and the claim is still held.
    monkeypatch.setattr(outbox_worker, "DEFAULT_RETRY_POLICY", RetryPolicy(attempts=2))
    outbox = Outbox(database)

    def handle(_: Delivery) -> None:
        monkeypatch.setattr(database, "run_transaction", lambda _: False)

    with pytest.raises(StoreUnavailableError) as raised:
        outbox.deliver_batch(handle)
    message = "the result of a delivery could not be stored in time: a conflict"
    assert message in str(raised.value)


@pytest.mark.usefixtures("_stopped_clock")
@pytest.mark.parametrize("part", [0.5, 1.0])
def test_outbox_retry_waits_half_to_all_of_the_configured_pause(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        drawn.append((least, most))
        return part

    monkeypatch.setattr(random, "uniform", uniform)
    outbox = Outbox(database, DeliverySettings(pause=100.0, longest_pause=150.0, attempts=9))
    for pause in (100, 150, 150):
        assert outbox.deliver_batch(raising) == 1
        wait = int(pause * part * 1_000_000)
        # If the clock is put back, the message waits for the longest pause at most.
        waits = (NOW - 150_000_000 + wait, NOW + wait)
        asked = Statement("SELECT waits_from, due_at FROM curae_outbox")
        assert [*database.rows(asked)] == [waits]
        pass_time(database)
    assert set(drawn) == {(0.5, 1)}
