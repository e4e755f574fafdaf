"""Charges of buckets ahead of a commit, each in a short transaction.

The law of this module: **a request is charged once, or not at all**. Requests of one API key charge
the same rows, one after the other. On an async database, the waiting requests of a process are
charged together: one transaction takes as many tokens as there are requests. If a bucket has too
few tokens, each request is charged alone, in the order of arrival.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context, copy_context
from typing import TypeAlias

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.keys import rate_key
from curae_lifecycle.stores.sql.buckets import charge_statements, most_together
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.transactions import AsyncTransactions

_Rows: TypeAlias = tuple[tuple[str, Bucket], ...]
"""The buckets of a request and the keys of their rows, in the order of the keys."""


@attrs.frozen
class RequestCharge:
    """The charge of one request: one token of each of its buckets.

    The buckets are the rate limits of the request's API key.

    Attributes:
        rows: The buckets, each with the key of its row, in the order of the keys.
        known: The keys of the rows that existed when the request was loaded. On MariaDB, a separate
            statement inserts the others.
        at: The instant of the charge, in microseconds since 1970.
    """

    rows: _Rows
    known: frozenset[str]
    at: int

    @classmethod
    def of(cls, loaded: Loaded, charges: Sequence[RateWrite]) -> RequestCharge:
        """Build the charge of a request from its writes of buckets.

        Args:
            loaded: The loaded values that the charges were decided from.
            charges: The writes of the buckets.

        Raises:
            ArgumentError: A write is not that of a bucket.
        """
        rows = list[tuple[str, Bucket]]()
        for write in charges:
            if not isinstance(write.policy, Bucket):
                raise ArgumentError("charges", "writes of buckets")
            rows.append((rate_key(write.key), write.policy))
        return cls(
            rows=tuple(sorted(rows, key=lambda row: row[0])),
            known=frozenset(rate_key(each.key) for each in charges if each.before is not None),
            at=to_epoch_microseconds(loaded.now),
        )


def request_charge_statements(
    dialect: Dialect, charges: Sequence[RequestCharge]
) -> list[Statement]:
    """Build the statements that charge one or more requests to the buckets that they share.

    One transaction runs the statements.

    Args:
        dialect: The database's dialect.
        charges: One charge for each request, all of the same buckets. At least one, and at most as
            many as `most_together` allows for each bucket. All count as made at the same instant,
            the latest `at` of them.

    Raises:
        ArgumentError: A bucket is too large for 64-bit integers.
    """
    at = max(each.at for each in charges)
    known = frozenset[str]().union(*(each.known for each in charges))
    statements = list[Statement]()
    for key, policy in charges[0].rows:
        statements += charge_statements(
            dialect,
            policy=policy,
            key=key,
            at=at,
            known=key in known,
            apart=True,
            tokens=len(charges),
        )
    return statements


@attrs.define(eq=False)
class SharedCharges:
    """The charges of an async store, which may charge several requests of one API key together.

    While a transaction charges the buckets (rate limits) of an API key, other requests of that key
    wait. The next transaction charges the waiting requests together.

    Attributes:
        database: The database in which the buckets are stored.
    """

    database: AsyncTransactions
    _lines: _Lines | None = attrs.field(default=None, init=False)

    async def charge(self, charge: RequestCharge) -> bool:
        """Charge a request to its buckets, the rate limits of its API key.

        Requests that wait for the same buckets are charged together, in one transaction.

        Args:
            charge: The buckets of the request, from each of which one token is taken.

        Returns:
            True if the request was charged. False if a bucket no longer admits the request.

        Raises:
            StoreUnavailableError: The database failed. The request may have been charged.
        """
        loop = asyncio.get_running_loop()
        if self._lines is None or self._lines.loop is not loop:
            # Nothing would end the lines of an event loop that has ended.
            self._lines = _Lines(self.database, loop)
        return await self._lines.charge(charge)


@attrs.define(eq=False)
class _Lines:
    """The requests of one event loop that wait for a charge of the same buckets to end."""

    database: AsyncTransactions
    loop: asyncio.AbstractEventLoop
    # There is a line, perhaps empty, while a transaction charges the buckets.
    _waiting: dict[_Rows, list[_Waiter]] = attrs.field(
        factory=dict[_Rows, "list[_Waiter]"], init=False
    )
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set[asyncio.Task[None]], init=False)

    async def charge(self, charge: RequestCharge) -> bool:
        line = self._waiting.get(charge.rows)
        if line is not None:
            waiter = _Waiter(charge, copy_context(), self.loop.create_future())
            line.append(waiter)
            return await waiter.charged
        self._waiting[charge.rows] = []
        try:
            return await self._run([charge])
        finally:
            self._charge_next(charge.rows)

    async def _run(self, charges: Sequence[RequestCharge]) -> bool:
        statements = request_charge_statements(self.database.dialect, charges)
        return await self.database.run_transaction(statements)

    def _charge_next(self, rows: _Rows) -> None:
        # A request whose task was cancelled meanwhile is not charged.
        waiting = [each for each in self._waiting[rows] if not each.charged.done()]
        if not waiting or self.loop.is_closed():
            del self._waiting[rows]
            return
        most = min(most_together(bucket) for _, bucket in rows)
        together, self._waiting[rows] = waiting[:most], waiting[most:]
        # The deadline of the request that came last is the latest.
        work = self._charge_together(rows, together)
        task = self.loop.create_task(work, context=together[-1].context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _charge_together(self, rows: _Rows, waiting: Sequence[_Waiter]) -> None:
        try:
            if await self._run([each.charge for each in waiting]):
                _settle(waiting, charged=True)
            elif len(waiting) == 1:
                _settle(waiting, charged=False)
            else:
                for each in waiting:
                    if not each.charged.done():
                        _settle([each], charged=await self._run([each.charge]))
        except Exception as error:  # noqa: BLE001 - raised by each request that waits
            for each in waiting:
                if not each.charged.done():
                    each.charged.set_exception(error)
        finally:
            self._charge_next(rows)


@attrs.frozen(eq=False)
class _Waiter:
    charge: RequestCharge
    context: Context
    charged: asyncio.Future[bool]


def _settle(waiting: Sequence[_Waiter], *, charged: bool) -> None:
    for each in waiting:
        # The task of a request may have been cancelled while it was charged.
        if not each.charged.done():
            each.charged.set_result(charged)
