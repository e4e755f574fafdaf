"""Fixtures of the tests of SQL stores: empty databases of each kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.schema import create_table_statements
from tests.support.databases.mariadb import mariadb, mariadb_database
from tests.support.databases.postgres import database as postgres_database
from tests.support.patiently import PATIENCE
from tests.support.wire.running import sqlite

DATABASES = ["sqlite", "postgres", pytest.param("mariadb", marks=pytest.mark.mariadb)]


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[sa.URL]:
    with mariadb() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb_server: sa.URL) -> Iterator[str]:
    with mariadb_database(mariadb_server) as url:
        yield url


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of each kind."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(scope="module", params=DATABASES)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SqlDatabase]:
    """A database of each kind with its tables, shared by the tests of a module."""
    kind: str = request.param
    with ExitStack() as stack:
        if kind == "sqlite":
            url = sqlite(tmp_path_factory.mktemp("shared"))
        else:
            server: sa.URL = request.getfixturevalue(f"{kind}_server")
            made = {"postgres": postgres_database, "mariadb": mariadb_database}[kind]
            url = stack.enter_context(made(server))
        made_on = stack.enter_context(opened(url))
        made_on.run_ddl(create_table_statements(made_on.dialect))
        yield made_on


@pytest.fixture
def database(url: str) -> Iterator[SqlDatabase]:
    """An empty database of each kind."""
    with opened(url) as found:
        yield found


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[SqlDatabase]:
    """An empty SQLite file."""
    with opened(sqlite_url) as found:
        yield found


@contextmanager
def opened(url: str) -> Iterator[SqlDatabase]:
    engine = create_engine(url, timeout=PATIENCE)
    if engine.dialect.name == "sqlite":
        # Skip what only a crash of the machine would need.
        event.listen(engine, "connect", _without_waiting_for_the_disk)
    yield SqlDatabase(engine)
    engine.dispose()


def _without_waiting_for_the_disk(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF").close()
