"""Databases for tests of SQL stores: with a test clock, with counts, with short pools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import AsyncDatabase, Database
from tests.support.strategies import START


@attrs.define
class Forwarding:
    """A database that forwards all calls to another; a subclass changes one of them."""

    database: Database

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    def rows(self, statement: Statement) -> Rows:
        return self.database.rows(statement)

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.database.run_ddl(statements)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return self.database.run_transaction(statements)


@attrs.define
class Clocked(Forwarding):
    """A database with a test clock."""

    now: datetime = START

    def rows(self, statement: Statement) -> Rows:
        return self.shown(super().rows(statement))

    def shown(self, rows: Rows) -> Rows:
        """Return the rows with the instant of the test clock."""
        at = to_epoch_microseconds(self.now)
        return [(*row[:2], at, *row[3:]) if row[0] == "now" else row for row in rows]


@attrs.frozen
class AsyncClocked:
    """An async database with the clock of a blocking one."""

    database: AsyncDatabase
    clock: Clocked

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    async def rows(self, statement: Statement) -> Rows:
        return self.clock.shown(await self.database.rows(statement))

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        await self.database.run_ddl(statements)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return await self.database.run_transaction(statements)


@attrs.define
class Failing(Forwarding):
    """A database that is unavailable for some statements on a table.

    Attributes:
        text: A part of these statements.
        times: How many of them fail.
    """

    text: str = ""
    times: int = 0

    def rows(self, statement: Statement) -> Rows:
        self._fail(statement)
        return super().rows(statement)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        for each in statements:
            self._fail(each)
        return super().run_transaction(statements)

    def _fail(self, statement: Statement) -> None:
        if self.times and self.text in statement.text:
            self.times -= 1
            raise StoreUnavailableError("down")


def with_driver(url: str, driver: str) -> str:
    """Return the URL with another driver."""
    parsed = sa.make_url(url)
    chosen = parsed.set(drivername=f"{parsed.get_backend_name()}+{driver}")
    return chosen.render_as_string(hide_password=False)


def without_driver(url: str) -> str:
    """Return the URL without its driver, so that each kind of engine takes its default driver."""
    parsed = sa.make_url(url)
    return parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=False)


@contextmanager
def short_of_time(engine: sa.Engine, wait: float) -> Iterator[None]:
    """Shorten the pool timeout of an engine that would otherwise wait some seconds."""
    pool = engine.pool
    assert isinstance(pool, sa.QueuePool)
    assert pool.timeout() == wait
    pool._timeout = 0.05
    yield
    pool._timeout = wait


@attrs.define
class Counted(Forwarding):
    """A database that records its statements."""

    read: list[Statement] = attrs.field(factory=list[Statement])
    changed: list[Sequence[Statement]] = attrs.field(factory=list[Sequence[Statement]])

    def rows(self, statement: Statement) -> Rows:
        self.read.append(statement)
        return super().rows(statement)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        self.changed.append(statements)
        return super().run_transaction(statements)
