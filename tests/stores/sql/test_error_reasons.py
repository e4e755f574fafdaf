"""Tests of errors without a code, of missing tables, and of what a reason says of an error."""

from __future__ import annotations

import pytest

from curae_lifecycle.stores.sql.failures import (
    is_lost_connection,
    is_missing_table,
    is_read_only,
    is_transient,
    reason,
    to_store_error,
)
from curae_lifecycle.stores.sql.statement import Dialect


class InterfaceError(Exception):
    """An error of a driver whose connection failed."""


class OperationalError(Exception):
    """An error of a driver, with the code of PostgreSQL, if any."""

    sqlstate: str | None = None


class InternalClientError(Exception):
    """An error of asyncpg for a statement that the state of the connection does not allow."""


class WrongValueError(InterfaceError, ValueError):
    """An error of asyncpg about a value that does not fit its column."""


def with_state(state: str) -> OperationalError:
    error = OperationalError("Lisa, 1985-01-01")
    error.sqlstate = state
    return error


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), OSError(1045, "")])
def test_network_error_is_transient(dialect: Dialect, error: Exception) -> None:
    assert is_transient(dialect, error)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (OperationalError(), True),
        (InterfaceError(), True),
        (InternalClientError(), True),
        (WrongValueError(), False),
        (ValueError(), False),
    ],
)
def test_postgresql_connection_error_without_code_is_transient(
    error: Exception, *, transient: bool
) -> None:
    assert is_transient(Dialect.POSTGRESQL, error) is transient
    assert is_lost_connection(error) is transient


@pytest.mark.parametrize(
    ("dialect", "error", "expected"),
    [
        (Dialect.POSTGRESQL, with_state("25006"), True),
        (Dialect.POSTGRESQL, with_state("25001"), False),
        (Dialect.POSTGRESQL, OperationalError(), False),
        (Dialect.MARIADB, OperationalError(1290, "--read-only"), True),
        (Dialect.MARIADB, OperationalError(1213, "deadlock"), False),
        (Dialect.SQLITE, OperationalError("attempt to write a readonly database"), False),
    ],
)
def test_is_read_only_is_true_only_for_read_only_server_errors(
    dialect: Dialect, error: Exception, *, expected: bool
) -> None:
    assert is_read_only(dialect, error) is expected


def test_error_with_a_code_of_the_server_is_no_lost_connection() -> None:
    assert not is_lost_connection(with_state("57014"))


@pytest.mark.parametrize(
    ("dialect", "missing", "other"),
    [
        (
            Dialect.SQLITE,
            OperationalError("no such table: curae_log"),
            OperationalError("no such column: id"),
        ),
        (Dialect.POSTGRESQL, with_state("42P01"), with_state("42703")),
        (Dialect.MARIADB, OperationalError(1146, "no table"), OperationalError(1054, "no column")),
    ],
)
def test_is_missing_table_is_true_only_for_missing_table_errors(
    dialect: Dialect, missing: Exception, other: Exception
) -> None:
    assert [is_missing_table(dialect, each) for each in (missing, other)] == [True, False]


@pytest.mark.parametrize(
    ("dialect", "error", "told"),
    [
        (Dialect.POSTGRESQL, with_state("40001"), "OperationalError of postgresql, code 40001"),
        (Dialect.MARIADB, OperationalError(1213, "Lisa"), "OperationalError of mariadb, code 1213"),
        (Dialect.MARIADB, OperationalError(["Lisa"]), "OperationalError of mariadb"),
        (Dialect.SQLITE, OperationalError("Lisa"), "OperationalError of sqlite"),
    ],
)
def test_store_error_shows_class_dialect_and_code_but_no_text(
    dialect: Dialect, error: Exception, told: str
) -> None:
    assert reason(dialect, error) == told
    assert str(to_store_error(dialect, error)).endswith(f": {told}")
