"""The privacy page names every table of the SQL stores, with what the schema and the settings say."""

from __future__ import annotations

import re

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.idempotency import RETENTION
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, HOUR, MINUTE
from curae_lifecycle.stores.new_ids import NEXT_ACTION_LIFETIME, RandomIds
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.schema import TABLE_NAMES
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.support.paths import ROOT
from tests.support.server import API_KEY, CALLER, request

PAGE = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")


def test_privacy_docs_page_names_exactly_the_database_tables() -> None:
    rows = re.findall(r"^\| `(curae_\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(TABLE_NAMES)


def test_privacy_docs_page_says_if_each_table_identifies_people() -> None:
    for line in re.findall(r"^\| `curae_\w+` \|.*$", PAGE, re.MULTILINE):
        _, identifies, reveals = (cell.strip() for cell in line.strip("|").split("|")[1:])
        assert re.match(r"yes|no|only", identifies), line
        assert re.match(r"yes|no|by the app's purpose", reveals), line


def test_privacy_docs_page_retention_times_match_the_code() -> None:
    kept = dict(re.findall(r"^\| ([\w' ]+) \| ([^|]+) \|", PAGE, re.MULTILINE))
    hours = RETENTION / HOUR
    minutes = NEXT_ACTION_LIFETIME.total_seconds() / 60
    margin = f"plus {CLOCK_TOLERANCE / MINUTE:.0f} minutes"
    assert f"{hours:.0f} hours after" in kept["idempotency record with its response"]
    assert f"({minutes:.0f} minutes by default)" in kept["hosted page"]
    assert sum(margin in each for each in kept.values()) == 4


def test_privacy_docs_say_idempotency_keys_are_stored_as_text(sqlite_url: str) -> None:
    secrets = ("key-of-the-client", API_KEY, "connect.example")
    engine = create_engine(sqlite_url)
    database = SqlDatabase(engine)
    store = SqlStore(database)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    sent = request("create", key=secrets[0])
    assert serve(store, sent, RandomIds("https://connect.example/")).response.status == 201
    tables = {
        name: str(database.rows(Statement(f"SELECT * FROM {name}")))  # noqa: S608 - a table
        for name in TABLE_NAMES
    }
    engine.dispose()
    found = {
        (name, secret) for name, rows in tables.items() for secret in secrets if secret in rows
    }
    assert found == {("curae_record", "key-of-the-client")}
    (row,) = re.findall(r"^\| `curae_record` \| (.*)$", PAGE, re.MULTILINE)
    assert row.startswith("the idempotency key as text, its owner, ")
