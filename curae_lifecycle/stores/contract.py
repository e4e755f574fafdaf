"""The contract of a store, whatever database is behind it.

The laws of this module:

- **A load shows one moment**, and tells the instant by the store's own clock.
- **A commit stores everything or nothing.** It stores only if every value that it replaces is still
  as it was loaded.
- **A connection is loaded with the binding of its coordinate**, in the same read, because the
  binding's era says whether the connection is over.
- **A live value is never dropped.**

The loop in `serve` needs nothing else of a store. A `ChargingStore` can charge buckets ahead of the
commit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, TypeGuard

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError, LifecycleError
from curae_lifecycle.rules.values import CustomerAccountId, Environment
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import RateWrite


class StoreUnavailableError(LifecycleError, RuntimeError):
    """A temporary failure of the store, such as a lock timeout, a deadlock or a lost connection.

    A commit that raises this error may have taken effect; load again to find out. Only the subclass
    `StoreUnchangedError` says that nothing was stored.

    Attributes:
        reason: The cause, in words that hold no stored value.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the store cannot be used now: {self.reason}"


class StoreUnchangedError(StoreUnavailableError):
    """A temporary failure that certainly stored nothing, such as a lock timeout or a deadlock.

    `serve` and `record` retry after this error and after its base class alike. The difference
    matters to a store such as `RedisLimitsStore`, which charges rate limits in Redis and commits
    everything else to a second store. If the second store raises this error, `RedisLimitsStore`
    gives the charge back, and the next attempt charges again. So the request is charged only once.
    Raise this error only if certainly nothing was stored.
    """


class StoreFullError(LifecycleError, RuntimeError):
    """The refusal of a commit that would exceed the capacity of a customer account.

    The commit stored nothing, and no live value was dropped to make room. Other accounts are not
    affected.

    Attributes:
        kind: The kind of the new value, such as `Connection`.
        capacity: How many values of each kind a customer account may hold in one environment.
        environment: The environment in which the account is full; test and live values are counted
            apart.
        customer_account_id: The account that is full.
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
        account = f"the {self.environment} customer account {self.customer_account_id}"
        return f"{account} is full: it may hold at most {self.capacity} values of kind {self.kind}"


@attrs.frozen
class Loaded:
    """The result of a load: the values as they were at one moment.

    Attributes:
        snapshot: The values that the argument `needs` of `load` names.
        now: The instant of the load, by the store's clock.
        caller: The caller of the API key; `None` for an unknown key, and if no key was given.
        seen: A value that only the store itself interprets, such as the versions that were read.
            `commit` gets it back as part of `loaded`.
    """

    snapshot: Snapshot
    now: datetime
    caller: Caller | None = None
    seen: object = attrs.field(default=None, repr=False)


class Store(Protocol):
    """The methods of a store with blocking calls; each may raise `StoreUnavailableError`."""

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, or None for an unknown key.

        The caller may come from a cache and be outdated. `load` returns the current caller, and
        refreshes the cache.

        Args:
            key_digest: The digest of the API key.
        """
        ...

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, all at one moment.

        Args:
            needs: Names the values to load, by their ids and other keys.
            key_digest: The digest of the API key whose caller is loaded as well; `None` for a fact,
                which comes without an API key.

        Returns:
            The values, the caller, the instant of the load, and what `commit` needs to detect
            conflicts.

        Raises:
            StoreUnavailableError: The store failed temporarily.
        """
        ...

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Store the writes, put effects and events into the outbox, and register the page.

        The outbox keeps effects and events until they are delivered. An effect is a task for the
        server, such as dropping cached grants. An event reports a change.

        Args:
            loaded: The result of the load that the changes were decided from.
            changes: The changes to store, all of them or none.
            page: The hosted page to register, whose URL the answer hands out; `None` if there is
                none. A store drops the earlier page about the same connection, session or user.

        Returns:
            True if everything was stored. False on a conflict: a value that a write replaces has
            changed since the load. Nothing was stored then. Load again and decide again.

        Raises:
            StoreFullError: The store has no room for a new value of a customer account. Nothing was
                stored.
            StoreUnavailableError: The store failed temporarily. The changes may have been stored.
        """
        ...


