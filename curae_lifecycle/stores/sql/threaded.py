"""A database that waits, asked in threads, for a server that may not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import Database, Rows


class ThreadedDatabase:
    """Runs the statements of a `Database` in threads; they are awaited.

    Where it is cancelled, the thread goes on: what it runs may take effect all the same.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._database.dialect

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement by itself, and give its rows."""
        return await asyncio.to_thread(self._database.rows, statement)

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        """As `Database.create`."""
        await asyncio.to_thread(self._database.run_ddl, statements)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction; false where one did not change what it must."""
        return await asyncio.to_thread(self._database.run_transaction, statements)
