"""A store that is awaited, as one that waits."""

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

_Answered = TypeVar("_Answered")


class AsyncStoreWithApiKeys(AsyncStore, Protocol):
    """A store that is awaited and that API keys can be registered with."""

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Let an API key stand for a caller; again replaces. It may be awaited, or not."""
        ...


class BlockingStoreAdapter:
    """A store that is awaited, as one that waits: each call runs the loop until it is answered.

    Args:
        store: The store.
        runner: Whose loop it is awaited in, one call after the other.
    """

    def __init__(self, store: AsyncStoreWithApiKeys, runner: asyncio.Runner) -> None:
        self._store = store
        self._runner = runner
        self._lock = Lock()

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Let an API key stand for a caller."""

        async def registered() -> object:
            answer = self._store.register(api_key, caller)
            return await answer if isawaitable(answer) else answer

        return self._run(registered())

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, as `Store.caller_of` does."""
        return self._run(self._store.caller_of(key_digest))

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, as `Store.load` does."""
        return self._run(self._store.load(needs, key_digest))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """As `Store.commit`."""
        return self._run(self._store.commit(loaded, changes, page))

    def _run(self, answer: Coroutine[object, object, _Answered]) -> _Answered:
        with self._lock:
            return self._runner.run(answer)
