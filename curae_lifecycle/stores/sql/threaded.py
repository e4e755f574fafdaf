"""A blocking database run in threads, for async servers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import Database, Rows


class ThreadedDatabase:
    """An `AsyncDatabase` that runs a blocking `Database` in threads.

    Cancellation does not stop the thread, so a cancelled statement may still take effect.

    Args:
        database: The blocking database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        return self._database.dialect

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement by itself and return its rows."""
        return await asyncio.to_thread(self._database.rows, statement)

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run statements that make tables, in one transaction if the database can."""
        await asyncio.to_thread(self._database.run_ddl, statements)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction.

        Returns:
            True if it committed. False if it was undone: a statement did not change the expected
            number of rows, or a unique index refused one.
        """
        return await asyncio.to_thread(self._database.run_transaction, statements)
