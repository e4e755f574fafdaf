"""Tests of the time limit for connecting to PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import cast

import attrs
import psycopg
import pytest

from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.deadline import deadline_scope
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.postgresql import BoundedConnection
from curae_lifecycle.stores.sql.replication import Replication
from curae_lifecycle.stores.sql.statement import Statement

ONE = Statement("SELECT 1")


def test_connecting_to_a_silent_server_times_out_at_the_deadline(tmp_path: Path) -> None:
    door = str(tmp_path / ".s.PGSQL.5432")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(door)
        silent.listen()
        engine = create_engine(f"postgresql://curae@/curae?host={tmp_path}", timeout=60)
        with deadline_scope(0.05), pytest.raises(StoreUnchangedError) as raised:
            SqlDatabase(engine).rows(ONE)
        # This side gave up; psycopg would raise an error of another name.
        assert "no connection (OperationalError of postgresql)" in str(raised.value)
        engine.dispose()


def test_connecting_without_a_free_thread_raises_store_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = create_engine("postgresql://curae@127.0.0.1:1/curae")
    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", refuse)
        with pytest.raises(StoreUnchangedError, match="no connection"):
            SqlDatabase(engine).rows(ONE)
    engine.dispose()


@attrs.define
class Late:
    """A connection that is made after the timeout."""

    closed: Event = attrs.field(factory=Event)
    seconds: float = 0.0

    def close(self) -> None:
        self.closed.set()


def late(monkeypatch: pytest.MonkeyPatch, connect: Callable[[], object]) -> tuple[Event, Event]:
    """Delay connections until an event is set; return it, and one that says a connect has ended."""
    begins, ended = Event(), Event()

    def connected(*_: object, **__: object) -> BoundedConnection:
        begins.wait(60)
        try:
            return cast("BoundedConnection", connect())
        finally:
            ended.set()

    monkeypatch.setattr(BoundedConnection, "connect", connected)
    return begins, ended


def test_db_connection_opened_after_the_timeout_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Late()
    begins, _ = late(monkeypatch, lambda: made)
    with pytest.raises(psycopg.OperationalError, match="no connection in time"):
        BoundedConnection.connect_with_timeout(0.01, {}, Replication())
    begins.set()
    assert made.closed.wait(60)


def test_late_connect_error_is_replaced_by_the_timeout_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails() -> object:
        raise psycopg.OperationalError("a-secret")

    begins, ended = late(monkeypatch, fails)
    with pytest.raises(psycopg.OperationalError, match="no connection in time"):
        BoundedConnection.connect_with_timeout(0.01, {}, Replication())
    begins.set()
    assert ended.wait(60)
    # An error in time is raised.
    with pytest.raises(psycopg.OperationalError, match="a-secret"):
        BoundedConnection.connect_with_timeout(60, {}, Replication())


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
