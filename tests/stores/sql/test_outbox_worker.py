"""Tests of the outbox worker on each database: delivery, failures and retries."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar, cast

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.sql import outbox_worker
from curae_lifecycle.stores.sql.clock import NOW_SQL, now_values
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_statements import (
    due_messages,
    due_statement,
    mark_expired_dead_statements,
)
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.statement import Rows, Statement
from curae_lifecycle.stores.sql.store import Database
from tests.stores.sql.posting import database, left, pass_time, post, raising, url
from tests.support.sql.databases import Forwarding

__all__ = ["database", "url"]

Answered = TypeVar("Answered")


# --- Delivery -------------------------------------------------------------------------------


def test_outbox_delivers_each_subjects_messages_once_in_order(database: SqlDatabase) -> None:
    post(database, "one", "two", "one", "one", "two")
    seen: list[Delivery] = []
    outbox = Outbox(database)
    assert [outbox.deliver_batch(seen.append) for _ in range(4)] == [2, 2, 1, 0]
    assert [each.document for each in seen] == [{"number": n} for n in (0, 1, 2, 4, 3)]
    first = seen[0]
    assert (first.kind, first.subject, first.attempt) == ("kind", key_of("one"), 1)
    assert "document" not in repr(first)
    assert left(database) == 0


def test_batch_size_limits_the_messages_of_one_outbox_delivery(database: SqlDatabase) -> None:
    post(database, *"abcde")
    outbox = Outbox(database, DeliverySettings(batch=2))
    assert [outbox.deliver_batch(lambda _: None) for _ in range(4)] == [2, 2, 1, 0]


def test_outbox_message_with_a_64_bit_number_is_delivered(database: SqlDatabase) -> None:
    override = "OVERRIDING SYSTEM VALUE " if database.dialect == "postgresql" else ""
    columns = "curae_outbox (id, subject, kind, document, attempts, due_at, waits_from)"
    text = f"INSERT INTO {columns} {override}VALUES (?, 's', 'k', '{{\"format\": 1}}', 0, 0, 0)"
    assert database.run_transaction([Statement(text, (2**63 - 2,), 1)])
    seen: list[Delivery] = []
    Outbox(database).deliver_batch(seen.append)
    assert [each.number for each in seen] == [2**63 - 2]
    assert left(database) == 0


@pytest.mark.parametrize(
    "name", ["batch", "attempts", "lease", "pause", "longest_pause", "poll_seconds"]
)
@pytest.mark.parametrize("wrong", [0, -1, 10**9, float("nan")])
def test_invalid_outbox_worker_settings_raise_argument_error(name: str, wrong: float) -> None:
    with pytest.raises(ArgumentError, match=name):
        DeliverySettings(**{name: cast("int", wrong)})


# --- Failures -------------------------------------------------------------------------------


def instant(database: Database) -> int:
    """Return the database's clock, in microseconds."""
    dialect = database.dialect
    statement = Statement(f"SELECT {NOW_SQL[dialect]}", now_values(dialect))
    return int(str(database.rows(statement)[0][0]))


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.5, 1.0])
def test_failed_outbox_message_backs_off_and_delays_its_subject(
    part: float,
    database: SqlDatabase,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        drawn.append((least, most))
        return part

    monkeypatch.setattr(random, "uniform", uniform)
    post(database, "one", "one", "two")
    outbox = Outbox(database, DeliverySettings(pause=100.0, longest_pause=150.0, attempts=9))
    for pause in (100, 150, 150):
        begun = instant(database)
        assert outbox.deliver_batch(raising) == 2
        ended = instant(database)
        assert outbox.deliver_batch(raising) == 0, "nothing is due"
        for (due,) in database.rows(Statement("SELECT due_at FROM curae_outbox")):
            assert begun <= int(str(due)) - pause * part * 1_000_000 <= ended
        pass_time(database)
    assert set(drawn) == {(0.5, 1)}
    seen: list[Delivery] = []
    assert outbox.deliver_batch(seen.append) == 2
    assert [each.attempt for each in seen] == [4, 4]
    assert "message 1: attempt 3 of 9: ValueError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("attempt", "pause"), [(1, 1.0), (2, 2.0), (5, 16.0), (11, 600.0), (10_000, 600.0)]
)
def test_outbox_retry_pauses_double_up_to_the_longest_pause(attempt: int, pause: float) -> None:
    assert DeliverySettings().pause_after(attempt) == pause


