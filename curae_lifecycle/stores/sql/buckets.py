"""What charges a bucket in SQL, by the arithmetic of `rules.ratelimit`.

The law of this module: **a bucket is charged from what it holds by then**, so charges of one key
commute and requests under it do not turn each other away; where it then refuses, no row changes,
and the whole commit is undone.

All numbers of a charge stay below 2^63, which is what an integer of a database holds; a bucket of
larger sizes is refused where the store is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Bucket
from curae_lifecycle.rules.values import LAST_INSTANT, SECOND, to_epoch_microseconds
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value

_LARGEST: Final = 2**63 - 1
_LAST: Final = to_epoch_microseconds(LAST_INSTANT)


def check_sizes(buckets: Iterable[Bucket]) -> None:
    """Refuse a bucket whose charges a 64-bit integer could not count.

    Raises:
        ArgumentError: It names the bucket.
    """
    for bucket in buckets:
        if not _fits(bucket):
            raise ArgumentError(
                f"bucket {bucket.name!r}",
                "of sizes that 64 bits count: capacity times seconds below 8.9 * 10^12, "
                "and a refill below 3 * 10^9",
            )


def _fits(bucket: Bucket) -> bool:
    token, refill = bucket.seconds * SECOND, bucket.refill
    most = bucket.capacity * token
    # What is missing with one charge more; what another refill left, in parts of this one's; and
    # when it is full.
    return max(most + token + refill, refill * refill, _LAST + most // refill) <= _LARGEST


def charge_statements(
    dialect: Dialect, policy: Bucket, key: str, at: int, *, known: bool
) -> list[Statement]:
    """What charges a bucket by one, or changes no row where it refuses.

    Args:
        dialect: Of the database.
        policy: The bucket's numbers.
        key: The key of its row.
        at: The instant in microseconds.
        known: Whether its row was there a moment ago.

    Raises:
        ArgumentError: Its sizes are too large.
    """
    check_sizes((policy,))
    token, refill = policy.seconds * SECOND, policy.refill
    most = policy.capacity * token
    missing: tuple[Value, ...] = (at, at + most // refill, most, at, refill, refill, token)
    sets = (at, *missing, refill, *missing, refill, refill)
    if dialect is Dialect.MARIADB:
        charge = Statement(_MARIADB_CHARGE, (*sets, key, *missing, most), 1)
        # The new row locks one that is there already, so it is tried only where there was none.
        return [charge] if known else [Statement(_MARIADB_NEW, (key, *FULL_BUCKET)), charge]
    fresh = (key, at + token // refill, token % refill, refill)
    return [Statement(_CHARGE, (*fresh, *sets, *missing, most), 1)]


# The time until it is full, in parts of a microsecond, with one token more: as `rules.ratelimit`
# counts it, what another refill left rounded up. What is fuller than this bucket can be, because
# another capacity left it so, is too much, without a product that could be too large.
_HELD: Final = "curae_bucket."


def _missing(divided_by: str) -> str:
    rescaled = f"({_HELD}part * ? + {_HELD}parts - 1) {divided_by} {_HELD}parts"
    return (
        f"(CASE WHEN {_HELD}full_at < ? THEN 0 WHEN {_HELD}full_at > ? THEN ? "
        f"ELSE ({_HELD}full_at - ?) * ? + {rescaled} END + ?)"
    )


def _sets(divided_by: str) -> str:
    missing = _missing(divided_by)
    return f"full_at = ? + {missing} {divided_by} ?, part = {missing} % ?, parts = ?"


_COLUMNS: Final = "curae_bucket (id, full_at, part, parts)"
_CHARGE: Final = (
    f"INSERT INTO {_COLUMNS} VALUES (?, ?, ?, ?) "
    f"ON CONFLICT (id) DO UPDATE SET {_sets('/')} WHERE {_missing('/')} <= ?"
)
_MARIADB_NEW: Final = f"INSERT IGNORE INTO {_COLUMNS} VALUES (?, ?, ?, ?)"
_MARIADB_CHARGE: Final = (
    # Or a column would be set from what another of the same statement was set to.
    "SET STATEMENT sql_mode = 'SIMULTANEOUS_ASSIGNMENT,STRICT_TRANS_TABLES' FOR "
    f"UPDATE curae_bucket SET {_sets('DIV')} WHERE id = ? AND {_missing('DIV')} <= ?"
)
