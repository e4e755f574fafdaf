"""Tests of statements on Django's connections: transactions, failures and migrations."""

from __future__ import annotations

import contextlib
import sqlite3
import unittest
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from django.core.management import call_command
from django.db import ProgrammingError, connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.utils import DatabaseError, OperationalError
from django.test import TestCase, override_settings

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.deadline import deadline_scope
from curae_lifecycle.stores.django.database import DjangoDatabase
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import as_async_store, serve
from curae_lifecycle.stores.sql.replication import Notice, Replication
from curae_lifecycle.stores.sql.schema import TABLE_NAMES
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.races import commit
from tests.support.django_project import database
from tests.support.page_rows import check_pages
from tests.support.replaced_pages import check_replaced_pages
from tests.support.served import MINT, PATIENCE
from tests.support.server import API_KEY, CALLER, request
from tests.support.sql.databases import Clocked
from tests.support.sql.works import CREATE, asks

SECRET = "a-secret-of-somebody"

Given = Sequence[object] | None
"""The values of a statement, as Django passes them."""


def registered(alias: str) -> SqlStore:
    store = SqlStore(DjangoDatabase(alias))
    store.register(ApiKey(API_KEY), CALLER)
    return store


def creates(store: SqlStore, key: str = "k-1") -> int:
    return serve(store, request("create", key=key), MINT, retry_policy=PATIENCE).response.status


