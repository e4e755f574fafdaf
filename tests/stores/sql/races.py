"""Races in an SQL store: table contents, and transactions that overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Final, cast

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.service.writes import Write
from curae_lifecycle.stores.sql.drivers import connection_of
from curae_lifecycle.stores.sql.engine import SqlDatabase, _run_all, _transaction_steps
from curae_lifecycle.stores.sql.failures import is_conflict
from curae_lifecycle.stores.sql.schema import TABLE_NAMES
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value
from curae_lifecycle.stores.sql.store import Database, SqlStore
from curae_lifecycle.testing.races import (
    Content,
    Interleaving,
    PendingCommit,
    RaceTenant,
    Scenario,
    commit,
    commit_in_sequence,
    commit_with_retries,
    race_all,
)
from tests.support.server import API_KEY, CALLER
from tests.support.sql.databases import Clocked
from tests.support.sql.works import SETTINGS, STAGE
from tests.support.strategies import at

Tables = dict[str, list[tuple[object, ...]]]
"""The rows of each table, without numbers that the database assigns."""

_COLUMNS: Final = {
    "curae_caller": "id, version, document",
    "curae_connection": "id, version, predecessor_id, root_id, position, coordinate, era, document",
    "curae_session": "id, version, coordinate, era, document",
    "curae_binding": "id, version, unswept, document",
    "curae_erasure": "id, era, due_at",
    "curae_record": "id, version, expires_at, document",
    "curae_log": "id, version, expires_at, document",
    "curae_bucket": "id, full_at, part",
    "curae_page": "id, version, subject, expires_at, document",
    "curae_outbox": "subject, kind, document, waits_from, due_at, attempts",
}


def content(database: Database) -> Tables:
    """Read every table."""
    found: Tables = {}
    for table in TABLE_NAMES:
        rows = database.rows(Statement(f"SELECT {_COLUMNS[table]} FROM {table}"))
        found[table] = sorted([tuple(row) for row in rows], key=repr)
    return found


def put_back(database: Database, kept: Tables) -> None:
    """Replace the contents of every table."""
    # Separate statements: those that PostgreSQL runs as one do not see each other's changes.
    assert database.run_transaction([Statement(f"DELETE FROM {table}") for table in TABLE_NAMES])
    statements: list[Statement] = []
    for table, rows in kept.items():
        names = _COLUMNS[table]
        marks = ", ".join("?" * (names.count(",") + 1))
        text = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        statements += [Statement(text, cast("tuple[Value, ...]", row)) for row in rows]
    assert database.run_transaction(statements)


@attrs.define
class SqlArena:
    """A database in which scenarios run one after another, each on restored tables."""

    database: Clocked
    kind: type[SqlStore] = SqlStore
    kept: dict[Scenario, Tables] = attrs.field(factory=dict[Scenario, Tables])

    def store(self) -> SqlStore:
        """Return a worker's store."""
        return self.kind(self.database, SETTINGS)

    def set_up(self, scenario: Scenario) -> RaceTenant:
        """Set up the past of a scenario with a correct store."""
        put_back(self.database, self.kept.get(scenario, {}))
        if scenario not in self.kept:
            store = SqlStore(self.database, SETTINGS)
            store.register(ApiKey(API_KEY), CALLER)
            for minutes, action in scenario.before(STAGE):
                self.database.now = at(minutes)
                commit_with_retries(store, action)
            self.kept[scenario] = content(self.database)
        self.database.now = at(scenario.race_minute)
        return STAGE

    def stores(self) -> tuple[SqlStore, SqlStore]:
        """Return the stores of two workers."""
        return self.store(), self.store()

    def reference(self) -> SqlArena:
        """Return the same database with a correct store."""
        return SqlArena(self.database, SqlStore, self.kept)

    def content(self, tenant: RaceTenant, touched: Iterable[Write]) -> Content:
        """Read everything that is stored."""
        del tenant, touched
        tables = content(self.database)
        return {
            f"{table} {number}": repr(row)
            for table, rows in tables.items()
            for number, row in enumerate(rows)
        }


def overlapping(engine: sa.Engine) -> Interleaving[SqlStore]:
    """Commit the first transaction only once the second one waits for it."""

    def meet(
        first: SqlStore, one: PendingCommit, second: SqlStore, two: PendingCommit
    ) -> tuple[bool, bool]:
        statements = first._statements.commit(one.loaded, one.changes, one.page)
        # The executor ends last: a failure must first release the locks that its commit waits for.
        with ThreadPoolExecutor(1) as pool, held(engine, statements) as end:
            later = pool.submit(commit, second, two)
            wait_for(engine, later)
            return end(), later.result()

    return meet


@contextmanager
def held(engine: sa.Engine, statements: Sequence[Statement]) -> Iterator[Callable[[], bool]]:
    """Run a transaction up to its end; yield a function that ends it and says if it committed."""
    dialect = Dialect(engine.dialect.name)
    pooled = engine.raw_connection()
    connection = connection_of(dialect, pooled.driver_connection)
    steps = [step for step in _transaction_steps(dialect, statements) if step.text not in _ENDS]

    def end() -> bool:
        try:
            connection.run(Statement("COMMIT"))
        except engine.dialect.loaded_dbapi.Error as error:
            # At SERIALIZABLE the commit itself may be refused.
            if not is_conflict(dialect, error):
                raise
            return False
        return True

    try:
        assert _run_all(connection, [Statement("BEGIN"), *steps])
        yield end
    finally:
        # Ends what is still open, so that one failing pair fails no later one.
        pooled.close()


_ENDS: Final = {"BEGIN", "COMMIT"}
_WAITING: Final = {
    Dialect.POSTGRESQL: "SELECT COUNT(*) FROM pg_locks WHERE NOT granted",
    Dialect.MARIADB: "SELECT CAST(variable_value AS INTEGER) FROM information_schema.global_status "
    "WHERE variable_name = 'innodb_row_lock_current_waits'",
}


def wait_for(engine: sa.Engine, later: Future[bool]) -> None:
    """Return once the other transaction waits for a lock or has ended."""
    database = SqlDatabase(engine)
    waiting = Statement(_WAITING[database.dialect])
    while not later.done() and database.rows(waiting)[0][0] == 0:
        wait([later], 0.001)


def unlike_any_order(
    arena: SqlArena, scenario: Scenario, meet: Interleaving[SqlStore] = commit_in_sequence
) -> dict[str, tuple[str, ...]]:
    """Return the differences of each pair that equals neither serial order, without `KNOWN`."""
    every = race_all(arena, scenario, meet)
    found = {f"{each.first}; {each.second}": each.differences for each in every if each.differences}
    return {pair: differences for pair, differences in found.items() if pair not in KNOWN}


KNOWN: Final = frozenset({"the page graduates; graduation"})
"""The one pair that equals no order: its page tells a user who just graduated that this is done.

A graduation hand-off moves no version of the binding that it was decided from.
"""
