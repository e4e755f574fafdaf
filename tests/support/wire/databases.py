"""Databases with a movable clock, and some with a planted mistake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from typing import Final

import attrs

from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.outbox import Message
from curae_lifecycle.stores.sql import loading, replication, storing
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import AsyncDatabase, Database
from tests.support.wrong_stores import only_counts

Ahead = Callable[[], int]
"""How far a clock is ahead, in microseconds."""

Running = Generator[Sequence[Statement], bool, bool]
"""A generator of transactions that receives each result and returns whether all succeeded."""

Transactions = Callable[[Sequence[Statement]], Running]
"""A function that splits one transaction into those that actually run."""


def moved(rows: Rows, ahead: int) -> Rows:
    """Return loaded rows with a later instant."""
    return [
        (*row[:2], int(str(row[2])) + ahead, *row[3:]) if row[0] == "now" else row for row in rows
    ]


def rightly(statements: Sequence[Statement]) -> Running:
    """Run everything in one transaction."""
    return (yield statements)


def trusting(statements: Sequence[Statement]) -> Running:
    """Remove the version checks, which overwrites any row."""
    compared = " AND version = ?"
    return (
        yield [
            Statement(each.text.removesuffix(compared), each.values[:-1], each.expected_rows)
            if each.text.endswith(compared)
            else each
            for each in statements
        ]
    )


def stepping(statements: Sequence[Statement]) -> Running:
    """Commit after every write."""
    done = True
    for each in statements:
        done = (yield [each]) and done
    return done


def charging(statements: Sequence[Statement]) -> Running:
    """Charge the limits first, and return nothing if the rest conflicts."""
    charges = [each for each in statements if _is_of(each, "curae_log", "curae_bucket")]
    if charges and not (yield charges):
        return False
    return (yield [each for each in statements if each not in charges])


def keeping(statements: Sequence[Statement]) -> Running:
    """Store and return the response although its commit conflicts."""
    if not (yield statements):
        yield [each for each in statements if _is_of(each, "curae_record")]
    return True


def _is_of(statement: Statement, *tables: str) -> bool:
    return any(f" {table} " in statement.text for table in tables)


WRONG: Final[dict[str, Transactions]] = {
    "trusting": trusting,
    "stepping": stepping,
    "charging": charging,
    "keeping": keeping,
    # These mistakes are elsewhere: see `spoil`.
    "unversioned": rightly,
    "headless": rightly,
    "deaf": rightly,
}
"""The mistakes of a database."""


def transactions(wrong: str | None) -> Transactions:
    """Return the transactions of a database with this mistake, or with none."""
    return rightly if wrong is None else WRONG[wrong]


def spoil(wrong: str | None) -> None:
    """Plant this mistake in every store of this process, if it is one of stores."""
    match wrong:
        case "unversioned":
            storing.commit_statements = _unversioned
        case "headless":
            loading.parse_loaded = _headless
        case "deaf":
            # It does not notice cancelled waits for a standby.
            setattr(replication, "SYNC_WAIT_FUNCTION", "")  # noqa: B010 - a constant, to the type checkers
        case _:
            pass


_RIGHT: Final = storing.commit_statements, loading.parse_loaded


def _unversioned(
    dialect: Dialect,
    loaded: Loaded,
    changes: Changes,
    messages: Sequence[Message],
    page: HostedPage | None,
) -> list[Statement]:
    """Skip writes that only bump a version."""
    left = tuple([each for each in changes.writes if not only_counts(each)])
    changes = attrs.evolve(changes, writes=left)
    return _RIGHT[0](dialect, loaded=loaded, changes=changes, messages=messages, page=page)


def _headless(needs: Needs, rows: Iterable[Sequence[object]]) -> Loaded:
    """Take the successor of a connection for the head of its chain."""
    loaded = _RIGHT[1](needs, rows)
    snapshot = attrs.evolve(loaded.snapshot, head=loaded.snapshot.successor)
    return attrs.evolve(loaded, snapshot=snapshot)


class MovedDatabase:
    """A blocking database with a movable clock, which must not be used in an event loop."""

    def __init__(self, database: Database, ahead: Ahead, run: Transactions = rightly) -> None:
        self._database = database
        self._ahead = ahead
        self._run = run

    @property
    def dialect(self) -> Dialect:
        return self._database.dialect

    def rows(self, statement: Statement) -> Rows:
        check_thread()
        return moved(self._database.rows(statement), self._ahead())

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        check_thread()
        self._database.run_ddl(statements)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        check_thread()
        running = self._run(statements)
        try:
            transaction = next(running)
            while True:
                transaction = running.send(self._database.run_transaction(transaction))
        except StopIteration as ended:
            return bool(ended.value)


def check_thread() -> None:
    """Raise if this thread has a running event loop, which a wait would block."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise AssertionError("a database that waits was asked in an event loop")


class AsyncMovedDatabase:
    """An async database with a movable clock."""

    def __init__(self, database: AsyncDatabase, ahead: Ahead, run: Transactions = rightly) -> None:
        self._database = database
        self._ahead = ahead
        self._run = run

    @property
    def dialect(self) -> Dialect:
        return self._database.dialect

    async def rows(self, statement: Statement) -> Rows:
        return moved(await self._database.rows(statement), self._ahead())

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        await self._database.run_ddl(statements)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        running = self._run(statements)
        try:
            transaction = next(running)
            while True:
                transaction = running.send(await self._database.run_transaction(transaction))
        except StopIteration as ended:
            return bool(ended.value)
