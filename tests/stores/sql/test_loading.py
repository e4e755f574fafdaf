"""Tests of the SELECT that loads the values of a request, and of the parser of its rows."""

from __future__ import annotations

from typing import TypeVar

import attrs
import pytest

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, Bucket, BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import AppUserId, ConnectionId, SessionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.snapshot import ChainPart, ConnectionsPage, Needs, Snapshot
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.keys import rate_key
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.loading import (
    load_statement,
    now_statement,
    page_statement,
    parse_loaded,
)
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.stores.formats import VALUES
from tests.support.chains import chain_of
from tests.support.server import CALLER
from tests.support.strategies import COORDINATE, uuid

IDS = [ConnectionId(uuid(number)) for number in (9, 3, 7, 5)]
"""The ids of a chain, whose order is another than that of the places."""

CHAIN = [
    attrs.evolve(
        each,
        identity=attrs.evolve(
            each.identity, id=IDS[place], predecessor_id=IDS[place - 1] if place else None
        ),
    )
    for place, each in enumerate(chain_of(len(IDS), start=9))
]
BY_ID = sorted(CHAIN, key=lambda each: each.id)
Value = TypeVar("Value")
OTHER = attrs.evolve(COORDINATE, app_user_id=AppUserId("another user"))


def example(kind: type[Value], place: int = 0) -> Value:
    """Return an example of a stored value."""
    found = VALUES[kind.__name__][place]
    assert isinstance(found, kind)
    return found


SESSION, BINDING = example(CuraeConnectSession), example(LimitedAccountAppBinding)
RECORD, LOG, PAGE = example(Record), example(LogState, 3), example(HostedPage)
BUCKETS = [Bucket(name=name, capacity=9, refill=7, seconds=60) for name in ("a", "b")]
BUCKET_KEYS = (BucketKey(CALLER.key_owner, BUCKETS[0]), BucketKey(CALLER.key_owner, BUCKETS[1]))
LIMIT = LimitKey(COORDINATE.app_user, INITIATE_LIMIT.name)
OTHERS: list[Write] = [
    SessionWrite(None, attrs.evolve(SESSION, id=SessionId(uuid(77)), coordinate=OTHER)),
    BindingWrite(None, attrs.evolve(BINDING, coordinate=OTHER)),
    RateWrite(
        key=LimitKey(OTHER.app_user, INITIATE_LIMIT.name),
        policy=INITIATE_LIMIT,
        before=None,
        after=LogState(),
    ),
]
"""Rows that no load asks for."""

WRITES: list[Write] = [
    *[ConnectionWrite(None, each) for each in CHAIN],
    SessionWrite(None, SESSION),
    BindingWrite(None, BINDING),
    RecordWrite(RECORD.key, None, RECORD),
    RateWrite(key=LIMIT, policy=INITIATE_LIMIT, before=None, after=LOG),
    *OTHERS,
]


@pytest.fixture
def store(sqlite_database: SqlDatabase) -> SqlStore:
    """A store with a value of each kind."""
    made = SqlStore(sqlite_database)
    made.create_tables()
    assert made.commit(made.load(Needs()), Changes(tuple(WRITES)), PAGE)
    put = "INSERT INTO curae_bucket (id, full_at, part) VALUES (?, ?, ?)"
    rows = [(rate_key(BUCKET_KEYS[1]), 12, 3), ("0" * 64, 5, 6)]
    assert sqlite_database.run_transaction([Statement(put, row, 1) for row in rows])
    return made


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (Needs(), Snapshot()),
        (Needs(record=RECORD.key), Snapshot(record=RECORD)),
        (Needs(buckets=BUCKET_KEYS), Snapshot(buckets=(None, BucketState(12, 3)))),
        (Needs(limit=LIMIT), Snapshot(limit=LOG)),
        (Needs(session=SESSION.id), Snapshot(session=SESSION, binding=BINDING)),
        (Needs(binding=COORDINATE), Snapshot(binding=BINDING)),
        (
            Needs(connection=IDS[0]),
            Snapshot(connection=CHAIN[0], successor=CHAIN[1], head=CHAIN[3], binding=BINDING),
        ),
        (Needs(connection=IDS[3]), Snapshot(connection=CHAIN[3], binding=BINDING)),
        (
            Needs(chain=IDS[1]),
            Snapshot(connection=CHAIN[1], following=tuple(CHAIN[2:]), binding=BINDING),
        ),
        (
            Needs(chain=IDS[0], chain_part=ChainPart(1, 4)),
            Snapshot(connection=CHAIN[0], following=(CHAIN[2],), binding=BINDING),
        ),
        (
            Needs(connections=ConnectionsPage(COORDINATE)),
            Snapshot(connections=tuple(BY_ID), binding=BINDING),
        ),
        (
            Needs(connections=ConnectionsPage(COORDINATE, after=BY_ID[0].id, limit=2)),
            Snapshot(connections=tuple(BY_ID[1:3]), binding=BINDING),
        ),
        (Needs(page=PAGE.digest), Snapshot(page=PAGE)),
        # Keys that are not stored.
        (Needs(session=SessionId(uuid(5))), Snapshot()),
        (Needs(connection=ConnectionId(uuid(1))), Snapshot()),
        (Needs(chain=ConnectionId(uuid(1))), Snapshot()),
        (Needs(page="0" * 64), Snapshot()),
    ],
)
def test_sql_store_loads_exactly_the_needed_values(
    store: SqlStore, needs: Needs, expected: Snapshot
) -> None:
    assert store.load(needs).snapshot == expected


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (Needs(chain=IDS[0]), CHAIN),
        (Needs(connections=ConnectionsPage(COORDINATE)), BY_ID),
    ],
)
def test_snapshot_is_the_same_for_loaded_rows_in_any_order(
    store: SqlStore,
    sqlite_database: SqlDatabase,
    needs: Needs,
    expected: list[Connection],
    *,
    is_reversed: bool,
) -> None:
    del store  # It has stored the values.
    rows = sqlite_database.rows(load_statement(Dialect.SQLITE, needs, None))
    snapshot = parse_loaded(needs, rows[::-1] if is_reversed else rows).snapshot
    first = () if snapshot.connection is None else (snapshot.connection,)
    assert [*first, *snapshot.following, *snapshot.connections] == expected


@pytest.mark.parametrize("dialect", Dialect)
def test_load_statements_have_one_placeholder_per_value(dialect: Dialect) -> None:
    for statement in (
        now_statement(dialect),
        page_statement(dialect, "digest"),
        load_statement(dialect, Needs(), "digest"),
    ):
        assert statement.text.count("?") == len(statement.values)
