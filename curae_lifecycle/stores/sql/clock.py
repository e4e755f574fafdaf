"""The database's instant, in microseconds since 1970, as a statement asks for it."""

from __future__ import annotations

import time
from typing import Final

from curae_lifecycle.stores.sql.statement import Dialect

NOW_SQL: Final = {
    # SQLite runs on this machine and is given its clock as a value.
    Dialect.SQLITE: "CAST(? AS INTEGER)",
    Dialect.POSTGRESQL: "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    Dialect.MARIADB: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}
"""What the instant is in SQL."""


def now_parameter(dialect: Dialect) -> int | None:
    """The value that `MOMENT` takes; `None` for a database that has a clock."""
    return time.time_ns() // 1000 if dialect is Dialect.SQLITE else None
