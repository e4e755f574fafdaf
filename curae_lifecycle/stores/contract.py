"""What a store does, whatever it is made of.

The laws of this module: **what is loaded is of one moment**, the instant of the store's own clock
among it; **a commit stores everything or nothing**, and only where all that it replaces is as it
was loaded, and nobody is bound where nobody was (`unbound`); **nothing live is ever dropped**. A
store that keeps them may be anything: the loop in `serve` asks for nothing else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.values import Coordinate, CustomerAccountId, Environment
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, Write
from curae_lifecycle.stores.hosted_pages import HostedPage


class StoreUnavailableError(LifecycleError, RuntimeError):
    """The store could not do now what it was asked: a lock, a deadlock, a lost connection.

    Whether a commit took effect is not known, unless it is a `StoreUnchangedError`; to load again
    shows it.

    Attributes:
        reason: What happened, in words that hold no stored value.
    """

    def __init__(self, reason: str) -> None:
        """Say what happened."""
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the store cannot be used now: {self.reason}"


class StoreUnchangedError(StoreUnavailableError):
    """The same, and nothing was stored for sure: a lock that was not free in time, a deadlock.

    The loop tries again either way. Who sees the difference is who keeps a part elsewhere, such as
    rate limits in Redis: what was charged for a commit that is surely undone is given back, so that
    a request that had to wait for a lock is charged once. Raise it only where it is sure.
    """


class StoreFullError(LifecycleError, RuntimeError):
    """A new value found no room; nothing was stored and nothing live was dropped.

    Attributes:
        kind: What was to be inserted.
        capacity: How many of a kind a customer account may hold.
        environment: Whether the account's test or live values are as many as that.
        customer_account_id: Whose values they are; another account goes on.
    """

    def __init__(
        self,
        kind: str,
        capacity: int,
        environment: Environment,
        customer_account_id: CustomerAccountId,
    ) -> None:
        super().__init__(kind, capacity, environment, customer_account_id)
        self.kind = kind
        self.capacity = capacity
        self.environment = environment
        self.customer_account_id = customer_account_id

    def __str__(self) -> str:
        whose = f"the {self.environment} customer account {self.customer_account_id}"
        return f"{whose} holds {self.capacity} values of kind {self.kind}, and no more are taken"


@attrs.frozen
class Loaded:
    """What a store loaded, all of one moment.

    Attributes:
        snapshot: The values that were asked for.
        now: The moment, by the store's clock.
        caller: The caller of the API key; `None` for an unknown key, and if none was given.
        seen: The store's own note of the versions it read; the commit gets it back.
    """

    snapshot: Snapshot
    now: datetime
    caller: Caller | None = None
    seen: object = attrs.field(default=None, repr=False)


class Store(Protocol):
    """A store whose calls block; each of them may raise `StoreUnavailableError`."""

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, or None for an unknown key.

        The caller may come from a cache: `load` returns the current one, and refreshes the cache.

        Args:
            key_digest: The digest of the API key.
        """
        ...

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, all of one moment.

        Args:
            needs: What is loaded.
            key_digest: The digest of the API key whose caller is loaded too; `None` for a fact.
        """
        ...

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Store the writes, put effects and events into the outbox, and register the page.

        Args:
            loaded: What the changes were decided from.
            changes: What is stored, all of it or nothing.
            page: A hosted page whose URL was given out; it replaces an earlier one of its subject.

        Returns:
            True if it was stored. False if a value that a write replaces is not as it was loaded:
            nothing was stored; load again and decide again.
        """
        ...


class AsyncStore(Protocol):
    """A store with the same calls, async."""

    async def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, as `Store.caller_of` does."""
        ...

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, as `Store.load` does."""
        ...

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        """Commit the changes, as `Store.commit` does."""
        ...


def unbound(writes: tuple[Write, ...]) -> Coordinate | None:
    """Whom nobody was bound to when this was decided, and may not be bound to when it is stored.

    A connection that begins a chain comes with a write of its coordinate's binding, which it relies
    on: a tombstone meets it there. Where it comes without one there was none to write. Stored all the
    same after somebody was bound, it would be missed by a tombstone that had looked before [O].

    Args:
        writes: What is to be stored together.
    """
    begun = None
    for write in writes:
        if isinstance(write, BindingWrite):
            return None
        if isinstance(write, ConnectionWrite) and write.before is None:
            begun = write.after.identity
    return begun.coordinate if begun is not None and begun.predecessor_id is None else None
