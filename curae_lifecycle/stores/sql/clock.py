"""The database's current instant in SQL, in microseconds since 1970."""

from __future__ import annotations

import time
from typing import Final

from curae_lifecycle.stores.sql.statement import Dialect

NOW_SQL: Final = {
    # SQLite runs in this process, so it takes this machine's clock as a value.
    Dialect.SQLITE: "CAST(? AS INTEGER)",
    Dialect.POSTGRESQL: "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    Dialect.MARIADB: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}
"""The SQL expression for the current instant in microseconds since 1970, by dialect."""


def now_parameter(dialect: Dialect) -> int | None:
    """Return the value for the `?` in `NOW_SQL`, in microseconds since 1970.

    The value is this machine's clock for SQLite. It is None for the other databases, whose
    `NOW_SQL` has no `?` and reads the database's clock.
    """
    return time.time_ns() // 1000 if dialect is Dialect.SQLITE else None
