"""The outbox worker, which delivers every message at least once and each subject's in order.

The laws of this module:

- **A message stays in the table until it was delivered**, no matter which process crashes when,
  or until an operator discards it as dead.
- **No two workers deliver one message within its lease.** No worker starts a message in the second
  half of its lease.
- **A message that cannot be delivered blocks its own subject until it is dead**, and nothing else.
- **A due `AccessEnded` goes first.** It takes turns with the usual order.

Any number of workers may run at once, in any number of processes. A worker that crashes repeats one
message at most, because it deletes each message before it starts the next.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from secrets import token_hex
from typing import Final, cast

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.outbox import AnyDelivery, Delivery, MalformedDelivery, NewerDelivery
from curae_lifecycle.stores.retry import (
    DEFAULT_RETRY_POLICY,
    Retrier,
    async_retrier,
    blocking_retrier,
)
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.sql import dead_messages, outbox_statements
from curae_lifecycle.stores.sql.delivery_settings import (
    DEFAULT_DELIVERY_SETTINGS,
    DeliverySettings,
    NextBatch,
)
from curae_lifecycle.stores.sql.outbox_statements import Backlog, Due
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncDatabase, Database
from curae_lifecycle.stores.sql.transactions import AsyncTransactions, BlockingTransactions
from curae_lifecycle.stores.wiring import (
    check_async_database,
    check_async_function,
    check_database,
    check_function,
)

_LOG: Final = logging.getLogger(__name__)

DEFAULT_DEAD_LIMIT: Final = 100
"""The default for the largest number of dead messages that `Outbox.list_dead` returns."""


class Outbox:
    """A worker that delivers the effects and events of a `SqlStore`, from a blocking database.

    One call of `run` delivers one message at a time. To deliver several at a time, make several
    concurrent calls, in threads or processes. A due `AccessEnded`, the effect that tells the server
    to drop cached grants, overtakes other messages. Every second message is still taken in the
    usual order, so a flood of `AccessEnded` at most doubles the wait of the others.

    Args:
        database: The database of a `SqlStore`.
        settings: The batch size, lease, attempts and pauses.

    Raises:
        ArgumentError: `database` is async, or no database.
    """

    def __init__(
        self, database: Database, settings: DeliverySettings = DEFAULT_DELIVERY_SETTINGS
    ) -> None:
        check_database(database, "AsyncOutbox")
        self._database = BlockingTransactions(database)
        self._settings = settings
        self._next = NextBatch()

    def run(self, handle: Callable[[Delivery], None], stop: threading.Event | None = None) -> None:
        """Deliver messages as they become due, until `stop` is set.

        While the database is unavailable, `run` logs a warning, waits and tries again.

        Args:
            handle: Delivers a message, which counts as delivered when `handle` returns. An
                exception counts as a failed attempt. Only the exception's class is logged.
            stop: Stops the worker after the current message. The worker releases the other
                messages of its batch. `None` runs for ever.

        Raises:
            ArgumentError: `handle` or `stop` is async.
        """
        _check_stop(stop, "a threading.Event or None", is_async=False)
        stopped = stop or threading.Event()

        async def wait(seconds: float) -> None:
            stopped.wait(seconds)

        run_sync(_run(self._worker(handle, stopped.is_set), wait))

    def deliver_batch(self, handle: Callable[[Delivery], None]) -> int:
        """Deliver one batch of due messages.

        Args:
            handle: Delivers a message, which counts as delivered when `handle` returns. An
                exception counts as a failed attempt.

        Returns:
            The number of messages that the call tried to deliver, failed ones included; 0 if no
            message was due.

        Raises:
            ArgumentError: `handle` is async.
            StoreUnavailableError: The database failed. Undelivered messages stay in the outbox.
        """
        return run_sync(self._worker(handle, _never).batch())

    def list_dead(self, after: int = 0, limit: int = DEFAULT_DEAD_LIMIT) -> tuple[AnyDelivery, ...]:
        """Return dead messages, which have no attempts left, in the order of their numbers.

        Messages that only a newer release can read are included, as `NewerDelivery`, and malformed
        ones, as `MalformedDelivery`.

        Args:
            after: Only messages with a higher number are returned.
            limit: The largest number of messages to return.

        Raises:
            StoreUnavailableError: The database failed.
        """
        return run_sync(dead_messages.list_dead(self._database, after, limit))

    def backlog(self) -> Backlog:
        """Return how many messages are undelivered or dead, and how late the oldest due one is.

        The query scans the whole outbox.

        Raises:
            StoreUnavailableError: The database failed.
        """
        return run_sync(_backlog(self._database))

    def revive(self, number: int) -> bool:
        """Make a dead message due now and reset its count of attempts to zero, as if it were new.

        A dead message has no attempts left. Later messages of its subject may have been delivered
        before it.

        Returns:
            True if there was a dead message of that number; False if there was none.

        Raises:
            StoreUnavailableError: The database failed, or concurrent transactions won each attempt.
        """
        retrier = blocking_retrier(DEFAULT_RETRY_POLICY)
        return run_sync(dead_messages.revive(self._database, number, retrier))

    def discard(self, number: int) -> bool:
        """Delete a dead message, one without attempts left, which is then never delivered.

        Returns:
            True if there was a dead message of that number; False if there was none.

        Raises:
            StoreUnavailableError: The database failed, or concurrent transactions won each attempt.
        """
        retrier = blocking_retrier(DEFAULT_RETRY_POLICY)
        return run_sync(dead_messages.discard(self._database, number, retrier))

    def _worker(self, handle: Callable[[Delivery], None], stopped: Callable[[], bool]) -> _Worker:
        check_function("handle", handle, _HANDLER)

        async def handle_blocking(delivery: Delivery) -> None:
            result = cast("object", handle(delivery))
            if isawaitable(result):
                # Nothing was delivered, so the message must stay.
                if iscoroutine(result):
                    result.close()
                raise ArgumentError("handle", f"{_HANDLER}: this one is async")

        return _Worker(
            database=self._database,
            settings=self._settings,
            handle=handle_blocking,
            stopped=stopped,
            retrier=blocking_retrier(DEFAULT_RETRY_POLICY),
            next_batch=self._next,
        )


class AsyncOutbox:
    """A worker that delivers the effects and events of an `AsyncSqlStore`, from an async database.

    One call of `run` delivers one message at a time, in the same order as `Outbox`. To deliver
    several at a time, make several concurrent calls, in tasks or processes.

    Args:
        database: The database of an `AsyncSqlStore`.
        settings: The batch size, lease, attempts and pauses.

    Raises:
        ArgumentError: `database` is blocking, or no database.
    """

    def __init__(
        self, database: AsyncDatabase, settings: DeliverySettings = DEFAULT_DELIVERY_SETTINGS
    ) -> None:
        check_async_database(database, "Outbox")
        self._database = database
        self._settings = settings
        self._next = NextBatch()

    async def run(
        self, handle: Callable[[Delivery], Awaitable[None]], stop: asyncio.Event | None = None
    ) -> None:
        """Deliver messages as they become due, until `stop` is set.

        While the database is unavailable, `run` logs a warning, waits and tries again.

        Args:
            handle: Delivers a message, which counts as delivered when `handle` returns. After half
                the lease, `handle` is cancelled. A cancellation or an exception counts as a failed
                attempt. Only the exception's class is logged.
            stop: Stops the worker after the current message. The worker releases the other
                messages of its batch. `None` runs for ever.

        Raises:
            ArgumentError: `handle` or `stop` is blocking.
        """
        # The wait for an event of threads would block the event loop.
        _check_stop(stop, "an asyncio.Event or None", is_async=True)
        stopped = stop or asyncio.Event()

        async def wait(seconds: float) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stopped.wait()

        await _run(self._worker(handle, stopped.is_set), wait)

    async def deliver_batch(self, handle: Callable[[Delivery], Awaitable[None]]) -> int:
        """Deliver one batch of due messages, as `Outbox.deliver_batch` does.

        Args:
            handle: Delivers a message, as in `AsyncOutbox.run`: it is cancelled after half the
                lease. A cancellation or an exception counts as a failed attempt.

        Returns:
            The number of messages that the call tried to deliver, failed ones included.
        """
        return await self._worker(handle, _never).batch()

    async def list_dead(
        self, after: int = 0, limit: int = DEFAULT_DEAD_LIMIT
    ) -> tuple[AnyDelivery, ...]:
        """Return up to `limit` dead messages with numbers above `after`, as `Outbox.list_dead`.

        Dead messages have no attempts left. They are in the order of their numbers.
        """
        return await dead_messages.list_dead(self._database, after, limit)

    async def backlog(self) -> Backlog:
        """Return how many messages are undelivered or dead, and how late the oldest due one is."""
        return await _backlog(self._database)

    async def revive(self, number: int) -> bool:
        """Make a dead message (no attempts left) due now, as if new, as `Outbox.revive` does.

        Returns:
            Whether a dead message had that number.
        """
        return await dead_messages.revive(
            self._database, number, async_retrier(DEFAULT_RETRY_POLICY)
        )

    async def discard(self, number: int) -> bool:
        """Delete a dead message (no attempts left), as `Outbox.discard`; return if it existed."""
        return await dead_messages.discard(
            self._database, number, async_retrier(DEFAULT_RETRY_POLICY)
        )

    def _worker(
        self, handle: Callable[[Delivery], Awaitable[None]], stopped: Callable[[], bool]
    ) -> _Worker:
        check_async_function("handle", handle, f"an async {_HANDLER.removeprefix('a ')}")

        async def handle_in_time(delivery: Delivery) -> None:
            async with asyncio.timeout(self._settings.lease / 2):
                await handle(delivery)

        return _Worker(
            database=self._database,
            settings=self._settings,
            handle=handle_in_time,
            stopped=stopped,
            retrier=async_retrier(DEFAULT_RETRY_POLICY),
            next_batch=self._next,
        )


_HANDLER: Final = "a function that takes a Delivery"


def _check_stop(stop: object, allowed: str, *, is_async: bool) -> None:
    if stop is not None and iscoroutinefunction(getattr(stop, "wait", None)) is not is_async:
        raise ArgumentError("stop", allowed)


def _never() -> bool:
    return False


def _is_being_cancelled() -> bool:
    # A blocking worker usually runs outside an event loop.
    with suppress(RuntimeError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return False


async def _run(worker: _Worker, wait: Callable[[float], Awaitable[None]]) -> None:
    while not worker.stopped():
        try:
            tried = await worker.batch()
        except StoreUnavailableError as error:
            _LOG.warning("%s", error)
            tried = 0
        if not tried and not worker.stopped():
            await wait(worker.settings.poll_seconds)


async def _backlog(database: AsyncTransactions) -> Backlog:
    return outbox_statements.parse_backlog(
        await database.rows(outbox_statements.backlog_statement(database.dialect))
    )


@attrs.frozen
class _Worker:
    """One worker. Its database is async, or a blocking one behind an adapter."""

    database: AsyncTransactions
    settings: DeliverySettings
    handle: Callable[[Delivery], Awaitable[None]]
    stopped: Callable[[], bool]
    retrier: Retrier
    next_batch: NextBatch = attrs.field(factory=NextBatch)
    newer: set[int] = attrs.field(factory=set[int])
    """The numbers of due messages that only a newer release can read; they are not claimed again."""

    async def batch(self) -> int:
        """Claim and deliver a batch of messages, and return how many were tried."""
        started_at, claim = time.monotonic(), token_hex(16)
        left = deque(await self._claim(claim))
        tried = 0
        try:
            while left and not self.stopped() and self._has_time(started_at):
                due, delivery = left.popleft()
                self.next_batch.urgent_first = not due.urgent
                await self._try(delivery, claim)
                tried += 1
                self.next_batch.seconds_each = (time.monotonic() - started_at) / tried
        finally:
            if left:
                await self._release([delivery for _, delivery in left], claim)
        return tried

    def _has_time(self, started_at: float) -> bool:
        return time.monotonic() - started_at < self.settings.lease / 2

    async def _claim(self, claim: str) -> Sequence[tuple[Due, Delivery | MalformedDelivery]]:
        # Tries again if other workers claimed all due messages first. The loop ends, because some
        # worker claims messages or marks them dead, or this one learns that it cannot read them.
        dialect = self.database.dialect
        while due := await self._due():
            spent = [each for each in due if each.attempts >= self.settings.attempts]
            if spent:
                for each in spent:
                    dead = outbox_statements.mark_expired_dead_statements(dialect, each)
                    if await self._change(*dead):
                        _LOG.error("message %d is dead: its last attempt did not end", each.number)
                continue
            # A message that may have crashed its worker is claimed alone, so that another crash
            # costs no other message an attempt. An urgent message whose turn it is precedes it.
            suspects = [each for each in due if each.claim is not None]
            chosen = due
            if suspects:
                chosen = [due[0] if due[0].urgent else suspects[0]]
            await self._change(
                outbox_statements.claim_statement(
                    dialect, due=chosen, claim=claim, lease=self.settings.lease
                )
            )
            rows = await self.database.rows(outbox_statements.claimed_statement(chosen, claim))
            claimed = outbox_statements.deliveries(rows)
            newer = [each for each in claimed if isinstance(each, NewerDelivery)]
            if newer:
                await self._return_untried(newer, claim)
            own = {each.number: each for each in claimed if not isinstance(each, NewerDelivery)}
            if own:
                return [(each, own[each.number]) for each in chosen if each.number in own]
        return ()

    async def _due(self) -> list[Due]:
        # Messages that are known to be newer still count as due, so the limit makes room for them.
        limit = self.settings.batch + len(self.newer)
        rows = await self.database.rows(
            outbox_statements.due_statement(self.database.dialect, limit)
        )
        numbers = [row[0] for row in rows]
        if len(rows) < limit:
            # All due messages are here, so any other number is gone.
            self.newer.intersection_update(numbers)
        readable = [
            row for row, number in zip(rows, numbers, strict=True) if number not in self.newer
        ]
        size = self.next_batch.size(self.settings)
        return outbox_statements.due_messages(
            readable, size, urgent_first=self.next_batch.urgent_first
        )

    async def _return_untried(self, newer: Sequence[NewerDelivery], claim: str) -> None:
        for each in newer:
            _LOG.warning("message %d is returned untried: %s", each.number, each.error)
        await self._release(newer, claim)
        self.newer.update([each.number for each in newer])

    async def _release(self, untried: Sequence[AnyDelivery], claim: str) -> None:
        # If the release fails, the messages are due again when their lease has expired.
        with suppress(StoreUnavailableError):
            await self._change(
                outbox_statements.release_claim_statement(self.database.dialect, untried, claim)
            )

    async def _try(self, delivery: Delivery | MalformedDelivery, claim: str) -> None:
        try:
            if isinstance(delivery, MalformedDelivery):
                raise delivery.error  # noqa: TRY301 - a failed attempt, as of a handler
            await self.handle(delivery)
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            # The handler waited for a cancelled task; the worker itself was not cancelled.
            ended = self._failed(delivery, claim, error)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            ended = self._failed(delivery, claim, error)
        else:
            dialect = self.database.dialect
            ended = outbox_statements.delivered_statements(dialect, delivery, claim)

        async def end() -> bool | None:
            if await self._change(*ended):
                return True
            # A conflict with a concurrent transaction leaves the claim; None makes another attempt.
            held = outbox_statements.held_claim_statement(delivery.number, claim)
            return None if await self.database.rows(held) else False

        message = "the result of a delivery could not be stored in time"
        if not await self.retrier.run_or_raise(end, message):
            _LOG.warning(
                "message %d: the claim was lost before the result was stored, so the message may be "
                "delivered twice; or the result was stored, and the database's response was lost",
                delivery.number,
            )

    def _failed(
        self, delivery: Delivery | MalformedDelivery, claim: str, error: BaseException
    ) -> list[Statement]:
        number, attempt = delivery.number, delivery.attempt
        # Only the exception's class is logged: its text may repeat the content of the message.
        details = number, attempt, self.settings.attempts, type(error).__name__
        if attempt >= self.settings.attempts:
            _LOG.error("message %d is dead: attempt %d of %d: %s", *details)
            return outbox_statements.mark_dead_statements(self.database.dialect, delivery, claim)
        _LOG.warning("message %d: attempt %d of %d: %s", *details)
        pause = self.settings.pause_after(attempt) * random.uniform(0.5, 1)  # noqa: S311 - no secret
        return outbox_statements.failure_statements(
            self.database.dialect,
            failed=delivery,
            claim=claim,
            pause=pause,
            longest_pause=self.settings.longest_pause,
        )

    async def _change(self, *statements: Statement) -> bool:
        return await self.database.run_transaction(statements)
