"""Tests of the statements that both kinds of store send to each database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TypeVar

import attrs
import pytest

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Bucket
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.replication import CONFIRM
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.support.server import API_KEY, CALLER, request
from tests.support.sql.works import FIRST, minted
from tests.support.strategies import START

BUCKET = Bucket(name="platform", capacity=9, refill=1, seconds=60)
CHARGE = RateWrite(
    key=BucketKey(CALLER.key_owner, BUCKET), policy=BUCKET, before=None, after=FULL_BUCKET
)
PAGE = HostedPage(
    digest=url_digest("https://pages.example/1"),
    kind=PageKind.CONNECTION,
    subject="a connection",
    expires_at=START,
)
AnyStore = SqlStore | AsyncSqlStore
Value = TypeVar("Value")


@attrs.define
class Noting:
    """A database that notes the statements that it gets, and stores nothing."""

    dialect: Dialect
    read: list[Statement] = attrs.field(factory=list[Statement])
    defined: list[Statement] = attrs.field(factory=list[Statement])
    changed: list[Sequence[Statement]] = attrs.field(factory=list[Sequence[Statement]])
    refuses: bool = False

    def rows(self, statement: Statement) -> Rows:
        self.read.append(statement)
        return [("now", "", 0, 0, "")]

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.defined += statements

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        self.changed.append(statements)
        return not self.refuses


def blocking(database: Noting) -> SqlStore:
    return SqlStore(database)


def waiting(database: Noting) -> AsyncSqlStore:
    return AsyncSqlStore(ThreadedDatabase(database))


both = pytest.mark.parametrize("build", [blocking, waiting])
Build = Callable[[Noting], AnyStore]


def done(result: Coroutine[object, object, Value] | Value) -> Value:
    """Return a result, or that of its coroutine."""
    return asyncio.run(result) if isinstance(result, Coroutine) else result


@both
@pytest.mark.parametrize("dialect", Dialect)
def test_store_creates_the_tables_of_its_dialect(dialect: Dialect, build: Build) -> None:
    database = Noting(dialect)
    done(build(database).create_tables())
    assert database.defined == [*create_table_statements(dialect)]


@both
@pytest.mark.parametrize("dialect", Dialect)
def test_store_replaces_rows_in_the_sql_of_its_dialect(dialect: Dialect, build: Build) -> None:
    database = Noting(dialect)
    store = build(database)
    done(store.register(ApiKey(API_KEY), CALLER))
    assert done(store.commit(done(store.load(Needs())), Changes(), PAGE))
    texts = [each.text for statements in database.changed for each in statements]
    replacing = "ON DUPLICATE KEY" if dialect is Dialect.MARIADB else "ON CONFLICT"
    assert [replacing in each for each in texts] == [True, True]


@both
@pytest.mark.parametrize(
    ("dialect", "in_commit", "ahead"),
    [
        (Dialect.SQLITE, "ON CONFLICT", "ON CONFLICT"),
        (Dialect.POSTGRESQL, "ON CONFLICT", "synchronous_commit"),
        (Dialect.MARIADB, "SIMULTANEOUS_ASSIGNMENT", "SIMULTANEOUS_ASSIGNMENT"),
    ],
)
def test_store_charges_buckets_in_the_sql_of_its_dialect(
    dialect: Dialect, in_commit: str, ahead: str, build: Build
) -> None:
    database = Noting(dialect)
    store = build(database)
    loaded = done(store.load(Needs()))
    assert done(store.commit(loaded, Changes((CHARGE,))))
    assert done(store.charge(loaded, (CHARGE,), durable=False))
    texts = [statements[-1].text for statements in database.changed]
    assert [in_commit in texts[0], ahead in texts[1]] == [True, True]
    assert "synchronous_commit" not in texts[0]


@both
@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("dialect", Dialect)
def test_durable_bucket_charge_runs_a_query_on_postgresql_only(
    dialect: Dialect, build: Build, *, durable: bool
) -> None:
    database = Noting(dialect)
    store = build(database)
    loaded = done(store.load(Needs()))
    database.read.clear()
    assert done(store.charge(loaded, (CHARGE,), durable=durable))
    confirms = durable and dialect is Dialect.POSTGRESQL
    assert database.read == [Statement(CONFIRM)] * confirms


@both
def test_refused_bucket_charge_returns_false_without_a_query(build: Build) -> None:
    database = Noting(Dialect.POSTGRESQL, refuses=True)
    store = build(database)
    loaded = done(store.load(Needs()))
    database.read.clear()
    assert not done(store.charge(loaded, (CHARGE,), durable=True))
    assert database.read == []


def test_sql_outbox_spells_active_as_authorized_if_configured(
    sqlite_database: SqlDatabase,
) -> None:
    settings = Settings(active_spelling="AUTHORIZED")
    store = SqlStore(sqlite_database, settings)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    serve(store, request("create"), partial(minted, 1), settings=settings)
    record(store, Authorized(FIRST))
    (event,) = [each for each in store.outbox() if each["kind"] == "connection.authorized"]
    assert isinstance(event["subject"], dict)
    assert event["subject"]["status"] == "AUTHORIZED"
    waiting_store = AsyncSqlStore(ThreadedDatabase(sqlite_database))
    assert asyncio.run(waiting_store.outbox()) == store.outbox()


def test_store_charges_before_commit_only_if_charge_apart_is_set() -> None:
    database = Noting(Dialect.SQLITE)
    threaded = ThreadedDatabase(database)
    plain: list[AnyStore] = [SqlStore(database), AsyncSqlStore(threaded)]
    apart: list[AnyStore] = [
        SqlStore(database, charge_apart=True),
        AsyncSqlStore(threaded, charge_apart=True),
    ]
    assert [each.charges_apart for each in (*plain, *apart)] == [False, False, True, True]
