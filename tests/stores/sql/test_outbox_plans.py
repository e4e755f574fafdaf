"""Tests that a database finds the messages of a claim by number, whatever its statistics say.

MariaDB and PostgreSQL keep the rows of delivered messages while a long transaction is open. A search
by instant would read all of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from curae_lifecycle.stores.sql.outbox_statements import (
    Due,
    claim_statement,
    mark_expired_dead_statements,
)
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Statement

DUE = Due(number=7, due_at=5, attempts=1, claim="lost", subject="one")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """Yield a database with every table."""
    with closing(sqlite3.connect(":memory:")) as opened:
        for each in create_table_statements(Dialect.SQLITE):
            opened.execute(each.text)
        yield opened


@pytest.mark.parametrize("index", ["curae_outbox_due_at", "curae_outbox_waits_from"])
@pytest.mark.parametrize(
    "statement",
    [
        claim_statement(Dialect.SQLITE, due=[DUE, DUE], claim="mine", lease=60),
        *mark_expired_dead_statements(Dialect.SQLITE, DUE),
    ],
    ids=["claim", "mark dead", "wake"],
)
def test_outbox_update_only_scans_an_index_on_an_instant_column(
    connection: sqlite3.Connection, statement: Statement, index: str
) -> None:
    table = "UPDATE curae_outbox"
    forced = statement.text.replace(table, f"EXPLAIN QUERY PLAN {table} INDEXED BY {index}", 1)
    steps = [str(row[-1]) for row in connection.execute(forced, statement.values)]
    assert steps[0].startswith(f"SCAN curae_outbox USING INDEX {index}")
