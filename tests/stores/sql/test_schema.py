"""Tests of the statements that create and drop the tables."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest

from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.schema import (
    _INDEXES,
    create_table_statements,
    drop_table_statements,
)
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import SqlStore

COUNT_INDEXES = """
    SELECT count(*) FROM pg_indexes
    WHERE schemaname = 'Second schema' AND indexname = ANY(%s)
"""


CREATE_MISSING_INDEX = re.compile(
    r"DO 'BEGIN IF to_regclass\(.*''\.(\w+)''\) IS NULL THEN CREATE INDEX (\w+) ON (.+); END IF; END'"
)


def test_postgresql_creates_an_index_only_if_it_is_missing() -> None:
    # Its CREATE INDEX IF NOT EXISTS blocks writers even if the index exists.
    texts = [each.text for each in create_table_statements(Dialect.POSTGRESQL)]
    found = [CREATE_MISSING_INDEX.fullmatch(text) for text in texts if "INDEX" in text]
    assert [each and each.groups() for each in found] == [
        (name, name, columns) for name, columns in _INDEXES.items()
    ]


@pytest.mark.parametrize("build", [create_table_statements, drop_table_statements])
def test_only_postgresql_locks_before_it_makes_or_drops_tables(
    build: Callable[[Dialect], tuple[Statement, ...]],
) -> None:
    locks = {
        dialect: [place for place, each in enumerate(build(dialect)) if "lock" in each.text]
        for dialect in Dialect
    }
    assert locks == {Dialect.SQLITE: [], Dialect.POSTGRESQL: [0], Dialect.MARIADB: []}


def test_tables_of_a_second_postgresql_schema_get_their_indexes(postgres_url: str) -> None:
    option = '-c%20search_path="Second\\%20schema",public'
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "Second schema"')
        for url in (postgres_url, f"{postgres_url}&options={option}"):
            engine = create_engine(url)
            store = SqlStore(SqlDatabase(engine))
            store.create_tables()
            store.create_tables()
            engine.dispose()
        found = connection.execute(COUNT_INDEXES, [[*_INDEXES]]).fetchone()
    assert found == (len(_INDEXES),)
