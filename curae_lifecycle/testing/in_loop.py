"""A store that is awaited, as one that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from inspect import isawaitable
from threading import Lock
from typing import Protocol, TypeVar

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import FactNeeds
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import AsyncStore, Loaded, LoadedCall, LoadedFact
from curae_lifecycle.stores.pages import HostedPage

_Answered = TypeVar("_Answered")


class AsyncKeyedStore(AsyncStore, Protocol):
    """A store that is awaited and that API keys can be registered with."""

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Let an API key stand for a caller; again replaces. It may be awaited, or not."""
        ...


class InLoop:
    """A store that is awaited, as one that waits: each call runs the loop until it is answered.

    Args:
        store: The store.
        runner: Whose loop it is awaited in, one call after the other.
    """

    def __init__(self, store: AsyncKeyedStore, runner: asyncio.Runner) -> None:
        self._store = store
        self._runner = runner
        self._lock = Lock()

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Let an API key stand for a caller."""

        async def registered() -> object:
            answer = self._store.register(api_key, caller)
            return await answer if isawaitable(answer) else answer

        return self._run(registered())

    def caller_of(self, digest: str) -> Caller | None:
        """As `Store.caller_of`."""
        return self._run(self._store.caller_of(digest))

    def for_call(self, digest: str, needs: Needs) -> LoadedCall:
        """As `Store.for_call`."""
        return self._run(self._store.for_call(digest, needs))

    def for_fact(self, needs: FactNeeds) -> LoadedFact:
        """As `Store.for_fact`."""
        return self._run(self._store.for_fact(needs))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """As `Store.commit`."""
        return self._run(self._store.commit(loaded, changes, page))

    def _run(self, answer: Coroutine[object, object, _Answered]) -> _Answered:
        with self._lock:
            return self._runner.run(answer)
