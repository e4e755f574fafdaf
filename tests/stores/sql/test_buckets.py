"""Tests of buckets in SQL: charges equal `rules.ratelimit`, also when they race."""

from __future__ import annotations

import time
from datetime import datetime

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, MAX_INTEGER, Bucket, BucketState, admit_one
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    LAST_INSTANT,
    SECOND,
    from_epoch_microseconds,
    to_epoch_microseconds,
)
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.sql.buckets import charge_statements, check_sizes, most_together
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from curae_lifecycle.testing.races import SCENARIOS, commit
from tests.stores.sql.conftest import opened
from tests.stores.sql.races import SqlArena
from tests.support.sql.databases import Clocked
from tests.support.sql.works import CREATE, FIRST, SETTINGS, asks, works
from tests.support.strategies import START
from tests.support.wire.running import PATIENCE

KEY = "a" * 64
NOW = to_epoch_microseconds(START)
HUGE = 2**63


def fits(bucket: Bucket) -> bool:
    try:
        check_sizes((bucket,))
    except ArgumentError:
        return False
    return True


def sizes(most: int) -> st.SearchStrategy[int]:
    """Draw small sizes and any up to the most."""
    return st.one_of(st.integers(1, 20), st.integers(1, most))


@st.composite
def buckets(draw: st.DrawFn, capacities: int, refills: int, periods: int) -> Bucket:
    """Draw buckets with sizes up to the given ones."""
    capacity, refill, seconds = draw(sizes(capacities)), draw(sizes(refills)), draw(sizes(periods))
    assume(capacity * seconds <= MAX_INTEGER * refill)
    return Bucket(name="platform", capacity=capacity, refill=refill, seconds=seconds)


small_enough = buckets(10**12, MAX_INTEGER, 10**9).filter(fits)
"""Buckets that fit 64 bits."""


@st.composite
def charged_buckets(draw: st.DrawFn) -> tuple[Bucket, BucketState | None]:
    """Draw a bucket and a state: near the instant, near the latest credible one, or far off."""
    policy = draw(small_enough)
    window, part = divmod(policy.capacity * policy.seconds * SECOND, policy.refill)
    near = st.integers(-5, 5)
    span = st.one_of(
        near,
        near.map((window).__add__),
        near.map((window + CLOCK_TOLERANCE).__add__),
        st.integers(window, window + CLOCK_TOLERANCE),
        st.integers(-(10**9), 10**9),
        st.integers(-(10**15), 8 * 10**18),
    )
    parts = st.one_of(near.map(part.__add__), st.integers(0, policy.refill - 1))
    return policy, draw(
        st.none()
        | st.builds(
            BucketState, span.map(NOW.__add__), parts.filter(lambda each: 0 <= each < policy.refill)
        )
    )


def held(database: SqlDatabase) -> BucketState | None:
    """Read the row of the bucket."""
    rows = database.rows(Statement("SELECT full_at, part FROM curae_bucket WHERE id = ?", (KEY,)))
    return BucketState(*map(int, map(str, rows[0]))) if rows else None


def charge(
    database: SqlDatabase,
    policy: Bucket,
    state: BucketState | None,
    at: int,
    *,
    tokens: int = 1,
) -> BucketState | None:
    """Return the bucket after a charge, or None if it was refused and nothing changed."""
    assert database.run_transaction([Statement("DELETE FROM curae_bucket")])
    if state is not None:
        put = "INSERT INTO curae_bucket (id, full_at, part) VALUES (?, ?, ?)"
        assert database.run_transaction([Statement(put, (KEY, *state), 1)])
    statements = charge_statements(
        database.dialect, policy=policy, key=KEY, at=at, known=state is not None, tokens=tokens
    )
    if database.run_transaction(statements):
        return held(database)
    assert held(database) == state
    return None


ONE, TWO, SEVENTHS = (
    Bucket(name="p", capacity=1, refill=1, seconds=1),
    Bucket(name="p", capacity=2, refill=1, seconds=1),
    # It fills in 428,571 microseconds and three sevenths.
    Bucket(name="p", capacity=3, refill=7, seconds=1),
)
BELIEVED = NOW + 428_571 + CLOCK_TOLERANCE
"""The last microsecond that `SEVENTHS` believes, up to its third part."""


