"""Tests of pages of the connections of a coordinate, on SQLite and in memory."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from curae_lifecycle import ArgumentError, MemoryStore
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import AppId, AppUserId, ConnectionId, Coordinate
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.stores.sql.conftest import opened
from tests.support.sql.databases import Counted
from tests.support.strategies import COORDINATE, pending, uuid

OTHER_USER = attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2"))
OTHER_APP = attrs.evolve(COORDINATE, app_id=AppId("app-2"))
BATCH = 1000


@pytest.fixture
def sql(sqlite_url: str) -> Iterator[tuple[SqlStore, Counted]]:
    """A store on an empty SQLite file, and its database, which records each statement."""
    with opened(sqlite_url) as database:
        counted = Counted(database)
        store = SqlStore(counted)
        store.create_tables()
        yield store, counted


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore()
    made: tuple[SqlStore, Counted] = request.getfixturevalue("sql")
    return made[0]


def fill(store: Store, *numbers: int, coordinate: Coordinate = COORDINATE) -> None:
    """Store a connection for each number, with an id that ends with it."""
    for first in range(0, len(numbers), BATCH):
        made = [connection(number, coordinate) for number in numbers[first : first + BATCH]]
        writes = tuple(ConnectionWrite(None, each) for each in made)
        assert store.commit(store.load(Needs(binding=coordinate)), Changes(writes))


def connection(number: int, coordinate: Coordinate) -> Connection:
    made = pending(number=number)
    return attrs.evolve(made, identity=attrs.evolve(made.identity, coordinate=coordinate))


def page_of(
    store: Store,
    *,
    after: int | None = None,
    limit: int | None = None,
    coordinate: Coordinate = COORDINATE,
) -> list[int]:
    """Load a page and return the numbers of its connections."""
    last = None if after is None else ConnectionId(uuid(after))
    needs = Needs(connections=ConnectionsPage(coordinate, after=last, limit=limit))
    loaded = store.load(needs).snapshot.connections
    return [int(each.id.rpartition("-")[2], 16) for each in loaded]


def test_connection_list_without_bounds_holds_every_connection(store: Store) -> None:
    fill(store, 5, 3, 1, 4, 2)
    assert page_of(store) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [
        (None, 2, [1, 2]),
        (2, 2, [3, 4]),
        (4, 2, [5]),
        (5, 2, []),
        (None, 5, [1, 2, 3, 4, 5]),
        (None, 6, [1, 2, 3, 4, 5]),
        (3, 2, [4, 5]),
        (3, 100, [4, 5]),
        (3, None, [4, 5]),
        (0, 1, [1]),
        (9, 1, []),
    ],
)
def test_connection_list_starts_after_an_id_and_ends_at_limit(
    store: Store, after: int | None, limit: int | None, expected: list[int]
) -> None:
    fill(store, 5, 3, 1, 4, 2)
    assert page_of(store, after=after, limit=limit) == expected


def test_connection_list_can_start_after_an_unknown_id(store: Store) -> None:
    fill(store, 2, 4, 6)
    assert page_of(store, after=3, limit=1) == [4]


def test_connection_list_of_a_user_without_connections_is_empty(store: Store) -> None:
    assert page_of(store, limit=3) == []


@pytest.mark.parametrize("limit", [None, 2, 100])
def test_connection_list_excludes_other_users_and_apps(store: Store, limit: int | None) -> None:
    fill(store, 1, 4, 7)
    fill(store, 2, 5, 8, coordinate=OTHER_USER)
    fill(store, 3, 6, 9, coordinate=OTHER_APP)
    assert page_of(store, limit=limit) == [1, 4, 7][:limit]
    assert page_of(store, limit=limit, coordinate=OTHER_USER) == [2, 5, 8][:limit]
    assert page_of(store, limit=limit, coordinate=OTHER_APP) == [3, 6, 9][:limit]


@pytest.mark.parametrize("limit", [0, -1])
def test_connection_list_limit_below_one_raises_argument_error(limit: int) -> None:
    with pytest.raises(ArgumentError, match="limit: must be at least 1, or None for all"):
        ConnectionsPage(COORDINATE, limit=limit)


def check_pages_of(store: Store, count: int, limit: int) -> None:
    fill(store, *range(1, count + 1))
    fill(store, *range(count + 1, count + 11), coordinate=OTHER_USER)
    assert page_of(store, limit=limit) == list(range(1, limit + 1))
    middle = count // 2
    assert page_of(store, after=middle, limit=limit) == list(range(middle + 1, middle + limit + 1))
    assert page_of(store, after=count - 3, limit=limit) == [count - 2, count - 1, count]
    assert page_of(store, after=count, limit=limit) == []


@pytest.mark.slow
def test_list_pages_of_2000_connections_miss_and_repeat_none(store: Store) -> None:
    check_pages_of(store, 2000, 10)


@pytest.mark.heavy
def test_list_pages_of_100000_connections_miss_and_repeat_none(store: Store) -> None:
    if isinstance(store, MemoryStore):
        store = MemoryStore(capacity=100_010)
    check_pages_of(store, 100_000, 10)


def check_rows_of(sql: tuple[SqlStore, Counted], count: int) -> None:
    store, counted = sql
    fill(store, *range(1, count + 1))
    for after, limit, expected in ((None, 10, 10), (count // 2, 10, 10), (count - 3, 10, 3)):
        counted.read.clear()
        page_of(store, after=after, limit=limit)
        (statement,) = counted.read
        # The first row is the clock of the database.
        assert len(counted.rows(statement)) == 1 + expected
        plan = [str(row[-1]) for row in counted.rows(explain(statement))]
        columns = "coordinate=?" if after is None else "coordinate=? AND id>?"
        search = f"SEARCH curae_connection USING INDEX curae_connection_coordinate ({columns})"
        assert [step for step in plan if "curae_connection" in step] == [search]
        assert not any("TEMP B-TREE" in step or "SCAN curae" in step for step in plan), plan


def explain(statement: Statement) -> Statement:
    return Statement(f"EXPLAIN QUERY PLAN {statement.text}", statement.values)


@pytest.mark.slow
def test_sqlite_reads_only_the_list_page_out_of_2000_rows(sql: tuple[SqlStore, Counted]) -> None:
    check_rows_of(sql, 2000)


@pytest.mark.heavy
def test_sqlite_reads_only_the_list_page_out_of_100000_rows(
    sql: tuple[SqlStore, Counted],
) -> None:
    check_rows_of(sql, 100_000)
