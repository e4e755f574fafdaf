"""The database's current instant in SQL, in microseconds since 1970."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from curae_lifecycle.stores.sql.statement import Dialect

NOW_SQL: Final = {
    # SQLite runs in this process, so it takes this machine's clock as a value.
    Dialect.SQLITE: "CAST(? AS INTEGER)",
    Dialect.POSTGRESQL: "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    Dialect.MARIADB: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}
"""The SQL expression for the current instant in microseconds since 1970, by dialect.

If the expression has a `?`, its value comes from `now_values`.
"""


SQLITE_CLOCK: Final[ContextVar[Callable[[], int] | None]] = ContextVar("SQLITE_CLOCK", default=None)
"""The clock of SQLite: a function that returns microseconds since 1970.

A simulation sets it. If it is `None`, SQLite uses this machine's clock.
"""


def now_values(dialect: Dialect) -> tuple[int, ...]:
    """Return the values for the `?` in `NOW_SQL`.

    For SQLite that is one value, in microseconds since 1970: this machine's clock, or
    `SQLITE_CLOCK` if that is set. For the other databases there is none: their `NOW_SQL` has no `?`
    and reads the database's clock.
    """
    if dialect is not Dialect.SQLITE:
        return ()
    clock = SQLITE_CLOCK.get()
    return (time.time_ns() // 1000 if clock is None else clock(),)
