"""Errors of commands on a database without its file or its tables."""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from curae_lifecycle.cli.database import open_database
from curae_lifecycle.cli.main import main
from curae_lifecycle.stores.sql.failures import is_missing_table
from curae_lifecycle.stores.sql.statement import Dialect

ADVICE = "create its tables with: python -m curae_lifecycle database create --database URL\n"
OWNER = ("--app-id", "a", "--account", "d8c60791-7301-441c-98e8-5bea9a162d9b")


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert ended.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "list"),
        ("keys", "register", *OWNER, "--environment", "live"),
        ("keys", "narrow", "--api-key-id", "1"),
        ("keys", "withdraw", "--api-key-id", "1"),
        ("outbox", "--once"),
        ("outbox", "--dead"),
        ("database", "purge"),
    ],
)
def test_only_database_create_creates_a_missing_sqlite_file(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    error = error_of(capsys, *arguments, "--database", url)
    assert "error: the SQLite file does not exist; " in error
    assert error.endswith(ADVICE)
    assert [*tmp_path.iterdir()] == []
    assert main(["database", "create", "--database", url]) == 0
    assert main(["keys", "list", "--database", url]) == 0


def test_error_says_that_the_sqlite_file_cannot_be_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/{'x' * 300}.db"
    assert "unable to open database file" in error_of(capsys, "keys", "list", "--database", url)


def test_error_on_missing_tables_advises_database_create(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.db").touch()
    error = error_of(capsys, "keys", "list", "--database", f"sqlite:///{tmp_path}/empty.db")
    assert "no such table" in error
    assert error.endswith(ADVICE)


def test_missing_tls_file_is_reported_as_no_database_connection(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "mariadb+pymysql://user:password@127.0.0.1:1/name?ssl_ca=/none"
    error = error_of(capsys, "keys", "list", "--database", url)
    assert "no connection (FileNotFoundError of mariadb" in error
    assert error.endswith(": [Errno 2] No such file or directory\n")
    assert "password" not in error


@pytest.mark.parametrize("driver", ["mariadb+pymysql", "postgresql+psycopg"])
def test_malformed_host_name_exits_2_and_is_not_shown(
    driver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["keys", "list", "--database", f"{driver}://user:password@db..example/name"])
    error = capsys.readouterr().err
    assert error.endswith("keys list: error: --database must be a URL with a valid host name\n")
    assert "password" not in error.partition("error: ")[2]


def test_unrelated_database_error_does_not_advise_create(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.db").write_text("this is no database " * 100)
    error = error_of(capsys, "keys", "list", "--database", f"sqlite:///{tmp_path}/text.db")
    assert "file is not a database" in error
    assert "database create" not in error


def test_database_error_shows_the_first_line_of_the_drivers_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(database=f"sqlite:///{tmp_path}/new.db")
    parser = argparse.ArgumentParser("purge")
    error = OperationalError("SELECT 1", None, sqlite3.OperationalError("disk full\nat page 1"))
    with pytest.raises(SystemExit) as ended, open_database(parser, options, create=True):
        raise error
    assert ended.value.code == 1
    assert capsys.readouterr().err == "purge: error: the database reported: disk full\n"


@pytest.mark.parametrize(
    ("dialect", "error", "missing"),
    [
        (Dialect.SQLITE, sqlite3.OperationalError("no such table: curae_caller"), True),
        (Dialect.SQLITE, sqlite3.OperationalError("no such column: x"), False),
        (Dialect.MARIADB, RuntimeError(1146, "Table 'x' doesn't exist"), True),
        (Dialect.MARIADB, RuntimeError(1045, "Access denied"), False),
    ],
)
def test_missing_table_is_detected_by_sqlite_or_mariadb_error(
    dialect: Dialect, error: Exception, *, missing: bool
) -> None:
    assert is_missing_table(dialect, error) is missing


def test_missing_postgresql_table_is_detected_by_sqlstate() -> None:
    class Error(Exception):
        sqlstate = "42P01"

    assert is_missing_table(Dialect.POSTGRESQL, Error())
    assert not is_missing_table(Dialect.POSTGRESQL, Exception())
