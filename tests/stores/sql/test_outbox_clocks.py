"""The outbox on each database while its clock is stepped: nothing waits for a clock, or ships twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.values import EPOCH, add_microseconds
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.outbox import Delivery, Message
from curae_lifecycle.stores.sql import outbox_statements
from curae_lifecycle.stores.sql.clock import NOW_SQL, now_values
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_statements import Due, due_messages
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.storing import commit_statements
from tests.stores.sql.conftest import DATABASES, opened

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
YEAR: Final = 365 * 24 * HOUR
STEPS: Final = [sign * by for sign in (-1, 1) for by in (MINUTE, HOUR, YEAR)]
SETTINGS: Final = DeliverySettings(lease=60.0, attempts=2, pause=100.0, longest_pause=150.0)


class GoneError(BaseException):
    """The process of a worker ends."""


@attrs.define
class World:
    """A database, the error of its clock in microseconds, and the shipped messages."""

    database: SqlDatabase
    wrong_by: int = 0
    shipped: list[int] = attrs.field(factory=list[int])

    def __getitem__(self, dialect: Dialect) -> str:
        """Return the SQL for the wrong clock."""
        return f"({NOW_SQL[dialect]} + {self.wrong_by})"

    def now(self) -> int:
        """Return what the clock shows, in microseconds since 1970."""
        dialect = self.database.dialect
        clock = Statement(f"SELECT {self[dialect]}", now_values(dialect))
        return int(str(self.database.rows(clock)[0][0]))

    def post(self, *subjects: str) -> None:
        """Commit a message about each subject, at the instant that the clock shows."""
        found = [Message("k", subject, {}) for subject in subjects]
        loaded = Loaded(Snapshot(), add_microseconds(EPOCH, self.now()))
        dialect = self.database.dialect
        assert self.database.run_transaction(
            commit_statements(dialect, loaded=loaded, changes=NO_CHANGES, messages=found, page=None)
        )

    def outbox(self, settings: DeliverySettings = SETTINGS) -> Outbox:
        return Outbox(self.database, settings)

    def handle(self, delivery: Delivery) -> None:
        self.shipped.append(delivery.number)

    def ship(self) -> int:
        """Ship one batch, and return how many messages it had."""
        return self.outbox().deliver_batch(self.handle)

    def fail(self) -> None:
        """Let one attempt of one message fail."""
        assert self.outbox(attrs.evolve(SETTINGS, batch=1)).deliver_batch(raising) == 1

    def crash(self) -> None:
        """Let a worker die with its first message."""
        with pytest.raises(GoneError):
            self.outbox(attrs.evolve(SETTINGS, batch=1)).deliver_batch(dying)


def raising(_: Delivery) -> None:
    raise ValueError


def dying(_: Delivery) -> None:
    raise GoneError


SQLITE, POSTGRES, MARIADB = DATABASES


@pytest.fixture(params=[SQLITE, pytest.param(POSTGRES, marks=pytest.mark.heavy), MARIADB])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty outbox on each database, on a clock that can be stepped."""
    with opened(str(request.getfixturevalue(f"{request.param}_url"))) as database:
        database.run_ddl(create_table_statements(database.dialect))
        made = World(database)
        monkeypatch.setattr(outbox_statements, "NOW_SQL", made)
        monkeypatch.setattr(random, "uniform", lambda least, _: least)
        yield made


# --- Messages that were never tried ----------------------------------------------------------


@pytest.mark.parametrize("by", STEPS)
def test_clock_step_does_not_delay_untried_outbox_messages(world: World, by: int) -> None:
    world.post("one", "two")
    world.wrong_by = by
    world.post("one", "two", "one")
    world.wrong_by = 0
    assert [world.ship() for _ in range(4)] == [2, 2, 1, 0]
    assert world.shipped == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("by", STEPS)
def test_clock_steps_keep_untried_outbox_messages_in_order(world: World, by: int) -> None:
    for number, wrong_by in enumerate((by, 0, -by, by)):
        world.wrong_by = wrong_by
        world.post(f"subject {number}")
    world.wrong_by = 0
    one = world.outbox(attrs.evolve(SETTINGS, batch=1))
    assert [one.deliver_batch(world.handle) for _ in range(5)] == [1, 1, 1, 1, 0]
    assert world.shipped == [1, 2, 3, 4]


@pytest.mark.parametrize("by", STEPS)
def test_parallel_outbox_workers_deliver_once_after_a_clock_step(world: World, by: int) -> None:
    for wrong_by in (by, 0, by):
        world.wrong_by = wrong_by
        world.post(*[f"subject {number}" for number in range(8)])
    world.wrong_by = 0

    def work(_: int) -> None:
        small = world.outbox(attrs.evolve(SETTINGS, batch=2))
        while small.deliver_batch(world.handle):
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    while world.ship():
        pass
    assert sorted(world.shipped) == list(range(1, 25))


def test_clock_set_back_gives_an_outbox_backlog_age_of_zero(world: World) -> None:
    world.wrong_by = HOUR
    world.post("one")
    world.wrong_by = 0
    assert world.outbox().backlog().oldest_due_seconds == 0
    world.wrong_by = 2 * HOUR
    assert 3600 <= world.outbox().backlog().oldest_due_seconds < 3700


# --- Retries ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "is_due"),
    # A pause of 50 seconds, and at most 150 from now.
    [(0, False), (MINUTE, False), (99 * SECOND, False), (110 * SECOND, True), (YEAR, True)],
)
def test_clock_step_delays_outbox_retry_by_at_most_longest_pause(
    world: World, by: int, *, is_due: bool
) -> None:
    world.wrong_by = by
    world.post("one", "one")
    world.fail()
    world.wrong_by = 0
    assert world.ship() == is_due
    if not is_due:
        world.wrong_by = 150 * SECOND
        assert world.ship() == 1
    # The message behind it was never tried.
    assert world.ship() == 1
    assert world.shipped == [1, 2]


