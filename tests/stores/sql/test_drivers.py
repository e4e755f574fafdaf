"""Tests of the blocking drivers' connections, on SQLite and on fake connections."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing

import attrs
import psycopg
import pytest

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql.drivers import connection_of
from curae_lifecycle.stores.sql.replication import CONFIRM
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from tests.stores.sql.fake_psycopg import FakeCursor, FakeNotice, FakePgconn, FakePsycopg

ASK = Statement("SELECT ? + ?", (3, 4))
SENT = ("SELECT $1 + $2", (3, 4))
LOST = "a wait for a standby was cancelled"


@pytest.fixture(autouse=True)
def _fake_cursors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psycopg, "RawCursor", FakeCursor)


def test_sqlite_lock_timeout_is_set_in_milliseconds() -> None:
    with closing(sqlite3.connect(":memory:")) as driver:
        connection_of(Dialect.SQLITE, driver).set_lock_timeout(1.5)
        assert driver.execute("PRAGMA busy_timeout").fetchone() == (1500,)


def test_sqlite_connection_binds_values_and_has_no_socket() -> None:
    with closing(sqlite3.connect(":memory:")) as driver:
        connection = connection_of(Dialect.SQLITE, driver)
        assert connection.run(ASK).fetchall() == [(7,)]
        assert connection.duplicate_socket() is None


# --- PostgreSQL ---------------------------------------------------------------------------------


def test_postgresql_statement_is_sent_with_numbered_placeholders() -> None:
    driver = FakePsycopg()
    connection = connection_of(Dialect.POSTGRESQL, driver)
    cursor: object = connection.run(ASK)
    assert cursor == FakeCursor(driver)
    connection.rollback()
    assert driver.ran == [SENT, ("ROLLBACK", ())]


def test_statement_waits_until_last_commit_is_replicated() -> None:
    driver = FakePsycopg()
    for _ in range(2):
        driver.replication.handle_notice(FakeNotice())
    connection = connection_of(Dialect.POSTGRESQL, driver)
    connection.run(ASK)
    connection.run(ASK)
    assert driver.ran == [(CONFIRM, ()), SENT, SENT]


def test_unreplicated_commit_fails_next_statement_in_transaction() -> None:
    # A commit within the transaction would confirm nothing.
    driver = FakePsycopg(pgconn=FakePgconn(transaction_status=2))
    driver.replication.handle_notice(FakeNotice())
    with pytest.raises(StoreUnavailableError, match=LOST):
        connection_of(Dialect.POSTGRESQL, driver).run(ASK)
    assert driver.ran == [SENT]


def test_statement_is_not_run_if_replication_stays_unconfirmed() -> None:
    driver = FakePsycopg(warns=CONFIRM)
    driver.replication.handle_notice(FakeNotice())
    with pytest.raises(StoreUnavailableError, match=LOST):
        connection_of(Dialect.POSTGRESQL, driver).run(ASK)
    assert driver.ran == [(CONFIRM, ())]


def test_postgresql_statement_that_is_not_replicated_raises() -> None:
    driver = FakePsycopg(warns="SELECT $1")
    with pytest.raises(StoreUnavailableError, match=LOST):
        connection_of(Dialect.POSTGRESQL, driver).run(ASK)


@pytest.mark.parametrize(
    ("status", "closed", "is_idle"),
    [(0, False, True), (1, False, False), (2, False, False), (0, True, False), (4, True, False)],
)
def test_closed_or_busy_postgresql_connection_is_not_idle(
    status: int, *, closed: bool, is_idle: bool
) -> None:
    driver = FakePsycopg(pgconn=FakePgconn(transaction_status=status), closed=closed)
    assert connection_of(Dialect.POSTGRESQL, driver).is_idle is is_idle


def test_duplicate_of_a_postgresql_socket_outlives_the_original() -> None:
    ours, theirs = socket.socketpair()
    driver = FakePsycopg(pgconn=FakePgconn(socket=ours.fileno()))
    handle = connection_of(Dialect.POSTGRESQL, driver).duplicate_socket()
    ours.close()
    assert handle is not None
    with handle, theirs:
        handle.sendall(b"still here")
        assert theirs.recv(10) == b"still here"


def test_closed_postgresql_connection_has_no_socket() -> None:
    # Another connection may have its number by now.
    ours, theirs = socket.socketpair()
    with ours, theirs:
        driver = FakePsycopg(pgconn=FakePgconn(socket=ours.fileno()), closed=True)
        assert connection_of(Dialect.POSTGRESQL, driver).duplicate_socket() is None


# --- MariaDB ------------------------------------------------------------------------------------


@attrs.define
class FakePymysql:
    """A connection of PyMySQL that is its own cursor."""

    open: bool = True
    server_status: int = 2
    ran: list[tuple[str, object]] = attrs.field(factory=list[tuple[str, object]])

    def cursor(self) -> FakePymysql:
        return self

    def execute(self, text: str, values: object, /) -> None:
        self.ran.append((text, values))


def test_mariadb_statement_is_sent_with_format_placeholders() -> None:
    driver = FakePymysql()
    connection = connection_of(Dialect.MARIADB, driver)
    cursor: object = connection.run(ASK)
    assert cursor is driver
    assert driver.ran == [("SELECT %s + %s", (3, 4))]
    assert connection.duplicate_socket() is None
