"""The option `--database` and the command `database`: what they print, and when they fail."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle.cli import terminal
from curae_lifecycle.cli.database import _missing_package
from curae_lifecycle.cli.main import main
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql import engine
from curae_lifecycle.stores.sql.engine_factory import create_engine
from curae_lifecycle.stores.sql.erasing import Erasure
from curae_lifecycle.stores.sql.schema import TABLE_NAMES
from curae_lifecycle.stores.sql.session_settings import DEFAULT_TIMEOUT
from curae_lifecycle.stores.sql.store import SqlStore
from tests.cli.operating import NAMED, Platform
from tests.support.commands import Command

HINT = "create its tables with: python -m curae_lifecycle database create --database URL\n"
PURGE = "python -m curae_lifecycle database purge: error: "


@pytest.fixture(autouse=True)
def no_database_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


def purge_error(status: int, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what `database purge` says after its usage when it exits with the status."""
    with pytest.raises(SystemExit) as ended:
        main(["database", "purge", *arguments])
    assert ended.value.code == status
    _, _, said = capsys.readouterr().err.partition(PURGE)
    return said


# --- The option -------------------------------------------------------------------------------


def test_missing_database_url_exits_2_and_says_how_to_give_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = "a database is required: give --database URL or set DATABASE_URL\n"
    assert purge_error(2, capsys) == said
    assert purge_error(2, capsys, "--database", "") == said


def test_database_option_defaults_to_the_database_url_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
    assert main(["database", "create"]) == 0
    assert capsys.readouterr().out == f"the tables exist: {', '.join(TABLE_NAMES)}\n"
    assert [each.name for each in tmp_path.glob("*.db")] == ["new.db"]


@pytest.mark.parametrize("act", ["create", "erase"])
def test_database_subcommand_without_url_exits_2_with_its_usage(act: str, command: Command) -> None:
    named = NAMED if act == "erase" else ()
    status, _, error = attrs.evolve(command, more=())("database", act, *named, given="mary")
    assert status == 2
    assert error.startswith(f"usage: python -m curae_lifecycle database {act} ")
    assert "a database is required" in error


@pytest.mark.parametrize("url", ["oracle://user:a-secret@host/name", "user:a-secret@host"])
def test_unknown_database_url_exits_2_and_hides_its_password(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = purge_error(2, capsys, "--database", url)
    assert said.startswith("--database must be ")
    assert "None" not in said
    assert "a-secret" not in said


def test_database_url_with_a_malformed_port_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    said = "--database must be the URL of a SQLite, PostgreSQL or MariaDB database\n"
    assert purge_error(2, capsys, "--database", "postgresql://user@host:port/name") == said


@pytest.mark.parametrize(
    ("url", "missing", "package", "extra"),
    [
        ("sqlite:///x.db", "sqlalchemy.exc", "sqlalchemy", "sql"),
        ("postgresql+psycopg://host/name", "psycopg", "psycopg", "postgresql"),
        ("mariadb+pymysql://host/name", "pymysql", "pymysql", "mariadb"),
    ],
)
def test_missing_package_exits_2_and_names_the_extra_to_install(
    url: str,
    missing: str,
    package: str,
    extra: str,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    said = f"this needs {package}: python -m pip install 'curae-lifecycle[{extra}]'\n"
    assert purge_error(2, capsys, "--database", url) == said


def test_error_names_only_the_package_if_no_extra_installs_it() -> None:
    assert _missing_package(ModuleNotFoundError(name="greenlet.core")) == "this needs greenlet"


@pytest.mark.parametrize("name", ["none.db", "none/none.db", "file:none.db?mode=ro&uri=true"])
def test_purge_of_missing_sqlite_file_exits_1_and_creates_none(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    said = purge_error(1, capsys, "--database", f"sqlite:///{name}")
    missing = f"the SQLite file does not exist; {HINT}"
    # For the others SQLite itself says what it could not open.
    reported = "the database reported: unable to open database file\n"
    assert said == (missing if name == "none.db" else reported)
    assert [*tmp_path.iterdir()] == []


# --- Failures ---------------------------------------------------------------------------------


def test_missing_tables_exit_1_with_reason_and_advice_to_create(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.db").touch()
    said = purge_error(1, capsys, "--database", f"sqlite:///{tmp_path}/empty.db")
    reason, _, rest = said.partition("\n")
    assert reason.startswith("the database reported: no such table: curae_")
    assert rest == HINT


def test_unavailable_store_exits_1_and_says_why(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: SqlStore) -> None:
        raise StoreUnavailableError("the pool is empty")

    monkeypatch.setattr(SqlStore, "purge", fail)
    status, printed, error = command("database", "purge")
    assert (status, printed) == (1, [])
    assert error == f"{PURGE}{StoreUnavailableError('the pool is empty')}\n"


def test_refused_database_connection_exits_1_with_drivers_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = purge_error(1, capsys, "--database", "postgresql://ada:hunter2@127.0.0.1:1/curae")
    assert "no connection (OperationalError of postgresql): " in said
    assert "Connection refused" in said
    assert "hunter2" not in said
    assert said.count("\n") == 1


# --- The command ------------------------------------------------------------------------------


def test_purge_prints_that_it_deleted_expired_and_erased_values(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["database", "purge", "--database", platform.url]) == 0
    assert capsys.readouterr().out == (
        "deleted what expired or was erased more than five minutes ago\n"
    )


def test_database_erase_prints_the_counts_as_json(platform: Platform, command: Command) -> None:
    platform.sign_up()
    platform.connect()
    platform.ship()
    status, printed, error = command("database", "erase", *NAMED, given="mary\r\n")
    assert (status, error) == (0, "")
    assert printed == [{"connections": 1, "sessions": 1, "waiting": 3}]


@pytest.mark.parametrize(("given", "seconds"), [((), 2.0), (("--timeout", "600"), 600.0)])
def test_database_create_passes_its_timeout_to_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], seconds: float
) -> None:
    waits: list[float] = []

    def note_wait(url: str, *, timeout: float = DEFAULT_TIMEOUT) -> sa.Engine:
        waits.append(timeout)
        return create_engine(url, timeout=timeout)

    monkeypatch.setattr(engine, "create_engine", note_wait)
    assert main(["database", "create", "--database", f"sqlite:///{tmp_path}/new.db", *given]) == 0
    assert waits == [seconds]


@pytest.mark.parametrize("given", ["0", "86401", "soon"])
def test_database_create_refuses_a_timeout_out_of_range(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["database", "create", "--database", "sqlite:///new.db", "--timeout", given])
    assert ended.value.code == 2
    assert "argument --timeout: " in capsys.readouterr().err


@pytest.mark.parametrize("act", ["create", "purge", "erase"])
def test_long_database_subcommand_shows_seconds_on_a_terminal(
    act: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(terminal, "SHOW_AFTER_SECONDS", 0)

    def wait_for_progress(*_: object) -> Erasure:
        limit = time.monotonic() + 5
        while "0 s" not in shown.getvalue() and time.monotonic() < limit:
            time.sleep(0.001)
        return Erasure(connections=0, sessions=0, waiting=0)

    monkeypatch.setattr(SqlStore, "create_tables", wait_for_progress)
    monkeypatch.setattr(SqlStore, "purge", wait_for_progress)
    monkeypatch.setattr("curae_lifecycle.cli.database.erase", wait_for_progress)
    named = NAMED if act == "erase" else ()
    assert command("database", act, *named, given="mary")[0] == 0
    assert shown.getvalue() == f"\r{act}: 0 s\n"
