"""Tests of a hanging database: requests get an answer in time, and recover with the database.

The database recovers by itself after a while, so a request that waited for it would succeed;
the tests assert that none did.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Timer
from time import monotonic
from typing import Final

import pytest

from curae_lifecycle import ApiKey, Bucket, Request, Response, RetryPolicy, Settings
from curae_lifecycle.servers import endpoint
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.stores.retry import DEFAULT_RETRY_POLICY
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.engine_factory import limits_of
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.support.asking import MINT, header, logged
from tests.support.databases.valkey import valkey
from tests.support.django_project import database as django_database
from tests.support.hanging import hanging, stopped
from tests.support.patiently import PATIENCE, PATIENT
from tests.support.redis_limits import limited
from tests.support.server import API_KEY, CALLER, request
from tests.support.serving import faulty

KINDS: Final = ("psycopg", "psycopg awaited", "psycopg in threads", "Django")
WHILE: Final = 20.0
"""The most seconds for which a database hangs."""

SHORT: Final = RetryPolicy(seconds=0.5, attempt_seconds=0.2)
GET: Final = request("get")
READY: Final = Request("GET", "/readyz")


@contextmanager
def endpoint_on(
    kind: str, url: str, patience: RetryPolicy, wait: float, pool_size: int = 10
) -> Iterator[Callable[[Request], Response]]:
    """Yield an endpoint on a store of each kind, with its tables and `API_KEY` registered."""
    engine = create_engine(url, timeout=PATIENCE)
    plain = SqlStore(SqlDatabase(engine))
    plain.create_tables()
    plain.register(ApiKey(API_KEY), CALLER)
    engine.dispose()
    match kind:
        case "psycopg":
            engine = create_engine(url, timeout=wait, pool_size=pool_size)
            store = SqlStore(SqlDatabase(engine))
            yield Endpoint(store, MINT, retry_policy=patience, hosted_pages=paged(store))
            engine.dispose()
        case "Django":
            from curae_lifecycle.stores.django.database import DjangoDatabase  # noqa: PLC0415

            limits = f"-c statement_timeout={int(wait * 1000)} -c lock_timeout={int(wait * 1000)}"
            options = {"connect_timeout": 2, "options": limits}
            with django_database(url, migrated=False, options=options) as alias:
                store = SqlStore(DjangoDatabase(alias))
                yield Endpoint(store, MINT, retry_policy=patience, hosted_pages=paged(store))
        case _:
            with asyncio.Runner() as runner:
                made = create_engine_async(url, timeout=wait, pool_size=pool_size)
                engine = create_engine(url, timeout=wait, pool_size=pool_size)
                awaited = AsyncSqlStore(
                    AsyncSqlDatabase(made)
                    if kind == "psycopg awaited"
                    else ThreadedDatabase(SqlDatabase(engine))
                )

                async def pages(asked: Request) -> Response | None:
                    if not asked.target.startswith("/pages/"):
                        return None
                    await awaited.hosted_page(asked.target)
                    return Response(404, (), b"")

                answer = AsyncEndpoint(awaited, MINT, retry_policy=patience, hosted_pages=pages)
                yield lambda asked: runner.run(answer(asked))
                runner.run(made.dispose())
                engine.dispose()


def paged(store: SqlStore) -> Callable[[Request], Response | None]:
    """Return a handler of pages that looks pages up and finds none."""

    def pages(asked: Request) -> Response | None:
        if not asked.target.startswith("/pages/"):
            return None
        store.hosted_page(asked.target)
        return Response(404, (), b"")

    return pages


PAGE: Final = Request("GET", "/pages/a")
ASKED: Final = ((GET, 404), (READY, 200), (PAGE, 404))


def check_goes_on(
    ask: Callable[[Request], Response], every: Sequence[tuple[Request, int]] = ASKED
) -> None:
    """Raise unless a server recovers with its database."""
    statuses = {asked.target: 0 for asked, _ in every}
    wanted = {asked.target: status for asked, status in every}
    until = monotonic() + PATIENCE
    # Lost connections are found one after the other, and on a slow machine requests with so short a
    # limit may all be refused.
    while statuses != wanted:
        assert monotonic() < until, statuses
        for asked, _ in every:
            statuses[asked.target] = ask(asked).status


def check_hangs(ask: Callable[[Request], Response]) -> None:
    """Raise unless every request gets its documented answer while the database hangs."""
    refused = ask(GET)
    assert (refused.status, header(refused, "retry-after")) == (500, "1")
    assert json.loads(refused.body)["retryable"] is True
    for asked in (READY, PAGE):
        later = ask(asked)
        assert (later.status, header(later, "retry-after")) == (503, "1")
    assert ask(Request("GET", "/livez")).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS[:3], pytest.param("Django", marks=pytest.mark.heavy)])
def test_hanging_database_gives_500_in_time_and_201_afterwards(
    monkeypatch: pytest.MonkeyPatch, kind: str, stoppable_url: str
) -> None:
    # Django needs time to connect, at least two seconds.
    on_django = kind == "Django"
    monkeypatch.setattr(endpoint, "READY_TIMEOUT_SECONDS", 2.5 if on_django else 0.4)
    patience = RetryPolicy(seconds=2.1) if on_django else SHORT
    with endpoint_on(kind, url=stoppable_url, patience=patience, wait=0.2) as ask, logged() as log:
        check_goes_on(ask)
        with hanging(stoppable_url, WHILE):
            check_hangs(ask)
        check_goes_on(ask)
    told = [each["message"] for each in log.lines]
    for failure in ("gave up after attempt", "a page failed", "not ready"):
        assert [each for each in told if str(each).startswith(failure)], (failure, told)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["psycopg", "psycopg awaited", "Django"])
def test_default_timeouts_give_500_while_the_database_hangs(kind: str, stoppable_url: str) -> None:
    with endpoint_on(kind, url=stoppable_url, patience=DEFAULT_RETRY_POLICY, wait=2.0) as ask:
        check_goes_on(ask)
        # A request that waited for the database would succeed.
        with hanging(stoppable_url, 10.0):
            assert ask(GET).status == 500
        check_goes_on(ask)


@pytest.mark.slow
def test_exhausted_database_pool_gives_500_in_time(postgres_url: str) -> None:
    # The timeout of the pool would let it wait for a minute.
    engine = create_engine(postgres_url, timeout=60, pool_size=1)
    store = SqlStore(SqlDatabase(engine))
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    answer, patient = (Endpoint(store, MINT, retry_policy=each) for each in (SHORT, PATIENT))
    free = limits_of(engine).free
    assert patient(GET).status == 404
    free.acquire()
    later = Timer(WHILE, free.release)
    later.start()
    with logged() as log:
        assert answer(GET).status == 500
    later.cancel()
    assert "no connection was free in time" in log.text
    free.release()
    assert patient(GET).status == 404
    engine.dispose()


@pytest.mark.slow
def test_exhausted_async_database_pool_gives_500_in_time(postgres_url: str) -> None:
    async def asked() -> list[int]:
        engine = create_engine_async(postgres_url, timeout=60, pool_size=1)
        store = AsyncSqlStore(AsyncSqlDatabase(engine))
        await store.create_tables()
        await store.register(ApiKey(API_KEY), CALLER)
        answer, patient = (
            AsyncEndpoint(store, MINT, retry_policy=each) for each in (SHORT, PATIENT)
        )
        held = await engine.pool.acquire()
        statuses = [(await answer(GET)).status]
        engine.pool.release(held)
        statuses.append((await patient(GET)).status)
        await engine.dispose()
        return statuses

    assert asyncio.run(asked()) == [500, 404]


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Lock an SQLite file for a bounded time."""
    file = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        later = Timer(WHILE, other.rollback)
        later.start()
        try:
            yield
        finally:
            later.cancel()
            later.join()
            other.rollback()


