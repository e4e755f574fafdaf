"""A blocking database run in threads, for async servers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import Database
from curae_lifecycle.stores.wiring import check_database


class ThreadedDatabase:
    """An async database for an `AsyncSqlStore`: it runs a blocking `Database` in threads.

    If a call is cancelled, its thread goes on, so its statements may still take effect.

    Args:
        database: The blocking database.

    Raises:
        ArgumentError: `database` is async, or no database.
    """

    def __init__(self, database: Database) -> None:
        check_database(database, "the async database itself")
        self._database = database

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        return self._database.dialect

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement as a separate transaction and return its rows."""
        return await asyncio.to_thread(self._database.rows, statement)

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run DDL statements, in one transaction except on MariaDB, which commits each."""
        await asyncio.to_thread(self._database.run_ddl, statements)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction.

        Returns:
            Whether the transaction committed. If not, it was undone: a statement did not change as
            many rows as it must (`expected_rows`), a unique index refused a row, or a concurrent
            transaction won.
        """
        return await asyncio.to_thread(self._database.run_transaction, statements)
