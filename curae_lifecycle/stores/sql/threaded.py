"""A blocking database run in threads, for async servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.sql.failures import is_thread_shortage
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import Database
from curae_lifecycle.stores.wiring import check_database

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


class ThreadedDatabase:
    """An async database for an `AsyncSqlStore`: it runs a blocking `Database` in threads.

    If a call is cancelled, its thread goes on, so its statements may still take effect. If no thread
    can be started, every method raises `StoreUnavailableError`.

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
        return await _run_in_thread(self._database.rows, statement)

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run DDL statements, in one transaction except on MariaDB, which commits each."""
        await _run_in_thread(self._database.run_ddl, statements)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction.

        Returns:
            Whether the transaction committed. If not, it was undone: a statement did not change as
            many rows as it must (`expected_rows`), a unique index refused a row, or a concurrent
            transaction won.
        """
        return await _run_in_thread(self._database.run_transaction, statements)


async def _run_in_thread(act: Callable[[_Argument], _Result], argument: _Argument) -> _Result:
    try:
        return await asyncio.to_thread(act, argument)
    except RuntimeError as error:
        if not is_thread_shortage(error):
            raise
        # The call is queued, and an earlier thread may still run it.
        raise StoreUnavailableError("no thread could be started for a statement") from error