def test_dead_message_delays_its_subject_only_once_revived(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, "one", "one")
    outbox = Outbox(database, DeliverySettings(attempts=2))
    for _ in range(2):
        assert outbox.deliver_batch(raising) == 1
        pass_time(database)
    assert "message 1 is dead: attempt 2 of 2: ValueError" in caplog.text
    seen: list[Delivery] = []
    assert outbox.deliver_batch(seen.append) == 1
    assert [each.number for each in seen] == [2]
    dead = outbox.list_dead()
    assert [(each.number, each.attempt) for each in dead] == [(1, 2)]
    assert outbox.list_dead(after=1) == outbox.list_dead(limit=0) == ()
    assert outbox.deliver_batch(seen.append) == 0
    post(database, "one")
    assert not outbox.revive(3)
    assert outbox.revive(1)
    assert outbox.list_dead() == ()
    assert [outbox.deliver_batch(seen.append) for _ in range(3)] == [1, 1, 0], "it goes first again"
    assert [(each.number, each.attempt) for each in seen] == [(2, 1), (1, 1), (3, 1)]


class GoneError(BaseException):
    """A stand-in for the death of a worker's process."""


@attrs.define
class Breaking(Forwarding):
    """A database that runs statements, and then fails as often as it was told to."""

    breaks: str = "nothing"
    times: int = 10**6

    def rows(self, statement: Statement) -> Rows:
        return self._then_fail(statement.text, super().rows(statement))

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return self._then_fail(statements[0].text, super().run_transaction(statements))

    def _then_fail(self, text: str, answered: Answered) -> Answered:
        if self.breaks in text and self.times:
            self.times -= 1
            raise StoreUnavailableError("a test broke it")
        return answered


class Killed(Breaking):
    """A database of a process that may die and then changes nothing more."""

    dead: bool = False

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        if self.dead:
            raise StoreUnavailableError("its process is gone")
        return super().run_transaction(statements)

    def die(self) -> None:
        self.dead = True
        raise GoneError


def test_only_the_message_that_kills_its_workers_becomes_dead(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, "bad", *"abcd")
    seen: list[Delivery] = []

    def life() -> None:
        killed = Killed(database)

        def handle(delivery: Delivery) -> None:
            if delivery.subject == key_of("bad"):
                killed.die()
            seen.append(delivery)

        while Outbox(killed, DeliverySettings(attempts=3)).deliver_batch(handle):
            pass

    for _ in range(3):
        with pytest.raises(GoneError):
            life()
        pass_time(database)
    life()
    assert [(each.number, each.attempt) for each in seen] == [(n, 2) for n in (2, 3, 4, 5)]
    assert [(each.number, each.attempt) for each in Outbox(database).list_dead()] == [(1, 3)]
    assert "message 1 is dead: its last attempt did not end" in caplog.text


def test_untried_messages_of_a_killed_worker_are_due_at_once(database: SqlDatabase) -> None:
    post(database, *"abc")

    def handle(delivery: Delivery) -> None:
        if delivery.number == 2:
            raise GoneError

    with pytest.raises(GoneError):
        Outbox(database).deliver_batch(handle)
    seen: list[Delivery] = []
    assert Outbox(database).deliver_batch(seen.append) == 1
    pass_time(database)
    assert Outbox(database).deliver_batch(seen.append) == 1
    assert [(each.number, each.attempt) for each in seen] == [(3, 1), (2, 2)]


def die(_: Delivery) -> None:
    raise GoneError


