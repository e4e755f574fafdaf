"""Tests of a hanging server: requests get an answer in time, and the next one finds it again."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import serve, serve_async
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from tests.support import patiently
from tests.support.patiently import PATIENCE, PATIENT
from tests.support.server import API_KEY, CALLER
from tests.support.server import request as api_request
from tests.support.sql.databases import with_driver
from tests.support.sql.works import minted

ONE = Statement("SELECT 1")
SHORT = 0.3
"""Seconds to wait for a hanging server."""

MANY = RetryPolicy(seconds=PATIENCE, attempts=1000)
"""A retry policy for requests that must succeed although single attempts are short."""


class Wire:
    """A proxy that passes data on until it hangs, and then only accepts it."""

    def __init__(self, door: Path, server: str) -> None:
        self._server = server
        self._passing = threading.Event()
        self._passing.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(door))
        self._listener.listen()
        self._ends: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def hang(self) -> None:
        self._passing.clear()

    def go_on(self) -> None:
        self._passing.set()

    def close(self) -> None:
        self._passing.set()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._ends += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._passing.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def behind_a_wire(url: str, member: str, door: Path, name: str = "") -> Iterator[tuple[str, Wire]]:
    """Yield the URL of a database behind a proxy, and the proxy."""
    parsed = sa.make_url(url)
    given = parsed.query.get(member)
    if not isinstance(given, str):
        pytest.skip("only a server behind a Unix socket is made to hang")
    door.mkdir()
    wire = Wire(door / (name or "socket"), str(Path(given) / name))
    through = str(door if name else door / "socket")
    yield parsed.update_query_dict({member: through}).render_as_string(hide_password=False), wire
    wire.close()


@pytest.fixture
def hanging_postgres(postgres_url: str, tmp_path: Path) -> Iterator[tuple[str, Wire]]:
    with behind_a_wire(
        postgres_url, member="host", door=tmp_path / "door", name=".s.PGSQL.5432"
    ) as found:
        yield found


@pytest.fixture
def hanging_mariadb(mariadb_url: str, tmp_path: Path) -> Iterator[tuple[str, Wire]]:
    with behind_a_wire(mariadb_url, "unix_socket", tmp_path / "door") as found:
        yield found


@pytest.fixture(params=["postgres", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def hanging(request: pytest.FixtureRequest) -> tuple[str, Wire]:
    found: tuple[str, Wire] = request.getfixturevalue(f"hanging_{request.param}")
    return found


@pytest.mark.slow
def test_statement_on_a_hanging_server_times_out(hanging: tuple[str, Wire]) -> None:
    url, wire = hanging
    engine = create_engine(url, timeout=SHORT)
    database = SqlDatabase(engine)
    assert patiently.run(lambda: database.rows(ONE), SHORT)
    wire.hang()
    with pytest.raises(StoreUnavailableError):
        database.rows(ONE)
    # No new connection can be made either, and the error says so.
    with pytest.raises(StoreUnavailableError, match="no connection"):
        database.run_transaction([ONE])
    wire.go_on()
    assert patiently.run(lambda: database.rows(ONE), SHORT)
    engine.dispose()


@pytest.mark.slow
def test_hanging_first_connect_raises_store_unchanged_error(
    hanging: tuple[str, Wire],
) -> None:
    url, wire = hanging
    engine = create_engine(url, timeout=SHORT)
    database = SqlDatabase(engine)
    # Hang before SQLAlchemy queries the server version.
    event.listen(engine, "connect", lambda *_: wire.hang(), insert=True)
    with pytest.raises(StoreUnchangedError, match="no connection"):
        database.rows(ONE)
    engine.dispose()


@pytest.mark.slow
def test_request_on_a_hanging_server_gets_retryable_500(hanging: tuple[str, Wire]) -> None:
    url, wire = hanging
    engine = create_engine(url, timeout=SHORT)
    store = SqlStore(SqlDatabase(engine))
    patiently.run(store.create_tables, SHORT)
    patiently.run(lambda: store.register(ApiKey(API_KEY), CALLER), SHORT)
    patience = RetryPolicy(seconds=0.5)
    wire.hang()
    answer = serve(store, api_request("create"), lambda now: minted(1, now), retry_policy=patience)
    assert (answer.response.status, dict(answer.response.headers)["retry-after"]) == (500, "1")
    wire.go_on()
    answer = serve(store, api_request("create"), lambda now: minted(1, now), retry_policy=MANY)
    assert answer.response.status == 201
    engine.dispose()


# --- Async ------------------------------------------------------------------------------------


ASYNC_DRIVERS = pytest.mark.parametrize(
    ("driver", "server"),
    [
        ("psycopg", "hanging_postgres"),
        ("asyncpg", "hanging_postgres"),
        pytest.param("asyncmy", "hanging_mariadb", marks=pytest.mark.mariadb),
    ],
)


@pytest.mark.slow
@ASYNC_DRIVERS
def test_async_statement_on_a_hanging_server_times_out(
    request: pytest.FixtureRequest, driver: str, server: str
) -> None:
    url, wire = request.getfixturevalue(server)

    async def ask() -> None:
        engine = create_engine_async(with_driver(url, driver), timeout=SHORT)
        database = AsyncSqlDatabase(engine)
        assert await patiently.run_async(lambda: database.rows(ONE), SHORT)
        wire.hang()
        with pytest.raises(StoreUnavailableError):
            await database.rows(ONE)
        with pytest.raises(StoreUnavailableError, match="no connection"):
            await database.run_transaction([ONE])
        wire.go_on()
        assert await patiently.run_async(lambda: database.rows(ONE), SHORT)
        await engine.dispose()

    asyncio.run(ask())


@pytest.mark.slow
@ASYNC_DRIVERS
def test_cancelled_request_does_not_wait_for_a_hung_server(
    request: pytest.FixtureRequest, driver: str, server: str
) -> None:
    url, wire = request.getfixturevalue(server)

    async def ask() -> None:
        # A timeout longer than any test waits.
        engine = create_engine_async(with_driver(url, driver), timeout=600)
        store = AsyncSqlStore(AsyncSqlDatabase(engine))
        await store.create_tables()
        await store.register(ApiKey(API_KEY), CALLER)
        wire.hang()
        patience = RetryPolicy(attempt_seconds=0.2, attempts=1)
        asked = api_request("create")
        answer = await serve_async(store, asked, lambda now: minted(1, now), retry_policy=patience)
        assert answer.response.status == 500
        wire.go_on()
        # The abandoned connection is not used again.
        answer = await serve_async(store, asked, lambda now: minted(1, now), retry_policy=PATIENT)
        assert answer.response.status == 201
        await engine.dispose()

    asyncio.run(ask())