def counted(alias: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM curae_connection")
        (number,) = cursor.fetchone()
    return int(number)


# --- Transactions -----------------------------------------------------------------------------


def test_django_commit_inside_another_transaction_raises(url: str) -> None:
    with database(url) as alias:
        store = registered(alias)
        with transaction.atomic(alias), pytest.raises(ArgumentError) as refused:
            creates(store)
        assert refused.value.argument == f"DATABASES[{alias!r}]"
        assert refused.value.allowed == "in no transaction, as it is without ATOMIC_REQUESTS"
        assert counted(alias) == 0
        assert creates(store) == 201


def test_django_commit_without_autocommit_raises(url: str) -> None:
    with database(url) as alias:
        store = registered(alias)
        connections[alias].set_autocommit(False)
        with pytest.raises(ArgumentError, match="in autocommit mode") as refused:
            creates(store)
        assert refused.value.argument == f"DATABASES[{alias!r}]"
        connections[alias].rollback()
        connections[alias].set_autocommit(True)
        assert counted(alias) == 0


def test_django_commit_without_changes_succeeds(url: str) -> None:
    with database(url) as alias:
        store = registered(alias)
        loaded = store.load(Needs(), ApiKey(API_KEY).digest())
        assert loaded.caller == CALLER
        assert store.commit(loaded, NO_CHANGES)


def test_django_test_case_rolls_back_all_commits(url: str) -> None:
    with database(url) as alias:

        class Case(TestCase):
            databases = {alias}  # noqa: RUF012 - as Django has it

            def runTest(self) -> None:  # noqa: N802 - unittest's word
                store = registered(alias)
                assert creates(store) == 201
                twice = [asks(CREATE, 2)(store) for _ in range(2)]
                assert [commit(store, each) for each in twice] == [True, False]
                with pytest.raises(DatabaseError):
                    DjangoDatabase(alias).run_transaction(
                        [Statement("UPDATE curae_nothing SET id = 1")]
                    )
                assert counted(alias) == 2

        result = unittest.TestResult()
        unittest.TestSuite([Case()]).run(result)
        assert result.testsRun == 1
        assert result.wasSuccessful(), [text for _, text in result.failures + result.errors]
        assert counted(alias) == 0


def test_failed_transaction_is_rolled_back(url: str) -> None:
    insert = "INSERT INTO curae_caller (id, version, document) VALUES (?, 1, 'x')"
    first = Statement(insert, ("a",), 1)
    with database(url) as alias:
        made = DjangoDatabase(alias)
        for second in (
            # A unique violation, an update of no row, and a mistake.
            Statement(insert, ("a",), 1),
            Statement("UPDATE curae_caller SET version = 2 WHERE id = ?", ("b",), 1),
        ):
            assert not made.run_transaction([first, second])
            assert made.rows(Statement("SELECT id FROM curae_caller")) == []
        # One statement alone is rolled back, too.
        assert not made.run_transaction([Statement(insert, ("a",), 2)])
        assert made.rows(Statement("SELECT id FROM curae_caller")) == []
        with pytest.raises(DatabaseError):
            made.run_transaction([first, Statement("UPDATE curae_nothing SET version = 2")])
        assert made.rows(Statement("SELECT id FROM curae_caller")) == []
        assert made.run_transaction([first])
        assert [*map(tuple, made.rows(Statement("SELECT id FROM curae_caller")))] == [("a",)]


def test_django_commits_or_rolls_back_many_statements_together(url: str) -> None:
    insert = "INSERT INTO curae_caller (id, version, document) VALUES (?, 1, 'x')"
    many = [Statement(insert, (f"key-{number}",), 1) for number in range(120)]
    with database(url) as alias:
        made, values = DjangoDatabase(alias), list[int]()

        def note(
            execute: Callable[[str, Given, bool, dict[str, object]], object],
            text: str,
            given: Given,
            many: bool,  # noqa: FBT001 - as Django has it
            context: dict[str, object],
        ) -> object:
            values.append(len(given or ()))
            return execute(text, given, many, context)

        # The last statement conflicts with the row of the first.
        assert not made.run_transaction([*many, many[0]])
        assert made.rows(Statement("SELECT id FROM curae_caller")) == []
        with connections[alias].execute_wrapper(note):
            assert made.run_transaction(many)
        assert len(made.rows(Statement("SELECT id FROM curae_caller"))) == 120
        assert max(values) <= 50
        assert sum(values) == 120


def test_django_store_binds_values_instead_of_formatting_sql(url: str) -> None:
    with database(url) as alias:
        found = DjangoDatabase(alias).rows(Statement("SELECT '%', ?", ("? %s '",)))
        assert [*map(tuple, found)] == [("%", "? %s '")]


# --- Failures ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_django_replaces_a_lost_database_connection(postgres_url: str) -> None:
    with database(postgres_url) as alias:
        store = registered(alias)

        def lose() -> None:
            pid = connections[alias].connection.info.backend_pid
            engine = sa.create_engine(postgres_url)
            with engine.connect() as other:
                other.execute(sa.select(sa.func.pg_terminate_backend(pid, 5000)))
            engine.dispose()

        lose()
        with pytest.raises(StoreUnavailableError):
            store.load(Needs(), "")
        # A single request would not notice: `serve` retries.
        assert store.load(Needs(), "").caller is None
        lose()
        assert creates(store) == 201


def test_locked_table_on_postgresql_raises_after_lock_timeout(postgres_url: str) -> None:
    options = {"options": "-c statement_timeout=10000 -c lock_timeout=50"}
    with database(postgres_url, options=options) as alias:
        store = registered(alias)
        engine = sa.create_engine(postgres_url)
        with engine.connect() as other:
            decided = asks(CREATE, 2)(store)
            other.execute(sa.text("LOCK TABLE curae_record IN EXCLUSIVE MODE"))
            with pytest.raises(StoreUnavailableError, match="55P03") as refused:
                store.commit(decided.loaded, decided.changes)
            assert "user-1" not in str(refused.value)
        engine.dispose()
        assert creates(store) == 201


def test_locked_sqlite_file_raises_after_timeout(
    sqlite_url: str,
) -> None:
    with database(sqlite_url, options={"timeout": 0.05}) as alias:
        store = registered(alias)
        decided = asks(CREATE, 2)(store)
        with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="code SQLITE_BUSY"):
                store.commit(decided.loaded, decided.changes)
        assert store.commit(decided.loaded, decided.changes)


@pytest.mark.parametrize("run", ["rows", "run_transaction"])
def test_sqlite_lock_timeout_lowered_by_deadline_is_restored(sqlite_url: str, run: str) -> None:
    # Other code of the project uses the connection, too.
    timeout = Statement("PRAGMA busy_timeout")
    with database(sqlite_url, options={"timeout": 60}) as alias:
        made = DjangoDatabase(alias)
        with deadline_scope(1):
            if run == "rows":
                ((within,),) = made.rows(timeout)
                assert isinstance(within, int)
                assert 0 < within <= 1000
            else:
                assert made.run_transaction([Statement("DELETE FROM curae_log")])
        assert [*made.rows(timeout)] == [(60_000,)]


