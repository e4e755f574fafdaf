"""Tests of loading a part of a chain, in each database, in memory and from rows of a query."""

from __future__ import annotations

import asyncio

import pytest

from curae_lifecycle import MemoryStore
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.snapshot import ChainPart, Needs
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, SqlDatabase, create_engine_async
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.testing.blocking import BlockingStoreAdapter
from tests.support.chains import store_chain
from tests.support.patiently import PATIENCE
from tests.support.sql.databases import without_driver
from tests.support.strategies import uuid

LENGTH = 6
PARTS = [
    # The number of the named connection, the part, and the numbers that are loaded.
    (1, ChainPart(2), [5, 6]),
    (1, ChainPart(2, 5), [3, 4]),
    (1, ChainPart(2, 3), [2]),
    (1, ChainPart(2, 2), []),
    (1, ChainPart(4), [3, 4, 5, 6]),
    (1, ChainPart(5), [2, 3, 4, 5, 6]),
    (1, ChainPart(9), [2, 3, 4, 5, 6]),
    (4, ChainPart(1), [6]),
    (4, ChainPart(2), [5, 6]),
    (4, ChainPart(3, 6), [5]),
    (4, ChainPart(3, 3), []),
    (6, ChainPart(3), []),
]


@pytest.fixture
def sql_store(database: SqlDatabase) -> SqlStore:
    made = SqlStore(database)
    made.create_tables()
    return made


def check_parts(store: Store) -> None:
    """Check each part of a chain beside which another chain of the same user is stored."""
    store_chain(store, LENGTH)
    store_chain(store, LENGTH, start=101)
    for number, part, expected in PARTS:
        needs = Needs(chain=ConnectionId(uuid(number)), chain_part=part)
        found = store.load(needs).snapshot
        assert found.connection is not None
        assert found.connection.id == uuid(number)
        assert [each.id for each in found.following] == [uuid(each) for each in expected], part
    unknown = store.load(Needs(chain=ConnectionId(uuid(99)), chain_part=ChainPart(2))).snapshot
    assert (unknown.connection, unknown.following) == (None, ())


def test_sql_store_loads_the_requested_part_of_a_chain(sql_store: SqlStore) -> None:
    check_parts(sql_store)


def test_async_sql_store_loads_the_requested_part_of_a_chain(sql_store: SqlStore, url: str) -> None:
    del sql_store  # It has created the tables.
    with asyncio.Runner() as runner:
        engine = create_engine_async(without_driver(url), timeout=PATIENCE)
        store = AsyncSqlStore(AsyncSqlDatabase(engine))
        check_parts(BlockingStoreAdapter(store, runner))
        runner.run(engine.dispose())


def test_memory_store_loads_the_requested_part_of_a_chain() -> None:
    check_parts(MemoryStore())
