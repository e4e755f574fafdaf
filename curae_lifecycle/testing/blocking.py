"""An adapter that makes an async store usable as a blocking one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from inspect import isawaitable
from threading import Lock
from typing import Protocol, TypeVar

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import AsyncStore, Loaded
from curae_lifecycle.stores.hosted_pages import HostedPage

_Result = TypeVar("_Result")


class AsyncStoreWithApiKeys(AsyncStore, Protocol):
    """An async store that can register API keys."""

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Register an API key for a caller, or replace the caller of a registered key.

        This may be a coroutine function.

        Args:
            api_key: The key.
            caller: The caller of the key.
        """
        ...


class BlockingStoreAdapter:
    """An async store as a blocking one: each call runs the event loop until the store returns.

    Calls from several threads run one after the other.

    Args:
        store: The async store.
        runner: The `asyncio.Runner` whose event loop runs the calls.
    """

    def __init__(self, store: AsyncStoreWithApiKeys, runner: asyncio.Runner) -> None:
        self._store = store
        self._runner = runner
        self._lock = Lock()

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Register an API key for a caller, or replace the caller of a registered key."""

        async def register() -> object:
            result = self._store.register(api_key, caller)
            return await result if isawaitable(result) else result

        return self._run(register())

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, or None for an unknown key; see `Store.caller_of`."""
        return self._run(self._store.caller_of(key_digest))

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs; see `Store.load`."""
        return self._run(self._store.load(needs, key_digest))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Commit changes and return whether the store accepted them; see `Store.commit`."""
        return self._run(self._store.commit(loaded, changes, page))

    def _run(self, call: Coroutine[object, object, _Result]) -> _Result:
        with self._lock:
            return self._runner.run(call)
