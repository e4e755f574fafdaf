"""Tests of the schema in which PostgreSQL creates tables and indexes."""

from __future__ import annotations

import psycopg

from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.schema import _INDEXES
from curae_lifecycle.stores.sql.store import SqlStore

COUNT_INDEXES = """
    SELECT count(*) FROM pg_indexes
    WHERE schemaname = 'Second schema' AND indexname = ANY(%s)
"""


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
