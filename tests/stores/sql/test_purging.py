"""Tests of the instants at which a purge deletes a row, on both kinds of store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.support.sql.databases import Clocked
from tests.support.strategies import START

LAST = to_epoch_microseconds(START - timedelta(minutes=5))
"""The last expiry at which a row is deleted."""

PUT = {
    "curae_record": "INSERT INTO curae_record (id, expires_at, version, document) VALUES (?, ?, 1, '')",
    "curae_log": "INSERT INTO curae_log (id, expires_at, version, document) VALUES (?, ?, 1, '')",
    "curae_page": (
        "INSERT INTO curae_page (id, expires_at, version, document, subject) "
        "VALUES (?, ?, 1, '', ?)"
    ),
    "curae_bucket": "INSERT INTO curae_bucket (id, full_at, part) VALUES (?, ?, 1)",
}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("table", PUT)
def test_purge_deletes_a_row_five_minutes_after_its_expiry(
    database: SqlDatabase, table: str, *, is_async: bool
) -> None:
    clocked = Clocked(database)
    store = SqlStore(clocked)
    store.create_tables()
    # With its fraction, a bucket is full one microsecond after its `full_at`.
    last = LAST - 1 if table == "curae_bucket" else LAST
    for key, expires_at in (("before", last - 1), ("at", last), ("after", last + 1)):
        values = (key, expires_at, key)[: PUT[table].count("?")]
        assert clocked.run_transaction([Statement(PUT[table], values, 1)])
    if is_async:
        asyncio.run(AsyncSqlStore(ThreadedDatabase(clocked)).purge())
    else:
        store.purge()
    left = clocked.rows(Statement(f"SELECT id FROM {table}"))
    assert [*left] == [("after",)]
