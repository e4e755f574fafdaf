"""Tests of the order of a commit's statements, in which two transactions wait for each other."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    INITIATE_LIMIT,
    Bucket,
    BucketState,
    LogState,
)
from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.service.changes import Changes, bump_version
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, RateWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.keys import rate_key
from curae_lifecycle.stores.outbox import Message
from curae_lifecycle.stores.sql.loading import Versions
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.storing import (
    commit_statements,
    format_era,
    save_caller_statement,
)
from tests.stores.sql.conftest import opened
from tests.support.server import CALLER
from tests.support.strategies import COORDINATE, START, pending, uuid

BUCKETS = [Bucket(name=name, capacity=9, refill=1, seconds=60) for name in ("a", "b", "c")]
UPDATED = [pending(number=number) for number in (2, 3)]
WRITES: list[Write] = [
    *[
        RateWrite(
            key=BucketKey(CALLER.key_owner, each), policy=each, before=None, after=FULL_BUCKET
        )
        for each in BUCKETS
    ],
    RateWrite(
        key=LimitKey(COORDINATE.app_user, INITIATE_LIMIT.name),
        policy=INITIATE_LIMIT,
        before=None,
        after=LogState.of([START]),
    ),
    ConnectionWrite(None, pending(number=1)),
    *[ConnectionWrite(each, bump_version(each)) for each in UPDATED],
]
LOADED = Loaded(
    snapshot=Snapshot(),
    now=START,
    seen=Versions({("curae_connection", each.id): 1 for each in UPDATED}),
)


@given(st.permutations(WRITES))
def test_order_of_commit_statements_ignores_the_order_of_writes(writes: list[Write]) -> None:
    check_order(writes)


@pytest.mark.parametrize("writes", [WRITES, WRITES[::-1]])
def test_commit_updates_before_it_inserts_and_charges_last(writes: list[Write]) -> None:
    check_order(writes)


def check_order(writes: list[Write]) -> None:
    statements = commit_statements(
        Dialect.SQLITE, LOADED, changes=Changes(tuple(writes)), messages=(), page=None
    )
    words = [statement.text.split() for statement in statements]
    tables = [next(word for word in text if word.startswith("curae_")) for text in words]
    assert [f"{text[0]} {table}" for text, table in zip(words, tables, strict=True)] == [
        "UPDATE curae_connection",
        "UPDATE curae_connection",
        "INSERT curae_connection",
        "INSERT curae_log",
        *["INSERT curae_bucket"] * 3,
    ]
    updated = [
        [value for value in each.values if value in {uuid(2), uuid(3)}] for each in statements
    ]
    assert updated[:2] == [[uuid(2)], [uuid(3)]]
    keys = [str(each.values[0]) for each in statements[-3:]]
    assert keys == sorted(keys)


def charge_writes(before: BucketState | None) -> list[RateWrite]:
    return [
        RateWrite(
            key=BucketKey(CALLER.key_owner, each), policy=each, before=before, after=FULL_BUCKET
        )
        for each in BUCKETS
    ]


@pytest.mark.parametrize(("before", "each"), [(None, 2), (FULL_BUCKET, 1)])
def test_mariadb_inserts_a_bucket_only_if_it_was_not_loaded(
    before: BucketState | None, each: int
) -> None:
    charges = charge_writes(before)
    statements = commit_statements(
        Dialect.MARIADB, LOADED, changes=Changes(tuple(charges)), messages=(), page=None
    )
    keys = {rate_key(write.key) for write in charges}
    assert len(statements) == each * len(charges)
    assert {key for statement in statements for key in statement.values if key in keys} == keys


@pytest.mark.parametrize("dialect", Dialect)
def test_upsert_expects_one_changed_row_except_on_mariadb(dialect: Dialect) -> None:
    # MariaDB counts a replaced row twice.
    replaced = save_caller_statement(dialect, "digest", CALLER)
    assert replaced.expected_rows == (None if dialect is Dialect.MARIADB else 1)


def test_tombstone_time_is_stored_as_microseconds_or_0_if_absent() -> None:
    assert [format_era(None), format_era(START)] == [0, to_epoch_microseconds(START)]


def test_postgresql_commit_counts_the_rows_of_each_statement() -> None:
    page = HostedPage(
        digest=url_digest("https://pages.example/1"),
        kind=PageKind.CONNECTION,
        subject=uuid(1),
        expires_at=START,
    )
    message = Message("connection.created", uuid(1), {})
    statements = commit_statements(
        Dialect.POSTGRESQL, LOADED, changes=Changes(tuple(WRITES)), messages=[message], page=page
    )
    assert {each.expected_rows for each in statements} == {1}


def test_postgresql_runs_statements_with_expected_rows_first(postgres_url: str) -> None:
    inserts = [
        Statement("INSERT INTO ran (name) VALUES (?)", (name,), rows)
        for name, rows in [("a", 1), ("b", None), ("c", 1), ("d", None), ("e", 1)]
    ]
    with opened(postgres_url) as database:
        database.run_ddl([Statement("CREATE TABLE ran (number SERIAL, name TEXT)")])
        assert database.run_transaction(inserts)
        ran = database.rows(Statement("SELECT name FROM ran ORDER BY number"))
    assert "".join([str(name) for (name,) in ran]) == "acedb"


@pytest.mark.parametrize("dialect", Dialect)
def test_update_of_a_rate_limit_log_keeps_the_later_expiry(dialect: Dialect) -> None:
    key = LimitKey(COORDINATE.app_user, INITIATE_LIMIT.name)
    log = LogState.of([START])
    write = RateWrite(key=key, policy=INITIATE_LIMIT, before=log, after=log)
    seen = Versions({("curae_log", rate_key(key)): 1})
    loaded = attrs.evolve(LOADED, seen=seen)
    (update,) = commit_statements(
        dialect, loaded, changes=Changes((write,)), messages=(), page=None
    )
    greatest = "max" if dialect is Dialect.SQLITE else "GREATEST"
    assert f"expires_at = {greatest}(expires_at, ?)" in update.text
