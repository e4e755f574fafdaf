"""Helpers for tests of outbox workers: a database, and posted messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import Database, SqlStore


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def database(url: str) -> Iterator[SqlDatabase]:
    engine = create_engine(url, timeout=30)
    made = SqlDatabase(engine)
    SqlStore(made).create_tables()
    yield made
    engine.dispose()


def post(database: Database, *subjects: str, kind: str = "kind") -> None:
    """Post a message about each subject, one after another."""
    for number, subject in enumerate(subjects):
        text = "INSERT INTO curae_outbox (subject, kind, document, attempts, due_at, waits_from)"
        values = (key_of(subject), kind, json.dumps({"format": 1, "number": number}))
        assert database.run_transaction([Statement(f"{text} VALUES (?, ?, ?, 0, 0, 0)", values, 1)])


def pass_time(database: Database) -> None:
    """Make every wait of a message end now."""
    database.run_transaction(
        [Statement("UPDATE curae_outbox SET due_at = 1 WHERE due_at IS NOT NULL")]
    )


def raising(_: Delivery) -> None:
    raise ValueError("a secret")


def left(database: Database) -> int:
    return len(database.rows(Statement("SELECT id FROM curae_outbox")))