EDGES = [
    (ONE, BucketState(NOW + 1)),
    (TWO, BucketState(NOW + SECOND)),
    (TWO, BucketState(NOW + SECOND + 1)),
    (SEVENTHS, BucketState(NOW, 6)),
    (SEVENTHS, BucketState(NOW - 1, 6)),
    (SEVENTHS, BucketState(BELIEVED, 3)),
    (SEVENTHS, BucketState(BELIEVED, 4)),
    (SEVENTHS, BucketState(BELIEVED + 1)),
    # More microseconds than the refill, or 64 bits, can be multiplied with.
    (attrs.evolve(ONE, refill=MAX_INTEGER), BucketState(NOW + CLOCK_TOLERANCE)),
    (attrs.evolve(ONE, refill=MAX_INTEGER), BucketState(NOW + 8 * 10**18)),
]
"""Buckets with states at which a charge has another outcome than one microsecond away."""


@pytest.mark.parametrize(("policy", "state"), EDGES)
def test_sql_and_rules_decide_alike_on_edge_cases_of_buckets(
    shared: SqlDatabase, policy: Bucket, state: BucketState
) -> None:
    expected = admit_one(policy, state, START)
    assert charge(shared, policy=policy, state=state, at=NOW) == (
        expected if isinstance(expected, BucketState) else None
    )


@pytest.mark.slow
@given(charged_buckets(), st.one_of(st.just(0), st.integers(-(10**6), 10**6)))
def test_sql_and_rules_decide_alike_on_random_buckets(
    shared: SqlDatabase, charged: tuple[Bucket, BucketState | None], offset: int
) -> None:
    policy, state = charged
    at = NOW + offset
    expected = admit_one(
        policy, FULL_BUCKET if state is None else state, from_epoch_microseconds(at)
    )
    assert charge(shared, policy=policy, state=state, at=at) == (
        expected if isinstance(expected, BucketState) else None
    )


def check_several_tokens(
    shared: SqlDatabase, policy: Bucket, state: BucketState | None, tokens: int
) -> None:
    """Check that a charge of several tokens equals as many charges, or is refused."""
    expected = FULL_BUCKET if state is None else state
    for _ in range(tokens):
        result = admit_one(policy, expected, START)
        if not isinstance(result, BucketState):
            assert charge(shared, policy, state, at=NOW, tokens=tokens) is None
            return
        expected = result
    assert charge(shared, policy, state, at=NOW, tokens=tokens) == expected


@pytest.mark.parametrize(
    ("policy", "state", "tokens"),
    [
        (TWO, None, 2),
        (TWO, BucketState(NOW), 2),
        (TWO, BucketState(NOW + 1), 2),
        (attrs.evolve(TWO, capacity=3), BucketState(NOW + SECOND), 2),
        (attrs.evolve(TWO, capacity=3), BucketState(NOW + SECOND + 1), 2),
        (SEVENTHS, BucketState(NOW, 6), 3),
        (SEVENTHS, BucketState(NOW - 1, 6), 3),
        # The state is not believed, so that one token is left.
        (SEVENTHS, BucketState(BELIEVED + 1), 2),
    ],
)
def test_sql_charge_of_n_tokens_equals_n_charges_in_edge_cases(
    shared: SqlDatabase, policy: Bucket, state: BucketState | None, tokens: int
) -> None:
    check_several_tokens(shared, policy, state, tokens=tokens)


@pytest.mark.slow
@given(charged_buckets(), st.integers(2, 20))
def test_sql_charge_of_n_tokens_equals_n_charges_of_one(
    shared: SqlDatabase, charged: tuple[Bucket, BucketState | None], tokens: int
) -> None:
    policy, state = charged
    check_several_tokens(shared, policy, state, tokens=min(tokens, most_together(policy)))


