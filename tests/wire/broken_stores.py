"""Stores that are wrong in one way each, to see that the tests find it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa
from sql_store import SqlStore

from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import ConnectionWrite, Write
from curae_lifecycle.stores.codec import Storable, dump
from curae_lifecycle.web.json import format_json


class TrustingStore(SqlStore):
    """Compares nothing: it writes over whatever is there, and asks for no successor."""

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

    def _has_successor(self, connection_id: ConnectionId) -> bool:
        del connection_id
        return False


class LazyStore(SqlStore):
    """Compares, but leaves out a write that changes nothing: what was relied on is not held."""

    def _write(self, write: Write) -> None:
        if not isinstance(write, ConnectionWrite) or write.before is not write.after:
            super()._write(write)


class SteppingStore(SqlStore):
    """Commits after every write: what follows may never happen."""

    def _write(self, write: Write) -> None:
        super()._write(write)
        self._connection.exec_driver_sql("COMMIT")
        if self._connection.dialect.name == "sqlite":
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")


STORES: Final = {"trusting": TrustingStore, "lazy": LazyStore, "stepping": SteppingStore}
