"""What a store does, whatever it is made of.

The laws of this module: **what is loaded is of one moment**, the instant of the store's own clock
among it; **a commit stores everything or nothing**, and only where all that it replaces is as it
was loaded, and nobody is bound where nobody was (`unbound`); **nothing live is ever dropped**. A
store that keeps them may be anything: the loop in `serve` asks for nothing else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.values import Coordinate, CustomerAccountId, Environment
from curae_lifecycle.service.changes import BindingWrite, Changes, ConnectionWrite, Write
from curae_lifecycle.service.facts.fact import FactNeeds, FactSnapshot
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.stores.pages import HostedPage


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
class LoadedCall:
    """What was loaded for a call, all of one moment.

    Attributes:
        caller: Whom the API key stands for at that moment; `None` for an unknown key.
        snapshot: What the call needs.
        now: The moment, by the store's clock.
        seen: The store's own note of what it read, given back to it with the commit.
    """

    caller: Caller | None
    snapshot: Snapshot
    now: datetime
    seen: object = attrs.field(default=None, repr=False)


@attrs.frozen
class LoadedFact:
    """What was loaded for a fact, all of one moment.

    Attributes:
        snapshot: What the fact concerns.
        now: The moment, by the store's clock.
        seen: The store's own note of what it read, given back to it with the commit.
    """

    snapshot: FactSnapshot
    now: datetime
    seen: object = attrs.field(default=None, repr=False)


Loaded = LoadedCall | LoadedFact
"""What a commit was decided from."""

NOTHING: Final = Needs(record=None, buckets=(), limit=None, connection=None, binding=None)
"""What is needed where only the caller is asked for."""


class Store(Protocol):
    """A store that waits for its answers; every call may raise `StoreUnavailableError`."""

    def caller_of(self, digest: str) -> Caller | None:
        """Whom an API key stands for, by its digest; `None` for an unknown one.

        It may be as of a moment ago: `for_call` tells anew, and a store that remembers callers
        also learns from it.
        """
        ...

    def for_call(self, digest: str, needs: Needs) -> LoadedCall:
        """The caller, and everything that a call of theirs needs.

        Args:
            digest: The API key's digest.
            needs: What the call needs.
        """
        ...

    def for_fact(self, needs: FactNeeds) -> LoadedFact:
        """Everything that a fact concerns."""
        ...

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Store the writes, put effects and events into the outbox, and let the page be found.

        Args:
            loaded: What the changes were decided from.
            changes: What is to be stored, all of it or nothing.
            page: A hosted page whose URL was given out; an earlier one about the same is gone.

        Returns:
            Whether all that is replaced was as it was loaded. `False`: nothing was stored; load
            again and decide again.
        """
        ...


class AsyncStore(Protocol):
    """The same calls, awaited."""

    async def caller_of(self, digest: str) -> Caller | None:
        """As `Store.caller_of`."""
        ...

    async def for_call(self, digest: str, needs: Needs) -> LoadedCall:
        """As `Store.for_call`."""
        ...

    async def for_fact(self, needs: FactNeeds) -> LoadedFact:
        """As `Store.for_fact`."""
        ...

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        """As `Store.commit`."""
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