@pytest.mark.parametrize("now", [datetime.min.replace(tzinfo=START.tzinfo), LAST_INSTANT])
@pytest.mark.parametrize(
    "policy",
    [
        Bucket(name="p", capacity=1, refill=1, seconds=1),
        Bucket(name="p", capacity=8_960_000_000_000, refill=1, seconds=1),
        Bucket(name="p", capacity=9, refill=MAX_INTEGER, seconds=1),
    ],
)
def test_sql_bucket_charge_is_exact_at_the_years_1_and_9999(
    shared: SqlDatabase, now: datetime, policy: Bucket
) -> None:
    expected = admit_one(policy, FULL_BUCKET, now)
    assert isinstance(expected, BucketState)
    assert charge(shared, policy=policy, state=None, at=to_epoch_microseconds(now)) == expected
    assert (
        charge(shared, policy=policy, state=FULL_BUCKET, at=to_epoch_microseconds(now)) == expected
    )


# --- Sizes ----------------------------------------------------------------------------------

TOO_LARGE = [
    Bucket(name="platform", capacity=9_300_000_000_000, refill=1, seconds=1),
    # It fits until a late charge.
    Bucket(name="platform", capacity=9_200_000_000_000, refill=1, seconds=1),
    Bucket(name="platform", capacity=1, refill=1, seconds=4_700_000_000_000),
    Bucket(name="platform", capacity=MAX_INTEGER, refill=MAX_INTEGER, seconds=MAX_INTEGER),
]


@pytest.mark.parametrize("bucket", TOO_LARGE)
def test_bucket_too_large_for_64_bits_raises_argument_error(
    sqlite_database: SqlDatabase, bucket: Bucket
) -> None:
    settings = Settings(buckets=(SETTINGS.buckets[1], bucket))
    for make in (
        lambda: SqlStore(sqlite_database, settings),
        lambda: AsyncSqlStore(ThreadedDatabase(sqlite_database), settings),
        lambda: charge_statements(
            sqlite_database.dialect, policy=bucket, key=KEY, at=NOW, known=False
        ),
    ):
        with pytest.raises(ArgumentError, match=r"bucket 'platform'.*64-bit"):
            make()


@pytest.mark.parametrize(
    ("bucket", "most"),
    [
        (ONE, 1),
        (SEVENTHS, 3),
        (Bucket(name="p", capacity=8_960_000_000_000, refill=1, seconds=1), 263_372_036_854),
        (Bucket(name="p", capacity=5_000_000, refill=40_000_000_000, seconds=10**6), 4_223_371),
    ],
)
def test_largest_charge_is_bounded_by_capacity_and_64_bits(bucket: Bucket, most: int) -> None:
    assert most_together(bucket) == most


@pytest.mark.parametrize("bucket", TOO_LARGE)
def test_computing_largest_charge_of_a_too_large_bucket_raises(bucket: Bucket) -> None:
    with pytest.raises(ArgumentError, match="64-bit"):
        most_together(bucket)


@pytest.mark.parametrize(
    ("largest", "too_large"),
    [
        # What is missing after one more charge is 2^63 - 1, and 2^63.
        (
            Bucket(name="p", capacity=9_223_372_035, refill=854_775_807, seconds=1000),
            Bucket(name="p", capacity=9_223_372_035, refill=854_775_808, seconds=1000),
        ),
        # The last instant that the bucket believes is below 2^63, and beyond.
        (
            Bucket(name="p", capacity=8_969_969_735_754, refill=1, seconds=1),
            Bucket(name="p", capacity=8_969_969_735_755, refill=1, seconds=1),
        ),
    ],
)
def test_bucket_fits_sql_only_if_its_numbers_are_below_2_to_63(
    largest: Bucket, too_large: Bucket
) -> None:
    assert (fits(largest), fits(too_large)) == (True, False)