@pytest.mark.parametrize("end", [World.ship, World.fail])
def test_outbox_message_is_due_once_the_previous_is_sent_or_dead(
    world: World, end: Callable[[World], object]
) -> None:
    world.wrong_by = 110 * SECOND
    world.post("one", "one")
    world.fail()
    # The retry is 160 seconds ahead, so it is due. It is shipped, or fails for the last time.
    world.wrong_by = 0
    end(world)
    # Now both are less than 150 seconds ahead.
    world.wrong_by = 20 * SECOND
    assert world.ship() == 1
    assert world.shipped[-1] == 2


def test_message_is_due_when_a_crash_makes_the_previous_one_dead(world: World) -> None:
    world.wrong_by = 2 * HOUR
    world.post("one", "one")
    world.fail()
    # The retry is due, since the clock was put back; its worker crashes, and so does the message.
    world.wrong_by = HOUR
    world.crash()
    # The claim is over. What waits behind is 140 seconds ahead.
    world.wrong_by = 2 * HOUR - 90 * SECOND
    assert world.ship() == 1
    assert world.shipped == [2]
    assert [each.number for each in world.outbox().list_dead()] == [1]


# --- Claims ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "is_over"),
    [
        (-4 * MINUTE, False),
        (-6 * MINUTE, True),
        (-YEAR, True),
        (0, False),
        (30 * SECOND, False),
        (61 * SECOND, True),
        (YEAR, True),
    ],
)
def test_claimed_message_is_due_after_lease_or_a_big_clock_step(
    world: World, step: int, *, is_over: bool
) -> None:
    world.post("one")
    world.crash()
    world.wrong_by = step
    assert world.ship() == is_over
    assert world.shipped == [1] * is_over


@pytest.mark.parametrize(
    ("step", "is_over"), [(-4 * MINUTE, False), (-6 * MINUTE, True), (59 * MINUTE, False)]
)
def test_message_stays_claimed_for_the_lease_of_its_worker(
    world: World, step: int, *, is_over: bool
) -> None:
    world.post("one")
    with pytest.raises(GoneError):
        world.outbox(DeliverySettings(lease=3600.0)).deliver_batch(dying)
    world.wrong_by = step
    assert world.ship() == is_over


@pytest.mark.parametrize("step", STEPS)
def test_second_outbox_worker_does_not_deliver_a_claimed_message(world: World, step: int) -> None:
    world.post("one")
    together: list[int] = []

    def handle(delivery: Delivery) -> None:
        world.handle(delivery)
        together.append(world.outbox().deliver_batch(world.handle))

    world.wrong_by = step
    assert world.outbox().deliver_batch(handle) == 1
    assert (together, world.shipped) == ([0], [1])


def read(world: World) -> list[Due]:
    """Read what is due, as a worker does before it claims."""
    dialect = world.database.dialect
    return due_messages(world.database.rows(outbox_statements.due_statement(dialect, 9)), 9)


def claim(world: World, due: list[Due], token: str) -> list[int]:
    """Claim messages as they were read, and return the numbers of those that are held then."""
    dialect, database = world.database.dialect, world.database
    wanted = outbox_statements.claim_statement(dialect, due=due, claim=token, lease=60.0)
    assert database.run_transaction([wanted])
    found = database.rows(outbox_statements.claimed_statement(due, token))
    return [each.number for each in outbox_statements.deliveries(found)]


def test_worker_with_outdated_rows_cannot_take_a_claimed_message(world: World) -> None:
    world.post("one")
    due = read(world)
    assert claim(world, due, "first") == [1]
    # The first claim looks expired, but the second worker read an older state.
    world.wrong_by = -HOUR
    assert claim(world, due, "second") == []
    # After another read, it may claim.
    again = read(world)
    assert [each.claim for each in again] == ["first"]
    assert claim(world, again, "second") == [1]
    assert claim(world, again, "third") == []


def test_outbox_message_is_claimed_once_though_a_clock_runs_fast(world: World) -> None:
    world.post("one")
    assert claim(world, read(world), "first") == [1]
    world.wrong_by = HOUR
    due = read(world)
    world.wrong_by = 0
    assert claim(world, due, "second") == []


def test_worker_with_outdated_rows_cannot_claim_failed_message(world: World) -> None:
    world.post("one")
    due = read(world)
    world.fail()
    assert claim(world, due, "second") == []


# --- What a batch takes ----------------------------------------------------------------------


def rows(*due_at: int) -> list[tuple[int, int, int, None, str, int]]:
    """Return rows of messages, numbered from 1, that are due at these instants."""
    return [(number, each, 0, None, "s", 0) for number, each in enumerate(due_at, 1)]


@pytest.mark.parametrize(
    ("due_at", "limit", "taken"),
    [
        ((0, 0, 0), 2, [1, 2]),
        ((9, 8, 7), 2, [3, 2]),
        # Half of the places are for messages that were tried.
        ((9, 8, 7, 0, 0, 0), 4, [3, 4, 2, 5]),
        ((0, 0, 0, 9), 4, [4, 1, 2, 3]),
        ((9, 8, 7, 0), 4, [3, 4, 2, 1]),
        ((9, 0), 1, [1]),
        ((), 3, []),
    ],
)
def test_outbox_batch_reserves_half_its_places_for_retries(
    due_at: tuple[int, ...], limit: int, taken: list[int]
) -> None:
    assert [each.number for each in due_messages(rows(*due_at)[::-1], limit)] == taken
