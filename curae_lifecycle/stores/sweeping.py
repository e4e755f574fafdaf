"""The sweep, which revokes the connections that a tombstone ended, on any store.

It works in batches, ACTIVE connections first.

The laws of this module: **a sweep can be cut off at any point**, and the next one does what is
left; **a batch is one commit**, so each effect and event is stored once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.values import ConnectionId, Coordinate
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot, check_snapshot
from curae_lifecycle.service.sweep import sweep_changes, swept_changes
from curae_lifecycle.stores.contract import AsyncStore, StoreUnavailableError, check_stored
from curae_lifecycle.stores.deadline import current_deadline
from curae_lifecycle.stores.retry import Retrier, RetryPolicy

REVOCATION_BATCH: Final = 16
"""The largest number of connections that a batch of revocations loads, and revokes in one commit.

Two jobs revoke in batches. A sweep revokes the connections of a user who is gone. The revocation of
a chain revokes a connection and those that follow it, the last ones first.

The number is small because other requests of an event loop wait while a batch is decided. On
PostgreSQL such a commit fits into one combined statement. The last batch of a chain's revocation
may have one connection more: the one with which the revoked part of the chain begins.
"""

BATCH_POLICY: Final = RetryPolicy(attempts=1000, seconds=60.0)
"""The limits of the attempts at a batch of a job: a store's `purge` or `erase`, or `sweep_now`.

The attempts at a batch end after a minute. That is long, because no request waits for these jobs. A
thousand attempts and their pauses take longer, even if each fails at once, as while a database
restarts. The command `facts` uses these limits for each fact.
"""

_Result = TypeVar("_Result")


def unfinished_sweep(snapshot: Snapshot) -> Coordinate | None:
    """Return the coordinate of the loaded binding if its sweep is not finished, else None.

    A tombstone records that the coordinate's user is gone, and so ends the user's connections. The
    sweep then stores these connections as REVOKED.
    """
    binding = snapshot.binding
    return None if binding is None or binding.swept else binding.coordinate


async def sweep(store: AsyncStore, coordinate: Coordinate, *, retrier: Retrier) -> Changes:
    """Store as REVOKED each connection that a coordinate's last tombstone ended, in batches.

    A tombstone is the fact that the coordinate's user is gone. The connections have given no access
    since, but their rows do not say so yet.

    Args:
        store: The store to load from and commit to.
        coordinate: The coordinate.
        retrier: Repeats a batch on a conflict or a store failure. Its time limit applies to each
            batch, not to all of them together.

    Returns:
        Everything that this call committed.

    Raises:
        ArgumentError: The store loaded a batch of connections that does not follow the one before.
        StoreUnavailableError: No attempt at a batch succeeded, or the caller's deadline passed.
            What was committed until then stays, and a later sweep does the rest.
    """
    run = _Sweep(store=store, coordinate=coordinate, retrier=retrier)
    while not await run.try_to_finish():
        pass
    return run.changes


@attrs.define
class _Batch:
    """The result of one batch: the place of the next one, and whether connections are left."""

    last: ConnectionId | None
    passed_over: bool
    changes: Changes


@attrs.define
class _Sweep:
    """One call of `sweep`, with what it has committed."""

    store: AsyncStore
    coordinate: Coordinate
    retrier: Retrier
    changes: Changes = NO_CHANGES

    async def try_to_finish(self) -> bool:
        """Sweep all connections; return False if another tombstone was recorded meanwhile."""
        loaded = await self._run(partial(self.store.load, Needs(binding=self.coordinate)))
        binding = loaded.snapshot.binding
        if binding is None or binding.swept:
            return True
        # Access that was granted is ended first. The others are read again only if there are any.
        if await self._sweep_all(active_first=True):
            await self._sweep_all(active_first=False)

        async def finish() -> tuple[bool, Changes] | None:
            loaded = await self.store.load(Needs(binding=self.coordinate))
            found = loaded.snapshot.binding
            if found is None or found.swept:
                return True, NO_CHANGES
            if found.era != binding.era:
                return False, NO_CHANGES
            changes = swept_changes(found)
            stored = check_stored(await self.store.commit(loaded, changes))
            return (True, changes) if stored else None

        is_finished, changes = await self._run(finish)
        self.changes += changes
        return is_finished

    async def _sweep_all(self, *, active_first: bool) -> bool:
        # Returns whether connections were passed over.
        after: ConnectionId | None = None
        passed_over = False
        while True:
            page = ConnectionsPage(self.coordinate, after, REVOCATION_BATCH)
            batch = await self._run(partial(self._sweep_page, page, active_first=active_first))
            self.changes += batch.changes
            passed_over |= batch.passed_over
            if batch.last is None:
                return passed_over
            after = batch.last

    async def _sweep_page(self, page: ConnectionsPage, *, active_first: bool) -> _Batch | None:
        needs = Needs(connections=page)
        loaded = await self.store.load(needs)
        # With a page that does not follow `after`, the sweep would not end.
        check_snapshot(needs, loaded.snapshot)
        binding, found = loaded.snapshot.binding, loaded.snapshot.connections
        last = found[-1].id if len(found) == page.limit else None
        # Another worker finished the sweep, or a failover to an asynchronous standby lost the tombstone.
        if binding is None or binding.swept:
            return _Batch(None, passed_over=False, changes=NO_CHANGES)
        everything = sweep_changes(binding, found, loaded.now)
        changes = everything
        if active_first:
            changes = sweep_changes(binding, tuple(filter(_is_active, found)), loaded.now)
        passed_over = len(changes.writes) < len(everything.writes)
        if changes.writes and not check_stored(await self.store.commit(loaded, changes)):
            return None
        return _Batch(last, passed_over=passed_over, changes=changes)

    async def _run(self, attempt: Callable[[], Awaitable[_Result | None]]) -> _Result:
        if monotonic() >= current_deadline():
            raise StoreUnavailableError("the sweep after a tombstone was cut off")
        return await self.retrier.run_or_raise(attempt, "no attempt at a sweep succeeded in time")


def _is_active(connection: Connection) -> bool:
    return connection.status is Status.ACTIVE
