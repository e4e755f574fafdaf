"""Interfaces that let one coroutine, such as the purge, run on a blocking or an async database.

The law of this module: **a refused transaction does not count as done**. PostgreSQL refuses one
above READ COMMITTED if a concurrent transaction came first, at SERIALIZABLE even an unrelated one.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import attrs

from curae_lifecycle.stores.contract import StoreUnchangedError
from curae_lifecycle.stores.retry import Retrier
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement

_Result = TypeVar("_Result")


class Transactions(Protocol):
    """A blocking database that runs single statements and transactions; `Database` adds DDL."""

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        ...

    def rows(self, statement: Statement) -> Rows:
        """Run one statement as a separate transaction and return its rows."""
        ...

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction.

        Returns:
            Whether the transaction committed. If not, it was undone: a statement did not change as
            many rows as it must (`expected_rows`), a unique index refused a row, or a concurrent
            transaction won.
        """
        ...


class AsyncTransactions(Protocol):
    """An async database that runs statements and transactions; `AsyncDatabase` adds DDL."""

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        ...

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement as a separate transaction and return its rows."""
        ...

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction.

        Returns:
            Whether the transaction committed. If not, it was undone: a statement did not change as
            many rows as it must (`expected_rows`), a unique index refused a row, or a concurrent
            transaction won.
        """
        ...


class BlockingTransactions:
    """An adapter of a blocking database to the async interface `AsyncTransactions`.

    So the library's coroutines, such as the purge, can use a blocking database. The adapter's calls
    block and never suspend.

    Args:
        database: The blocking database.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        return self._database.dialect

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement as a separate transaction and return its rows."""
        return self._database.rows(statement)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction, as `Transactions.run_transaction` does.

        Returns:
            True if the transaction committed. False if it was undone on a conflict: a statement did
            not change as many rows as it must, a unique index refused a row, or a concurrent
            transaction won.
        """
        return self._database.run_transaction(statements)


@attrs.frozen
class RetriedTransactions:
    """A wrapper that repeats statements and transactions while the database is unavailable.

    It is for jobs that no request waits for, such as a purge. A transaction may run twice, because
    the outcome of a failed commit can be unknown. So each transaction must leave the same rows when
    it runs a second time.

    Attributes:
        database: The database whose failures are retried.
        retrier: Runs the attempts. Its limits on their number and time apply to each statement and
            to each transaction.
    """

    database: AsyncTransactions
    retrier: Retrier

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        return self.database.dialect

    async def rows(self, statement: Statement) -> Rows:
        """Run one statement as a separate transaction, with retries; return its rows.

        Raises:
            StoreUnavailableError: The database was unavailable in every attempt.
        """
        return await self._run(partial(self.database.rows, statement))

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction, and retry it while the database is unavailable.

        The transaction may run twice, since the outcome of a failed commit can be unknown.

        Returns:
            True if the transaction committed. False if it was undone on a conflict, which is not
            retried: a statement did not change as many rows as it must, a unique index refused a
            row, or a concurrent transaction won.

        Raises:
            StoreUnavailableError: The database was unavailable in every attempt.
        """
        return await self._run(partial(self.database.run_transaction, statements))

    async def _run(self, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        return await self.retrier.run_or_raise(attempt, "no attempt at a batch succeeded in time")


async def run_until_committed(
    database: AsyncTransactions, statements: Sequence[Statement], retrier: Retrier
) -> None:
    """Run statements in one transaction, and repeat it if a concurrent transaction wins.

    Args:
        database: The database.
        statements: Statements that do not depend on earlier reads, such as an upsert.
        retrier: Gives the number of attempts and the pauses. Its time limits do not apply.

    Raises:
        StoreUnavailableError: The database failed, or concurrent transactions won every attempt.
    """

    async def always() -> bool:
        return True

    await run_while(always, database, statements, retrier=retrier)


async def run_while(
    needed: Callable[[], Awaitable[bool]],
    database: AsyncTransactions,
    statements: Sequence[Statement],
    *,
    retrier: Retrier,
) -> bool:
    """Run statements in one transaction, and repeat it while it is needed and does not commit.

    A transaction does not commit if a concurrent one wins. A failure of the database is not
    retried: it is raised at once, because its error names the cause.

    Args:
        needed: Returns whether the transaction is still needed; called before each attempt.
        database: The database.
        statements: The statements. They must be safe to run whenever `needed` has returned True.
        retrier: Gives the number of attempts and the pauses. Its time limits do not apply.

    Returns:
        Whether the transaction committed. If not, it was needed no longer.

    Raises:
        StoreUnavailableError: The database failed, or concurrent transactions won every attempt.
    """
    for attempt in range(1, retrier.policy.attempts + 1):
        if not await needed():
            return False
        if await database.run_transaction(statements):
            return True
        await retrier.sleep(retrier.policy.pause_after(attempt) * random.random())  # noqa: S311 - no secret
    raise StoreUnchangedError("concurrent transactions won every attempt")
