"""Tests that the simulated outbox reports a message that is held up for too long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from curae_lifecycle.rules.values import CLOCK_TOLERANCE, ConnectionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import HandoffCancelled
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.stores.sql.outbox_worker import DEFAULT_DELIVERY_SETTINGS
from curae_lifecycle.testing.simulation.outbox import SimulatedOutbox
from curae_lifecycle.testing.simulation.summary import RuleBrokenError
from tests.support.strategies import START, uuid

LONGEST = timedelta(seconds=DEFAULT_DELIVERY_SETTINGS.lease, microseconds=CLOCK_TOLERANCE)


@pytest.fixture
def claimed() -> Iterator[SimulatedOutbox]:
    """Yield an outbox of two messages: the first was shipped, and a worker died at the second."""
    outbox = SimulatedOutbox(DEFAULT_SETTINGS)
    for number in (1, 2):
        cancelled = HandoffCancelled(ConnectionId(uuid(number)))
        outbox.post(Changes(effects=(cancelled,)), START)
    deaths = iter([False, False, True])
    outbox.ship(START, START, dies=lambda: next(deaths))
    yield outbox
    outbox.close()


def test_claim_of_a_dead_worker_may_last_for_lease_and_tolerance(claimed: SimulatedOutbox) -> None:
    assert claimed.shipped == 1
    claimed.ship(START + LONGEST, START, dies=lambda: False)
    assert claimed.shipped == 1


def test_claim_that_outlasts_its_bound_is_reported(claimed: SimulatedOutbox) -> None:
    later = START + LONGEST + timedelta(microseconds=1)
    # The subject of the first message has no message left, and does not end the search.
    with pytest.raises(RuleBrokenError, match="message 2 is due and was not shipped"):
        claimed.ship(later, START, dies=lambda: False)


def test_message_of_a_dead_worker_is_delivered_after_its_claim(claimed: SimulatedOutbox) -> None:
    claimed.ship(START + LONGEST, START + LONGEST, dies=lambda: False)
    assert claimed.shipped == 2


def test_message_that_is_delivered_twice_is_reported() -> None:
    outbox = SimulatedOutbox(DEFAULT_SETTINGS)
    cancelled = HandoffCancelled(ConnectionId(uuid(1)))
    outbox.post(Changes(effects=(cancelled,)), START)
    # It is delivered already, as far as the simulation knows.
    outbox.waiting.clear()
    with (
        closing(outbox),
        pytest.raises(RuleBrokenError, match=r"message 1 shipped instead of \[\]"),
    ):
        outbox.ship(START, START, dies=lambda: False)
