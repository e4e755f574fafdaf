"""The outbox of a world: the SQL outbox and its worker, on SQLite and the world's clock.

The laws of this module:

- **A message that was never tried ships as soon as a worker runs**, however the clock was stepped
  since it was committed, unless the worker of an earlier message of its subject died lately.
- **The messages of a subject ship in the order of their commits, each once**. Only a message whose
  worker died may ship again.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.values import CLOCK_TOLERANCE, to_epoch_microseconds
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.outbox import Delivery, messages
from curae_lifecycle.stores.sql.clock import SQLITE_CLOCK
from curae_lifecycle.stores.sql.delivery_settings import DEFAULT_DELIVERY_SETTINGS
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.storing import commit_statements
from curae_lifecycle.testing.simulation.summary import RuleBrokenError

_LONGEST_CLAIM: Final = timedelta(
    seconds=DEFAULT_DELIVERY_SETTINGS.lease, microseconds=CLOCK_TOLERANCE
)
"""How long a dead worker's claim may hold up its message."""


_PLACE: Final = "the outbox"


class _DiedError(BaseException):
    """The process of the outbox worker ends."""


class _Database:
    """SQLite in memory, as an outbox worker needs it."""

    dialect = Dialect.SQLITE

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level="IMMEDIATE")
        self.run_ddl(create_table_statements(self.dialect))

    def rows(self, statement: Statement) -> Rows:
        with self.connection:
            return self.connection.execute(statement.text, statement.values).fetchall()

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.run_transaction(statements)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        for statement in statements:
            count = self.connection.execute(statement.text, statement.values).rowcount
            if statement.expected_rows not in {None, count}:
                self.connection.rollback()
                return False
        self.connection.commit()
        return True


@attrs.define
class SimulatedOutbox:
    """The outbox of a simulated world: it holds messages until a worker has delivered them.

    The subject of a message is the connection, session or user that it is about.

    Attributes:
        shipped: The number of shipped (delivered) messages; one that ships twice counts twice.
        waiting: The numbers of the messages to ship, in order, by the digest of their subject.
        died_at: When a worker died while it delivered a message, by the number of the message.
    """

    shipped: int = 0
    waiting: dict[str, deque[int]] = attrs.field(
        factory=lambda: defaultdict[str, deque[int]](deque)
    )
    died_at: dict[int, datetime] = attrs.field(factory=dict[int, datetime])
    _database: _Database | None = None
    _newest: int = 0

    def close(self) -> None:
        """Close the database of the outbox, if it was ever opened."""
        if self._database is not None:
            self._database.connection.close()

    def post(self, changes: Changes, clock: datetime) -> None:
        """Put the effects and events of committed changes into the outbox, as messages.

        Args:
            changes: The changes.
            clock: The instant of the commit, by the store's clock.
        """
        # Messages of one kind ship in the order of their numbers, and a seed keeps its world.
        posted = [attrs.evolve(each, kind="message") for each in messages(changes)]
        if not posted:
            return
        if self._database is None:
            self._database = _Database()
        self._database.run_transaction(
            commit_statements(
                Dialect.SQLITE,
                loaded=Loaded(Snapshot(), clock),
                changes=NO_CHANGES,
                messages=posted,
                page=None,
            )
        )
        text = "SELECT id, subject FROM curae_outbox WHERE id > ? ORDER BY id"
        for number, subject in self._database.rows(Statement(text, (self._newest,))):
            self._newest = int(str(number))
            self.waiting[str(subject)].append(self._newest)

    def ship(self, now: datetime, clock: datetime, *, dies: Callable[[], bool]) -> None:
        """Run a worker that delivers every due message, until none is left or the worker dies.

        Args:
            now: The current instant of the world.
            clock: The instant that the outbox's clock shows at `now`; that clock can be wrong.
            dies: Returns whether the worker dies; it is called before and after each message.

        Raises:
            RuleBrokenError: A message shipped in the wrong order. Or it shipped twice, although no
                worker died while delivering it. Or it is due and was left, although no worker died
                while delivering it in the last few minutes.
        """
        if self._database is None:
            return

        wrong: list[str] = []

        def handle(delivery: Delivery) -> None:
            if dies():
                self.died_at[delivery.number] = now
                raise _DiedError
            numbers = self.waiting[delivery.subject]
            if not numbers or numbers[0] != delivery.number:
                # The worker would take any other error for a failed attempt.
                wrong.append(f"message {delivery.number} shipped instead of {[*numbers][:1]}")
                raise _DiedError
            self.shipped += 1
            numbers.popleft()
            if dies():
                self.died_at[delivery.number] = now
                numbers.appendleft(delivery.number)
                raise _DiedError

        worker = Outbox(self._database)
        reset = SQLITE_CLOCK.set(lambda: to_epoch_microseconds(clock))
        try:
            while worker.deliver_batch(handle):
                pass
        except _DiedError:
            if wrong:
                raise RuleBrokenError(wrong[0], _PLACE) from None
            return
        finally:
            SQLITE_CLOCK.reset(reset)
        self._check_held_up(now)

    def _check_held_up(self, now: datetime) -> None:
        for numbers in self.waiting.values():
            if not numbers:
                continue
            died_at = self.died_at.get(numbers[0])
            if died_at is None or now - died_at > _LONGEST_CLAIM:
                what = f"message {numbers[0]} is due and was not shipped at {now.isoformat()}"
                raise RuleBrokenError(what, _PLACE)
