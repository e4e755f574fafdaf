"""Tests of stores that charge buckets in a transaction ahead of the commit, in memory and in SQL."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.idempotency import IdempotencyKey, RecordKey
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Bucket
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.retry import RetryStats
from curae_lifecycle.stores.serve import serve, serve_async
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.replication import CONFIRM
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from curae_lifecycle.testing.conformance.store_kit import check_store
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.stores.sql.conftest import DATABASES, opened
from tests.support.charging import Meddled, MemoryChargingStore
from tests.support.databases.postgres import Cluster, cluster, database
from tests.support.patiently import PATIENCE, PATIENT
from tests.support.server import API_KEY, CALLER, code, request
from tests.support.serving import AFTER, BEFORE, LOST, Numbered, then
from tests.support.strategies import START

WIDE = Bucket(name="wide", capacity=100, refill=1, seconds=10**6)
NARROW = Bucket(name="narrow", capacity=1, refill=1, seconds=10**6)
TWO = Bucket(name="two", capacity=2, refill=1, seconds=10**6)
MINT = Numbered()
WAIT = PATIENCE / 3
"""Seconds after which a charge counts as stuck, long before its statement is cancelled."""


@pytest.fixture(params=["memory", *DATABASES])
def made(request: pytest.FixtureRequest) -> Iterator[Meddled]:
    """A store of each kind that charges buckets apart."""
    if request.param == "memory":
        memory = MemoryChargingStore()
        memory.register(ApiKey(API_KEY), CALLER)
        yield Meddled(memory)
        return
    url: str = request.getfixturevalue(f"{request.param}_url")
    with opened(url) as found:
        yield Meddled(new_store(found))


def new_store(database: SqlDatabase) -> SqlStore:
    store = SqlStore(database, charge_apart=True)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    return store


def ask(made: Meddled, asked: Request, *buckets: Bucket, stats: RetryStats | None = None) -> Answer:
    return serve(
        made,
        request=asked,
        id_factory=MINT,
        settings=Settings(buckets=buckets),
        retry_policy=PATIENT,
        stats=stats,
    )


def rival(made: Meddled, asked: Request, *buckets: Bucket) -> Callable[[], object]:
    """Return a function that serves a request once, without hooks and faults."""
    return then(lambda: ask(Meddled(made.store), asked, *buckets))


# --- Once for each request ------------------------------------------------------------------


@pytest.mark.parametrize("times", [0, 1, 3])
def test_request_is_charged_once_although_its_commits_conflict(made: Meddled, times: int) -> None:
    made.commits = [LOST] * times
    assert ask(made, request("create"), WIDE, TWO).response.status == 201
    assert (made.charged(WIDE), made.charged(TWO)) == (1, 1)
    assert (made.asked["charge"], made.asked["commit"]) == (1, times + 1)


def test_request_is_charged_once_although_its_commits_fail(made: Meddled) -> None:
    made.commits = [BEFORE, AFTER, BEFORE]
    answer = ask(made, request("create"), WIDE)
    assert (answer.response.status, made.charged(WIDE)) == (201, 1)


def test_retried_request_is_not_refused_for_its_own_charge(made: Meddled) -> None:
    made.commits = [LOST]
    assert ask(made, request("create"), NARROW).response.status == 201
    assert code(ask(made, request("create", key="k-2"), NARROW)) == "RATE_LIMITED"
    assert made.charged(NARROW) == 1


def test_retried_request_reports_the_tokens_left_by_its_charge(made: Meddled) -> None:
    made.commits = [LOST]
    answer = ask(made, request("initiate"), TWO)
    assert [(each.policy.name, each.remaining) for each in answer.limits_left] == [
        ("two", 1),
        ("initiate", 9),
    ]


# --- Never fewer charges than admissions ----------------------------------------------------


def test_request_is_refused_if_a_rival_takes_the_last_token(made: Meddled) -> None:
    made.before_charge = rival(made, request("create", key="k-2"), NARROW)
    stats = RetryStats()
    answer = ask(made, request("create"), NARROW, stats=stats)
    assert (code(answer), stats.attempts, made.asked["commit"]) == ("RATE_LIMITED", 2, 0)
    assert made.charged(NARROW) == 1


def test_no_bucket_is_charged_if_one_of_two_refuses(made: Meddled) -> None:
    made.before_charge = rival(made, request("create", key="k-2"), NARROW, WIDE)
    assert code(ask(made, request("create"), NARROW, WIDE)) == "RATE_LIMITED"
    assert (made.charged(NARROW), made.charged(WIDE)) == (1, 1)


def test_charged_request_succeeds_though_rival_takes_last_token(made: Meddled) -> None:
    made.before_commit = rival(made, request("create", key="k-2"), TWO)
    made.commits = [LOST]
    assert ask(made, request("create"), TWO).response.status == 201
    assert made.charged(TWO) == 2


def test_bucket_of_7_tokens_admits_7_of_24_concurrent_requests(made: Meddled) -> None:
    bucket = Bucket(name="b", capacity=7, refill=1, seconds=10**6)
    numbers = count(1)

    def one(_: int) -> int:
        number = next(numbers)
        asked = request("create", key=f"k-{number}", user=f"user-{number % 3}")
        return ask(Meddled(made.store), asked, bucket).response.status

    with ThreadPoolExecutor(4) as pool:
        seen = Counter(pool.map(one, range(24)))
    assert seen == {201: 7, 429: 17}
    assert made.charged(bucket) == 7


# --- The app user's limit -------------------------------------------------------------------


def fill_limit(made: Meddled, times: int, *buckets: Bucket) -> None:
    for number in range(times):
        answer = ask(made, request("initiate", key=f"full-{number}"), *buckets)
        assert answer.response.status == 201


def test_request_refused_by_app_user_limit_charges_no_bucket(made: Meddled) -> None:
    fill_limit(made, 10, WIDE)
    answer = ask(made, request("initiate"), WIDE)
    assert (code(answer), answer.limits_left) == ("RATE_LIMITED", ())
    assert made.charged(WIDE) == 10


def test_bucket_charge_stays_if_app_user_limit_refuses_the_retry(made: Meddled) -> None:
    fill_limit(made, 9, WIDE)
    made.before_commit = rival(made, request("initiate", key="k-2"), WIDE)
    answer = ask(made, request("initiate"), WIDE)
    assert code(answer) == "RATE_LIMITED"
    assert made.charged(WIDE) == 11
    writes = [each for each in answer.changes.writes if isinstance(each, RateWrite)]
    assert [each.policy for each in writes] == [WIDE]


# --- Failures -------------------------------------------------------------------------------


def test_bucket_charge_of_unknown_outcome_is_made_again(made: Meddled) -> None:
    made.charges = [AFTER]
    assert ask(made, request("create"), WIDE).response.status == 201
    assert made.charged(WIDE) == 2


def test_failed_bucket_charge_is_retried_and_charged_once(made: Meddled) -> None:
    made.charges = [BEFORE, BEFORE]
    assert ask(made, request("create"), WIDE).response.status == 201
    assert made.charged(WIDE) == 1


class Crash(BaseException):
    """The end of a worker."""


def crash() -> None:
    raise Crash


def test_crash_between_charge_and_commit_leaves_one_charge(made: Meddled) -> None:
    made.before_commit = crash
    with pytest.raises(Crash):
        ask(made, request("create"), WIDE)
    assert made.charged(WIDE) == 1
    again = Meddled(made.store)
    answer = ask(again, request("create"), WIDE)
    assert (answer.response.status, answer.replayed, again.charged(WIDE)) == (201, False, 2)


# --- Durable charges ------------------------------------------------------------------------


def test_bucket_charge_is_made_durable_only_if_no_commit_follows(made: Meddled) -> None:
    ask(made, request("create"), WIDE)
    ask(made, request("create"), WIDE)
    ask(made, request("account-state"), WIDE)
    assert (made.durable, made.asked["commit"], made.charged(WIDE)) == ([False, True, True], 1, 3)


def test_retry_that_only_replays_charges_its_bucket_durably(made: Meddled) -> None:
    made.before_commit = rival(made, request("create"), WIDE)
    answer = ask(made, request("create"), WIDE)
    assert (answer.response.status, answer.replayed) == (201, True)
    assert (made.durable, made.charged(WIDE)) == ([False, True], 2)


# --- Stores as they are used ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", pytest.param("sqlite", marks=pytest.mark.heavy)])
def test_store_charging_before_the_commit_passes_conformance(
    kind: str, sqlite_database: SqlDatabase
) -> None:
    if kind == "memory":
        report = check_store(MemoryChargingStore(), seed="1")
    else:
        store = SqlStore(sqlite_database, charge_apart=True)
        store.create_tables()
        report = check_store(store, seed="1")
    assert [str(each) for each in report.failed] == []
    assert {"bucket.charges", "bucket.all-or-nothing"} <= {*report.passed}


def test_sql_store_charges_buckets_in_its_commit_by_default(sqlite_database: SqlDatabase) -> None:
    assert not SqlStore(sqlite_database).charges_apart


ASYNC = ["sqlite+aiosqlite", "postgresql+psycopg", "postgresql+asyncpg"]


@pytest.mark.parametrize("driver", ASYNC)
def test_async_charge_before_commit_gives_429_on_empty_bucket(
    driver: str, request_url: Callable[[str], str]
) -> None:
    engine = create_engine_async(request_url(driver), timeout=PATIENCE)
    store = AsyncSqlStore(AsyncSqlDatabase(engine), charge_apart=True)
    settings = Settings(buckets=(TWO,))

    async def served(asked: Request) -> int:
        answer = await serve_async(store, asked, MINT, settings=settings, retry_policy=PATIENT)
        return answer.response.status

    async def all_served() -> list[int]:
        await store.create_tables()
        await store.register(ApiKey(API_KEY), CALLER)
        seen = [await served(request("account-state"))]
        seen += [await served(request("create", key=f"k-{number}")) for number in range(2)]
        await engine.dispose()
        return seen

    assert asyncio.run(all_served()) == [200, 201, 429]


@pytest.fixture
def request_url(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """The URL of an empty database for a driver."""

    def url(driver: str) -> str:
        kind = "sqlite" if driver.startswith("sqlite") else "postgres"
        found: str = request.getfixturevalue(f"{kind}_url")
        return sa.make_url(found).set(drivername=driver).render_as_string(hide_password=False)

    return url


# --- PostgreSQL -----------------------------------------------------------------------------


def test_request_is_charged_once_if_its_db_connection_is_cut(postgres_url: str) -> None:
    with opened(postgres_url) as found:
        made = Meddled(new_store(found))
        ask(made, request("account-state"), WIDE)
        with psycopg.connect(_plain(postgres_url)) as rival_session:
            rival_session.execute("SELECT * FROM curae_bucket FOR UPDATE")
            with ThreadPoolExecutor(1) as pool:
                answered = pool.submit(ask, made, request("create"), WIDE)
                cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                while not found.rows(Statement(cut)):
                    assert not answered.done()
                rival_session.rollback()
                assert answered.result(PATIENCE).response.status == 201
        assert made.charged(WIDE) == 2


@pytest.mark.heavy
def test_bucket_is_charged_while_commits_wait_for_the_disk() -> None:
    # No commit ends while the standby is missing, as on a disk that hangs.
    with cluster() as server, database(server.url) as url, opened(url) as found:
        made = Meddled(new_store(found))
        ask(made, request("account-state"), WIDE)
        committing = threading.Semaphore(0)
        made.before_commit = committing.release
        _set_standby(url, "missing")
        with ThreadPoolExecutor(3) as pool:
            answers = [
                pool.submit(
                    ask, made, request("create", key=f"k-{number}", user=f"u-{number}"), WIDE
                )
                for number in range(3)
            ]
            try:
                for _ in range(3):
                    assert committing.acquire(timeout=WAIT)
                assert made.charged(WIDE) == 4
                assert not any(each.done() for each in answers)
            finally:
                _set_standby(url, "")
            assert [each.result(PATIENCE).response.status for each in answers] == [201] * 3


class Recording:
    """A PostgreSQL database that stores nothing and records its statements."""

    dialect = Dialect.POSTGRESQL

    def __init__(self) -> None:
        self.ran: list[str] = []

    def rows(self, statement: Statement) -> Rows:
        self.ran.append(statement.text)
        return []

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.run_transaction(statements)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        self.ran += [each.text for each in statements]
        return True


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("charged", [False, True])
def test_rate_limit_charge_awaits_the_disk_only_if_durable(
    *, durable: bool, charged: bool, is_async: bool
) -> None:
    recording = Recording()
    key = BucketKey(CALLER.key_owner, WIDE)
    write = RateWrite(key=key, policy=WIDE, before=None, after=FULL_BUCKET)
    charges = (write,) if charged else ()
    loaded = Loaded(snapshot=Snapshot(), now=START)
    if is_async:
        waiting = AsyncSqlStore(ThreadedDatabase(recording), charge_apart=True)
        assert asyncio.run(waiting.charge(loaded, charges, durable=durable))
    else:
        blocking = SqlStore(recording, charge_apart=True)
        assert blocking.charge(loaded, charges, durable=durable)
    words = [text.split()[0] for text in recording.ran]
    assert words == ["INSERT"] * charged + ["SELECT"] * durable
    assert recording.ran.count(CONFIRM) == durable


@pytest.mark.heavy
@pytest.mark.parametrize("operation", ["account-state", "create"])
def test_charge_of_an_answered_request_outlives_a_database_crash(operation: str) -> None:
    with cluster() as server, database(server.url) as url:
        engine = create_engine(url, timeout=PATIENCE)
        made = Meddled(new_store(SqlDatabase(engine)))
        ask(made, request("account-state"), WIDE)
        _freeze_wal_writer(url)
        answer = ask(made, request(operation), WIDE)
        assert answer.response.status in {200, 201}
        _crash(server)
        engine.dispose()
        assert made.charged(WIDE) == 2
        assert (operation == "create") == (_stored(made) is not None)
        engine.dispose()


@pytest.mark.heavy
def test_database_crash_before_the_commit_loses_the_charge() -> None:
    # Without this loss, the test above would show nothing.
    with cluster() as server, database(server.url) as url:
        engine = create_engine(url, timeout=PATIENCE)
        made = Meddled(new_store(SqlDatabase(engine)))
        ask(made, request("account-state"), WIDE)
        _freeze_wal_writer(url)
        made.before_commit = crash
        with pytest.raises(Crash):
            ask(made, request("create"), WIDE)
        assert made.charged(WIDE) == 2
        _crash(server)
        engine.dispose()
        assert (made.charged(WIDE), _stored(made)) == (1, None)
        engine.dispose()


def _stored(made: Meddled) -> object:
    found = Needs(record=RecordKey(CALLER.key_owner, IdempotencyKey("k-1")))
    return made.store.load(found).snapshot.record


def _plain(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _set_standby(url: str, name: str) -> None:
    """Make commits wait for a standby of this name, or for none; return when they do."""
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'".encode())
        connection.execute("SELECT pg_reload_conf()")
        if name:
            _write_until_one_waits(url, connection)


def _write_until_one_waits(url: str, watching: psycopg.Connection) -> None:
    # A commit waits only once another process of the server has reloaded the setting.
    cancelled = threading.Event()

    def write() -> None:
        with psycopg.connect(_plain(url), autocommit=True) as connection:
            connection.add_notice_handler(lambda _: cancelled.set())
            while not cancelled.is_set():
                connection.execute("SELECT pg_logical_emit_message(true, 'written', '')")

    writer = threading.Thread(target=write)
    writer.start()
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    while not cancelled.is_set():
        watching.execute(cancel)
    writer.join(PATIENCE)


def _freeze_wal_writer(url: str) -> None:
    """Stop the process that writes the log of commits that do not wait for the disk."""
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        writer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
        row = connection.execute(writer).fetchone()
    assert row is not None
    os.kill(row[0], signal.SIGSTOP)


def _crash(server: Cluster) -> None:
    """Kill all processes of a server at once, and start it again."""
    killed = server.processes()
    for process in killed:
        os.kill(process, signal.SIGKILL)
    while any(Path(f"/proc/{process}").exists() for process in killed):
        os.sched_yield()
    server.start()
