"""Outbox workers that race, stall, fail and are killed between any two statements.

Every worker runs the library's own coroutine on a database that yields before and after each
statement, so that Hypothesis chooses the next worker. A killed worker runs nothing more.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Coroutine, Generator, Sequence
from contextlib import nullcontext, suppress
from contextvars import Context, copy_context
from types import SimpleNamespace
from typing import Final

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from curae_lifecycle.rules.values import CLOCK_TOLERANCE, SECOND, from_epoch_microseconds
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.stores import retry
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.outbox import Delivery, Message
from curae_lifecycle.stores.sql import outbox_statements, outbox_worker
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.storing import commit_statements

SHIPPING: Final = DeliverySettings(batch=3, lease=60.0, attempts=2, pause=5.0, longest_pause=8.0)
WORKERS: Final = 3
SUBJECTS: Final = ("one", "two", "three")

YEAR: Final = 365 * 24 * 3600.0

STEPS: Final = 1000
"""The most steps of a batch; each statement yields twice."""

workers: Final = st.integers(0, WORKERS - 1)
ends: Final = st.sampled_from(["ships", "ships", "ships", "fails", "ships and fails"])


class KilledError(BaseException):
    """The process of the worker is killed."""


class _LetGo:
    def __await__(self) -> Generator[None, None, None]:
        yield


@attrs.define(eq=False)
class Process:
    """A worker and its state.

    Attributes:
        current: The message that it started last, until its batch ends.
        noted: Whether the result of that message is in the database, which frees it.
        stepped: Whether the clock was stepped during its batch, so that its claim may end early.
        put_back: By how many seconds the clock was put back during its batch.
    """

    running: Coroutine[None, None, int] | None = None
    killed: bool = False
    breaks: str | None = None
    current: int | None = None
    noted: bool = False
    stepped: bool = False
    put_back: float = 0.0
    began: float = 0.0
    end: str = "ships"
    # Its context variables, as of a separate thread.
    context: Context = attrs.field(factory=copy_context)


@attrs.frozen
class SteppedDatabase:
    """SQLite in memory, which yields before and after each statement."""

    connection: sqlite3.Connection
    process: Process
    excuse: Counter[int]

    @property
    def dialect(self) -> Dialect:
        return Dialect.SQLITE

    async def rows(self, statement: Statement) -> Rows:
        await self._let_go("before")
        found = self.connection.execute(statement.text, statement.values).fetchall()
        await self._let_go("after")
        return found

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        await self._let_go("before")
        changed = change(self.connection, statements)
        self.process.noted = True
        await self._let_go("after")
        return changed

    async def _let_go(self, when: str) -> None:
        if self.process.killed:
            raise KilledError
        await _LetGo()
        if self.process.breaks == when:
            self.process.breaks = None
            if self.process.current is not None:
                self.excuse[self.process.current] += 1
            raise StoreUnavailableError("a test broke it")


def change(connection: sqlite3.Connection, statements: Sequence[Statement]) -> bool:
    """Run statements in one transaction."""
    with suppress(ArithmeticError), connection:
        for statement in statements:
            count = connection.execute(statement.text, statement.values).rowcount
            if statement.expected_rows not in {None, count}:
                raise ArithmeticError
        return True
    return False


class Shipped(RuleBasedStateMachine):
    """A machine that posts messages, steps workers by one statement, and checks deliveries."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = sqlite3.connect(":memory:", isolation_level="IMMEDIATE")
        change(self.connection, create_table_statements(Dialect.SQLITE))
        self.now = 1_000_000.0
        # By how much the database's clock is wrong.
        self.wrong_by = YEAR * 40
        self.processes = [Process() for _ in range(WORKERS)]
        self.posted: dict[int, str] = {}
        self.shipped: Counter[int] = Counter()
        self.excuse: Counter[int] = Counter()
        self.begun: dict[str, list[int]] = defaultdict(list)
        self.revived: set[int] = set()
        self.gaps: list[int] = []
        self.begun_by: list[Process] = []
        self.broken: list[str] = []
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(outbox_statements, "now_values", lambda _: (self.clock(),))
        clocks = SimpleNamespace(monotonic=lambda: self.now)
        self.patched.setattr(outbox_worker, "time", clocks)
        self.patched.setattr(retry, "time", clocks)

    def clock(self) -> int:
        """Return the time of the database's clock, in microseconds."""
        return int((self.now + self.wrong_by) * SECOND)

    # --- Events -------------------------------------------------------------------------------

    @rule(
        subjects=st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=4),
        kind=st.sampled_from(["k", "AccessEnded"]),
    )
    def post(self, subjects: list[str], kind: str = "k") -> None:
        messages = [Message(kind, subject, {"subject": subject}) for subject in subjects]
        loaded = Loaded(Snapshot(), from_epoch_microseconds(self.clock()))
        posted = commit_statements(
            Dialect.SQLITE, loaded=loaded, changes=NO_CHANGES, messages=messages, page=None
        )
        assert change(self.connection, posted)
        before = max([*self.posted, *self.gaps], default=0)
        found = self.connection.execute("SELECT id FROM curae_outbox WHERE id > ?", (before,))
        self.posted |= dict(zip([number for (number,) in found], subjects, strict=True))

    @rule()
    def take_number(self) -> None:
        # The number of a transaction that commits later, or never.
        number = max([*self.posted, *self.gaps], default=0) + 1
        if self.connection.execute("UPDATE sqlite_sequence SET seq = ?", (number,)).rowcount:
            self.gaps.append(number)
        self.connection.commit()

    @precondition(lambda self: self.gaps)
    @rule(data=st.data())
    def post_late(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.gaps))
        # Messages about one subject commit in the order of their numbers.
        after = {subject for each, subject in self.posted.items() if each > number}
        if free := [subject for subject in SUBJECTS if subject not in after]:
            subject = data.draw(st.sampled_from(free))
            self.gaps.remove(number)
            values = (number, key_of(subject), json.dumps({"format": 1, "subject": subject}))
            text = "INSERT INTO curae_outbox VALUES (?, ?, 'k', ?, 0, 0, 0, NULL)"
            assert change(self.connection, [Statement(text, values)])
            self.posted[number] = subject

    @rule(process=workers, end=ends)
    def go_on_until_it_ships(self, process: int, end: str) -> None:
        before = len(self.begun_by)
        for _ in range(20):
            self.go_on(process, 1, end)
            if len(self.begun_by) > before:
                break

    @rule(process=workers, steps=st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 12, 20, 30]), end=ends)
    def go_on(self, process: int, steps: int, end: str) -> None:
        self.processes[process].end = end
        for _ in range(steps):
            self._step(self.processes[process])

    @rule(process=workers, steps=st.integers(1, 15), end=ends)
    def go_on_and_die(self, process: int, steps: int, end: str) -> None:
        self.go_on(process, steps, end)
        self._kill(process)

    @rule(process=workers, steps=st.integers(0, 15), when=st.sampled_from(["before", "after"]))
    def lose_the_database(self, process: int, steps: int, when: str) -> None:
        self.go_on(process, steps, "ships")
        self.processes[process].breaks = when
        self.go_on(process, 4, "ships")

    @rule(seconds=st.sampled_from([0.001, 5.0, 8.0, 29.0, 31.0, 61.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for process in self.processes:
            if process.current is not None and self.now - process.began >= SHIPPING.lease / 2:
                self.excuse[process.current] += 1

    @rule(by=st.sampled_from([sign * by for sign in (-1, 1) for by in (1.0, 60.0, 3600.0, YEAR)]))
    def step_the_clock(self, by: float) -> None:
        self.wrong_by += by
        for process in self.processes:
            if process.running is not None:
                process.put_back += max(0.0, -by)
                # A claim outlives a clock that is put back by five minutes.
                process.stepped |= by > 0 or process.put_back > CLOCK_TOLERANCE / SECOND
                if process.stepped and process.current is not None:
                    # It may be shipped, and taken over before that is in the database.
                    self.excuse[process.current] += 1

    @precondition(lambda self: self.dead())
    @rule(data=st.data())
    def revive(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.dead()))
        statement = outbox_statements.revival_statement(Dialect.SQLITE, number)
        assert change(self.connection, [statement])
        self.revived.add(number)

    def dead(self) -> list[int]:
        return [each.number for each in outbox_statements.deliveries(self._all(dead=True))]

    def _all(self, *, dead: bool) -> Rows:
        statement = outbox_statements.dead_statement(0, 1000)
        text = statement.text if dead else statement.text.replace("IS NULL", "IS NOT NULL")
        return self.connection.execute(text, statement.values).fetchall()

    # --- Workers ------------------------------------------------------------------------------

    def _step(self, process: Process) -> None:
        if process.running is None:
            process.running = self._batch(process)
            process.stepped, process.put_back = False, 0.0
        try:
            process.context.run(process.running.send, None)
        except (StopIteration, StoreUnavailableError):
            process.running = process.current = None
        # A worker treats an error of its handler as a failed attempt.
        assert not self.broken, self.broken

    def _runs(self, process: Process) -> bool:
        return process.running is not None

    def _kill(self, which: int) -> None:
        process = self.processes[which]
        if process.running is not None:
            if process.current is not None:
                self.excuse[process.current] += 1
            process.killed = True
            with suppress(KilledError):
                process.context.run(process.running.throw, KilledError())
        self.processes[which] = Process()

    def _batch(self, process: Process) -> Coroutine[None, None, int]:
        async def handle(delivery: Delivery) -> None:
            try:
                self._begin(process, delivery)
            except AssertionError as error:
                self.broken.append(str(error))
            await _LetGo()
            end = process.end
            if "ships" in end:
                self.shipped[delivery.number] += 1
                self.excuse[delivery.number] += process.stepped
            if "fails" in end:
                self.excuse[delivery.number] += 1
                raise ValueError

        async def sleep(_: float) -> None:
            await _LetGo()

        database = SteppedDatabase(self.connection, process, self.excuse)
        retrier = retry.Retrier(
            policy=retry.DEFAULT_RETRY_POLICY,
            sleep=sleep,
            timeout=nullcontext,
            stats=retry.RetryStats(),
        )
        return outbox_worker._Worker(
            database=database,
            settings=SHIPPING,
            handle=handle,
            stopped=lambda: False,
            retrier=retrier,
        ).batch()

    def _begin(self, process: Process, delivery: Delivery) -> None:
        number, subject = delivery.number, self.posted[delivery.number]
        assert delivery.subject == key_of(subject)
        assert delivery.document == {"subject": subject}
        assert 1 <= delivery.attempt <= SHIPPING.attempts, f"attempt {delivery.attempt}"
        if process.stepped:
            # Another worker may have taken its claim over since.
            process.current, process.began, process.noted = number, self.now, False
            self.begun_by.append(process)
            return
        for other in self.processes:
            if other is not process and other.current == number and not other.noted:
                late = self.now - other.began >= SHIPPING.lease / 2
                assert late or other.stepped, "two ship one message"
        if number not in self.revived:
            before = self.begun[subject]
            assert not before or before[-1] <= number, f"{number} after {before}"
            before.append(number)
        earlier = {each for each, about in self.posted.items() if about == subject}
        earlier = {each for each in earlier if each < number and not self.shipped[each]}
        assert earlier <= {*self.dead(), *self.revived}, f"{number} before {earlier}"
        process.current, process.began, process.noted = number, self.now, False
        self.begun_by.append(process)

    # --- At the end ---------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            for which in range(WORKERS):
                self._kill(which)
            last = self.processes[0]
            for _ in range(10 + 10 * len(self.posted)):
                self.now += 61.0
                last.running = self._batch(last)
                steps = 0
                while self._runs(last):
                    self._step(last)
                    steps += 1
                    assert steps < STEPS, "a batch never ends"
            assert not self._all(dead=False), "some are never shipped"
            lost = {each for each in self.posted if not self.shipped[each]}
            assert lost <= set(self.dead()), f"lost: {lost}"
            for number, times in self.shipped.items():
                assert times <= 1 + self.excuse[number], f"{number} was shipped {times} times"
        finally:
            self._kill(0)
            self.patched.undo()
            self.connection.close()
