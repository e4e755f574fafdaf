"""Tests of Django's connections to PostgreSQL that need no server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast

import attrs
import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.deadline import current_deadline, deadline_scope
from curae_lifecycle.stores.django import database as module
from curae_lifecycle.stores.django.database import DjangoDatabase, database_alias
from curae_lifecycle.stores.sql.replication import CONFIRM
from curae_lifecycle.stores.sql.session_settings import GRACE
from curae_lifecycle.stores.sql.statement import Statement, combine
from tests.stores.sql.fake_psycopg import FakeNotice
from tests.support.django_project import database

URL: Final = "postgresql://reader@127.0.0.1:9/none"
ONE: Final = Statement("SELECT 1")
NOW: Final = 1e9
"""A time of the monotonic clock, later than any that a machine shows."""


@attrs.define(slots=False)
class Driver:
    """An open connection of psycopg that notes its handlers of notices."""

    handlers: list[object] = attrs.field(factory=list)
    closed: bool = False

    def fileno(self) -> int:
        return 7

    def add_notice_handler(self, handler: object) -> None:
        self.handlers.append(handler)

    def remove_notice_handler(self, handler: object) -> None:
        self.handlers.remove(handler)


@attrs.define
class Cursor:
    """A cursor that notes what it runs; each statement changes one row."""

    ran: list[tuple[str, Sequence[object]]] = attrs.field(factory=list)
    rowcount: int = 1

    def execute(self, text: str, values: Sequence[object] = ()) -> None:
        self.ran.append((text, values))


@attrs.define
class Connection:
    """A connection of Django's to PostgreSQL, in autocommit mode."""

    connection: Driver = attrs.field(factory=Driver)
    made: Cursor = attrs.field(factory=Cursor)
    in_atomic_block: bool = False

    def close_if_health_check_failed(self) -> None:
        """Do nothing: the connection is healthy."""

    def ensure_connection(self) -> None:
        """Do nothing: the connection is open."""

    def get_autocommit(self) -> bool:
        return True

    def cursor(self) -> AbstractContextManager[Cursor]:
        return nullcontext(self.made)

    @property
    def wrapper(self) -> BaseDatabaseWrapper:
        return cast("BaseDatabaseWrapper", self)


@pytest.fixture
def made() -> Iterator[DjangoDatabase]:
    options = {"options": "-c statement_timeout=2000"}
    with database(URL, migrated=False, options=options) as alias:
        yield DjangoDatabase(alias)


def test_django_database_alias_is_default_unless_configured() -> None:
    assert database_alias() == "default"
    with pytest.raises(ArgumentError) as refused:
        DjangoDatabase()
    assert refused.value.argument == "DATABASES['default']"
    assert refused.value.allowed == "an SQLite or PostgreSQL database"


def test_django_does_not_connect_if_that_may_outlast_deadline() -> None:
    with (
        database(URL, migrated=False, changed={"OPTIONS": {"connect_timeout": 20}}) as alias,
        deadline_scope(10),
        pytest.raises(StoreUnchangedError, match="no time was left to connect"),
    ):
        DjangoDatabase(alias).rows(ONE)


def test_django_tries_to_connect_if_no_connect_timeout_is_set() -> None:
    with (
        database(URL, migrated=False, changed={"OPTIONS": {}}) as alias,
        deadline_scope(0.9),
        pytest.raises(StoreUnavailableError) as refused,
    ):
        DjangoDatabase(alias).rows(ONE)
    assert type(refused.value) is StoreUnavailableError


def answer_login(listener: socket.socket) -> bytes:
    """Log a client in to a server that answers no statement; return what the client sent next."""
    settings = (b"client_encoding\0UTF8\0", b"server_version\x0017.0\0", b"TimeZone\0Etc/UTC\0")
    messages = [(b"R", bytes(4)), *((b"S", each) for each in settings), (b"Z", b"I")]
    client, _ = listener.accept()
    # A test that fails must not wait for ever.
    client.settimeout(60)
    with client:
        client.recv(8192)
        for kind, body in messages:
            client.sendall(kind + (4 + len(body)).to_bytes(4, "big") + body)
        return b"".join(iter(lambda: client.recv(8192), b""))


