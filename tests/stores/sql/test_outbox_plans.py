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

from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_statements import (
    Due,
    claim_statement,
    due_statement,
    mark_expired_dead_statements,
)
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from tests.stores.sql.conftest import opened

DUE = Due(number=7, due_at=5, attempts=1, claim="lost", subject="one", urgent=0)


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
def test_outbox_updates_on_sqlite_cannot_search_by_time_index(
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
    insert_untried(server, 1_000)
    insert_untried(server, 1_000, "AccessEnded")
    server.execute("DELETE FROM curae_outbox")
    server.execute("VACUUM (ANALYZE, TRUNCATE off) curae_outbox")


def insert_untried(server: psycopg.Connection, count: int, kind: str = "kind") -> None:
    server.execute(
        "INSERT INTO curae_outbox (subject, kind, document, attempts, due_at, waits_from) "
        "SELECT md5(number::text), %s, '{}', 0, 0, 0 FROM generate_series(1, %s) AS number",
        (kind, count),
    )


def count_blocks(server: psycopg.Connection, statement: Statement) -> int:
    """Run a statement, and return the number of blocks that it read."""
    text = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text.replace('?', '%s')}"
    row = server.execute(text.encode(), statement.values).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


@pytest.mark.parametrize("kinds", [("kind", "AccessEnded"), ("AccessEnded", "kind")])
def test_outbox_poll_with_outdated_statistics_reads_few_blocks(
    server: psycopg.Connection, kinds: tuple[str, str]
) -> None:
    fill_and_empty(server)
    insert_untried(server, 2_000, kinds[0])
    insert_untried(server, 50, kinds[1])
    assert count_blocks(server, due_statement(Dialect.POSTGRESQL, 100)) < 2_000


def test_outbox_poll_with_old_statistics_uses_index_on_kind(
    server: psycopg.Connection,
) -> None:
    fill_and_empty(server)
    insert_untried(server, 2_000)
    insert_untried(server, 1, "AccessEnded")
    statement = due_statement(Dialect.POSTGRESQL, 100)
    text = f"EXPLAIN {statement.text.replace('?', '%s')}"
    steps = [str(row[0]) for row in server.execute(text.encode(), statement.values)]
    assert any("Index Scan using curae_outbox_kind" in step for step in steps)
    assert not any("Seq Scan" in step or "Sort" in step for step in steps)


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


@pytest.mark.mariadb
@pytest.mark.parametrize("kind", ["kind", "AccessEnded"])
def test_outbox_poll_on_mariadb_reads_few_rows_per_message(mariadb_url: str, kind: str) -> None:
    with opened(mariadb_url) as database:
        database.run_ddl(create_table_statements(Dialect.MARIADB))
        insert = "INSERT INTO curae_outbox (subject, kind, document, attempts, due_at, waits_from)"
        rows = "SELECT MD5(seq), ?, '{}', 0, 0, 0 FROM seq_1_to_2000"
        assert database.run_transaction([Statement(f"{insert} {rows}", (kind,))])
        before = count_reads(database)
        assert len(database.rows(due_statement(Dialect.MARIADB, 100))) >= 100
        assert count_reads(database) - before < 2_000


def count_reads(database: SqlDatabase) -> int:
    """Return the number of rows that all sessions of a MariaDB server have read."""
    found = database.rows(Statement("SHOW GLOBAL STATUS LIKE 'Handler_read%'"))
    return sum(int(str(value)) for _, value in found)
