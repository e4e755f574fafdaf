"""Tests that any two racing actions end as in some serial order, on every database and level."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import Database, SqlStore
from curae_lifecycle.testing.races import SCENARIOS
from tests.stores.sql.broken import LazyStore, Stepping, Trusting
from tests.stores.sql.races import SqlArena, overlapping, unlike_any_order
from tests.support.patiently import PATIENCE
from tests.support.sql.databases import Clocked


def arena(database: Database, kind: type[SqlStore] = SqlStore) -> SqlArena:
    SqlStore(database).create_tables()
    return SqlArena(Clocked(database), kind)


SMALL = ("no user is bound, one connection is pending", "the key has one request left")


def each_scene(*small: str) -> list[object]:
    """Return every scenario; all but the small ones are heavy."""
    return [
        pytest.param(scene, marks=() if scene in small else pytest.mark.heavy)
        for scene in SCENARIOS
    ]


@pytest.mark.parametrize("scene", each_scene(*SMALL))
def test_one_that_commits_after_another_ends_as_if_it_had_come_later(
    sqlite_database: SqlDatabase, scene: str
) -> None:
    assert unlike_any_order(arena(sqlite_database), SCENARIOS[scene]) == []


LEVELS = [
    "read committed",
    pytest.param("repeatable read", marks=pytest.mark.heavy),
    pytest.param("serializable", marks=pytest.mark.heavy),
]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("scene", each_scene(SMALL[1]))
def test_two_that_overlap_on_postgresql_end_as_if_one_came_later(
    postgres_url: str, scene: str, level: str
) -> None:
    option = quote("-c default_transaction_isolation=" + level.replace(" ", "\\ "))
    engine = create_engine(f"{postgres_url}&options={option}", timeout=PATIENCE)
    database = SqlDatabase(engine)
    assert unlike_any_order(arena(database), SCENARIOS[scene], overlapping(engine)) == []
    engine.dispose()


@pytest.mark.mariadb
@pytest.mark.parametrize("scene", SCENARIOS)
def test_two_that_overlap_on_mariadb_end_as_if_one_came_later(mariadb_url: str, scene: str) -> None:
    engine = create_engine(mariadb_url, timeout=PATIENCE)
    database = SqlDatabase(engine)
    assert unlike_any_order(arena(database), SCENARIOS[scene], overlapping(engine)) == []
    engine.dispose()


# --- Stores that are wrong ------------------------------------------------------------------


def found(database: Database, scene: str, kind: type[SqlStore] = SqlStore) -> set[str]:
    """Return the pairs with a wrong outcome in a scenario."""
    return {*unlike_any_order(arena(database, kind), SCENARIOS[scene])}


def test_a_store_that_compares_nothing_is_found(sqlite_database: SqlDatabase) -> None:
    trusting = Trusting(sqlite_database)
    assert found(trusting, "the pending connection has lapsed") >= {
        "the first is authorized; reconnect the first",
        "reconnect the first; the first is authorized",
        "create; tombstone",
        "tombstone; reconnect the first",
    }
    assert found(trusting, "nine initiates were admitted") >= {"initiate; sign up"}


def test_a_store_that_leaves_out_what_only_counts_is_found(sqlite_database: SqlDatabase) -> None:
    assert found(sqlite_database, "the pending connection has lapsed", LazyStore) >= {
        "the first is authorized; reconnect the first",
        "reconnect the first; the first is authorized",
        "create; tombstone",
    }
    assert found(sqlite_database, "a successor is revoked", LazyStore) >= {
        "reconnect the second; the patient revokes the first",
    }


def test_a_store_that_commits_each_write_by_itself_is_found(sqlite_database: SqlDatabase) -> None:
    # Part of a refused commit is stored.
    assert found(Stepping(sqlite_database), "the pending connection has lapsed") >= {
        "revoke the first; the patient revokes the first",
        "tombstone; create",
    }