@pytest.mark.parametrize("fails", [False, True])
def test_statement_leaves_no_notice_handler_on_db_connection(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    heard: list[Notice] = []
    monkeypatch.setattr(Replication, "handle_notice", lambda _, notice: heard.append(notice))
    tell = "DO $$ BEGIN RAISE WARNING 'a warning'; END $$"
    with database(postgres_url) as alias:
        made = DjangoDatabase(alias)
        made.rows(Statement("SELECT 1"))
        if fails:
            with pytest.raises(ProgrammingError):
                made.rows(Statement("SELECT nothing"))
        assert made.run_transaction([Statement("DELETE FROM curae_log")])
        with connections[alias].cursor() as cursor:
            cursor.execute(tell)
    assert heard == []


@pytest.mark.peers
def test_django_pool_drops_a_connection_to_a_read_only_server(postgres_url: str) -> None:
    put = Statement("INSERT INTO curae_caller (id, version, document) VALUES ('a', 1, 'x')", (), 1)
    with database(postgres_url, options={"pool": {"min_size": 1, "max_size": 1}}) as alias:
        made = DjangoDatabase(alias)
        made.rows(Statement("SELECT set_config('default_transaction_read_only', 'on', false)"))
        with pytest.raises(StoreUnavailableError, match="25006"):
            made.run_transaction([put])
        assert made.run_transaction([put])
        pooled = connections[alias]
        assert isinstance(pooled, DatabaseWrapper)
        pooled.close_pool()


def test_missing_database_raises_store_unavailable(tmp_path: str) -> None:
    url = f"postgresql+psycopg://nobody@/nothing?host={tmp_path}"
    with database(url, migrated=False) as alias, pytest.raises(StoreUnavailableError):
        SqlStore(DjangoDatabase(alias)).load(Needs(), "")


def test_missing_table_raises_the_django_database_error(url: str) -> None:
    missing = pytest.raises((ProgrammingError, OperationalError), match="curae_caller")
    with database(url, migrated=False) as alias, missing:
        SqlStore(DjangoDatabase(alias)).load(Needs(), "")


# --- Migrations -------------------------------------------------------------------------------


def test_django_migration_creates_and_drops_the_tables(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with database(url) as alias:
        made = connections[alias].introspection.table_names
        assert set(TABLE_NAMES) <= set(made())
        assert creates(registered(alias)) == 201
        call_command("migrate", "curae_lifecycle", "zero", database=alias, verbosity=0)
        assert not set(TABLE_NAMES) & set(made())
        # Tables that the store itself created are kept.
        SqlStore(DjangoDatabase(alias)).create_tables()
        assert creates(registered(alias)) == 201
        call_command("migrate", database=alias, verbosity=0)
        assert counted(alias) == 1
        call_command("makemigrations", check=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out


def test_migrate_creates_tables_only_in_the_configured_database(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        database(sqlite_url, migrated=False) as other,
        database(f"sqlite:///{tmp_path / 'named.db'}", migrated=False) as named,
        override_settings(CURAE_LIFECYCLE_DATABASE=named),
    ):
        # The other database is of a vendor that the store does not support.
        monkeypatch.setattr(connections[other], "vendor", "mysql")
        for target in ((), ("curae_lifecycle", "zero"), ()):
            for alias in (named, other):
                call_command("migrate", *target, database=alias, verbosity=0)
            is_created = set(TABLE_NAMES) <= {*connections[named].introspection.table_names()}
            assert is_created == (not target)
        assert connections[other].introspection.table_names() == ["django_migrations"]


# --- Pages ------------------------------------------------------------------------------------


def test_django_store_purges_hosted_page_5_minutes_after_expiry(url: str) -> None:
    with database(url) as alias:
        clocked = Clocked(DjangoDatabase(alias))
        kept = Statement("SELECT * FROM curae_page")
        set_clock = partial(setattr, clocked, "now")
        check_pages(SqlStore(clocked), set_clock, lambda: [*map(str, clocked.rows(kept))])


@pytest.mark.slow
def test_django_store_refuses_a_fact_of_a_replaced_hosted_page(url: str) -> None:
    with database(url) as alias:
        store = SqlStore(DjangoDatabase(alias))
        store.register(ApiKey(API_KEY), CALLER)
        run_sync(check_replaced_pages(as_async_store(store)))
