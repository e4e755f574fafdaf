"""Stores that are wrong in one way each, to see that the tests find it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import sqlalchemy as sa
from sql_store import SqlStore

from curae_lifecycle.service.changes import BindingWrite, ConnectionWrite, Write
from curae_lifecycle.stores.codec import Storable, dump
from curae_lifecycle.web.json import format_json


class TrustingStore(SqlStore):
    """Compares nothing: it writes over whatever is there."""

    def _set(  # type: ignore[explicit-any] # a default of SQLAlchemy's `Table`
        self,
        table: sa.Table,
        key: dict[str, str],
        columns: Mapping[str, str | int | None],
        before: Storable | None,
        after: Storable,
    ) -> None:
        values = {**columns, "document": format_json(dump(after)).decode()}
        if before is None:
            self._connection.execute(sa.insert(table).values(**key, **values))
            return
        mine = [table.c[name] == value for name, value in key.items()]
        self._connection.execute(sa.update(table).where(*mine).values(**values))


class LazyStore(SqlStore):
    """Compares, but leaves out a write that only counts: what was relied on is not held."""

    def _write(self, write: Write) -> None:
        if isinstance(write, ConnectionWrite | BindingWrite) and _only_counts(write):
            return
        super()._write(write)


def _only_counts(write: ConnectionWrite | BindingWrite) -> bool:
    before, after = write.before, write.after
    return before is not None and attrs.evolve(before, version=after.version) == after


class SteppingStore(SqlStore):
    """Commits after every write: what follows may never happen."""

    def _write(self, write: Write) -> None:
        super()._write(write)
        self._connection.exec_driver_sql("COMMIT")
        if self._connection.dialect.name == "sqlite":
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")


STORES: Final = {"trusting": TrustingStore, "lazy": LazyStore, "stepping": SteppingStore}
