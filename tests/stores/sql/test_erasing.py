"""Tests of `erase`: what it marks, what it deletes at once, and what it counts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, UserId, to_epoch_microseconds
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest, user_subject
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.erasing import Erasure, erase
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.stores.sql.mariadb_on_sqlite import MariadbOnSqlite
from tests.support.server import API_KEY, CALLER, request
from tests.support.serving import fake_time
from tests.support.sql.databases import Clocked, Failing
from tests.support.strategies import COORDINATE, START, pending

MINT = RandomIds("https://connect.example/")


def bind(store: SqlStore) -> UserId:
    """Bind a user to the coordinate, with one session, and return the user's id."""
    store.register(ApiKey(API_KEY), CALLER)
    assert serve(store, request("initiate"), MINT).response.status == 201
    binding = store.load(Needs(binding=COORDINATE)).snapshot.binding
    assert binding is not None
    assert binding.user_id is not None
    return binding.user_id


@pytest.mark.parametrize("kind", [Clocked, MariadbOnSqlite])
def test_erase_counts_rows_and_schedules_deletion_in_5_minutes(
    sqlite_database: SqlDatabase, kind: type[Clocked]
) -> None:
    SqlStore(sqlite_database).create_tables()
    database = kind(sqlite_database)
    store = SqlStore(database)
    bind(store)
    for number in (1, 2):
        connection = pending(number=number)
        assert store.commit(store.load(Needs()), Changes((ConnectionWrite(None, connection),)))
    waiting = len(store.outbox())
    erasure = erase(database, COORDINATE)
    assert erasure == Erasure(connections=2, sessions=1, waiting=len(store.outbox()))
    assert erasure.waiting > waiting
    due_at = to_epoch_microseconds(START) + CLOCK_TOLERANCE
    assert [*database.rows(Statement("SELECT due_at FROM curae_erasure"))] == [(due_at,)]


def test_erasure_deletes_only_the_hosted_page_of_its_user(sqlite_database: SqlDatabase) -> None:
    database = Clocked(sqlite_database)
    store = SqlStore(database)
    store.create_tables()
    users = {"https://pages.example/1": bind(store), "https://pages.example/2": UserId("another")}
    for url, user in users.items():
        page = HostedPage(
            digest=url_digest(url),
            kind=PageKind.USER,
            subject=user_subject(COORDINATE, user),
            expires_at=START + timedelta(days=1),
        )
        assert store.commit(store.load(Needs()), Changes(), page)
    erase(database, COORDINATE)
    assert [store.hosted_page(url) is None for url in users] == [True, False]


@pytest.mark.parametrize(
    "text", ["INTO curae_erasure", "SELECT 'now'", "SELECT id FROM curae_session", "COUNT(*)"]
)
def test_erase_retries_each_step_while_the_database_is_down(
    sqlite_database: SqlDatabase, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    fake_time(monkeypatch)
    SqlStore(sqlite_database).create_tables()
    bind(SqlStore(sqlite_database))
    failing = Failing(sqlite_database, text, 3)
    assert erase(failing, COORDINATE).sessions == 1
    assert failing.times == 0
