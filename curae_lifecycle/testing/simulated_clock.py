"""An adapter that runs any store on a simulated clock, and protocols of stores under test.

The law of this module: **`load` reports the simulated instant**, whatever clock the store has. So a
store that takes its time from a database can run on simulated time like one in memory. What the
store itself judges, such as a purge, goes by its own clock, so nothing is purged if that clock
cannot be set.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

import attrs

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded, Store, is_charging_store
from curae_lifecycle.testing.blocking import has_clock, method_of, replace_clock


class StoreWithApiKeys(Store, Protocol):
    """A store that can register API keys."""

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Register an API key for a caller, or replace the caller of a registered key.

        From the next request on, the key belongs to that caller. The result is ignored.

        Args:
            api_key: The key.
            caller: The caller of the key.
        """
        ...


@runtime_checkable
class Purgeable(Protocol):
    """A store that drops expired values by a clock that can be set.

    Attributes:
        clock: Returns the current instant. A test may set it.
    """

    clock: Callable[[], datetime]

    def purge(self) -> object:
        """Drop every value that expired at least five minutes ago.

        Returns:
            The number of dropped values. A result that is not an integer means that the number is
            unknown.
        """
        ...


class SimulatedClockStore:
    """A wrapper that runs any store on a simulated clock.

    Args:
        store: The store to wrap. Loads return the simulated instant in place of the store's own.
            The store purges by its own clock, which does not follow `now`. If that clock can be
            set, this class sets it to the first simulated instant. Later only `purge` and
            `limit_purge_to` set it, each to its argument.
        now: The first simulated instant.

    Attributes:
        now: The simulated instant, which the test sets.
        has_settable_clock: True if the store's own clock can be set.
    """

    def __init__(self, store: StoreWithApiKeys, now: datetime) -> None:
        self.now = now
        self._store = store
        self._purged_at = now
        self.has_settable_clock: Final = has_clock(store)
        self._purge = method_of(store, "purge") if self.has_settable_clock else None
        if self.has_settable_clock:
            # Transactions overlap and workers' clocks differ. If the store's clock showed the
            # latest `now`, the store could drop values that a slower worker still needs.
            replace_clock(store, lambda: self._purged_at)

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Register an API key for a caller, or replace the caller of a registered key.

        The result is that of the wrapped store, and has no meaning.
        """
        return self._store.register(api_key, caller)

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of the API key with this digest, or None for an unknown key."""
        return self._store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load the values that `needs` names, with the simulated instant as the result's `now`.

        The caller of the API key is loaded as well if `key_digest` is given.
        """
        return attrs.evolve(self._store.load(needs, key_digest), now=self.now)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Commit changes to the wrapped store, all of them or none.

        Args:
            loaded: The result of the load that the changes were decided from.
            changes: The changes.
            page: The hosted page to register with them; `None` if there is none.

        Returns:
            True if everything was stored; False on a conflict, after which nothing was stored.
        """
        return self._store.commit(loaded, changes, page)

    def limit_purge_to(self, now: datetime) -> None:
        """Set the clock of the wrapped store to `now`: it then purges no value that is live at `now`.

        If that clock cannot be set, nothing happens. This method itself purges nothing. The clock
        stays at `now` until this method or `purge` sets it again.
        """
        self._purged_at = now

    @property
    def charges_apart(self) -> bool:
        """True if the store charges buckets by `charge`, in a transaction before the commit.

        Buckets are the rate limits of API keys.
        """
        return is_charging_store(self._store)

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        """Charge a request to its API key's rate limits, the buckets, before its commit.

        Call this method only if `charges_apart` is True.

        Args:
            loaded: The result of the load that the charges were decided from.
            charges: The writes of the buckets; empty if an earlier attempt made them.
            durable: True if no commit follows: these and all earlier charges must then outlive a
                crash of the store.

        Returns:
            True if all buckets were charged. False if one no longer admits the request; then none
            was charged.
        """
        store: Store = self._store
        assert is_charging_store(store)  # noqa: S101 - `charges_apart` says so
        return store.charge(loaded, charges, durable=durable)

    def purge(self, now: datetime) -> int:
        """Set the store's clock to `now`, and call the store's `purge` to drop expired values.

        Nothing is dropped if that clock cannot be set, or if the store has no `purge`.

        Returns:
            The number of dropped values; 0 if the store does not report it or was not purged.
        """
        self._purged_at = now
        if self._purge is None:
            return 0
        dropped = self._purge()
        return dropped if isinstance(dropped, int) else 0
