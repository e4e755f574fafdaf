"""Stores with one planted mistake each, which the tests must find."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.support.sql.databases import Forwarding
from tests.support.wrong_stores import only_counts


class Trusting(Forwarding):
    """A database without compare and set: it overwrites any row."""

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return super().run_transaction([_trusting(statement) for statement in statements])


def _trusting(statement: Statement) -> Statement:
    compared = " AND version = ?"
    if not statement.text.endswith(compared):
        return statement
    return Statement(statement.text.removesuffix(compared), statement.values[:-1], 1)


class Stepping(Forwarding):
    """A database that compares, but commits each write by itself."""

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        every = [self.database.run_transaction([each]) for each in statements]
        return all(every)


class LazyStore(SqlStore):
    """A store that compares, but skips writes that only bump a version."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        writes = tuple([each for each in changes.writes if not only_counts(each)])
        return super().commit(loaded, attrs.evolve(changes, writes=writes), page)
