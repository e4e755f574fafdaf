"""A store of anybody's on a time of the test's own, and what a store has beside the contract.

The law of this module: **what is loaded says the test's instant**, whatever clock the store has, so
that a store which takes its time from a database lives on simulated time like one in memory. Only
what a store drops goes by its own clock, so nothing is purged where that cannot be set.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, runtime_checkable

import attrs

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded, Store
from curae_lifecycle.stores.hosted_pages import HostedPage


class StoreWithApiKeys(Store, Protocol):
    """A store that API keys can be registered with."""

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Let an API key stand for a caller, from the next request on; again replaces."""
        ...


@runtime_checkable
class Purgeable(Protocol):
    """A store that drops what is over, by a clock that can be set.

    Attributes:
        clock: Tells the store's instant.
    """

    clock: Callable[[], datetime]

    def purge(self) -> object:
        """Drop what has been over for five minutes; say how many values that were, or nothing."""
        ...


class SimulatedClockStore:
    """A store on a time of the test's own.

    Args:
        store: The store; where its clock can be set, it shows the instant of the latest purge.
        now: The first instant.

    Attributes:
        now: The instant that it says, which the test sets.
    """

    def __init__(self, store: StoreWithApiKeys, now: datetime) -> None:
        self.now = now
        self._store = store
        self._purged_at = now
        if isinstance(store, Purgeable):
            # Transactions overlap here, and workers' clocks differ: what one of them may still
            # need is not over by the store's clock.
            store.clock = lambda: self._purged_at

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Let an API key stand for a caller."""
        return self._store.register(api_key, caller)

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, as `Store.caller_of` does."""
        return self._store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, at the simulated instant."""
        return attrs.evolve(self._store.load(needs, key_digest), now=self.now)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """As `Store.commit`."""
        return self._store.commit(loaded, changes, page)

    def purge(self, now: datetime) -> int:
        """Drop what is over at an instant, where the store lets its clock be set.

        Returns:
            How many values that were, where the store says so.
        """
        self._purged_at = now
        if not isinstance(self._store, Purgeable):
            return 0
        dropped = self._store.purge()
        return dropped if isinstance(dropped, int) else 0
