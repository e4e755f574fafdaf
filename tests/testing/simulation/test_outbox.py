"""Tests that the simulated outbox reports a message that is held up, repeated or out of order."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from curae_lifecycle.rules.values import CLOCK_TOLERANCE, ConnectionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import HandoffCancelled
from curae_lifecycle.stores.sql.delivery_settings import DEFAULT_DELIVERY_SETTINGS
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.testing.simulation.outbox import SimulatedOutbox, _Database
from curae_lifecycle.testing.simulation.summary import RuleBrokenError
from tests.support.strategies import START, uuid

LONGEST = timedelta(seconds=DEFAULT_DELIVERY_SETTINGS.lease, microseconds=CLOCK_TOLERANCE)


def posted(*subjects: int) -> SimulatedOutbox:
    """Return an outbox of one message about each of these connections, in order."""
    outbox = SimulatedOutbox()
    for subject in subjects:
        cancelled = HandoffCancelled(ConnectionId(uuid(subject)))
        outbox.post(Changes(effects=(cancelled,)), START)
    return outbox


@pytest.fixture
def claimed() -> Iterator[SimulatedOutbox]:
    """Yield an outbox of two messages: the first was shipped, and a worker died at the second."""
    outbox = posted(1, 2)
    deaths = iter([False, False, True])
    outbox.ship(START, START, dies=lambda: next(deaths))
    yield outbox
    outbox.close()


def test_dead_worker_may_hold_a_message_for_lease_plus_tolerance(claimed: SimulatedOutbox) -> None:
    assert claimed.shipped == 1
    claimed.ship(START + LONGEST, START, dies=lambda: False)
    assert claimed.shipped == 1


def test_message_held_past_lease_and_tolerance_breaks_a_rule(claimed: SimulatedOutbox) -> None:
    later = START + LONGEST + timedelta(microseconds=1)
    # The subject of the first message has no message left, and does not end the search.
    with pytest.raises(RuleBrokenError, match="message 2 is due and was not shipped") as found:
        claimed.ship(later, START, dies=lambda: False)
    assert found.value.where == "the outbox"


def test_message_of_a_dead_worker_is_delivered_after_its_lease(claimed: SimulatedOutbox) -> None:
    claimed.ship(START + LONGEST, START + LONGEST, dies=lambda: False)
    assert claimed.shipped == 2


def test_message_that_is_delivered_twice_breaks_a_rule() -> None:
    outbox = posted(1)
    # It is delivered already, as far as the simulation knows.
    outbox.waiting.clear()
    with (
        closing(outbox),
        pytest.raises(RuleBrokenError, match=r"message 1 shipped instead of \[\]"),
    ):
        outbox.ship(START, START, dies=lambda: False)


def test_message_delivered_out_of_order_breaks_a_rule() -> None:
    outbox = posted(1, 1)
    (subject,) = outbox.waiting
    outbox.waiting[subject] = deque([2, 1])
    with (
        closing(outbox),
        pytest.raises(RuleBrokenError, match=r"message 1 shipped instead of \[2\]\n") as found,
    ):
        outbox.ship(START, START, dies=lambda: False)
    assert found.value.where == "the outbox"


def test_message_is_shipped_again_if_worker_dies_after_shipping() -> None:
    with closing(posted(1)) as outbox:
        deaths = iter([False, True])
        outbox.ship(START, START, dies=lambda: next(deaths))
        assert outbox.shipped == 1
        # The claim holds the message up, and no rule is broken.
        outbox.ship(START + LONGEST, START, dies=lambda: False)
        assert outbox.shipped == 1
        outbox.ship(START + LONGEST, START + LONGEST, dies=lambda: False)
        assert outbox.shipped == 2


def test_simulated_outbox_worker_ships_all_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING), closing(posted(1, 2, 2)) as outbox:
        outbox.ship(START, START, dies=lambda: False)
    assert outbox.shipped == 3
    assert caplog.messages == []


def test_database_of_the_simulated_outbox_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(_Database().connection):
        assert [*tmp_path.iterdir()] == []


def test_refused_transaction_of_a_simulated_outbox_stores_no_row() -> None:
    database = _Database()
    insert = "INSERT INTO kept (number) VALUES (?)"
    with closing(database.connection):
        database.run_ddl([Statement("CREATE TABLE kept (number INTEGER)")])
        assert database.run_transaction([Statement(insert, (1,), 1)])
        move = Statement("UPDATE kept SET number = 3 WHERE number = 2", (), 1)
        # The second move changes no row.
        assert not database.run_transaction([Statement(insert, (2,), 1), move, move])
        assert database.rows(Statement("SELECT number FROM kept")) == [(1,)]
