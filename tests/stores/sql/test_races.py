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


@pytest.mark.slow
@pytest.mark.parametrize("scene", each_scene(*SMALL))
def test_interleaved_requests_on_sqlite_are_serializable(
    sqlite_database: SqlDatabase, scene: str
) -> None:
    assert unlike_any_order(arena(sqlite_database), SCENARIOS[scene]) == {}


LEVELS = ["read committed", "repeatable read", "serializable"]


@pytest.mark.heavy
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("scene", each_scene(SMALL[1]))
def test_concurrent_requests_on_postgresql_are_serializable(
    postgres_url: str, scene: str, level: str
) -> None:
    option = quote("-c default_transaction_isolation=" + level.replace(" ", "\\ "))
    engine = create_engine(f"{postgres_url}&options={option}", timeout=PATIENCE)
    database = SqlDatabase(engine)
    assert unlike_any_order(arena(database), SCENARIOS[scene], overlapping(engine)) == {}
    engine.dispose()


@pytest.mark.mariadb
@pytest.mark.parametrize("scene", SCENARIOS)
def test_concurrent_requests_on_mariadb_are_serializable(mariadb_url: str, scene: str) -> None:
    engine = create_engine(mariadb_url, timeout=PATIENCE)
    database = SqlDatabase(engine)
    assert unlike_any_order(arena(database), SCENARIOS[scene], overlapping(engine)) == {}
    engine.dispose()


# --- Stores that are wrong ------------------------------------------------------------------


def found(database: Database, scene: str, kind: type[SqlStore] = SqlStore) -> set[str]:
    """Return the pairs with a wrong outcome in a scenario."""
    return {*unlike_any_order(arena(database, kind), SCENARIOS[scene])}


@pytest.mark.heavy
def test_race_check_detects_a_store_without_compare_and_set(sqlite_database: SqlDatabase) -> None:
    trusting = Trusting(sqlite_database)
    assert found(trusting, "the pending connection has lapsed") >= {
        "the first is authorized; reconnect the first",
        "reconnect the first; the first is authorized",
    }
    assert found(trusting, "nine initiates were admitted") >= {"initiate; sign up"}


@pytest.mark.heavy
def test_race_check_detects_a_store_that_skips_version_bumps(sqlite_database: SqlDatabase) -> None:
    assert found(sqlite_database, "the pending connection has lapsed", LazyStore) >= {
        "the first is authorized; reconnect the first",
        "reconnect the first; the first is authorized",
    }
    assert found(sqlite_database, "a successor is revoked", LazyStore) >= {
        "reconnect the second; the patient revokes the first",
    }
    bound = "a user is bound, one connection is pending"
    assert found(sqlite_database, bound, LazyStore) >= {"graduation; the page graduates"}


@pytest.mark.heavy
def test_race_check_detects_a_store_with_non_atomic_commits(sqlite_database: SqlDatabase) -> None:
    # Part of a refused commit is stored.
    assert found(Stepping(sqlite_database), "the pending connection has lapsed") >= {
        "revoke the first; the patient revokes the first",
    }
