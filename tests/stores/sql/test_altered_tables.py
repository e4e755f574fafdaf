"""Tests that workers outlast an `ALTER TABLE`, after which PostgreSQL refuses prepared statements."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from tests.support.patiently import PATIENCE
from tests.support.server import API_KEY, CALLER
from tests.support.sql.databases import with_driver

KEY = ApiKey(API_KEY)
ALTER = Statement("ALTER TABLE curae_caller ALTER COLUMN document TYPE VARCHAR(5000)")
USES = 8
"""More uses than after which psycopg prepares a statement."""


@pytest.fixture
def altering(postgres_url: str) -> Iterator[SqlDatabase]:
    """A database with the tables and an API key, on separate connections."""
    engine = create_engine(postgres_url, timeout=PATIENCE)
    store = SqlStore(SqlDatabase(engine))
    store.create_tables()
    store.register(KEY, CALLER)
    yield SqlDatabase(engine)
    engine.dispose()


def test_load_fails_once_after_alter_table_and_then_succeeds(
    altering: SqlDatabase, postgres_url: str
) -> None:
    engine = create_engine(postgres_url, timeout=PATIENCE)
    store = SqlStore(SqlDatabase(engine))
    for _ in range(USES):
        assert store.load(Needs(), KEY.digest()).caller == CALLER
    altering.run_ddl([ALTER])
    with pytest.raises(StoreUnavailableError):
        store.load(Needs(), KEY.digest())
    assert store.load(Needs(), KEY.digest()).caller == CALLER
    engine.dispose()


def test_async_load_fails_once_after_alter_table_then_succeeds(
    altering: SqlDatabase, postgres_url: str
) -> None:
    async def load() -> None:
        engine = create_engine_async(with_driver(postgres_url, "psycopg"), timeout=PATIENCE)
        store = AsyncSqlStore(AsyncSqlDatabase(engine))
        for _ in range(USES):
            assert (await store.load(Needs(), KEY.digest())).caller == CALLER
        altering.run_ddl([ALTER])
        with pytest.raises(StoreUnavailableError):
            await store.load(Needs(), KEY.digest())
        assert (await store.load(Needs(), KEY.digest())).caller == CALLER
        await engine.dispose()

    asyncio.run(load())
