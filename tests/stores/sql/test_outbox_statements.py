"""Tests of the statements of the outbox: their texts on each database, and what their rows mean."""

from __future__ import annotations

import re
from typing import Final

import pytest

from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.outbox import MESSAGE, Delivery, MalformedDelivery, NewerDelivery
from curae_lifecycle.stores.sql import outbox_statements as statements
from curae_lifecycle.stores.sql.clock import NOW_SQL
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_statements import Due
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.json import MalformedError
from tests.stores.sql.posting import post

NAMES: Final = {"curae_outbox", "earlier", "later", "ended", "head", "urgent"} | {
    *("curae_outbox_subject", "part_0", "part_1", "part_2", "part_3"),
    *("id", "subject", "kind", "document", "attempts", "due_at", "waits_from", "claim"),
}
KEYWORDS: Final = {
    *("SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "EXISTS", "IS", "NULL"),
    *("IN", "AS", "UNION", "ALL", "ORDER", "BY", "LIMIT", "OFFSET", "COUNT", "MIN"),
    *("CROSS", "JOIN", "LATERAL", "FORCE", "INDEX"),
    *("CASE", "WHEN", "THEN", "ELSE", "END", "UPDATE", "SET", "DELETE", "NOW"),
}
DELIVERY: Final = Delivery(number=7, attempt=2, kind="k", subject="s", document={})
FIRST: Final = Due(number=7, due_at=0, attempts=0, claim=None, subject="s", urgent=0)
LATER: Final = Due(number=8, due_at=5, attempts=1, claim="an earlier claim", subject="t", urgent=0)


def every_statement(dialect: Dialect) -> list[Statement]:
    """Build each statement of the outbox once, and the claims of messages of each kind."""
    return [
        statements.due_statement(dialect, 9),
        *[
            statements.claim_statement(dialect, due=due, claim="c", lease=60.0)
            for due in ([FIRST], [LATER], [FIRST, LATER])
        ],
        *statements.mark_expired_dead_statements(dialect, FIRST),
        statements.claimed_statement([FIRST, LATER], "c"),
        statements.held_claim_statement(7, "c"),
        statements.backlog_statement(dialect),
        statements.dead_statement(0, 9),
        statements.messages_statement(),
        *statements.delivered_statements(dialect, DELIVERY, "c"),
        *statements.failure_statements(dialect, DELIVERY, "c", pause=1.0, longest_pause=2.0),
        *statements.mark_dead_statements(dialect, DELIVERY, "c"),
        statements.release_claim_statement(dialect, [DELIVERY], "c"),
        statements.revival_statement(dialect, 7),
    ]


@pytest.mark.parametrize("dialect", Dialect)
def test_table_and_column_names_in_outbox_sql_are_lower_case(dialect: Dialect) -> None:
    # MariaDB on Linux takes a table's name in another case for another table.
    for statement in every_statement(dialect):
        words = re.findall("[A-Za-z]\\w*", statement.text.replace(NOW_SQL[dialect], "NOW"))
        assert {*words} <= NAMES | KEYWORDS, statement.text


@pytest.mark.parametrize("dialect", Dialect)
def test_outbox_statements_have_one_value_per_placeholder(dialect: Dialect) -> None:
    for statement in every_statement(dialect):
        assert statement.text.count("?") == len(statement.values), statement.text
        # PostgreSQL and MariaDB refuse an empty list.
        assert "()" not in statement.text.replace(NOW_SQL[dialect], "NOW")


@pytest.mark.parametrize("dialect", Dialect)
def test_search_for_due_messages_suits_its_database(dialect: Dialect) -> None:
    # With old statistics, either server would read all rows for each message.
    statement = statements.due_statement(dialect, 9)
    is_postgresql = dialect is Dialect.POSTGRESQL
    assert ("due_at <= 0" in statement.text) is is_postgresql
    assert ("earlier.subject >= later.subject" in statement.text) is is_postgresql
    assert ("LATERAL" in statement.text) is is_postgresql
    assert ("FORCE INDEX" in statement.text) is (dialect is Dialect.MARIADB)


# --- Rows ---------------------------------------------------------------------------------------


def test_outbox_row_is_parsed_as_readable_malformed_or_newer() -> None:
    rows = [(1, 2, "k", "s", text) for text in ('{"format": 1, "a": 3}', "{", '{"format": 9}')]
    readable, malformed, newer = statements.deliveries(rows)
    assert readable == Delivery(number=1, attempt=2, kind="k", subject="s", document={"a": 3})
    assert isinstance(malformed, MalformedDelivery)
    assert isinstance(newer, NewerDelivery)
    for each in (malformed, newer):
        assert (each.number, each.attempt, each.kind, each.subject) == (1, 2, "k", "s")
    assert isinstance(malformed.error, MalformedError)
    assert (newer.error.kind, newer.error.stored, newer.error.known) == (MESSAGE, 9, 1)


def test_outbox_rows_are_parsed_to_documents_in_the_same_order() -> None:
    rows = [(number, 0, "k", "s", f'{{"format": 1, "a": {number}}}') for number in (5, 3)]
    assert statements.documents(rows) == [{"a": 5}, {"a": 3}]
    with pytest.raises(NewerFormatError):
        statements.documents([*rows, (9, 0, "k", "s", '{"format": 2}')])


# --- A claim that was lost ----------------------------------------------------------------------


@pytest.fixture
def database(sqlite_database: SqlDatabase) -> SqlDatabase:
    """A database with two messages about one subject."""
    SqlStore(sqlite_database).create_tables()
    post(sqlite_database, "one", "one")
    return sqlite_database


@pytest.mark.parametrize("is_last", [False, True])
def test_failure_is_not_stored_if_another_worker_claimed_message(
    database: SqlDatabase, *, is_last: bool
) -> None:
    settings = DeliverySettings(attempts=1 if is_last else 2)
    delayed = Statement("UPDATE curae_outbox SET due_at = 5 WHERE id = 2")
    assert database.run_transaction([delayed])

    def handle(_: Delivery) -> None:
        # The lease ended, and a rival claimed the message.
        database.run_transaction(
            [Statement("UPDATE curae_outbox SET claim = 'rival' WHERE id = 1")]
        )
        raise ValueError

    second = Statement("SELECT claim, attempts, due_at, waits_from FROM curae_outbox WHERE id = 2")
    before = [*database.rows(second)]
    assert Outbox(database, settings).deliver_batch(handle) == 1
    assert [*database.rows(second)] == before
    assert [*database.rows(Statement("SELECT claim FROM curae_outbox WHERE id = 1"))] == [
        ("rival",)
    ]
