"""SQL statements that charge a bucket, by the arithmetic of `rules.ratelimit`.

The law of this module: **a charge reads the bucket's state at commit time**, not the state that was
loaded. So charges of one API key commute, and concurrent requests do not cause conflicts. If the
bucket then refuses, the statement changes no row and the whole commit is undone.

All numbers of a charge stay below 2^63, the limit of a database integer. A store refuses larger
buckets when it is created.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Bucket
from curae_lifecycle.rules.values import LAST_INSTANT, SECOND, to_epoch_microseconds
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value

_MAX_INTEGER: Final = 2**63 - 1
_LAST_MICROSECOND: Final = to_epoch_microseconds(LAST_INSTANT)


def check_sizes(buckets: Iterable[Bucket]) -> None:
    """Check that the numbers of every charge of these buckets fit into 64-bit integers.

    Raises:
        ArgumentError: A bucket is too large. The error names it.
    """
    for bucket in buckets:
        if not _fits(bucket):
            raise ArgumentError(
                f"bucket {bucket.name!r}",
                "small enough for 64-bit integers: capacity times seconds below 8.9 * 10^12, "
                "and a refill below 3 * 10^9",
            )


def _fits(bucket: Bucket) -> bool:
    token, refill = bucket.seconds * SECOND, bucket.refill
    most = bucket.capacity * token
    # The largest numbers of a charge: what is missing after one more charge, the part that another
    # refill left (rescaled to this refill), and the instant at which the bucket is full.
    largest = max(most + token + refill, refill * refill, _LAST_MICROSECOND + most // refill)
    return largest <= _MAX_INTEGER


def charge_statements(
    dialect: Dialect, policy: Bucket, key: str, at: int, *, known: bool
) -> list[Statement]:
    """Build the statements that charge a bucket by one token, for the transaction of a commit.

    The last statement must change one row. If the bucket has less than a token, that statement
    changes none and the transaction is undone.

    Args:
        dialect: The database's dialect.
        policy: The bucket, with its capacity and its refill.
        key: The key of the bucket's row, from `rate_key`.
        at: The instant of the charge, in microseconds since 1970.
        known: Whether the bucket's row existed when the request was loaded. Only MariaDB needs it.

    Raises:
        ArgumentError: The bucket is too large for 64-bit integers.
    """
    check_sizes((policy,))
    token, refill = policy.seconds * SECOND, policy.refill
    most = policy.capacity * token
    missing: tuple[Value, ...] = (at, at + most // refill, most, at, refill, refill, token)
    sets = (at, *missing, refill, *missing, refill, refill)
    if dialect is Dialect.MARIADB:
        charge = Statement(_MARIADB_CHARGE, (*sets, key, *missing, most), 1)
        # INSERT IGNORE locks an existing row, so it runs only if the row was missing at load.
        return [charge] if known else [Statement(_MARIADB_NEW, (key, *FULL_BUCKET)), charge]
    fresh = (key, at + token // refill, token % refill, refill)
    return [Statement(_CHARGE, (*fresh, *sets, *missing, most), 1)]


_STORED: Final = "curae_bucket."


def _missing(divide: str) -> str:
    # The SQL for what the bucket is missing after one more charge, in units of 1/refill of a
    # microsecond. A part that another refill left is rounded up, as in `rules.ratelimit`. A larger
    # capacity may have left a state that is emptier than this bucket can be. That state counts as
    # `most`, which refuses the charge and avoids a product that could overflow.
    rescaled = f"({_STORED}part * ? + {_STORED}parts - 1) {divide} {_STORED}parts"
    return (
        f"(CASE WHEN {_STORED}full_at < ? THEN 0 WHEN {_STORED}full_at > ? THEN ? "
        f"ELSE ({_STORED}full_at - ?) * ? + {rescaled} END + ?)"
    )


def _sets(divide: str) -> str:
    missing = _missing(divide)
    return f"full_at = ? + {missing} {divide} ?, part = {missing} % ?, parts = ?"


_COLUMNS: Final = "curae_bucket (id, full_at, part, parts)"
_CHARGE: Final = (
    f"INSERT INTO {_COLUMNS} VALUES (?, ?, ?, ?) "
    f"ON CONFLICT (id) DO UPDATE SET {_sets('/')} WHERE {_missing('/')} <= ?"
)
_MARIADB_NEW: Final = f"INSERT IGNORE INTO {_COLUMNS} VALUES (?, ?, ?, ?)"
_MARIADB_CHARGE: Final = (
    # Without SIMULTANEOUS_ASSIGNMENT, MariaDB computes a column from columns that the same
    # statement has already set.
    "SET STATEMENT sql_mode = 'SIMULTANEOUS_ASSIGNMENT,STRICT_TRANS_TABLES' FOR "
    f"UPDATE curae_bucket SET {_sets('DIV')} WHERE id = ? AND {_missing('DIV')} <= ?"
)
