"""Tests of commits whose wait for a standby was cancelled: unconfirmed until durable."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager

import attrs
import psycopg
import pytest
import sqlalchemy as sa
from django.db import connections
from psycopg import waiting
from psycopg.abc import PQGen

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.django import database as django_database
from curae_lifecycle.stores.django.database import DjangoDatabase
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql import async_drivers, drivers, replication
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.replication import Replication
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import Database, SqlStore
from tests.stores.sql.fake_psycopg import FakeNotice
from tests.support.databases.postgres import cluster, database
from tests.support.django_project import database as django
from tests.support.patiently import PATIENCE, PATIENT
from tests.support.server import API_KEY, CALLER, request

DROP = Statement("DELETE FROM kept")
MAKE = (
    Statement("CREATE TABLE kept (id INTEGER PRIMARY KEY)"),
    Statement(
        "CREATE FUNCTION warned() RETURNS INTEGER LANGUAGE plpgsql AS "
        "'BEGIN RAISE WARNING ''beware''; RETURN 1; END'"
    ),
)
PUT = Statement("INSERT INTO kept (id) SELECT warned()", (), 1)
KEPT = Statement("SELECT id FROM kept")
WARNS = "exec_stmt_raise"
"""The PostgreSQL routine that raises the warnings of a user function."""

CLOSED = "a wait for a standby was cancelled"


@attrs.frozen
class Awaited:
    """A blocking adapter of an async database."""

    database: AsyncSqlDatabase
    run: Callable[[Coroutine[object, object, object]], object]

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    def rows(self, statement: Statement) -> Rows:
        found = self.run(self.database.rows(statement))
        assert isinstance(found, Sequence)
        return found

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.run(self.database.run_ddl(statements))

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return bool(self.run(self.database.run_transaction(statements)))


@contextmanager
def opened(kind: str, url: str, wait: float) -> Iterator[Database]:
    """Yield a PostgreSQL database through stores of this kind."""
    if kind == "django":
        limits = f"-c statement_timeout={int(wait * 1000)} -c lock_timeout={int(wait * 1000)}"
        kept = {"CONN_MAX_AGE": 600}
        with django(url, migrated=False, options={"options": limits}, changed=kept) as alias:
            yield DjangoDatabase(alias)
    elif kind in {"awaited", "asyncpg"}:
        driver = "postgresql+psycopg" if kind == "awaited" else "postgresql+asyncpg"
        named = sa.make_url(url).set(drivername=driver).render_as_string(hide_password=False)
        engine = create_engine_async(named, timeout=wait)
        with asyncio.Runner() as runner:
            try:
                yield Awaited(AsyncSqlDatabase(engine), runner.run)
            finally:
                runner.run(engine.dispose())
    else:
        waiting = create_engine(url, timeout=wait)
        try:
            yield SqlDatabase(waiting)
        finally:
            waiting.dispose()


@contextmanager
def in_doubt(made: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cancel a commit's wait for a standby, and keep later commits from it within the block."""
    made.run_ddl(MAKE)
    with monkeypatch.context() as cancelled:
        cancelled.setattr(replication, "SYNC_WAIT_FUNCTION", WARNS)
        with pytest.raises(StoreUnavailableError, match=CLOSED) as raised:
            made.run_transaction([PUT])
        assert not isinstance(raised.value, StoreUnchangedError)
        for module in (drivers, async_drivers, django_database):
            cancelled.setattr(module, "CONFIRM", "SELECT warned()")
        yield


KINDS = pytest.mark.parametrize("kind", ["waits", "awaited", "asyncpg", "django"])


@KINDS
def test_postgresql_store_raises_while_a_commit_is_unreplicated(
    kind: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(kind, postgres_url, PATIENCE) as made:
        with in_doubt(made, monkeypatch):
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match=CLOSED):
                    made.rows(KEPT)
                with pytest.raises(StoreUnavailableError, match=CLOSED):
                    made.run_transaction([DROP])
        assert list(map(tuple, made.rows(KEPT))) == [(1,)]
        assert made.run_transaction([Statement("DELETE FROM kept", (), 1)])


