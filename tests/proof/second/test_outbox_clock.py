"""No clock holds a message of the outbox up, and a claim stays exclusive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from tests.proof.second.client import HOUR, MINUTE, SECOND, TOLERANCE, YEAR, World, id_of

LEASE = 60 * SECOND
LONGEST = 100 * SECOND


def worker(world: World, batch: int = 100) -> Outbox:
    assert world.database is not None
    settings = DeliverySettings(
        batch=batch, lease=LEASE.total_seconds(), longest_pause=LONGEST.total_seconds()
    )
    return Outbox(world.database, settings)


def delivered(world: World, batch: int = 100) -> list[Delivery]:
    """Return the messages that one batch delivers."""
    got: list[Delivery] = []
    worker(world, batch).deliver_batch(got.append)
    return got


def fail(_: Delivery) -> None:
    raise OSError("the receiver is down")


@pytest.mark.parametrize("ahead", [MINUTE, HOUR, YEAR])
def test_outbox_message_stored_by_a_fast_clock_is_due_at_once(
    sqlite: World, ahead: timedelta
) -> None:
    sqlite.step(ahead)
    made = id_of(sqlite.create())
    sqlite.step(-ahead)
    (message,) = delivered(sqlite)
    assert message.kind == "connection.created"
    assert isinstance(message.document["subject"], dict)
    assert message.document["subject"]["id"] == made


@pytest.mark.parametrize("back", [MINUTE, HOUR, YEAR])
def test_untried_outbox_message_is_due_after_any_clock_step_back(
    sqlite: World, back: timedelta
) -> None:
    sqlite.create()
    sqlite.step(-back)
    assert len(delivered(sqlite)) == 1


def test_untried_outbox_messages_are_delivered_in_number_order(sqlite: World) -> None:
    for ahead in (HOUR, -2 * HOUR, YEAR, -YEAR, MINUTE):
        sqlite.step(ahead)
        sqlite.create()
    numbers = [each.number for _ in range(3) for each in delivered(sqlite, batch=2)]
    assert numbers == sorted(numbers)
    assert len(numbers) == 5


def test_outbox_message_waits_for_earlier_message_of_its_subject(sqlite: World) -> None:
    made = id_of(sqlite.create())
    sqlite.authorize(made)
    worker(sqlite).deliver_batch(fail)
    assert delivered(sqlite) == []
    sqlite.step(-YEAR)
    got: list[Delivery] = []
    for _ in range(3):
        sqlite.step(LONGEST)
        got = delivered(sqlite)
        if got:
            break
    kinds = [each.kind for each in got + delivered(sqlite)]
    assert kinds == ["connection.created", "connection.authorized"]


@pytest.mark.parametrize("ahead", [HOUR, YEAR])
def test_clock_step_back_delays_retry_by_at_most_longest_pause(
    sqlite: World, ahead: timedelta
) -> None:
    sqlite.create()
    sqlite.step(ahead)
    worker(sqlite).deliver_batch(fail)
    sqlite.step(-ahead)
    sqlite.step(LONGEST + SECOND)
    (message,) = delivered(sqlite)
    assert message.attempt == 2


def test_outbox_retry_is_not_due_before_its_pause_ends(sqlite: World) -> None:
    sqlite.create()
    for _ in range(4):
        worker(sqlite).deliver_batch(fail)
        assert delivered(sqlite) == []
        sqlite.step(LONGEST)
    assert len(delivered(sqlite)) == 1


def taken_meanwhile(world: World, act: Callable[[], object]) -> list[Delivery]:
    """Return what a second worker gets while the first one holds the message, after an act."""
    got: list[Delivery] = []

    def handle(_: Delivery) -> None:
        act()
        got.extend(delivered(world))

    worker(world).deliver_batch(handle)
    return got


@pytest.mark.parametrize(
    "step",
    [0 * SECOND, LEASE - 2 * SECOND, -SECOND, -4 * MINUTE, -TOLERANCE + 2 * SECOND],
)
def test_second_worker_gets_no_message_while_first_holds_lease(
    sqlite: World, step: timedelta
) -> None:
    sqlite.create()
    assert taken_meanwhile(sqlite, lambda: sqlite.step(step)) == []


@pytest.mark.parametrize("step", [LEASE + 2 * SECOND, -TOLERANCE - 2 * SECOND, -HOUR, -YEAR])
def test_outbox_lease_ends_by_time_or_by_large_clock_step_back(
    sqlite: World, step: timedelta
) -> None:
    sqlite.create()
    (again,) = taken_meanwhile(sqlite, lambda: sqlite.step(step))
    assert again.attempt == 2


def test_outbox_loses_no_message_over_many_clock_steps(sqlite: World) -> None:
    made = {id_of(sqlite.create()) for _ in range(4)}
    got: list[Delivery] = []
    for step in (HOUR, -2 * HOUR, YEAR, -YEAR, -HOUR, LONGEST):
        worker(sqlite, batch=1).deliver_batch(fail if step == YEAR else got.append)
        sqlite.step(step)
    sqlite.step(LONGEST)
    while more := delivered(sqlite):
        got.extend(more)
    subjects = [each.document["subject"] for each in got]
    assert {str(each["id"]) for each in subjects if isinstance(each, dict)} == made
    assert len(got) == 4


def test_clock_steps_never_reorder_the_messages_of_a_subject(sqlite: World) -> None:
    sqlite.step(YEAR)
    made = id_of(sqlite.create())
    sqlite.step(-YEAR)
    sqlite.authorize(made)
    sqlite.step(HOUR)
    sqlite.revoke(made)
    kinds = [each.kind for _ in range(4) for each in delivered(sqlite, batch=1)]
    assert kinds[:2] == ["connection.created", "connection.authorized"]
    assert set(kinds[2:]) == {"AccessEnded", "connection.revoked"}