@pytest.mark.slow
def test_first_django_statement_after_login_has_a_time_limit(tmp_path: Path) -> None:
    url, options = (
        f"postgresql://reader@/none?host={tmp_path}",
        {"options": "-c statement_timeout=50"},
    )
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(str(tmp_path / ".s.PGSQL.5432"))
        listener.listen()
        sent = pool.submit(answer_login, listener)
        with (
            database(url, migrated=False, options=options) as alias,
            pytest.raises(StoreUnavailableError, match="OperationalError"),
        ):
            DjangoDatabase(alias).rows(ONE)
        # The time zone has another name than Django's.
        assert b"TimeZone" in sent.result()


def test_django_removes_its_notice_handler_after_a_statement(made: DjangoDatabase) -> None:
    connection = Connection()
    with made._replication_checked(connection.wrapper):
        assert len(connection.connection.handlers) == 1
    assert connection.connection.handlers == []


def test_django_starts_watchdog_before_it_checks_replication(
    made: DjangoDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection()
    seen: list[tuple[str, object]] = []

    def note(what: str) -> Callable[[object], AbstractContextManager[None]]:
        def noted(about: object) -> AbstractContextManager[None]:
            seen.append((what, about))
            return nullcontext()

        return noted

    monkeypatch.setattr(made, "_watched", note("watched"))
    monkeypatch.setattr(made, "_replication_checked", note("replication"))
    with made._with_timeouts(connection.wrapper):
        # The first wait is that of the health check.
        assert [what for what, _ in seen] == ["watched", "watched", "replication"]
    assert all(about is connection for _, about in seen)


def test_django_statement_waits_until_last_commit_is_replicated(made: DjangoDatabase) -> None:
    connection, replication = Connection(), made._replication
    replication.handle_notice(FakeNotice())
    assert replication.is_in_doubt
    with made._replication_checked(connection.wrapper):
        assert connection.made.ran == [(CONFIRM, ())]
        assert not replication.is_in_doubt


@pytest.mark.parametrize(("left", "limits"), [(2.0, [2000, 5000]), (5.0, [])])
def test_sqlite_lock_wait_is_limited_to_the_time_left(
    left: float, limits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    connection = SimpleNamespace(connection=SimpleNamespace(execute=ran.append))
    monkeypatch.setattr(module, "seconds_left", lambda _: left)
    with module._with_lock_timeout(cast("BaseDatabaseWrapper", connection), 5.0):
        assert len(ran) == len(limits) / 2
    assert ran == [f"PRAGMA busy_timeout = {each}" for each in limits]


def test_watchdog_fires_at_statement_timeout_or_earlier_deadline(
    made: DjangoDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[tuple[int, float]] = []

    class Watchdog:
        def watch(self, file: int, until: float) -> AbstractContextManager[None]:
            watched.append((file, until))
            return nullcontext()

    monkeypatch.setattr(module, "WATCHDOG", Watchdog())
    monkeypatch.setattr(module, "monotonic", lambda: NOW)
    connection = Connection().wrapper
    with made._watched(connection):
        assert watched == [(7, NOW + 2 + GRACE)]
    with deadline_scope(60), made._watched(connection):
        assert watched[1:] == [(7, current_deadline())]


def test_postgresql_runs_a_small_transaction_as_one_statement(
    made: DjangoDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection()

    @contextmanager
    def unlimited(_: BaseDatabaseWrapper) -> Iterator[None]:
        yield

    get: Callable[[DjangoDatabase], BaseDatabaseWrapper] = lambda _: connection.wrapper  # noqa: E731
    monkeypatch.setattr(made, "_with_timeouts", unlimited)
    monkeypatch.setattr(DjangoDatabase, "_connection", property(get))
    statements = [Statement("DELETE FROM curae_log WHERE id = ?", (name,), 1) for name in "ab"]
    assert made.run_transaction(statements)
    combined = combine(statements)
    assert connection.made.ran == [(combined.as_format, combined.values)]


# --- Migrations -------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["create", "drop"])
def test_postgresql_migration_takes_an_advisory_lock_first(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    migration = vars(import_module("curae_lifecycle.stores.django.migrations.0001_tables"))
    ran: list[Statement] = []
    monkeypatch.setattr(DjangoDatabase, "run_ddl", lambda _, statements: ran.extend(statements))
    with database(URL, migrated=False) as alias:
        migration[step](None, SimpleNamespace(connection=SimpleNamespace(alias=alias)))
    assert "pg_advisory_xact_lock" in ran[0].text
    assert f"{step.upper()} TABLE" in ran[1].text
