"""Tests of connections decided for an unbound coordinate while a user is bound and tombstoned.

Every race of two ends as one of their serial orders; only a third action shows a missed connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

import pytest

from curae_lifecycle import ApiKey, MemoryStore, Settings, Store
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot
from curae_lifecycle.stores.clock import utc_now
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.erasing import Erasure, erase
from curae_lifecycle.stores.sql.loading import PLACEHOLDER_DOCUMENT
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.races import RaceTenant, commit, commit_with_retries
from tests.docs.pages.test_stores import make_store
from tests.stores.sql.broken import LazyStore
from tests.support.memory import LooksForNobody

STAGE: Final = RaceTenant.of(1, Settings())
EMPTIED: Final = Statement("DELETE FROM curae_outbox")
BINDINGS: Final = Statement("SELECT document FROM curae_binding")


class Registering(Store, Protocol):
    """A store of these tests, which can register keys."""

    def register(self, api_key: ApiKey, caller: Caller) -> None: ...


def registered(store: Registering) -> Store:
    """Register the caller of the stage, and return the store."""
    store.register(ApiKey(STAGE.api_key), STAGE.caller)
    return store


def made_on(database: SqlDatabase, kind: type[SqlStore] = SqlStore) -> Store:
    """Return a store on an empty database."""
    store = kind(database)
    store.create_tables()
    return registered(store)


def left(store: Store) -> Snapshot:
    """Load the binding and the connections of the user."""
    needs = Needs(binding=STAGE.coordinate, connections=ConnectionsPage(STAGE.coordinate))
    return store.load(needs).snapshot


def outlives(store: Store) -> bool:
    """Return whether a connection that was created survives a racing tombstone."""
    works = STAGE.actions()
    created = works["create"](store)
    commit_with_retries(store, works["initiate"])
    ended = works["tombstone"](store)
    was_created, was_ended = commit(store, created), commit(store, ended)
    if not was_ended:
        commit_with_retries(store, works["tombstone"])
    return was_created and any(each.status is Status.PENDING for each in left(store).connections)


def test_tombstone_ends_racing_connection_in_memory() -> None:
    assert not outlives(registered(MemoryStore()))
    assert outlives(registered(LooksForNobody()))


def test_tombstone_ends_racing_connection_in_the_example_store(tmp_path: Path) -> None:
    store = make_store()(str(tmp_path / "one.db"), utc_now)
    with closing(store.database):
        assert not outlives(registered(store))


def test_tombstone_ends_racing_connection_in_a_database(database: SqlDatabase) -> None:
    assert not outlives(made_on(database))


def test_tombstone_ends_racing_connection_beside_an_earlier_one(
    database: SqlDatabase,
) -> None:
    store = made_on(database)
    commit_with_retries(store, STAGE.create_action(31))
    assert not outlives(store)


def test_create_for_a_user_who_is_already_bound_commits(database: SqlDatabase) -> None:
    for store in (made_on(database), registered(MemoryStore())):
        commit_with_retries(store, STAGE.actions()["initiate"])
        commit_with_retries(store, STAGE.create_action(31))
        assert len(left(store).connections) == 1


def test_store_without_placeholder_check_misses_a_connection(database: SqlDatabase) -> None:
    assert outlives(made_on(database, LazyStore))


def test_concurrent_creates_of_unbound_user_conflict_then_commit(database: SqlDatabase) -> None:
    store = made_on(database)
    first, second = (STAGE.create_action(number) for number in (11, 12))
    decided = first(store), second(store)
    assert commit(store, decided[0])
    assert not commit(store, decided[1])
    commit_with_retries(store, second)
    assert len(left(store).connections) == 2
    assert left(store).binding is None


def test_placeholder_row_becomes_the_binding(database: SqlDatabase) -> None:
    store = made_on(database)
    commit_with_retries(store, STAGE.create_action(11))
    assert [*database.rows(BINDINGS)] == [(PLACEHOLDER_DOCUMENT,)]
    commit_with_retries(store, STAGE.actions()["initiate"])
    bound = left(store).binding
    assert bound is not None
    assert bound.state is AccountState.LIMITED
    assert len(database.rows(BINDINGS)) == 1


def test_user_bound_during_an_erasure_is_kept(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made_on(database)
    commit_with_retries(store, STAGE.request_action(Initiate(STAGE.user), 21))
    real = database.run_transaction

    def change(statements: Sequence[Statement]) -> bool:
        monkeypatch.undo()
        was_ended = real(statements)
        commit_with_retries(store, STAGE.actions()["initiate"])
        real([EMPTIED])
        return was_ended

    # The first transaction is the tombstone; a user is bound right after it, and the outbox is
    # emptied.
    monkeypatch.setattr(database, "run_transaction", change)
    assert erase(database, STAGE.coordinate) == Erasure(sessions=1)
    bound = left(store).binding
    assert bound is not None
    assert (bound.state, bound.generation) == (AccountState.LIMITED, 2)


def test_placeholder_row_is_erased_with_its_user(database: SqlDatabase) -> None:
    store = made_on(database)
    commit_with_retries(store, STAGE.create_action(11))
    erase(database, STAGE.coordinate)
    database.run_transaction([EMPTIED])
    assert [*database.rows(BINDINGS)] == [(PLACEHOLDER_DOCUMENT,)]
    assert erase(database, STAGE.coordinate) == Erasure(connections=1)
    assert [*database.rows(BINDINGS)] == []