class AsyncStore(Protocol):
    """A store with the methods of `Store` as coroutines; each may raise `StoreUnavailableError`."""

    async def caller_of(self, key_digest: str) -> Caller | None:
        """Return an API key's caller, or None for an unknown key, as `Store.caller_of` does."""
        ...

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, all at one moment, as `Store.load` does.

        `needs` names the values to load. The result also holds the caller of the API key with the
        digest `key_digest`, and the instant of the load.
        """
        ...

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        """Store the changes and register the hosted page, if any, as `Store.commit` does.

        Args:
            loaded: The result of the load that the changes were decided from.
            changes: The changes to store, all of them or none.
            page: The hosted page to register, whose URL the answer hands out; `None` if there is
                none.

        Returns:
            True if everything was stored. False on a conflict, after which nothing was stored.

        Raises:
            StoreFullError: The store has no room for a new value of a customer account. Nothing was
                stored.
            StoreUnavailableError: The store failed temporarily. The changes may have been stored.
        """
        ...


class ChargingStore(Store, Protocol):
    """A `Store` that can charge a request to its rate-limit buckets ahead of its commit.

    The charge is a separate, short transaction. So requests of one API key, which share buckets,
    do not wait for each other's commits.
    """

    @property
    def charges_apart(self) -> bool:
        """True if `serve` charges buckets by the method `charge`, ahead of the commit.

        Buckets are the rate limits of an API key. If False, `commit` charges them with its writes.
        """
        ...

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        """Charge buckets, the rate limits of an API key, ahead of the commit of the request.

        All are charged in one transaction, or none. A charge is computed from the buckets as they
        are now, not as they were loaded. If the store keeps a later commit in spite of a crash, it
        must keep the charge, too.

        Args:
            loaded: The result of the load that the charges were decided from.
            charges: The writes of the buckets. They are empty if an earlier attempt at the request
                charged the buckets already; this call then only makes that charge durable.
            durable: True if no commit follows that would make the charges durable. These and all
                earlier charges must then outlive a crash of the store once this method has
                returned.

        Returns:
            True if all buckets were charged. False if a bucket no longer admits the request, after
            which none was charged: load again and decide again.
        """
        ...


class AsyncChargingStore(AsyncStore, Protocol):
    """An `AsyncStore` that can charge rate limits ahead of a commit, as a `ChargingStore` does."""

    @property
    def charges_apart(self) -> bool:
        """True if `serve_async` charges buckets by the method `charge`, ahead of the commit.

        Buckets are the rate limits of an API key. If False, `commit` charges them with its writes.
        """
        ...

    async def charge(
        self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool
    ) -> bool:
        """Charge buckets, the rate limits of an API key, as `ChargingStore.charge` does.

        All are charged in one transaction, ahead of the request's commit, or none. If `durable` is
        True, the charge outlives a crash of the store.

        Returns:
            True if all buckets were charged. False if a bucket no longer admits the request, after
            which none was charged.
        """
        ...


def check_stored(stored: object) -> bool:
    """Check that the `commit` of a store returned a result, and return the result as a bool.

    True means that everything was stored, and False that there was a conflict.

    Args:
        stored: The value that `commit` returned.

    Raises:
        ArgumentError: `stored` is None, as from a `commit` that forgot to return its result. None
            would count as a conflict, and stored changes would be decided and stored again.
    """
    if stored is None:
        raise ArgumentError("store.commit", "a method that returns True or False", "None")
    return bool(stored)


def is_charging_store(store: Store) -> TypeGuard[ChargingStore]:
    """Return whether a store charges rate-limit buckets ahead of a request's commit.

    Such a store is a `ChargingStore`.
    """
    return getattr(store, "charges_apart", False) is True


def is_async_charging_store(store: AsyncStore) -> TypeGuard[AsyncChargingStore]:
    """Return whether an async store charges rate-limit buckets ahead of a request's commit.

    Such a store is an `AsyncChargingStore`.
    """
    return getattr(store, "charges_apart", False) is True
