"""Tests of dependencies that are down for half a second, with every call counted.

A store is tried again until it is up. A function of the server's own is called once.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import redis
import redis.asyncio
from django.db import connections

from curae_lifecycle import (
    ApiKey,
    NewIds,
    NextAction,
    Request,
    serve,
    serve_async,
    serve_with_external_call_async,
)
from curae_lifecycle.rules.idempotency import RecordState
from curae_lifecycle.servers.health import READY_PATH
from curae_lifecycle.stores import retry
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.django.database import DjangoDatabase
from curae_lifecycle.stores.external_call import AsyncRenew
from curae_lifecycle.stores.redis.clients import Redis, create_client
from curae_lifecycle.stores.retry import DEFAULT_RETRY_POLICY
from curae_lifecycle.stores.sql.async_drivers import AsyncConnection
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.pool import AsyncPool
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, Database, SqlStore
from curae_lifecycle.web.respond import Answer
from tests.stores.external_call.calling import Called, ask, state
from tests.stores.redis.charging import known
from tests.support.asking import KINDS, MINT, Asking
from tests.support.django_project import database as django_database
from tests.support.outages import DOWN_SECONDS, FAILED, PAUSES, Outage, busy
from tests.support.redis_limits import redis_url
from tests.support.server import API_KEY, CALLER, request
from tests.support.serving import (
    Awaited,
    FakeTime,
    Numbered,
    check_given_up,
    fake_time,
    faulty,
    run_async,
)
from tests.support.strategies import NEXT_ACTION_LIFETIME

__all__ = ["redis_url"]

CREATE = request("create")


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return fake_time(monkeypatch)


def check_recovered(outage: Outage, succeeded: int) -> None:
    """Check the calls of an outage whose last attempt succeeded, and the pauses between them."""
    assert (outage.failed, outage.succeeded) == (FAILED, succeeded)
    assert outage.time.pauses == PAUSES


def prepare(database: Database) -> SqlStore:
    store = SqlStore(database)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    return store


def connections_in(database: Database) -> int:
    return len(database.rows(Statement("SELECT id FROM curae_connection")))


# --- Databases --------------------------------------------------------------------------------


def test_half_second_sql_database_outage_still_gives_201(
    sqlite_url: str, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(sqlite_url)
    database = SqlDatabase(engine)
    store = prepare(database)
    outage, connect = Outage(time, busy), engine.raw_connection
    with monkeypatch.context() as patched:
        patched.setattr(engine, "raw_connection", lambda: outage.call(connect))
        assert serve(store, CREATE, MINT).response.status == 201
    # The caller, the load and the commit.
    check_recovered(outage, 3)
    assert connections_in(database) == 1
    engine.dispose()


def test_request_executes_once_despite_sql_outage_at_the_commit(
    sqlite_url: str, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(sqlite_url)
    database = SqlDatabase(engine)
    outage = Outage(time, lambda: StoreUnavailableError("it is down"))
    store, commit = prepare(database), database.run_transaction
    with monkeypatch.context() as patched:
        patched.setattr(
            database,
            "run_transaction",
            lambda statements: outage.call(lambda: commit(statements)),
        )
        assert serve(store, CREATE, MINT).response.status == 201
    check_recovered(outage, 1)
    assert connections_in(database) == 1
    engine.dispose()


def test_half_second_async_sql_outage_still_gives_201(
    sqlite_url: str, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(sqlite_url)
    database = SqlDatabase(engine)
    prepare(database)
    outage = Outage(time, busy)
    sleep_in_fake_time(time, monkeypatch)

    acquire = AsyncPool.acquire

    async def acquire_if_up(pool: AsyncPool[AsyncConnection]) -> AsyncConnection:
        outage.call(lambda: None)
        return await acquire(pool)

    monkeypatch.setattr(AsyncPool, "acquire", acquire_if_up)

    async def ask_once() -> Answer:
        made = create_engine_async(sqlite_url)
        answer = await serve_async(AsyncSqlStore(AsyncSqlDatabase(made)), CREATE, MINT)
        await made.dispose()
        return answer

    assert asyncio.run(ask_once()).response.status == 201
    check_recovered(outage, 3)
    assert connections_in(database) == 1
    engine.dispose()


def sleep_in_fake_time(time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses of `serve_async` pass in fake time, but not the waits of drivers."""

    async def sleep(seconds: float) -> None:
        time.sleep(seconds)

    patched = SimpleNamespace(
        sleep=sleep, timeout=asyncio.timeout, CancelledError=asyncio.CancelledError
    )
    monkeypatch.setattr(retry, "asyncio", patched)


