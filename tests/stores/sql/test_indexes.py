"""Tests that every index and unique constraint is needed: without it, SQLite reads more rows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Final

import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.snapshot import ChainPart, Needs
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.purging import Erased, count_statement, erased_statements
from curae_lifecycle.stores.sql.schema import _INDEXES, create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.support.server import API_KEY, CALLER, OPERATIONS, request
from tests.support.sql.databases import Counted
from tests.support.sql.works import FIRST, SETTINGS, minted
from tests.support.strategies import COORDINATE

_KEYED: Final = (
    "curae_caller",
    "curae_connection",
    "curae_session",
    "curae_binding",
    "curae_erasure",
    "curae_record",
    "curae_log",
    "curae_bucket",
    "curae_page",
)

UNIQUE: Final = {
    "curae_connection (predecessor_id)": ("predecessor_id TEXT UNIQUE", "predecessor_id TEXT"),
    "curae_connection (root_id, position)": (", UNIQUE (root_id, position)", ""),
    "curae_page (subject)": ("subject TEXT NOT NULL UNIQUE", "subject TEXT NOT NULL"),
    **{f"{table} (id)": ("id TEXT NOT NULL PRIMARY KEY", "id TEXT NOT NULL") for table in _KEYED},
}
"""Each unique constraint, as SQLite reads it, and what is left without it."""


@pytest.fixture
def statements(sqlite_database: SqlDatabase) -> list[Statement]:
    """Every statement of requests, facts, a purge, an outbox worker and an erasure."""
    counted = Counted(sqlite_database)
    store = SqlStore(counted, SETTINGS)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    for number, operation in enumerate(OPERATIONS, 1):
        serve(
            store,
            request=request(operation, key=f"k-{number}"),
            id_factory=partial(minted, number),
            settings=SETTINGS,
        )
    record(store, Authorized(FIRST))
    record(store, Revoked(FIRST, Actor.PATIENT))
    store.load(Needs(chain=FIRST, chain_part=ChainPart(2, 5)))
    store.hosted_page("https://connect.example/1")
    record(store, Tombstoned(COORDINATE))
    store.purge()
    Outbox(counted).deliver_batch(lambda _: None)
    erased = Erased(connections=("id",), sessions=("id",), coordinate=None)
    changed = [statement for each in counted.changed for statement in each]
    return [
        *[*counted.read, *changed],
        *[*erased_statements("key", (0, 1)), count_statement(("subject",))],
        *[statement for pair in erased.deletions() for statement in pair],
    ]


def tables(*, without: str = "") -> sqlite3.Connection:
    """Return a database with every table, but without one unique constraint."""
    # A cached EXPLAIN would show the plan from before an index was dropped.
    connection = sqlite3.connect(":memory:", cached_statements=0)
    created = [each.text for each in create_table_statements(Dialect.SQLITE)]
    if without:
        begin = f"CREATE TABLE IF NOT EXISTS {without.partition(' ')[0]} ("
        (place,) = [number for number, text in enumerate(created) if text.startswith(begin)]
        whole, rest = UNIQUE[without]
        assert created[place].count(whole) == 1
        created[place] = created[place].replace(whole, rest)
    for text in created:
        connection.execute(text)
    return connection


def plans(connection: sqlite3.Connection, statements: Iterable[Statement]) -> Iterator[list[str]]:
    """Yield the steps of SQLite's plan for each statement."""
    for each in statements:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {each.text}", each.values)
        yield [str(row[-1]) for row in rows]


def reads_more(plan: list[str], before: list[str]) -> bool:
    """Return whether a plan has more scans or sorts than another, or fewer bounds."""
    return costs(plan) > costs(before)


def costs(plan: list[str]) -> tuple[int, int]:
    text = "\n".join(plan)
    scans = len(re.findall(r"^SCAN (?!CONSTANT)|TEMP B-TREE", text, re.MULTILINE))
    return scans, -len(re.findall(r"[=<>]\?", text))


def test_every_index_is_used_by_a_recorded_statement(statements: list[Statement]) -> None:
    with closing(tables()) as connection:
        text = "\n".join(step for plan in plans(connection, statements) for step in plan)
    assert {name for name in _INDEXES if name not in text} == set()


@pytest.mark.parametrize("name", _INDEXES)
def test_dropping_any_index_makes_a_statement_read_more_rows(
    name: str, statements: list[Statement]
) -> None:
    with closing(tables()) as connection:
        before = [*plans(connection, statements)]
        connection.execute(f"DROP INDEX {name}")
        after = [*plans(connection, statements)]
    assert any(map(reads_more, after, before))


@pytest.mark.parametrize("name", UNIQUE)
def test_dropping_a_constraint_makes_a_statement_read_more_rows(
    name: str, statements: list[Statement]
) -> None:
    # An upsert names its constraint, so SQLite refuses it without one.
    able = [each for each in statements if "ON CONFLICT" not in each.text]
    with closing(tables()) as whole, closing(tables(without=name)) as changed:
        before, after = [*plans(whole, able)], [*plans(changed, able)]
    assert any(map(reads_more, after, before))


@pytest.mark.parametrize("name", UNIQUE)
def test_duplicate_row_is_refused_only_by_its_unique_constraint(name: str) -> None:
    with closing(tables(without=name)) as changed:
        for number in (1, 2):
            insert_duplicate(changed, name, number)
    with closing(tables()) as whole:
        insert_duplicate(whole, name, 1)
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            insert_duplicate(whole, name, 2)


def insert_duplicate(connection: sqlite3.Connection, name: str, number: int) -> None:
    """Insert a row that equals others of this function in the columns of one constraint alone."""
    table, unique = name.rstrip(")").split(" (")
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = [0 if column in unique.split(", ") else number for column in columns]
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)


def test_index_tests_cover_every_unique_constraint_of_the_tables() -> None:
    with closing(tables()) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")]
        found = [
            f"{table} ({columns_of(connection, index[1])})"
            for table in names
            for index in connection.execute(f"PRAGMA index_list({table})")
            if index[3] in {"u", "pk"}
        ]
    assert sorted(found) == sorted(UNIQUE)


def columns_of(connection: sqlite3.Connection, index: str) -> str:
    return ", ".join(row[2] for row in connection.execute(f"PRAGMA index_info({index})"))