@pytest.mark.slow
def test_locked_sqlite_file_gives_500_in_time(sqlite_url: str) -> None:
    # The timeout of the engine is a minute.
    engine = create_engine(sqlite_url, timeout=60)
    store = SqlStore(SqlDatabase(engine))
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    answer, patient = (Endpoint(store, MINT, retry_policy=each) for each in (SHORT, PATIENT))
    with locked(sqlite_url):
        assert answer(request("create")).status == 500
        # A request that needs no lock does not wait: its time would end before the lock is free.
        enough = RetryPolicy(seconds=WHILE / 2)
        assert Endpoint(store, MINT, retry_policy=enough)(GET).status == 404
    assert patient(request("create")).status == 201
    ((busy,),) = SqlDatabase(engine).rows(Statement("PRAGMA busy_timeout"))
    assert busy == 60_000
    engine.dispose()


@pytest.mark.slow
def test_locked_sqlite_file_on_django_gives_500_in_time(sqlite_url: str) -> None:
    with django_database(sqlite_url, options={"timeout": 60}) as alias:
        from curae_lifecycle.stores.django.database import DjangoDatabase  # noqa: PLC0415

        made = DjangoDatabase(alias)
        store = SqlStore(made)
        store.register(ApiKey(API_KEY), CALLER)
        answer, patient = (Endpoint(store, MINT, retry_policy=each) for each in (SHORT, PATIENT))
        with locked(sqlite_url):
            assert answer(request("create")).status == 500
        assert patient(request("create")).status == 201
        # Other users of this connection have the original timeout.
        assert [*made.rows(Statement("PRAGMA busy_timeout"))[0]] == [60_000]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["waiting", "awaited"])
def test_hanging_redis_gives_500_and_readyz_503(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(endpoint, "READY_TIMEOUT_SECONDS", 0.4)
    settings = Settings(buckets=(Bucket(name="wide", capacity=100, refill=100, seconds=60),))
    with valkey() as server, limited(kind, faulty().store, server.url, wait=0.1) as store:
        ask = Endpoint(store, MINT, settings, retry_policy=SHORT)
        check_goes_on(ask, ASKED[:2])
        assert server.process is not None
        with stopped(server.process.pid):
            assert (ask(GET).status, ask(READY).status) == (500, 503)
        check_goes_on(ask, ASKED[:2])