def test_half_second_django_database_outage_still_gives_201(
    sqlite_url: str, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with django_database(sqlite_url) as alias:
        database, outage = DjangoDatabase(alias), Outage(time, busy)
        store = SqlStore(database)
        store.register(ApiKey(API_KEY), CALLER)
        connection = connections[alias]
        connection.close()
        connect = connection.get_new_connection
        with monkeypatch.context() as patched:
            patched.setattr(
                connection,
                "get_new_connection",
                lambda parameters: outage.call(lambda: connect(parameters)),
            )
            assert serve(store, CREATE, MINT).response.status == 201
        # Django keeps the connection.
        check_recovered(outage, 1)
        assert connections_in(database) == 1


# --- Limits in Redis --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "client_class"), [("waiting", redis.Redis), ("awaited", redis.asyncio.Redis)]
)
def test_half_second_redis_outage_still_gives_201_and_one_charge(
    kind: str,
    client_class: type[Redis],
    redis_url: str,
    time: FakeTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outage = Outage(time, lambda: redis.ConnectionError("refused"))
    execute = client_class.execute_command

    def execute_if_up(client: Redis, *command: str | int) -> object:
        return outage.call(lambda: execute(client, *command))

    with create_client(redis_url) as client, known(kind, redis_url, client) as who:
        # The first request brings the scripts to the server.
        time.passed = DOWN_SECONDS
        assert who.initiate(1).status == 201
        time.passed = 0
        with monkeypatch.context() as patched:
            patched.setattr(client_class, "execute_command", execute_if_up)
            assert who.initiate(2, DEFAULT_RETRY_POLICY).status == 201
        # One read and one charge.
        check_recovered(outage, 2)
        assert who.charged() == (2, 2)


# --- Hosted pages -----------------------------------------------------------------------------


def test_failed_external_call_gives_500_without_a_second_call(time: FakeTime) -> None:
    made, outage = faulty(), Outage(time, OSError)
    called = Called(made, lambda _: outage.call(lambda: None))
    check_given_up(ask(made, CREATE, called))
    assert (called.times, outage.failed, time.pauses) == (1, 1, [])
    assert state(made) is RecordState.RELEASED
    time.passed = DOWN_SECONDS
    assert ask(made, CREATE, called, first=3).response.status == 201
    assert (called.times, outage.succeeded, time.pauses) == (2, 1, [])
    assert state(made) is RecordState.COMPLETED


def test_failed_async_external_call_gives_500_and_no_second_call(time: FakeTime) -> None:
    made, outage = faulty(), Outage(time, OSError)

    async def make(_: NewIds, __: AsyncRenew) -> NextAction:
        return outage.call(
            lambda: NextAction("https://pages.example/1", made.clock.now + NEXT_ACTION_LIFETIME)
        )

    async def ask_once(first: int) -> Answer:
        return await serve_with_external_call_async(
            Awaited(made), request=CREATE, id_factory=Numbered(first), make_next_action=make
        )

    check_given_up(run_async(ask_once(2), time))
    assert (outage.failed, state(made)) == (1, RecordState.RELEASED)
    assert time.passed == 0
    time.passed = DOWN_SECONDS
    assert run_async(ask_once(3), time).response.status == 201
    assert (outage.failed, outage.succeeded, state(made)) == (1, 1, RecordState.COMPLETED)


# --- Readiness --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_readiness_check_gives_503_without_retry_if_store_fails(kind: str, time: FakeTime) -> None:
    made, outage = faulty(), Outage(time, lambda: StoreUnavailableError("it is down"))
    made.before_load = lambda: outage.call(lambda: None)
    check = Asking(kind=kind, store=made)
    ready = Request("GET", READY_PATH)
    assert (check(ready).status, made.asked) == (503, {"load": 1})
    time.passed = DOWN_SECONDS
    assert (check(ready).status, made.asked) == (200, {"load": 2})
    assert (outage.failed, outage.succeeded, time.pauses) == (1, 1, [])
