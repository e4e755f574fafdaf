"""Tests of the settings that an engine gives each session of PostgreSQL and MariaDB."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from curae_lifecycle.stores.django.settings import database_settings
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.session_settings import mariadb_limits, postgresql_options
from curae_lifecycle.stores.sql.statement import Statement
from tests.support.sql.databases import with_driver

Read = Callable[[str], list[object]]
"""Return settings of a session of an engine for this URL."""

NAMES = ("synchronous_commit", "statement_timeout", "lock_timeout")


def read_blocking(url: str) -> list[object]:
    engine = create_engine(url, timeout=60)
    try:
        database = SqlDatabase(engine)
        return [database.rows(Statement(f"SHOW {name}"))[0][0] for name in NAMES]
    finally:
        engine.dispose()


def read_async(driver: str) -> Read:
    async def read(url: str) -> list[object]:
        engine = create_engine_async(with_driver(url, driver), timeout=60)
        try:
            database = AsyncSqlDatabase(engine)
            return [(await database.rows(Statement(f"SHOW {name}")))[0][0] for name in NAMES]
        finally:
            await engine.dispose()

    return lambda url: asyncio.run(read(url))


READERS = {
    "psycopg": read_blocking,
    "psycopg, async": read_async("psycopg"),
    "asyncpg": read_async("asyncpg"),
}


@pytest.mark.parametrize("reader", READERS)
def test_postgresql_engine_turns_synchronous_commit_back_on(postgres_url: str, reader: str) -> None:
    engine = create_engine(postgres_url)
    database = SqlDatabase(engine)
    name = database.rows(Statement("SELECT current_database()"))[0][0]
    database.run_ddl([Statement(f"ALTER DATABASE {name} SET synchronous_commit = off")])
    engine.dispose()
    assert READERS[reader](postgres_url) == ["on", "1min", "59875ms"]


@pytest.mark.parametrize("reader", READERS)
def test_url_option_overrides_an_engines_synchronous_commit(postgres_url: str, reader: str) -> None:
    url = f"{postgres_url}&options=-c%20synchronous_commit%3Dremote_apply"
    assert READERS[reader](url) == ["remote_apply", "1min", "59875ms"]


@pytest.mark.parametrize("reader", READERS)
def test_engine_applies_pgoptions_unless_the_url_has_options(
    postgres_url: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = "-c synchronous_commit=remote_write -c statement_timeout=0"
    monkeypatch.setenv("PGOPTIONS", given)
    assert READERS[reader](postgres_url) == ["remote_write", "1min", "59875ms"]
    url = f"{postgres_url}&options=-c%20synchronous_commit%3Dremote_apply"
    assert READERS[reader](url) == ["remote_apply", "1min", "59875ms"]


def test_django_settings_turn_synchronous_commit_on() -> None:
    options = database_settings("postgresql://host/curae", timeout=60)["OPTIONS"]
    assert isinstance(options, dict)
    assert options["options"] == postgresql_options(60, ())
    assert postgresql_options(60, ()).startswith(
        "-c synchronous_commit=on -c statement_timeout=60000"
    )


@pytest.mark.parametrize(
    ("wait", "milliseconds", "lock"),
    [
        *[(0, 1, 1), (0.0004, 1, 1), (0.001, 1, 1), (0.016, 16, 15)],
        *[(1.5, 1500, 1407), (2.0, 2000, 1875), (60, 60_000, 59_875)],
    ],
)
def test_postgresql_lock_timeout_is_1_ms_up_to_statement_timeout(
    wait: float, milliseconds: int, lock: int
) -> None:
    # PostgreSQL reads a timeout of 0 as no limit.
    limits = f" -c statement_timeout={milliseconds} -c lock_timeout={lock}"
    assert postgresql_options(wait, ()).endswith(limits)


@pytest.mark.parametrize(("wait", "seconds"), [(0.2, 1), (1, 1), (1.4, 1), (2.6, 3), (60, 60)])
def test_mariadb_timeout_is_whole_seconds_and_at_least_one(wait: float, seconds: int) -> None:
    assert mariadb_limits(wait).seconds == seconds


def test_mariadb_lock_timeout_is_shorter_than_statement_timeout() -> None:
    command = mariadb_limits(3).init_command
    assert dict(re.findall(r"(\w+) = ('[^']*'|[\d.]+)", command)) == {
        "transaction_isolation": "'READ-COMMITTED'",
        "innodb_lock_wait_timeout": "3",
        "max_statement_time": "3.125",
        "wsrep_sync_wait": "1",
    }


def test_mariadb_init_command_tolerates_missing_galera_variable() -> None:
    command = mariadb_limits(3).init_command
    assert command.startswith(
        "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1193 BEGIN END; SET SESSION transaction"
    )
    assert command.endswith("; EXECUTE IMMEDIATE 'SET SESSION wsrep_sync_wait = 1'; END")
