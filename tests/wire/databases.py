"""Databases whose clock a test moves, and some that are wrong in one way, to see it found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import AsyncDatabase, Database, Rows

Ahead = Callable[[], int]
"""How far a clock is ahead, in microseconds."""

Transactions = Callable[[Sequence[Statement]], Sequence[Sequence[Statement]]]
"""What is run, of what belongs into one transaction, in one transaction after another."""


def moved(rows: Rows, ahead: int) -> Rows:
    """What was loaded, of a moment that is later by so much."""
    return [
        (*row[:2], int(str(row[2])) + ahead, *row[3:]) if row[0] == "now" else row for row in rows
    ]


def rightly(statements: Sequence[Statement]) -> Sequence[Sequence[Statement]]:
    """All of it in one transaction, as it is."""
    return [statements]


def trusting(statements: Sequence[Statement]) -> Sequence[Sequence[Statement]]:
    """Compares no version: it writes over whatever is there."""
    compared = " AND version = ?"
    return [
        [
            Statement(each.text.removesuffix(compared), each.values[:-1], each.rows)
            if each.text.endswith(compared)
            else each
            for each in statements
        ]
    ]


def stepping(statements: Sequence[Statement]) -> Sequence[Sequence[Statement]]:
    """Commits after every write: what follows may never happen."""
    return [[each] for each in statements]


WRONG: Final = {"trusting": trusting, "stepping": stepping}
"""Ways in which a database may be wrong."""


def transactions(wrong: str | None) -> Transactions:
    """What a database runs that is wrong in this way, or in none."""
    return rightly if wrong is None else WRONG[wrong]


class MovedDatabase:
    """A database that waits, with a clock that a test moves; nobody waits for it in a loop."""

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

    def create(self, statements: Sequence[Statement]) -> None:
        check_thread()
        self._database.create(statements)

    def change(self, statements: Sequence[Statement]) -> bool:
        check_thread()
        changed = [self._database.change(each) for each in self._run(statements)]
        return all(changed)


def check_thread() -> None:
    """Whoever waits in a thread that has a loop holds up everybody else in it."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise AssertionError("a database that waits was asked in an event loop")


class AsyncMovedDatabase:
    """The same, awaited."""

    def __init__(self, database: AsyncDatabase, ahead: Ahead, run: Transactions = rightly) -> None:
        self._database = database
        self._ahead = ahead
        self._run = run

    @property
    def dialect(self) -> Dialect:
        return self._database.dialect

    async def rows(self, statement: Statement) -> Rows:
        return moved(await self._database.rows(statement), self._ahead())

    async def create(self, statements: Sequence[Statement]) -> None:
        await self._database.create(statements)

    async def change(self, statements: Sequence[Statement]) -> bool:
        changed = [await self._database.change(each) for each in self._run(statements)]
        return all(changed)
