"""An adapter that makes an async store blocking, and access to the optional methods of a store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from inspect import isawaitable
from threading import Lock
from typing import Protocol, TypeVar, cast

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import AsyncStore, Loaded, is_async_charging_store

_Result = TypeVar("_Result")


class Method(Protocol):
    """A method of any store, such as `purge`; the type says nothing about its parameters."""

    def __call__(self, *arguments: object) -> object:
        """Call the method and return its result."""
        ...


class AsyncStoreWithApiKeys(AsyncStore, Protocol):
    """An async store that can register API keys."""

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Register an API key for a caller, or replace the caller of a registered key.

        This may be a coroutine function. The result is ignored.

        Args:
            api_key: The key.
            caller: The caller of the key.
        """
        ...


class BlockingStoreAdapter:
    """A wrapper that makes an async store a blocking one, for tests of blocking code.

    Each call runs the event loop until the store returns. Calls from several threads run one after
    the other.

    Args:
        store: The async store.
        runner: The `asyncio.Runner` whose event loop runs the calls.
    """

    def __init__(self, store: AsyncStoreWithApiKeys, runner: asyncio.Runner) -> None:
        self._store = store
        self._runner = runner
        self._lock = Lock()

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Register an API key for a caller, or replace the caller of a registered key.

        The result is that of the wrapped store, and has no meaning.
        """
        return self.blocking(cast("Method", self._store.register))(api_key, caller)

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of the API key with this digest, or None for an unknown key."""
        return self._run(self._store.caller_of(key_digest))

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load the values that `needs` names, and the API key's caller if a digest is given."""
        return self._run(self._store.load(needs, key_digest))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Commit changes to the async store, all of them or none.

        Args:
            loaded: The result of the load that the changes were decided from.
            changes: The changes.
            page: The hosted page to register with them; `None` if there is none.

        Returns:
            True if everything was stored; False on a conflict, after which nothing was stored.
        """
        return self._run(self._store.commit(loaded, changes, page))

    @property
    def charges_apart(self) -> bool:
        """True if the store charges buckets by `charge`, in a transaction before the commit.

        Buckets are the rate limits of API keys.
        """
        return is_async_charging_store(self._store)

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
        store: AsyncStore = self._store
        assert is_async_charging_store(store)  # noqa: S101 - `charges_apart` says so
        return self._run(store.charge(loaded, charges, durable=durable))

    @property
    def inner(self) -> AsyncStoreWithApiKeys:
        """The async store that this adapter wraps."""
        return self._store

    def blocking(self, method: Method) -> Method:
        """Return a method of the async store as a blocking function.

        The method may be a coroutine function or not.
        """

        async def call(arguments: tuple[object, ...]) -> object:
            result = method(*arguments)
            return cast("object", await result) if isawaitable(result) else result

        return lambda *arguments: self._run(call(arguments))

    def _run(self, call: Coroutine[object, object, _Result]) -> _Result:
        with self._lock:
            return self._runner.run(call)


def method_of(store: object, name: str) -> Method | None:
    """Return an optional method of a store, such as `purge`, as a blocking function.

    Args:
        store: A blocking store. If it is a `BlockingStoreAdapter`, which wraps an async store, the
            method of the async store is made blocking.
        name: The name of the method.

    Returns:
        The method, or None if the store has none of that name.
    """
    inner = _inner(store)
    found: object = getattr(inner, name, None)
    if not callable(found):
        return None
    method = cast("Method", found)
    return store.blocking(method) if isinstance(store, BlockingStoreAdapter) else method


def has_clock(store: object) -> bool:
    """Return whether a store has a callable attribute `clock` that a test can replace.

    A `BlockingStoreAdapter`, which wraps an async store, has the clock of that store.
    """
    clock: object = getattr(_inner(store), "clock", None)
    if not callable(clock):
        return False
    try:
        replace_clock(store, cast("Callable[[], datetime]", clock))
    except AttributeError:
        return False
    return True


def replace_clock(store: object, clock: Callable[[], datetime]) -> None:
    """Replace the attribute `clock` of a store, so that a test can set the store's time.

    Args:
        store: The store. If it is a `BlockingStoreAdapter`, which wraps an async store, the clock
            of the async store is replaced.
        clock: The new clock, which returns the current instant.

    Raises:
        AttributeError: The attribute is read-only.
    """
    cast("_Clocked", _inner(store)).clock = clock


class _Clocked(Protocol):
    clock: Callable[[], datetime]


def _inner(store: object) -> object:
    return store.inner if isinstance(store, BlockingStoreAdapter) else store
