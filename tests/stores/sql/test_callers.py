"""Tests that a caller whose row was wrong is right once the row is mended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import attrs
import pytest

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.values import AppId
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.callers import format_caller
from curae_lifecycle.stores.serve import serve, serve_async
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from curae_lifecycle.web.request import Request
from tests.support.asking import MINT
from tests.support.server import API_KEY, CALLER, request
from tests.support.sql.databases import Counted

CREATE = request("create")
GET = request("get")
WRONG = attrs.evolve(CALLER, app_id=AppId("app-of-another"))
STORED = format_caller(CALLER)
Serve = Callable[[Request], Response]


@pytest.fixture
def tables(sqlite_url: str) -> Iterator[SqlDatabase]:
    engine = create_engine(sqlite_url)
    database = SqlDatabase(engine)
    SqlStore(database).create_tables()
    yield database
    engine.dispose()


@pytest.fixture(params=["blocking", "async"])
def ask(request: pytest.FixtureRequest, tables: SqlDatabase) -> Iterator[Serve]:
    """A function that serves a request; one store with one cache serves all."""
    if request.param == "blocking":
        store = SqlStore(tables)
        yield lambda asked: serve(store, asked, MINT).response
        return
    async_store = AsyncSqlStore(ThreadedDatabase(tables))
    with asyncio.Runner() as runner:
        yield lambda asked: runner.run(serve_async(async_store, asked, MINT)).response


def write_caller(database: SqlDatabase, document: str) -> None:
    assert database.run_transaction(
        [Statement("UPDATE curae_caller SET document = ?", (document,), 1)]
    )


@pytest.mark.parametrize(
    "document",
    ["", "{", "null", "[]", STORED.replace("live", "LIVE"), STORED.replace('"format": 1', "")],
)
@pytest.mark.parametrize("is_cached", [True, False])
def test_repaired_caller_row_takes_effect_at_the_next_request(
    tables: SqlDatabase, ask: Serve, document: str, *, is_cached: bool
) -> None:
    SqlStore(tables).register(ApiKey(API_KEY), CALLER)
    if is_cached:
        assert ask(GET).status == 404
    write_caller(tables, document)
    assert [ask(each).status for each in (GET, CREATE)] == [500, 500]
    write_caller(tables, STORED)
    assert [ask(each).status for each in (GET, CREATE)] == [404, 201]


def test_reregistered_caller_succeeds_though_old_rows_are_broken(
    tables: SqlDatabase, ask: Serve
) -> None:
    elsewhere = SqlStore(tables)
    elsewhere.register(ApiKey(API_KEY), WRONG)
    assert ask(CREATE).status == 201
    assert tables.run_transaction([Statement("UPDATE curae_record SET document = '{'", (), 1)])
    assert ask(CREATE).status == 500
    elsewhere.register(ApiKey(API_KEY), CALLER)
    assert ask(CREATE).status == 201


@pytest.mark.parametrize("is_async", [False, True])
def test_lookup_of_a_cached_caller_sends_no_sql_statement(
    tables: SqlDatabase, *, is_async: bool
) -> None:
    counted = Counted(tables)
    SqlStore(tables).register(ApiKey(API_KEY), CALLER)
    digest = ApiKey(API_KEY).digest()
    blocking, waiting = SqlStore(counted), AsyncSqlStore(ThreadedDatabase(counted))
    for reads in (1, 1):
        found = asyncio.run(waiting.caller_of(digest)) if is_async else blocking.caller_of(digest)
        assert (found, len(counted.read)) == (CALLER, reads)