@pytest.mark.parametrize(
    ("rival", "has_expired"),
    [(die, False), (die, True), (raising, False)],
    ids=["works on it", "died too", "failed"],
)
def test_message_reclaimed_by_another_worker_is_not_marked_dead(
    database: SqlDatabase, rival: Callable[[Delivery], None], *, has_expired: bool
) -> None:
    post(database, "one")
    with suppress(GoneError):
        Outbox(database).deliver_batch(die)
    pass_time(database)
    spent = due_messages(database.rows(due_statement(database.dialect, 9)), 9)
    assert [each.attempts for each in spent] == [1]
    with suppress(GoneError):
        Outbox(database).deliver_batch(rival)
    if has_expired:
        pass_time(database)
    assert not database.run_transaction(mark_expired_dead_statements(database.dialect, spent[0]))
    assert Outbox(database).backlog()[:2] == (1, 0)


@attrs.define
class Overtaken(Breaking):
    """A database in which a rival does something right before a worker marks a message dead."""

    rival: Callable[[], object] = lambda: None

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        if "due_at = NULL" in statements[0].text:
            self.rival()
        return super().run_transaction(statements)


def test_outbox_worker_does_not_log_a_rivals_message_as_dead(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, "one", "two")
    settings = DeliverySettings(attempts=1)
    for _ in range(2):
        with suppress(GoneError):
            Outbox(database, settings).deliver_batch(die)
    pass_time(database)

    def rival() -> None:
        with suppress(GoneError):
            Outbox(database).deliver_batch(die)

    outbox = Outbox(Overtaken(database, rival=rival), settings)
    assert outbox.deliver_batch(die) == 0
    assert "is dead" not in caplog.text
    assert outbox.backlog()[:2] == (2, 0)


# --- Databases that fail ----------------------------------------------------------------------


def test_delivery_is_recorded_after_the_database_recovers(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_worker, "DEFAULT_RETRY_POLICY", RetryPolicy(seconds=60.0))
    post(database, "one", "two")
    seen: list[Delivery] = []
    outbox = Outbox(Breaking(database, "DELETE", 3))
    assert outbox.deliver_batch(seen.append) == 2
    assert left(database) == 0
    assert len(seen) == 2


def test_outbox_worker_stops_if_it_cannot_record_deliveries(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_worker, "DEFAULT_RETRY_POLICY", RetryPolicy(attempts=2))
    post(database, "one", "two")
    seen: list[Delivery] = []
    killed = Killed(database)

    def handle(delivery: Delivery) -> None:
        seen.append(delivery)
        killed.dead = True

    with pytest.raises(StoreUnavailableError):
        Outbox(killed).deliver_batch(handle)
    assert [each.number for each in seen] == [1]
    assert left(database) == 2


def test_claim_of_unknown_outcome_delays_message_by_one_lease(database: SqlDatabase) -> None:
    post(database, "one")
    seen: list[Delivery] = []
    with pytest.raises(StoreUnavailableError):
        Outbox(Breaking(database, "attempts + 1")).deliver_batch(seen.append)
    assert Outbox(database).deliver_batch(seen.append) == 0
    pass_time(database)
    assert Outbox(database).deliver_batch(seen.append) == 1


def test_worker_queries_again_if_a_rival_claimed_its_messages(database: SqlDatabase) -> None:
    post(database, "one", "two")
    seen: list[Delivery] = []

    class Overtaken(Breaking):
        def rows(self, statement: Statement) -> Rows:
            found = super().rows(statement)
            if self.times:
                self.times = 0
                Outbox(database, DeliverySettings(batch=1)).deliver_batch(lambda _: None)
                Outbox(database, DeliverySettings(batch=1)).deliver_batch(lambda _: None)
                post(database, "three")
            return found

    assert Outbox(Overtaken(database)).deliver_batch(seen.append) == 1
    assert [each.number for each in seen] == [3]


