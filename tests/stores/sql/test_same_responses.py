"""Tests that an SQL store gives the responses of the store in memory, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial

import pytest

from curae_lifecycle.replay import log
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.store import AsyncDatabase, AsyncSqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from curae_lifecycle.testing.blocking import BlockingStoreAdapter
from curae_lifecycle.web.json import format_json
from tests.proof.reference.traffic import traffic
from tests.stores.sql.worlds import Both, SqlWorld
from tests.support.patiently import PATIENCE
from tests.support.sql.databases import AsyncClocked

LINES = 250


def replayed_on_both(
    made: Callable[[Settings], SqlWorld], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replay a log on both stores, which must load and commit the same at each line."""

    def both(settings: Settings, *, capacity: int, clock: Callable[[], datetime]) -> Both:
        memory = MemoryStore(settings, capacity=capacity, clock=clock)
        return Both(memory, made(settings), clock)

    lines = traffic(seed, LINES)
    expected = [*log.replay(lines)]
    monkeypatch.setattr(log, "MemoryStore", both)
    answered = [*log.replay(lines)]
    assert [format_json(each.answer) for each in answered] == [
        format_json(each.answer) for each in expected
    ]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(1, 6))]
)
def test_sql_store_answers_random_traffic_like_memory_store(
    database: SqlDatabase, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed_on_both(partial(SqlWorld, database), seed, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["awaited", pytest.param("threads", marks=pytest.mark.heavy)])
def test_async_sql_store_answers_traffic_like_memory_store(
    postgres_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(postgres_url, timeout=PATIENCE)
    awaited = create_engine_async(postgres_url, timeout=PATIENCE)

    with asyncio.Runner() as runner:

        class AwaitedWorld(SqlWorld):
            def store(self) -> Store:
                return BlockingStoreAdapter(AsyncSqlStore(self.awaited(), self._settings), runner)

            def awaited(self) -> AsyncDatabase:
                if kind == "threads":
                    return ThreadedDatabase(self._database)
                return AsyncClocked(AsyncSqlDatabase(awaited), self._database)

        replayed_on_both(partial(AwaitedWorld, SqlDatabase(engine)), 6, monkeypatch)
        runner.run(awaited.dispose())
    engine.dispose()
