"""Tests of the numbers that an outbox worker takes, and of those that it refuses."""

from __future__ import annotations

import asyncio
from itertools import chain, repeat
from types import SimpleNamespace

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError, describe
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql import outbox_worker
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_statements import discard_statement
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.stores.sql.posting import left, post, raising

YEAR = 366 * 24 * 3600.0
COUNTS = ("batch", "attempts")
DURATIONS = ("lease", "pause", "longest_pause", "poll_seconds")


@pytest.fixture
def database(sqlite_database: SqlDatabase) -> SqlDatabase:
    """A database with one message in its outbox."""
    SqlStore(sqlite_database).create_tables()
    post(sqlite_database, "one")
    return sqlite_database


def test_lowest_and_highest_outbox_worker_settings_are_accepted() -> None:
    for count in (1, 1000):
        DeliverySettings(batch=count, attempts=count)
    for each in (1e-9, YEAR):
        DeliverySettings(lease=each, pause=each, longest_pause=each, poll_seconds=each)


def allowed_of(name: str) -> str:
    """Return the text of an error about what a setting can be."""
    seconds = "a number of seconds, more than 0 and at most a year"
    return "an integer from 1 to 1000" if name in COUNTS else seconds


@pytest.mark.parametrize("name", [*COUNTS, *DURATIONS])
def test_outbox_worker_setting_out_of_range_raises_with_its_name(name: str) -> None:
    values = (0, 1001) if name in COUNTS else (0.0, YEAR + 1)
    for wrong in values:
        with pytest.raises(ArgumentError) as raised:
            # mypy cannot know that the name is one of a number.
            attrs.evolve(DeliverySettings(), **{name: wrong})  # type: ignore[arg-type]
        assert raised.value.argument == name
        assert raised.value.allowed == allowed_of(name)


@pytest.mark.parametrize("name", [*COUNTS, *DURATIONS])
def test_outbox_worker_setting_of_a_wrong_type_raises(name: str) -> None:
    for wrong in ("1", None, *([2.5] if name in COUNTS else [])):
        said = f"^{name}: must be {allowed_of(name)}, not {describe(wrong)}$"
        with pytest.raises(ArgumentError, match=said):
            attrs.evolve(DeliverySettings(), **{name: wrong})  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("attempt", [65, 66, 10_000])
def test_outbox_retry_pause_doubles_at_most_64_times(attempt: int) -> None:
    settings = DeliverySettings(pause=1e-12, longest_pause=YEAR)
    assert settings.pause_after(attempt) == 1e-12 * 2.0**64


def test_dead_outbox_message_with_lowest_number_is_listed(database: SqlDatabase) -> None:
    assert Outbox(database, DeliverySettings(attempts=1)).deliver_batch(raising) == 1
    for dead in (
        Outbox(database).list_dead(),
        asyncio.run(AsyncOutbox(ThreadedDatabase(database)).list_dead()),
    ):
        assert [each.number for each in dead] == [1]


@pytest.mark.parametrize("number", [1, 2**63 - 1])
def test_dead_outbox_message_with_largest_number_is_revived(
    database: SqlDatabase, number: int
) -> None:
    kill = Statement("UPDATE curae_outbox SET due_at = NULL, id = ?", (number,), 1)
    assert database.run_transaction([kill])
    outbox = Outbox(database)
    for missing in (-1, 0, 2, 2**63):
        assert outbox.revive(missing) is False
    assert outbox.revive(number) is True
    assert outbox.backlog().dead == 0


@pytest.mark.parametrize("number", [1, 2**63 - 1])
def test_only_a_dead_message_with_the_given_number_is_discarded(
    database: SqlDatabase, number: int
) -> None:
    outbox = Outbox(database)
    assert outbox.discard(1) is False, "it is not dead"
    # As if it had been revived since the look.
    assert not database.run_transaction([discard_statement(1)])
    assert outbox.backlog().messages == 1
    kill = Statement("UPDATE curae_outbox SET due_at = NULL, id = ?", (number,), 1)
    assert database.run_transaction([kill])
    for missing in (-1, 0, 2, 2**63):
        assert outbox.discard(missing) is False
    assert outbox.backlog().dead == 1
    assert outbox.discard(number) is True
    assert outbox.discard(number) is False
    assert outbox.backlog().messages == 0


@pytest.mark.parametrize(("seconds", "tried"), [(0.0, 1), (29.75, 1), (30.0, 0), (60.0, 0)])
def test_outbox_starts_a_delivery_only_in_first_half_of_lease(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch, seconds: float, tried: int
) -> None:
    passed = chain([100.0], repeat(100.0 + seconds))
    monkeypatch.setattr(outbox_worker, "time", SimpleNamespace(monotonic=lambda: next(passed)))
    assert Outbox(database, DeliverySettings(lease=60.0)).deliver_batch(lambda _: None) == tried
    # A message that was not tried is due at once.
    assert left(database) == Outbox(database).backlog().messages == 1 - tried
    claimed = Statement("SELECT id FROM curae_outbox WHERE claim IS NOT NULL OR due_at <> 0")
    assert [*database.rows(claimed)] == []


def test_outbox_worker_logs_the_error_of_its_database(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    error = StoreUnavailableError("100% of a test")

    class Down(ThreadedDatabase):
        async def rows(self, statement: Statement) -> list[tuple[object, ...]]:
            del statement
            stop.set()
            raise error

    stop = asyncio.Event()
    asyncio.run(AsyncOutbox(Down(database)).run(lambda _: asyncio.sleep(0), stop))
    assert caplog.messages == [str(error)]