@given(buckets(MAX_INTEGER, MAX_INTEGER, MAX_INTEGER))
def test_sql_charge_of_the_largest_bucket_fits_64_bits(bucket: Bucket) -> None:
    assume(fits(bucket))
    token, most = bucket.seconds * SECOND, bucket.capacity * bucket.seconds * SECOND
    believed = to_epoch_microseconds(LAST_INSTANT) + most // bucket.refill + CLOCK_TOLERANCE
    asked = token * most_together(bucket)
    # The largest numbers that occur in the statement.
    for number in (
        most + token,
        most + asked,
        (most // bucket.refill) * bucket.refill + bucket.refill - 1 + asked,
        (most // bucket.refill) * bucket.refill + bucket.refill + token,
        believed,
    ):
        assert number < HUGE


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("known", [False, True])
def test_last_statement_of_a_charge_expects_one_changed_row(
    dialect: Dialect, *, known: bool
) -> None:
    statements = charge_statements(dialect, policy=ONE, key=KEY, at=NOW, known=known)
    assert statements[-1].expected_rows == 1


@pytest.mark.parametrize("dialect", Dialect)
def test_postgresql_charge_before_commit_does_not_wait_for_disk(dialect: Dialect) -> None:
    charge_in_commit, apart = (
        charge_statements(dialect, policy=ONE, key=KEY, at=NOW, known=True, **kind)[-1].text
        for kind in ({}, {"apart": True})
    )
    assert "synchronous_commit" not in charge_in_commit
    assert ("synchronous_commit" in apart) is (dialect is Dialect.POSTGRESQL)


# --- Several at once ------------------------------------------------------------------------


def test_concurrent_charges_of_one_bucket_all_commit(database: SqlDatabase) -> None:
    SqlStore(database).create_tables()
    arena = SqlArena(Clocked(database))
    arena.set_up(SCENARIOS["one connection is active"])
    stores = [arena.store() for _ in range(4)]
    decided = [asks(GetConnection(FIRST), 40 + each)(store) for each, store in enumerate(stores)]
    # All four were decided on the same state, and all commit.
    assert [commit(store, each) for store, each in zip(stores, decided, strict=True)] == [True] * 4
    again = asks(GetConnection(FIRST), 50)(arena.store())
    for number, policy in enumerate(SETTINGS.buckets):
        state = FULL_BUCKET
        # Two requests came before.
        for at in [0, 0, 20, 20, 20, 20]:
            charged = admit_one(policy, state, from_epoch_microseconds(NOW + at * 60 * SECOND))
            assert isinstance(charged, BucketState)
            state = charged
        assert again.changes.writes[number].before == state


def test_bucket_empty_at_commit_rolls_back_everything(database: SqlDatabase) -> None:
    SqlStore(database).create_tables()
    arena = SqlArena(Clocked(database))
    arena.set_up(SCENARIOS["the key has one request left"])
    stores = arena.store(), arena.store()
    one, two = asks(GetConnection(FIRST), 40)(stores[0]), asks(CREATE, 41)(stores[1])
    assert two.page is not None
    assert commit(stores[0], one)
    assert not commit(stores[1], two)
    for table in ("curae_connection", "curae_record", "curae_outbox", "curae_page"):
        assert not database.rows(Statement(f"SELECT id FROM {table}"))
    # A second decision is a 429, which stores nothing.
    assert works()["create"](stores[1]).is_empty


def test_postgresql_bucket_charges_add_no_index_entries(postgres_url: str) -> None:
    # Otherwise each charge of a busy key leaves an index entry that later charges must skip.
    policy, charges = Bucket(name="platform", capacity=100, refill=50, seconds=1), 20
    with opened(postgres_url) as found:
        found.run_ddl(create_table_statements(found.dialect))
        for number in range(charges):
            known = number > 0
            assert found.run_transaction(
                charge_statements(found.dialect, policy=policy, key=KEY, at=NOW, known=known)
            )
    # PostgreSQL reports the counters of a connection after it has closed.
    counted = Statement(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = ?",
        ("curae_bucket",),
    )
    with opened(postgres_url) as found:
        until = time.monotonic() + PATIENCE
        while (seen := _numbers(found, counted))[0] < charges - 1:
            assert time.monotonic() < until, f"{seen} of {charges - 1} charges are counted"
            time.sleep(0.01)
    assert seen == (charges - 1, charges - 1)


def _numbers(database: SqlDatabase, counted: Statement) -> tuple[int, int]:
    row = database.rows(counted)[0]
    return int(str(row[0])), int(str(row[1]))
