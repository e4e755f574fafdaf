"""Tests of stored callers: how they are listed, changed, removed, and mended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import attrs
import pytest

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.values import AppId
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.callers import format_caller
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.serve import serve, serve_async
from curae_lifecycle.stores.sql.callers import (
    StoredCaller,
    callers_statement,
    narrowing_statement,
    removal_statement,
)
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.statement import Rows, Statement
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


def test_reregistered_api_key_ignores_broken_record_of_old_owner(
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


def stored_callers(database: SqlDatabase) -> list[StoredCaller]:
    rows = database.rows(callers_statement())
    return [StoredCaller(str(digest), str(document)) for digest, document in rows]


def test_stored_callers_are_listed_in_order_of_their_digest(tables: SqlDatabase) -> None:
    keys = [ApiKey(f"cae_live_k{number}") for number in range(4)]
    callers = {
        key.digest(): attrs.evolve(CALLER, app_id=AppId(f"app-{number}"))
        for number, key in enumerate(keys)
    }
    for key in keys:
        SqlStore(tables).register(key, callers[key.digest()])
    found = stored_callers(tables)
    assert [(each.digest, each.caller) for each in found] == sorted(callers.items())


def test_narrowing_a_caller_stores_only_the_given_scopes(tables: SqlDatabase) -> None:
    both, one = frozenset({"connection:write", "other"}), frozenset({"other"})
    for name in (API_KEY, "cae_live_other"):
        SqlStore(tables).register(ApiKey(name), attrs.evolve(CALLER, scopes=both))
    digest = ApiKey(API_KEY).digest()
    (stored,) = [each for each in stored_callers(tables) if each.digest == digest]
    assert tables.run_transaction([narrowing_statement(stored, one)])
    assert {each.digest: each.caller.scopes for each in stored_callers(tables)} == {
        digest: one,
        ApiKey("cae_live_other").digest(): both,
    }


def test_removing_a_stored_caller_keeps_the_others(tables: SqlDatabase) -> None:
    for name in (API_KEY, "cae_live_other"):
        SqlStore(tables).register(ApiKey(name), CALLER)
    gone, kept = stored_callers(tables)
    assert tables.run_transaction([removal_statement(gone)])
    assert stored_callers(tables) == [kept]


@pytest.mark.parametrize(
    "build", [removal_statement, lambda stored: narrowing_statement(stored, frozenset())]
)
def test_change_or_removal_of_a_replaced_caller_has_no_effect(
    tables: SqlDatabase, build: Callable[[StoredCaller], Statement]
) -> None:
    SqlStore(tables).register(ApiKey(API_KEY), WRONG)
    (read,) = stored_callers(tables)
    SqlStore(tables).register(ApiKey(API_KEY), CALLER)
    assert not tables.run_transaction([build(read)])
    assert [each.caller for each in stored_callers(tables)] == [CALLER]


@attrs.define
class Failing(Counted):
    """A database whose queries fail with an error, if there is one."""

    error: Exception | None = None

    def rows(self, statement: Statement) -> Rows:
        if self.error is not None:
            raise self.error
        return super().rows(statement)


@pytest.mark.parametrize(
    ("error", "reads"), [(StoreUnavailableError("a lock"), 0), (ValueError("a row"), 1)]
)
@pytest.mark.parametrize("is_async", [False, True])
def test_failed_load_uncaches_caller_unless_store_is_unavailable(
    tables: SqlDatabase, error: Exception, reads: int, *, is_async: bool
) -> None:
    SqlStore(tables).register(ApiKey(API_KEY), CALLER)
    digest, failing = ApiKey(API_KEY).digest(), Failing(tables)
    blocking, waiting = SqlStore(failing), AsyncSqlStore(ThreadedDatabase(failing))

    def load() -> Loaded:
        if is_async:
            return asyncio.run(waiting.load(Needs(), digest))
        return blocking.load(Needs(), digest)

    assert load().caller == CALLER
    failing.error = error
    with pytest.raises(type(error)):
        load()
    failing.error = None
    failing.read.clear()
    found = asyncio.run(waiting.caller_of(digest)) if is_async else blocking.caller_of(digest)
    assert (found, len(failing.read)) == (CALLER, reads)
