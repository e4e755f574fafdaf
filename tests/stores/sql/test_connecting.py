"""Tests of the time limit for connecting to PostgreSQL and MariaDB."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.deadline import deadline_scope
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.postgresql import BoundedConnection
from curae_lifecycle.stores.sql.statement import Statement

ONE = Statement("SELECT 1")


SERVERS = pytest.mark.parametrize(
    "url", ["postgresql://curae@db.example:1/curae", "mariadb://curae@db.example:1/curae"]
)


def text_of(error: BaseException | None) -> object:
    """Return the text of a driver's error; PyMySQL puts a code in front of it."""
    assert error is not None
    return error.args[-1]


@pytest.mark.parametrize(
    ("url", "door", "reason"),
    [
        (
            "postgresql://curae@/curae?host={folder}",
            ".s.PGSQL.5432",
            "OperationalError of postgresql",
        ),
        (
            "mariadb://curae@/curae?unix_socket={folder}/door",
            "door",
            "OperationalError of mariadb, code 2003",
        ),
    ],
)
def test_connecting_to_a_silent_server_times_out_at_the_deadline(
    tmp_path: Path, url: str, door: str, reason: str
) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / door))
        silent.listen()
        silent.settimeout(60)
        engine = create_engine(url.format(folder=tmp_path), timeout=60)
        with deadline_scope(0.05), pytest.raises(StoreUnchangedError) as raised:
            SqlDatabase(engine).rows(ONE)
        # This side gave up; the drivers would raise errors of another name or code.
        assert f"no connection ({reason})" in str(raised.value)
        # PyMySQL leaves its socket open if the server is gone before it connects.
        silent.accept()[0].close()
        engine.dispose()


@SERVERS
def test_connecting_without_a_free_thread_raises_store_unchanged(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = create_engine(url)
    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", refuse)
        with pytest.raises(StoreUnchangedError, match="no connection") as raised:
            SqlDatabase(engine).rows(ONE)
    assert text_of(raised.value.__cause__) == "no thread could be started to connect"
    engine.dispose()


@attrs.define
class Late:
    """A connection that is made after the timeout."""

    closed: Event = attrs.field(factory=Event)

    def close(self) -> None:
        self.closed.set()


def delay(act: Callable[[], object]) -> tuple[object, Event, Event]:
    """Return a function that runs `act` late, the event that it waits for, and that of its end."""
    begins, ended = Event(), Event()

    def run(*_: object, **__: object) -> object:
        begins.wait(60)
        try:
            return act()
        finally:
            ended.set()

    return run, begins, ended


def set_connect(monkeypatch: pytest.MonkeyPatch, engine: sa.Engine, connect: object) -> None:
    """Replace the function of the engine's driver that opens a connection."""
    is_psycopg = engine.dialect.name == "postgresql"
    owner = BoundedConnection if is_psycopg else engine.dialect.loaded_dbapi
    monkeypatch.setattr(owner, "connect", connect)


@SERVERS
def test_hanging_dns_lookup_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    def fail() -> object:
        raise socket.gaierror("too late")

    lookup, begins, ended = delay(fail)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    engine = create_engine(url, timeout=60)
    with deadline_scope(0.01), pytest.raises(StoreUnchangedError) as raised:
        SqlDatabase(engine).rows(ONE)
    assert not ended.is_set()
    assert text_of(raised.value.__cause__) == "no connection in time"
    begins.set()
    assert ended.wait(60)


@SERVERS
def test_db_connection_opened_after_the_timeout_is_closed(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    made = Late()
    connect, begins, _ = delay(lambda: made)
    engine = create_engine(url, timeout=60)
    set_connect(monkeypatch, engine, connect)
    with deadline_scope(0.01), pytest.raises(StoreUnchangedError) as raised:
        SqlDatabase(engine).rows(ONE)
    assert text_of(raised.value.__cause__) == "no connection in time"
    begins.set()
    assert made.closed.wait(60)


@SERVERS
def test_late_connect_error_is_replaced_by_the_timeout_error(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    engine = create_engine(url, timeout=60)

    def fail() -> object:
        raise engine.dialect.loaded_dbapi.OperationalError(2003, "a-secret")

    connect, begins, ended = delay(fail)
    set_connect(monkeypatch, engine, connect)
    with deadline_scope(0.01), pytest.raises(StoreUnchangedError) as raised:
        SqlDatabase(engine).rows(ONE)
    assert text_of(raised.value.__cause__) == "no connection in time"
    begins.set()
    assert ended.wait(60)
    # An error in time is raised.
    with pytest.raises(StoreUnchangedError) as raised:
        SqlDatabase(engine).rows(ONE)
    assert "a-secret" in str(raised.value.__cause__)


def test_request_deadline_aborts_a_running_sql_statement(postgres_url: str) -> None:
    engine = create_engine(postgres_url, timeout=60)
    database = SqlDatabase(engine)
    assert database.rows(ONE)
    with deadline_scope(0.05), pytest.raises(StoreUnavailableError, match="OperationalError"):
        database.rows(Statement("SELECT pg_sleep(60)"))
    assert database.rows(ONE)
    engine.dispose()


def test_non_ascii_text_is_read_with_client_encoding_sql_ascii(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Also the default of a database that was made in the locale C.
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    text = Statement("SELECT ?::text", ("Zoë",))
    engine = create_engine(postgres_url)
    assert SqlDatabase(engine).rows(text) == [("Zoë",)]
    engine.dispose()

    async def read() -> object:
        opened = create_engine_async(postgres_url)
        try:
            return await AsyncSqlDatabase(opened).rows(text)
        finally:
            await opened.dispose()

    assert asyncio.run(read()) == [("Zoë",)]
