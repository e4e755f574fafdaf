"""Tests that a database finds the messages of the outbox by index, whatever its statistics say.

MariaDB and PostgreSQL keep the rows of delivered messages while a long transaction is open. A search
by instant would read all of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa

from curae_lifecycle.stores.sql.outbox_statements import (
    Due,
    claim_statement,
    due_statement,
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
def test_outbox_update_forced_onto_a_time_index_scans_it_whole(
    connection: sqlite3.Connection, statement: Statement, index: str
) -> None:
    table = "UPDATE curae_outbox"
    forced = statement.text.replace(table, f"EXPLAIN QUERY PLAN {table} INDEXED BY {index}", 1)
    steps = [str(row[-1]) for row in connection.execute(forced, statement.values)]
    assert steps[0].startswith(f"SCAN curae_outbox USING INDEX {index}")


@pytest.fixture
def server(postgres_url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection to a PostgreSQL database with every table."""
    url = sa.make_url(postgres_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as opened:
        for each in create_table_statements(Dialect.POSTGRESQL):
            opened.execute(each.text.encode())
        yield opened


def fill_and_empty(server: psycopg.Connection) -> None:
    """Deliver 2,000 messages, of which PostgreSQL's statistics and its pages are left."""
    insert_untried(server, 2_000)
    server.execute("DELETE FROM curae_outbox")
    server.execute("VACUUM (ANALYZE, TRUNCATE off) curae_outbox")


def insert_untried(server: psycopg.Connection, count: int) -> None:
    server.execute(
        "INSERT INTO curae_outbox (subject, kind, document, attempts, due_at, waits_from) "
        "SELECT md5(number::text), 'kind', '{}', 0, 0, 0 FROM generate_series(1, %s) AS number",
        (count,),
    )


def count_blocks(server: psycopg.Connection, statement: Statement) -> int:
    """Run a statement, and return the number of blocks that it read."""
    text = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text.replace('?', '%s')}"
    row = server.execute(text.encode(), statement.values).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def test_outbox_poll_with_outdated_statistics_reads_few_blocks(
    server: psycopg.Connection,
) -> None:
    fill_and_empty(server)
    insert_untried(server, 2_000)
    assert count_blocks(server, due_statement(Dialect.POSTGRESQL, 100)) < 2_000


def test_outbox_poll_beside_a_long_transaction_reads_few_blocks(
    server: psycopg.Connection, postgres_url: str
) -> None:
    url = sa.make_url(postgres_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as dump:
        dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        dump.execute("SELECT FROM curae_outbox")
        fill_and_empty(server)
        insert_untried(server, 100)
        assert count_blocks(server, due_statement(Dialect.POSTGRESQL, 100)) < 2_000
