"""The worker of the outbox: it ships every message at least once, each subject's in order.

The laws of this module: **a message stays until it was shipped**, whoever dies when; **no two
workers ship one message within its lease**, and none begins one in the second half of it; **a
message that cannot be shipped holds up its subject until it is dead, and nothing else ever**.

Any number of workers may run at once, in any number of processes. A worker that dies repeats at
most the one message that it was at: each is deleted before the next is begun.
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
from secrets import token_hex
from typing import Final, Protocol

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.retry import (
    DEFAULT_RETRY_POLICY,
    Retrier,
    async_retrier,
    blocking_retrier,
)
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.sql import outbox_statements
from curae_lifecycle.stores.sql.outbox_statements import Backlog
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import AsyncDatabase, Database, Rows

_LOG: Final = logging.getLogger(__name__)

LISTED: Final = 100
"""How many dead messages are listed at most, where nothing else is said."""


@attrs.frozen(kw_only=True)
class DeliverySettings:
    """How messages are shipped.

    Attributes:
        batch: How many are claimed at once.
        lease: For how many seconds they are claimed: whoever dies holds them up for as long. A
            handler has half of it; one that takes longer may run twice at the same time.
        attempts: How often a message is tried before it is dead; with the pauses below, for about
            five hours.
        pause: The seconds before the second attempt; they double with each further one.
        longest_pause: The longest pause.
        poll_seconds: How many seconds pass before it looks again where nothing was due.
    """

    batch: int = 100
    lease: float = 60.0
    attempts: int = 50
    pause: float = 1.0
    longest_pause: float = 600.0
    poll_seconds: float = 1.0

    def __attrs_post_init__(self) -> None:
        """Refuse what would ship nothing, or spin."""
        for name in ("batch", "attempts"):
            if not 1 <= getattr(self, name) <= _MOST:
                raise ArgumentError(name, f"a number from 1 to {_MOST}")
        for name in ("lease", "pause", "longest_pause", "poll_seconds"):
            if not 0 < getattr(self, name) <= _LONGEST:
                raise ArgumentError(name, "a number of seconds, more than 0 and at most a year")

    def pause_after(self, attempt: int) -> float:
        """How long to wait after an attempt, counted from 1, where chance says the most."""
        return min(self.longest_pause, self.pause * 2.0 ** min(attempt - 1, 64))


_MOST: Final = 1000
"""Of values that one statement takes on any database, with some to spare."""

_LONGEST: Final = 366 * 24 * 3600.0

DEFAULT_DELIVERY_SETTINGS: Final = DeliverySettings()
"""What a worker does where nobody says anything else."""


class Outbox:
    """The outbox of a database that waits for its answers.

    Args:
        database: What runs statements.
        settings: How messages are shipped.
    """

    def __init__(
        self, database: Database, settings: DeliverySettings = DEFAULT_DELIVERY_SETTINGS
    ) -> None:
        self._database = _Waiting(database)
        self._shipping = settings

    def run(self, handle: Callable[[Delivery], None], stop: threading.Event | None = None) -> None:
        """Ship messages as they come, until `stop` is set; the one at hand is finished.

        Args:
            handle: Ships a message: when it returns, the message is shipped. What it raises counts
                as a failed attempt, and its kind alone is logged.
            stop: Ends it.
        """
        stopping = stop or threading.Event()

        async def wait(seconds: float) -> None:
            stopping.wait(seconds)

        run_sync(_run(self._worker(handle, stopping.is_set), wait))

    def deliver_batch(self, handle: Callable[[Delivery], None]) -> int:
        """Ship one batch of what is due.

        Returns:
            How many messages were tried; 0 where nothing was due.

        Raises:
            StoreUnavailableError: The database could not; what was not shipped is there.
        """
        return run_sync(self._worker(handle, _never).batch())

    def list_dead(self, after: int = 0, limit: int = LISTED) -> tuple[Delivery, ...]:
        """Messages that are dead, in the order of their numbers, from a number on.

        Args:
            after: The number that they come after.
            limit: How many, at most.
        """
        return run_sync(_dead(self._database, after, limit))

    def backlog(self) -> Backlog:
        """How many messages there are, and how far behind the workers are; it counts all rows."""
        return run_sync(_backlog(self._database))

    def revive(self, number: int) -> bool:
        """Let a dead message be tried again; false where there is no such one.

        Later messages of its subject may have been shipped by then.
        """
        return run_sync(_revive(self._database, number))

    def _worker(self, handle: Callable[[Delivery], None], stopped: Callable[[], bool]) -> _Worker:
        async def handled(delivery: Delivery) -> None:
            handle(delivery)

        trying = blocking_retrier(DEFAULT_RETRY_POLICY)
        return _Worker(
            database=self._database,
            shipping=self._shipping,
            handle=handled,
            stopped=stopped,
            trying=trying,
        )


class AsyncOutbox:
    """The outbox of a database that is awaited.

    One `run` ships one message at a time; run several for more.

    Args:
        database: What runs statements.
        settings: How messages are shipped.
    """

    def __init__(
        self, database: AsyncDatabase, settings: DeliverySettings = DEFAULT_DELIVERY_SETTINGS
    ) -> None:
        self._database = database
        self._shipping = settings

    async def run(
        self, handle: Callable[[Delivery], Awaitable[None]], stop: asyncio.Event | None = None
    ) -> None:
        """Ship messages as they come, as `Outbox.run` does; a handler ends with its time.

        Args:
            handle: As there, awaited.
            stop: Set it, and it ends after what it has begun.
        """
        stopping = stop or asyncio.Event()

        async def wait(seconds: float) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stopping.wait()

        await _run(self._worker(handle, stopping.is_set), wait)

    async def deliver_batch(self, handle: Callable[[Delivery], Awaitable[None]]) -> int:
        """Ship one batch of what is due, as `Outbox.ship` does."""
        return await self._worker(handle, _never).batch()

    async def list_dead(self, after: int = 0, limit: int = LISTED) -> tuple[Delivery, ...]:
        """Messages that are dead, as `Outbox.dead` tells them."""
        return await _dead(self._database, after, limit)

    async def backlog(self) -> Backlog:
        """How many messages there are, as `Outbox.backlog` tells it."""
        return await _backlog(self._database)

    async def revive(self, number: int) -> bool:
        """Let a dead message be tried again, as `Outbox.revive` does."""
        return await _revive(self._database, number)

    def _worker(
        self, handle: Callable[[Delivery], Awaitable[None]], stopped: Callable[[], bool]
    ) -> _Worker:
        async def handled(delivery: Delivery) -> None:
            async with asyncio.timeout(self._shipping.lease / 2):
                await handle(delivery)

        trying = async_retrier(DEFAULT_RETRY_POLICY)
        return _Worker(
            database=self._database,
            shipping=self._shipping,
            handle=handled,
            stopped=stopped,
            trying=trying,
        )


class _Awaited(Protocol):
    """What a worker needs of a database that is awaited."""

    @property
    def dialect(self) -> Dialect: ...

    async def rows(self, statement: Statement) -> Rows: ...

    async def run_transaction(self, statements: Sequence[Statement]) -> bool: ...


def _never() -> bool:
    return False


async def _run(worker: _Worker, wait: Callable[[float], Awaitable[None]]) -> None:
    while not worker.stopped():
        try:
            tried = await worker.batch()
        except StoreUnavailableError as error:
            _LOG.warning("%s", error)
            tried = 0
        if not tried and not worker.stopped():
            await wait(worker.shipping.poll_seconds)


async def _dead(database: _Awaited, after: int, limit: int) -> tuple[Delivery, ...]:
    return outbox_statements.deliveries(
        await database.rows(outbox_statements.dead_statement(after, limit))
    )


async def _backlog(database: _Awaited) -> Backlog:
    return outbox_statements.backlog(
        await database.rows(outbox_statements.backlog_statement(database.dialect))
    )


async def _revive(database: _Awaited, number: int) -> bool:
    return await database.run_transaction(
        [outbox_statements.revival_statement(database.dialect, number)]
    )


@attrs.frozen
class _Worker:
    """One worker, its database being awaited."""

    database: _Awaited
    shipping: DeliverySettings
    handle: Callable[[Delivery], Awaitable[None]]
    stopped: Callable[[], bool]
    trying: Retrier

    async def batch(self) -> int:
        """Claim and ship some messages; how many were tried."""
        began, claim = time.monotonic(), token_hex(16)
        left = deque(await self._claimed(claim))
        tried = 0
        try:
            while left and not self.stopped() and self._has_time(began):
                await self._try(left.popleft(), claim)
                tried += 1
        finally:
            if left:
                # What cannot be given back is due again when its lease is over.
                with suppress(StoreUnavailableError):
                    await self._change(
                        outbox_statements.release_claim_statement(
                            self.database.dialect, left, claim
                        )
                    )
        return tried

    def _has_time(self, began: float) -> bool:
        return time.monotonic() - began < self.shipping.lease / 2

    async def _claimed(self, claim: str) -> Sequence[Delivery]:
        # Again where others claimed all that was due: each time they got on.
        while due := outbox_statements.due_messages(
            await self.database.rows(
                outbox_statements.due_statement(self.database.dialect, self.shipping.batch)
            )
        ):
            spent = [each for each in due if each.attempts >= self.shipping.attempts]
            if spent:
                await self._change(outbox_statements.mark_expired_dead_statement(spent))
                for each in spent:
                    _LOG.error("message %d is dead: its last attempt did not end", each.number)
                continue
            # One that a worker may have died of takes no others with it.
            left_over = [each for each in due if each.claim_expired]
            chosen = left_over[:1] or due
            await self._change(
                outbox_statements.claim_statement(
                    self.database.dialect, due=chosen, claim=claim, lease=self.shipping.lease
                )
            )
            rows = await self.database.rows(outbox_statements.claimed_statement(chosen, claim))
            if rows:
                return outbox_statements.deliveries(rows)
        return ()

    async def _try(self, delivery: Delivery, claim: str) -> None:
        try:
            await self.handle(delivery)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            ended = self._failed(delivery, claim, error)
        else:
            ended = [outbox_statements.delete_delivered_statement(delivery.number, claim)]
        held = await self.trying.run(lambda: self._change(*ended))
        if held is None:
            raise StoreUnavailableError("how a message fared could not be noted in time")
        if not held:
            _LOG.warning(
                "message %d was claimed by nobody or another when it was done", delivery.number
            )

    def _failed(self, delivery: Delivery, claim: str, error: Exception) -> list[Statement]:
        number, attempt = delivery.number, delivery.attempt
        # Of what went wrong the kind alone: the rest may hold what the message holds.
        said = number, attempt, self.shipping.attempts, type(error).__name__
        if attempt >= self.shipping.attempts:
            _LOG.error("message %d is dead: attempt %d of %d: %s", *said)
            return [outbox_statements.mark_failed_dead_statement(number, claim)]
        _LOG.warning("message %d: attempt %d of %d: %s", *said)
        pause = self.shipping.pause_after(attempt) * random.uniform(0.5, 1)  # noqa: S311 - no secret
        return outbox_statements.failure_statements(
            self.database.dialect, failed=delivery, claim=claim, pause=pause
        )

    async def _change(self, *statements: Statement) -> bool:
        return await self.database.run_transaction(statements)


class _Waiting:
    """A database that waits, as one that is awaited: nothing of it ever suspends."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def dialect(self) -> Dialect:
        return self._database.dialect

    async def rows(self, statement: Statement) -> Rows:
        return self._database.rows(statement)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return self._database.run_transaction(statements)
