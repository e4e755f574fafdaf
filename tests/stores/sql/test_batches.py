"""Tests of the batches of a SQL store with one value more than a batch holds, on both kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import AppUserId, Coordinate
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import record_fact
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores.keys import coordinate_key
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.erasing import erase
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, Rows, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.support.sql.databases import Clocked
from tests.support.strategies import COORDINATE, START, pending

PURGE_BATCH: Final = 1000
ROWS_PER_STATEMENT: Final = 100
STATEMENTS_AT_ONCE: Final = 50

Purge = Callable[[Clocked], None]


def purge_blocking(database: Clocked) -> None:
    SqlStore(database).purge()


def purge_async(database: Clocked) -> None:
    asyncio.run(AsyncSqlStore(ThreadedDatabase(database)).purge())


PURGES = pytest.mark.parametrize("purge", [purge_blocking, purge_async])


@pytest.fixture
def clocked(database: SqlDatabase) -> Clocked:
    made = Clocked(database)
    SqlStore(made).create_tables()
    return made


def count(database: Clocked, table: str, where: str = "1 = 1") -> object:
    return database.rows(Statement(f"SELECT 0, COUNT(*) FROM {table} WHERE {where}"))[0][1]


@pytest.mark.slow
@PURGES
@pytest.mark.parametrize("extra", [0, 1])
def test_purge_deletes_all_rows_if_one_more_than_a_batch(
    clocked: Clocked, purge: Purge, extra: int
) -> None:
    put = "INSERT INTO curae_log (id, version, expires_at, document) VALUES (?, 1, ?, '')"
    rows = [Statement(put, (f"{number:064}", number), 1) for number in range(PURGE_BATCH + extra)]
    assert clocked.run_transaction(rows)
    purge(clocked)
    assert count(clocked, "curae_log") == 0


@pytest.mark.slow
@PURGES
def test_purge_finishes_all_sweeps_if_one_more_than_a_batch(clocked: Clocked, purge: Purge) -> None:
    store = SqlStore(clocked)
    for number in range(ROWS_PER_STATEMENT + 1):
        user = attrs.evolve(COORDINATE, app_user_id=AppUserId(f"gone-{number}"))
        fact = Tombstoned(user)
        loaded = store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, START)
        assert isinstance(answer, Done)
        assert store.commit(loaded, answer.value)
    assert count(clocked, "curae_binding", "unswept = 1") == ROWS_PER_STATEMENT + 1
    purge(clocked)
    assert count(clocked, "curae_binding", "unswept = 1") == 0


@pytest.mark.slow
@PURGES
def test_purge_deletes_erased_connections_in_several_statements(
    clocked: Clocked, purge: Purge
) -> None:
    _keep_connections(clocked, COORDINATE, ROWS_PER_STATEMENT + 1)
    erase(clocked, COORDINATE)
    clocked.run_transaction([Statement("DELETE FROM curae_outbox")])
    clocked.now = START + timedelta(minutes=6)
    purge(clocked)
    assert count(clocked, "curae_connection") == 0


@attrs.define
class Bounded(Clocked):
    """A database that fails after a number of reads, so that an endless loop fails its test."""

    reads_left: int = 100

    def rows(self, statement: Statement) -> Rows:
        self.reads_left -= 1
        assert self.reads_left, "a loop does not end"
        return super().rows(statement)


@PURGES
@pytest.mark.parametrize("places", [(2,), (0, 1, 2)])
def test_purge_leaves_bindings_of_a_newer_format_unchanged(
    clocked: Clocked, purge: Purge, places: tuple[int, ...]
) -> None:
    users = [attrs.evolve(COORDINATE, app_user_id=AppUserId(f"gone-{number}")) for number in "123"]
    for user in users:
        erase(clocked, user)
    newer = [sorted(map(coordinate_key, users))[place] for place in places]
    put = "UPDATE curae_binding SET document = '{\"format\":2}', unswept = 1 WHERE id = ?"
    assert clocked.run_transaction([Statement(put, (key,), 1) for key in newer])
    assert clocked.run_transaction([Statement("DELETE FROM curae_outbox")])
    purge(Bounded(clocked.database, START + timedelta(minutes=6)))
    left = clocked.rows(Statement("SELECT id, unswept FROM curae_binding ORDER BY id"))
    assert [*left] == [(key, 1) for key in newer]
    assert count(clocked, "curae_erasure") == len(newer)


def _keep_connections(database: Clocked, coordinate: Coordinate, number: int) -> None:
    store = SqlStore(database)
    assert pending().identity.coordinate == coordinate
    for each in range(1, number + 1):
        loaded = store.load(Tombstoned(coordinate).needs())
        assert store.commit(loaded, Changes((ConnectionWrite(None, pending(number=each)),)))


@pytest.mark.parametrize("number", [STATEMENTS_AT_ONCE, STATEMENTS_AT_ONCE + 1])
def test_transaction_over_the_size_of_a_batch_is_atomic(clocked: Clocked, number: int) -> None:
    put = "INSERT INTO curae_log (id, version, expires_at, document) VALUES (?, 1, 0, '')"
    insert = partial(Statement, put)
    rows = [insert((f"{each:064}",), 1) for each in range(number)]
    missing = Statement("UPDATE curae_log SET version = 2 WHERE id = ?", ("none",), 1)
    for place in (0, STATEMENTS_AT_ONCE - 1, number):
        assert not clocked.run_transaction([*rows[:place], missing, *rows[place:]])
        assert count(clocked, "curae_log") == 0
    assert clocked.run_transaction(rows)
    assert count(clocked, "curae_log") == number
