"""SQL statements that charge a bucket, by the arithmetic of `rules.ratelimit`.

The law of this module: **a charge reads the bucket's state at commit time**, not the state that was
loaded. So charges of one API key commute, and concurrent requests do not cause conflicts. If the
bucket then refuses, the statement changes no row and the whole commit is undone.

All numbers of a charge stay below 2^63, the limit of a database integer. A store refuses larger
buckets when it is created. A stored instant may lie in any future, so a charge multiplies its
distance only if it is at most the window. An instant up to five minutes further ahead refuses, and
one beyond resets the bucket, both by comparison alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Bucket
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    LAST_INSTANT,
    SECOND,
    to_epoch_microseconds,
)
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value

_MAX_INTEGER: Final = 2**63 - 1
_LAST_MICROSECOND: Final = to_epoch_microseconds(LAST_INSTANT)


def check_sizes(buckets: Iterable[Bucket]) -> None:
    """Check that buckets are small enough: their charges must fit into 64-bit integers.

    Raises:
        ArgumentError: A bucket is too large. The error names it.
    """
    for bucket in buckets:
        if not _fits(bucket):
            raise ArgumentError(
                f"bucket {bucket.name!r}",
                "small enough for 64-bit integers: (capacity + 1) times seconds below 8.9 * 10^12",
            )


def _fits(bucket: Bucket) -> bool:
    token, refill = bucket.seconds * SECOND, bucket.refill
    most = bucket.capacity * token
    # The largest numbers of a charge: what is missing after one more charge, and the last instant
    # that the bucket believes.
    largest = max(most + token + refill, _LAST_MICROSECOND + most // refill + CLOCK_TOLERANCE)
    return largest <= _MAX_INTEGER


def most_together(bucket: Bucket) -> int:
    """Return how many tokens one statement may charge to a bucket, at most.

    A bucket is a rate limit. Requests that wait for the same bucket are charged by one statement,
    one token each. The most is the bucket's capacity, or less, so that the charge's numbers fit
    into 64-bit integers.

    Raises:
        ArgumentError: The bucket is too large for 64-bit integers.
    """
    check_sizes((bucket,))
    token = bucket.seconds * SECOND
    room = _MAX_INTEGER - bucket.capacity * token - bucket.refill
    return min(bucket.capacity, room // token)


def charge_statements(
    dialect: Dialect,
    policy: Bucket,
    key: str,
    at: int,
    *,
    known: bool,
    apart: bool = False,
    tokens: int = 1,
) -> list[Statement]:
    """Build the statements that charge a bucket, a rate limit of an API key, in a transaction.

    The last statement must change one row. If the bucket has too few tokens, that statement
    changes none and the transaction is undone.

    Args:
        dialect: The database's dialect.
        policy: The bucket, which holds the capacity and the refill of the rate limit.
        key: The key of the bucket's row, from `rate_key`.
        at: The instant of the charge, in microseconds since 1970.
        known: Whether the bucket's row existed when the request was loaded. If not, a separate
            statement inserts it on MariaDB. Other databases do not need to know.
        apart: Whether the transaction only charges buckets. Its commit then does not wait for
            PostgreSQL's disk, unless the charge inserts the bucket's row.
        tokens: How many tokens to charge, at most as many as `most_together` returns. If a clock
            that ran far ahead wrote the bucket's row, a charge of one token is admitted, and a
            larger one changes no row.

    Raises:
        ArgumentError: The bucket is too large for 64-bit integers.
    """
    check_sizes((policy,))
    token, refill = policy.seconds * SECOND, policy.refill
    most, asked = policy.capacity * token, tokens * token
    window, part = divmod(most, refill)
    last = at + window + CLOCK_TOLERANCE
    missing: tuple[Value, ...] = (
        *(at, asked),
        *(last, last, part, most + asked - token),
        *(at + window, most + asked),
        *(at, refill, asked),
    )
    sets = (at, *missing, refill, *missing, refill)
    if dialect is Dialect.MARIADB:
        charge = Statement(_MARIADB_CHARGE, (*sets, key, *missing, most), 1)
        # INSERT IGNORE locks an existing row, so it runs only if the row was missing at load.
        return [charge] if known else [Statement(_MARIADB_NEW, (key, *FULL_BUCKET)), charge]
    fresh = (key, at + asked // refill, asked % refill)
    is_lazy = apart and dialect is Dialect.POSTGRESQL
    text = _LAZY_CHARGE if is_lazy else _CHARGE
    return [Statement(text, (*fresh, *sets, *missing, most), 1)]


_STORED: Final = "curae_bucket."


_MISSING: Final = (
    # The SQL for what the bucket is missing after one more charge, in units of 1/refill of a
    # microsecond. In this order: the bucket is full; the instant is not believed, so the bucket is
    # empty after a charge of one token; the charge is refused; anything else is exact.
    f"(CASE WHEN {_STORED}full_at < ? THEN ? "
    f"WHEN {_STORED}full_at > ? OR ({_STORED}full_at = ? AND {_STORED}part > ?) THEN ? "
    f"WHEN {_STORED}full_at > ? THEN ? "
    f"ELSE ({_STORED}full_at - ?) * ? + {_STORED}part + ? END)"
)


def _sets(divide: str) -> str:
    return f"full_at = ? + {_MISSING} {divide} ?, part = {_MISSING} % ?"


_COLUMNS: Final = "curae_bucket (id, full_at, part)"
_CHARGE: Final = (
    f"INSERT INTO {_COLUMNS} VALUES (?, ?, ?) "
    f"ON CONFLICT (id) DO UPDATE SET {_sets('/')} WHERE {_MISSING} <= ?"
)
_LAZY_CHARGE: Final = (
    # In the same statement, since further round trips would hold the row's lock for longer. The
    # setting is that of the transaction alone.
    f"{_CHARGE} AND set_config('synchronous_commit', 'off', true) IS NOT NULL"
)
_MARIADB_NEW: Final = f"INSERT IGNORE INTO {_COLUMNS} VALUES (?, ?, ?)"
_MARIADB_CHARGE: Final = (
    # Without SIMULTANEOUS_ASSIGNMENT, MariaDB computes a column from columns that the same
    # statement has already set.
    "SET STATEMENT sql_mode = 'SIMULTANEOUS_ASSIGNMENT,STRICT_TRANS_TABLES' FOR "
    f"UPDATE curae_bucket SET {_sets('DIV')} WHERE id = ? AND {_MISSING} <= ?"
)
