"""Stores with one planted mistake each, which the tests must find."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import Database, Rows, SqlStore
from tests.support.wrong_stores import only_counts


@attrs.frozen
class Trusting:
    """A database without compare and set: it overwrites any row."""

    database: Database

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    def rows(self, statement: Statement) -> Rows:
        return self.database.rows(statement)

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.database.run_ddl(statements)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return self.database.run_transaction([_trusting(statement) for statement in statements])


def _trusting(statement: Statement) -> Statement:
    compared = " AND version = ?"
    if not statement.text.endswith(compared):
        return statement
    return Statement(statement.text.removesuffix(compared), statement.values[:-1], 1)


@attrs.frozen
class Stepping(Trusting):
    """A database that compares, but commits each write by itself."""

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        every = [self.database.run_transaction([statement]) for statement in statements]
        return all(every)


class LazyStore(SqlStore):
    """A store that compares, but skips writes that only bump a version."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        writes = tuple([each for each in changes.writes if not only_counts(each)])
        return super().commit(loaded, attrs.evolve(changes, writes=writes), page)
