"""Tests of the order of a commit's statements, in which two transactions wait for each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.ratelimit import FULL_BUCKET, INITIATE_LIMIT, Bucket, LogState
from curae_lifecycle.service.changes import Changes, bump_version
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, RateWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.sql.loading import Versions
from curae_lifecycle.stores.sql.statement import Dialect
from curae_lifecycle.stores.sql.storing import commit_statements
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
