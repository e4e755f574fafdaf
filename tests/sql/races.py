"""Two that load the same and commit one after the other, or while the other has not ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from itertools import product
from typing import Final, cast

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.sql.connecting import dialect_of
from curae_lifecycle.stores.sql.drivers import connection_of
from curae_lifecycle.stores.sql.engine import SqlDatabase, _run, _transaction
from curae_lifecycle.stores.sql.failures import is_overtaken
from curae_lifecycle.stores.sql.schema import TABLES
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value
from curae_lifecycle.stores.sql.store import Database, SqlStore
from tests.server import API_KEY, CALLER
from tests.sql.databases import Clocked
from tests.sql.works import SETTINGS, Decided, Scene, Work, works
from tests.strategies import at

Content = dict[str, list[tuple[object, ...]]]
"""The rows of each table, without what a database numbers by itself."""

_COLUMNS: Final = {
    "curae_caller": "id, version, document",
    "curae_connection": "id, version, predecessor_id, root_id, position, coordinate, document",
    "curae_session": "id, version, coordinate, document",
    "curae_binding": "id, version, document",
    "curae_record": "id, version, expires_at, document",
    "curae_log": "id, version, expires_at, document",
    "curae_bucket": "id, full_at, part, parts",
    "curae_page": "id, subject, expires_at, document",
    "curae_outbox": "subject, kind, document, due_at, attempts",
}


def content(database: Database) -> Content:
    """All that is stored."""
    found: Content = {}
    for table in TABLES:
        rows = database.rows(Statement(f"SELECT {_COLUMNS[table]} FROM {table}"))
        found[table] = sorted([tuple(row) for row in rows], key=repr)
    return found


def put_back(database: Database, kept: Content) -> None:
    """Store that and nothing else."""
    # Apart: statements that PostgreSQL runs as one do not see what each other changed.
    assert database.change([Statement(f"DELETE FROM {table}") for table in TABLES])
    statements: list[Statement] = []
    for table, rows in kept.items():
        names = _COLUMNS[table]
        marks = ", ".join("?" * (names.count(",") + 1))
        text = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        statements += [Statement(text, cast("tuple[Value, ...]", row)) for row in rows]
    assert database.change(statements)


@attrs.frozen
class Arena:
    """A database in which things happen, one scene after another."""

    database: Clocked
    kind: type[SqlStore] = SqlStore

    def store(self) -> SqlStore:
        """A worker's own store."""
        return self.kind(self.database, SETTINGS)

    def prepare(self, scene: Scene) -> Content:
        """Let a scene's past happen, by a store that is right."""
        put_back(self.database, {})
        store = SqlStore(self.database, SETTINGS)
        store.register(ApiKey(API_KEY), CALLER)
        for minutes, work in scene.before:
            self.database.now = at(minutes)
            settle(store, work)
        self.database.now = at(scene.now)
        return content(self.database)


def settle(store: Store, work: Work) -> int:
    """Do it again for as long as somebody else is faster; how often that was."""
    for attempt in range(20):
        decided = work(store)
        if decided.is_nothing or store.commit(decided.loaded, decided.changes, decided.page):
            return attempt
    raise AssertionError("nobody else is there who could be faster")


def one_after_the_other(arena: Arena, kept: Content, first: Work, second: Work) -> Content:
    """What is stored where nobody raced."""
    put_back(arena.database, kept)
    for work in (first, second):
        settle(SqlStore(arena.database, SETTINGS), work)
    return content(arena.database)


Meeting = Callable[[SqlStore, Decided, SqlStore, Decided], tuple[bool, bool]]
"""Commits one and then another; which of them were taken as they were decided."""


def one_by_one(first: SqlStore, one: Decided, second: SqlStore, two: Decided) -> tuple[bool, bool]:
    """The first has ended when the second begins."""
    return commit(first, one), commit(second, two)


def overlapping(engine: sa.Engine) -> Meeting:
    """The first has stored all and not ended when the second begins, and ends once that waits."""

    def meet(first: SqlStore, one: Decided, second: SqlStore, two: Decided) -> tuple[bool, bool]:
        statements = first._statements.commit(one.loaded, one.changes, one.page)
        with ThreadPoolExecutor(1) as pool, held(engine, statements) as end:
            later = pool.submit(commit, second, two)
            wait_for(engine, later)
            return end(), later.result()

    return meet


@contextmanager
def held(engine: sa.Engine, statements: Sequence[Statement]) -> Iterator[Callable[[], bool]]:
    """A transaction that has changed everything, and how it ends: whether it was committed."""
    dialect = dialect_of(engine)
    pooled = engine.raw_connection()
    connection = connection_of(dialect, pooled.driver_connection)
    steps = [step for step in _transaction(dialect, statements) if step.text not in _ENDS]
    assert _run(connection, [Statement("BEGIN"), *steps])

    def end() -> bool:
        try:
            connection.run(Statement("COMMIT"))
        except engine.dialect.loaded_dbapi.Error as error:
            # At SERIALIZABLE the end itself may be refused.
            if not is_overtaken(dialect, error):
                raise
            return False
        return True

    yield end
    pooled.close()


_ENDS: Final = {"BEGIN", "COMMIT"}
_WAITING: Final = {
    Dialect.POSTGRESQL: "SELECT COUNT(*) FROM pg_locks WHERE NOT granted",
    Dialect.MARIADB: "SELECT CAST(variable_value AS INTEGER) FROM information_schema.global_status "
    "WHERE variable_name = 'innodb_row_lock_current_waits'",
}


def wait_for(engine: sa.Engine, later: Future[bool]) -> None:
    """Return when the other transaction waits for a lock, or is over."""
    database = SqlDatabase(engine)
    waiting = Statement(_WAITING[database.dialect])
    while not later.done() and database.rows(waiting)[0][0] == 0:
        wait([later], 0.001)


def race(
    arena: Arena, kept: Content, first: Work, second: Work, meet: Meeting = one_by_one
) -> tuple[tuple[bool, bool], Content] | None:
    """Both load and commit; whoever was refused does it again.

    Returns:
        Which of them were taken as they were decided, and what is stored in the end; `None` where
        one of them changes nothing.
    """
    put_back(arena.database, kept)
    stores = arena.store(), arena.store()
    one, two = first(stores[0]), second(stores[1])
    if one.is_nothing or two.is_nothing:
        return None
    taken = meet(stores[0], one, stores[1], two)
    for store, work, was_taken in zip(stores, (first, second), taken, strict=True):
        if not was_taken:
            settle(store, work)
    return taken, content(arena.database)


def commit(store: Store, decided: Decided) -> bool:
    return store.commit(decided.loaded, decided.changes, decided.page)


def unlike_any_order(arena: Arena, scene: Scene, meet: Meeting = one_by_one) -> list[str]:
    """The pairs that end as neither order of them does."""
    kept = arena.prepare(scene)
    happening = works()
    wrong = []

    @cache
    def order(one: str, two: str) -> Content:
        return one_after_the_other(arena, kept, happening[one], happening[two])

    for one, two in product(happening, repeat=2):
        raced = race(arena, kept, happening[one], happening[two], meet)
        if raced is None:
            continue
        taken, ended = raced
        # Whoever was refused came second.
        orders = {(True, False): [(one, two)], (False, True): [(two, one)]}.get(
            taken, [(one, two), (two, one)]
        )
        if all(ended != order(*each) for each in orders):
            wrong.append(f"{one}; {two}")
    return wrong