def drop_connections(made: Database) -> None:
    """Close every connection of a database, so that the next statement opens another."""
    if isinstance(made, SqlDatabase):
        made._engine.dispose()
    elif isinstance(made, Awaited):
        made.run(made.database._pool.dispose())
    else:
        connections.close_all()


@KINDS
def test_new_db_connection_raises_while_commit_is_unreplicated(
    kind: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(kind, postgres_url, PATIENCE) as made:
        with in_doubt(made, monkeypatch):
            drop_connections(made)
            with pytest.raises(StoreUnavailableError, match=CLOSED):
                made.rows(KEPT)
        assert list(map(tuple, made.rows(KEPT))) == [(1,)]


@KINDS
def test_server_warnings_unrelated_to_replication_are_ignored(kind: str, postgres_url: str) -> None:
    with opened(kind, postgres_url, PATIENCE) as made:
        made.run_ddl(MAKE)
        assert made.run_transaction([PUT])
        assert list(map(tuple, made.rows(KEPT))) == [(1,)]


def test_commit_is_atomic_despite_a_server_replication_warning(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More statements than PostgreSQL gets as one.
    puts = [Statement("INSERT INTO kept (id) VALUES (?)", (each,), 1) for each in range(60)]
    monkeypatch.setattr(replication, "SYNC_WAIT_FUNCTION", WARNS)
    for kind in ("waits", "awaited", "asyncpg", "django"):
        with opened(kind, postgres_url, PATIENCE) as made:
            made.run_ddl([Statement("DROP TABLE IF EXISTS kept"), MAKE[0]])
            if kind == "waits":
                made.run_ddl(MAKE[1:])
            first = Statement("INSERT INTO kept (id) SELECT 1000 + warned()", (), 1)
            with pytest.raises(StoreUnavailableError, match=CLOSED):
                made.run_transaction([first, *puts])
            # The transaction is undone or whole, and no longer in doubt.
            assert len(made.rows(KEPT)) in {0, 61}


@KINDS
def test_connections_to_a_read_only_server_are_replaced(kind: str, postgres_url: str) -> None:
    # As if the host name had led to a standby when these connections were opened.
    read_only = "default_transaction_read_only"
    with opened(kind, postgres_url, PATIENCE) as made:
        made.run_ddl(MAKE[:1])
        database = Statement("SELECT quote_ident(current_database())")
        ((name,),) = made.rows(database)
        made.run_ddl([Statement(f"ALTER DATABASE {name} SET {read_only} TO on")])
        drop_connections(made)
        assert not made.rows(KEPT)
        plain = postgres_url.replace("+psycopg", "")
        with psycopg.connect(plain, autocommit=True) as other:
            other.execute("SET default_transaction_read_only TO off")
            other.execute(f"ALTER DATABASE {name} RESET {read_only}".encode())
        put = Statement("INSERT INTO kept (id) VALUES (1)", (), 1)
        with pytest.raises(StoreUnavailableError, match="25006"):
            made.run_transaction([put])
        assert made.run_transaction([put])


# --- Statements that are not cancelled ------------------------------------------------------
#
# If the server is asked to cancel a commit that waits for a standby, it commits without one.

SLOW = Statement("INSERT INTO kept (id) SELECT 1 FROM pg_sleep(1)", (), 1)


def wait_until_kept(url: str) -> None:
    """Wait until the server has run the slow statement to its end."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        until = time.monotonic() + PATIENCE
        while connection.execute("SELECT id FROM kept").fetchone() != (1,):
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["waits", "django"])
def test_interrupted_statement_goes_on_at_the_server(
    kind: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(waits: PQGen[object], *_: object, **__: object) -> None:
        next(waits)
        raise KeyboardInterrupt

    with opened(kind, postgres_url, PATIENCE) as made:
        made.run_ddl(MAKE[:1])
        with monkeypatch.context() as patched:
            patched.setattr(waiting, "wait", interrupt)
            with pytest.raises(KeyboardInterrupt):
                made.run_transaction([SLOW])
        wait_until_kept(postgres_url)


def wait_until_running(url: str) -> None:
    """Wait until the server runs the slow statement."""
    runs = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        until = time.monotonic() + PATIENCE
        while connection.execute(runs).fetchone() == (0,):
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["awaited", "asyncpg"])
def test_statement_of_cancelled_request_goes_on_at_the_server(kind: str, postgres_url: str) -> None:
    async def cancel(database: AsyncSqlDatabase) -> None:
        await database.run_ddl(MAKE[:1])
        running = asyncio.create_task(database.run_transaction([SLOW]))
        await asyncio.to_thread(wait_until_running, postgres_url)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.to_thread(wait_until_kept, postgres_url)

    with opened(kind, postgres_url, PATIENCE) as made:
        assert isinstance(made, Awaited)
        made.run(cancel(made.database))


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["0.5", "60"])
def test_asyncpg_asks_for_no_cancel_before_it_is_closed(limit: str, postgres_url: str) -> None:
    # With the first limit, one of asyncpg's own, the call ends by itself.
    limited = sa.make_url(postgres_url).update_query_dict({"command_timeout": limit})

    async def abandon(database: AsyncSqlDatabase) -> None:
        await database.run_ddl(MAKE[:1])
        connection = await database._pool.acquire()
        running = asyncio.create_task(connection.rows(SLOW))
        await asyncio.to_thread(wait_until_running, postgres_url)
        if limit == "60":
            running.cancel()
        with pytest.raises((asyncio.CancelledError, TimeoutError)):
            await running
        await asyncio.to_thread(wait_until_kept, postgres_url)
        database._pool.discard(connection)

    with opened("asyncpg", limited.render_as_string(hide_password=False), PATIENCE) as made:
        assert isinstance(made, Awaited)
        made.run(abandon(made.database))


# --- Counts ---------------------------------------------------------------------------------


def in_doubts(number: int) -> Replication:
    """Return the record of a process in which a number of waits was cancelled."""
    made = Replication()
    for _ in range(number):
        made.handle_notice(FakeNotice())
    return made


def test_notice_unrelated_to_replication_puts_no_commit_in_doubt() -> None:
    made = Replication()
    for function in (None, WARNS):
        made.handle_notice(FakeNotice(function))
    made.check()
    assert not made.is_in_doubt


def test_replication_check_raises_after_a_cancelled_standby_wait() -> None:
    made = in_doubts(1)
    assert made.is_in_doubt
    with pytest.raises(StoreUnavailableError, match=CLOSED):
        made.check()


def test_replicated_commit_confirms_only_commits_before_it() -> None:
    made = in_doubts(2)
    with pytest.raises(StoreUnavailableError, match=CLOSED), made.confirm_earlier_commits():
        made.handle_notice(FakeNotice())
    doubtful = [made.is_in_doubt]
    # An older commit that is confirmed later makes none doubtful again.
    with made.confirm_earlier_commits():
        made.handle_notice(FakeNotice())
        with made.confirm_earlier_commits():
            pass
        doubtful.append(made.is_in_doubt)
    doubtful.append(made.is_in_doubt)
    assert doubtful == [True, False, False]


def test_error_in_confirm_query_leaves_earlier_commits_in_doubt() -> None:
    made = in_doubts(1)
    with pytest.raises(ConnectionError), made.confirm_earlier_commits():
        raise ConnectionError
    assert made.is_in_doubt


# --- A server that waits for a standby which does not exist --------------------------------


@contextmanager
def cancelled(server: sa.URL) -> Iterator[None]:
    """Make commits wait for a missing standby, and cancel each wait."""
    url = server.set(drivername="postgresql").render_as_string(hide_password=False)
    ended = threading.Event()
    waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    def cancel() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not ended.wait(0.02):
                connection.execute(waiting)

    thread = threading.Thread(target=cancel)
    _set(url, "missing")
    thread.start()
    try:
        _write_until_told(url)
        yield
    finally:
        ended.set()
        thread.join()
        _set(url, "")


def _set(url: str, standbys: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standbys}'".encode())
        connection.execute("SELECT pg_reload_conf()")
        # Other processes reload the setting a moment later.
        until = time.monotonic() + 60
        while connection.execute("SHOW synchronous_standby_names").fetchone() != (standbys,):
            assert time.monotonic() < until
            time.sleep(0.01)


def _write_until_told(url: str) -> None:
    # A commit waits only once another process has reloaded the setting.
    told = threading.Event()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.add_notice_handler(lambda _: told.set())
        until = time.monotonic() + 60
        while not told.is_set():
            assert time.monotonic() < until
            connection.execute("SELECT pg_logical_emit_message(true, 'written', '')")


@pytest.mark.heavy
def test_retry_after_a_cancelled_standby_wait_creates_only_once() -> None:
    with cluster() as server:
        for kind in ("waits", "awaited", "asyncpg", "django"):
            with database(server.url) as url, opened(kind, url, PATIENCE) as made:
                _cancelled_and_replayed(made, server.url, url)


def _cancelled_and_replayed(made: Database, server: sa.URL, url: str) -> None:
    mint, created = RandomIds("https://connect.example/"), request("create")
    store = SqlStore(made)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    with cancelled(server):
        thrice = RetryPolicy(attempts=3, seconds=PATIENCE)
        lost = serve(store, created, mint, retry_policy=thrice).response
    assert lost.status == 500, lost.body
    # Other processes can read it, and a retry there would have found it.
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        count = "SELECT count(*) FROM curae_connection"
        assert connection.execute(count).fetchone() == (1,)
        assert serve(store, created, mint, retry_policy=PATIENT).response.status == 201
        assert connection.execute(count).fetchone() == (1,)


@contextmanager
def missing_standby(server: sa.URL) -> Iterator[None]:
    """Make commits wait for a missing standby; afterwards, wait until they have ended."""
    url = server.set(drivername="postgresql").render_as_string(hide_password=False)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    def write_until_ended() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not ended.is_set():
                connection.execute("SELECT pg_logical_emit_message(true, 'written', '')")

    def wait_until(*, has_waits: bool) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            until = time.monotonic() + PATIENCE
            while (connection.execute(waits).fetchone() != (0,)) is not has_waits:
                assert time.monotonic() < until
                time.sleep(0.01)

    ended = threading.Event()
    _set(url, "missing")
    thread = threading.Thread(target=write_until_ended)
    thread.start()
    try:
        wait_until(has_waits=True)
        ended.set()
        yield
    finally:
        ended.set()
        _set(url, "")
        thread.join()
        wait_until(has_waits=False)


@pytest.mark.heavy
@KINDS
def test_commit_without_its_standby_is_neither_read_nor_replayed(kind: str) -> None:
    with cluster() as server, database(server.url) as url, opened(kind, url, 0.5) as made:
        mint, created = RandomIds("https://connect.example/"), request("create")
        store = SqlStore(made)
        store.create_tables()
        store.register(ApiKey(API_KEY), CALLER)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            count = "SELECT count(*) FROM curae_connection"
            with missing_standby(server.url):
                twice = RetryPolicy(attempts=2, seconds=PATIENCE)
                lost = serve(store, created, mint, retry_policy=twice).response
                assert lost.status == 500, lost.body
                assert connection.execute(count).fetchone() == (0,)
            assert connection.execute(count).fetchone() == (1,)
            assert serve(store, created, mint, retry_policy=PATIENT).response.status == 201
            assert connection.execute(count).fetchone() == (1,)


@pytest.mark.heavy
@KINDS
def test_store_raises_unavailable_once_its_server_is_a_standby(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster() as server:
        url = server.url.render_as_string(hide_password=False)
        with opened(kind, url, PATIENCE) as made:
            made.run_ddl(MAKE)
            with monkeypatch.context() as cancelled:
                cancelled.setattr(replication, "SYNC_WAIT_FUNCTION", WARNS)
                with pytest.raises(StoreUnavailableError, match=CLOSED):
                    made.run_transaction([PUT])
            server.stop("fast")
            server.become_standby()
            server.start()
            # The first requests may still find the connections that were lost.
            for _ in range(2):
                with pytest.raises(StoreUnavailableError):
                    made.rows(KEPT)
            with pytest.raises(StoreUnavailableError, match="25006"):
                made.rows(KEPT)
