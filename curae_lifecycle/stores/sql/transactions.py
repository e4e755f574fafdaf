"""Databases as the purge uses them: one coroutine runs on a blocking and on an async database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from curae_lifecycle.stores.sql.statement import Statement

_Rows = Sequence[Sequence[object]]


class Transactions(Protocol):
    """The methods of a blocking database that a purge calls."""

    def rows(self, statement: Statement) -> _Rows:
        """Run one statement as a separate transaction and return its rows."""
        ...

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction, and return whether it committed."""
        ...


class AsyncTransactions(Protocol):
    """The methods of an async database that a purge calls."""

    async def rows(self, statement: Statement) -> _Rows:
        """Run one statement as a separate transaction and return its rows."""
        ...

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction, and return whether it committed."""
        ...


class BlockingTransactions:
    """A wrapper that lets the purge, a coroutine, run on a blocking database.

    Its calls block and never suspend.

    Args:
        database: The blocking database.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def rows(self, statement: Statement) -> _Rows:
        """Run one statement as a separate transaction and return its rows."""
        return self._database.rows(statement)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction, and return whether it committed."""
        return self._database.run_transaction(statements)
