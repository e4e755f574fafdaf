"""A database that takes statements for MariaDB and runs them on SQLite."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from curae_lifecycle.stores.sql.clock import NOW_SQL
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from tests.support.sql.databases import Clocked


@attrs.define
class MariadbOnSqlite(Clocked):
    """A database with the dialect of MariaDB; its tables must be there."""

    @property
    def dialect(self) -> Dialect:
        return Dialect.MARIADB

    def rows(self, statement: Statement) -> Rows:
        return super().rows(_to_sqlite(statement))

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return super().run_transaction([_to_sqlite(each) for each in statements])


def _to_sqlite(statement: Statement) -> Statement:
    text = statement.text
    for missing_in_mariadb in ("ON CONFLICT", "CAST(? AS INTEGER)", "clock_timestamp"):
        assert missing_in_mariadb not in text
    text = text.replace(NOW_SQL[Dialect.MARIADB], "0")
    text = text.replace("ON DUPLICATE KEY UPDATE", "ON CONFLICT DO UPDATE SET")
    return statement._replace(text=re.sub(r"VALUES\((\w+)\)", r"excluded.\1", text))