def test_outbox_handler_longer_than_its_lease_is_logged(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, "one")

    def handle(_: Delivery) -> None:
        pass_time(database)
        Outbox(database).deliver_batch(lambda _: None)

    assert Outbox(database).deliver_batch(handle) == 1
    assert "message 1: the claim was lost before the result was stored" in caplog.text


def test_outbox_starts_no_delivery_in_second_half_of_its_lease(database: SqlDatabase) -> None:
    post(database, *"abc")
    seen: list[Delivery] = []

    def handle(delivery: Delivery) -> None:
        seen.append(delivery)
        time.sleep(0.02)

    assert Outbox(database, DeliverySettings(lease=0.02)).deliver_batch(handle) in {0, 1}
    assert len(seen) <= 1
    assert Outbox(database).deliver_batch(seen.append) >= 2


class Impatient(threading.Event):
    """The stop of a worker, which passes each wait at once and is set by the fifth."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if len(self.waits) == 5:
            self.set()
        return self.is_set()


class Down(Breaking):
    """A database that fails and counts the queries for due messages; it ends a busy loop."""

    def __init__(self, database: Database, breaks: str, stop: threading.Event) -> None:
        super().__init__(database, breaks)
        self.looks = 0
        self.stop = stop

    def rows(self, statement: Statement) -> Rows:
        self.looks += 1
        if self.looks == 10:
            self.stop.set()
        return super().rows(statement)


@pytest.mark.parametrize("breaks", ["", "UPDATE"], ids=["no connection", "read-only"])
def test_outbox_worker_waits_a_poll_interval_if_database_is_down(
    database: SqlDatabase, breaks: str
) -> None:
    post(database, "one")
    stop = Impatient()
    down = Down(database, breaks, stop)
    Outbox(down, DeliverySettings(poll_seconds=0.5)).run(raising, stop)
    assert (down.looks, stop.waits) == (5, [0.5] * 5)


def test_worker_waits_only_after_it_found_no_due_message(database: SqlDatabase) -> None:
    post(database, *"abcd")
    seen, waits = list[int](), list[int]()

    class Idle(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            del timeout
            waits.append(len(seen))
            self.set()
            return True

    stop = Idle()
    outbox = Outbox(database, DeliverySettings(batch=1, poll_seconds=60))
    outbox.run(lambda delivery: seen.append(delivery.number), stop)
    assert (len(seen), waits) == (4, [4])


# --- Workers that go on -----------------------------------------------------------------------


def test_stopped_worker_finishes_message_and_unclaims_the_rest(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    stop, seen = threading.Event(), list[int]()
    post(database, "one")

    def handle(delivery: Delivery) -> None:
        seen.append(delivery.number)
        if delivery.number == 1:
            post(database, "two", "three")
        else:
            stop.set()

    outbox = Outbox(Breaking(database, "AS later", 1), DeliverySettings(poll_seconds=0.01))
    outbox.run(handle, stop)
    assert "a test broke it" in caplog.text
    assert seen == [1, 2]
    assert Outbox(database).deliver_batch(lambda delivery: seen.append(delivery.attempt)) == 1
    assert seen == [1, 2, 1], "what it claimed and did not try was given back"


@pytest.mark.slow
def test_several_workers_deliver_no_message_twice(database: SqlDatabase) -> None:
    subjects = [f"subject {number % 20}" for number in range(120)]
    post(database, *subjects)
    seen: list[Delivery] = []
    stop = threading.Event()

    def handle(delivery: Delivery) -> None:
        seen.append(delivery)
        if len(seen) == len(subjects):
            stop.set()

    outbox = Outbox(database, DeliverySettings(batch=7, poll_seconds=0.01))
    threads = [threading.Thread(target=outbox.run, args=(handle, stop)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.number for each in seen) == [*range(1, 121)]
    for about in set(subjects):
        numbers = [each.number for each in seen if each.subject == key_of(about)]
        assert numbers == sorted(numbers)
    assert left(database) == 0
