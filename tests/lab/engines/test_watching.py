"""Tests of the statuses that the watch of a cluster reads from rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import record, sweep_now
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.lab.engines.watching import STORED, stored_status
from tests.support.chains import store_chain
from tests.support.sql.databases import Forwarding
from tests.support.strategies import COORDINATE


class Locked(Forwarding):
    """A database whose connections cannot be changed."""

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        if any("UPDATE curae_connection" in each.text for each in statements):
            raise StoreUnavailableError("a row is locked")
        return super().run_transaction(statements)


def test_status_query_reads_revoked_as_soon_as_tombstone_commits(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'watched.db'}")
    database = SqlDatabase(engine)
    store = SqlStore(database)
    store.create_tables()
    (connection,) = store_chain(store, 1)

    def read() -> tuple[str, str]:
        ((stored, binding),) = database.rows(
            Statement(STORED.replace("%s", "?"), (str(connection.id),))
        )
        assert isinstance(stored, str)
        assert binding is None or isinstance(binding, str)
        return json.loads(stored)["status"], stored_status(stored, binding)

    unrevoked = str(connection.status)
    assert read() == (unrevoked, unrevoked)
    with pytest.raises(StoreUnavailableError):
        record(
            SqlStore(Locked(database)),
            Tombstoned(COORDINATE),
            retry_policy=RetryPolicy(attempts=1),
        )
    assert read() == (unrevoked, "REVOKED")
    sweep_now(store, COORDINATE)
    assert read() == ("REVOKED", "REVOKED")
    engine.dispose()
