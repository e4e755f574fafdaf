"""Stores with one planted bug outside the contract, and factories, for the command `check`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.outbox import messages


class PurgeRaises(MemoryStore):
    """A store whose purge fails."""

    def purge(self, now: datetime | None = None, limit: int | None = None) -> int:
        raise PermissionError(f"may not delete: {now} {limit}")


class PurgeDeletesEverything(MemoryStore):
    """A store whose purge drops live values too."""

    def purge(self, now: datetime | None = None, limit: int | None = None) -> int:
        del now, limit
        kept = self._callers
        MemoryStore.__init__(self, clock=self.clock, deliver=self.deliver)
        self._callers = kept
        return 1


class EmptyOutbox(MemoryStore):
    """A store whose outbox stays empty."""

    def outbox(self) -> list[dict[str, Json]]:
        """Return no message."""
        return []


class NoPage(MemoryStore):
    """A store that finds no hosted page."""

    def hosted_page(self, url: str) -> HostedPage | None:
        del url
        return None


class EternalPages(MemoryStore):
    """A store whose hosted pages never expire."""

    def hosted_page(self, url: str) -> HostedPage | None:
        return self._pages.find(url, datetime(2000, 1, 1, tzinfo=UTC))


class KeepsKeyId(MemoryStore):
    """A store that keeps the first id of an API key."""

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        known = self.caller_of(api_key.digest())
        same = caller if known is None else attrs.evolve(caller, api_key_id=known.api_key_id)
        super().register(api_key, same)


class KeepsWithdrawn(MemoryStore):
    """A store that ignores the withdrawal of an API key."""

    def withdraw(self, api_key: ApiKey) -> None:
        del api_key


class WithOutbox(MemoryStore):
    """A store that keeps its messages."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Json]] = []
        super().__init__(deliver=self.send)

    def send(self, changes: Changes) -> None:
        """Keep the messages of a commit."""
        self.sent += [each.document for each in messages(changes, self.settings)]

    def outbox(self) -> list[dict[str, Json]]:
        """Return all messages."""
        return self.sent


class SendsAnyway(WithOutbox):
    """A store that also sends the messages of a commit that it refuses."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        accepted = super().commit(loaded, changes, page)
        if not accepted:
            self.send(changes)
        return accepted


# --- Correct stores -------------------------------------------------------------------------


class Bare:
    """A store with only the contract and `register`, on its own clock."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self.register, self.caller_of = self._store.register, self._store.caller_of
        self.load, self.commit = self._store.load, self._store.commit


class OwnClock(Bare):
    """A store with all methods, on a clock that cannot be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self._messages: list[dict[str, Json]] = []
        self._store.deliver = self._deliver
        self.hosted_page, self.withdraw = self._store.hosted_page, self._store.withdraw

    def _deliver(self, changes: Changes) -> None:
        self._messages += [each.document for each in messages(changes)]

    def outbox(self) -> list[dict[str, Json]]:
        """Return all messages."""
        return self._messages

    def purge(self) -> int:
        """Purge by the store's clock."""
        return self._store.purge()


class AsyncWithMethods:
    """An async store whose other methods are coroutine functions too."""

    def __init__(self) -> None:
        self._store = WithOutbox()
        self.clock = self._store.clock

    async def register(self, api_key: ApiKey, caller: Caller) -> None:
        self._store.register(api_key, caller)

    async def withdraw(self, api_key: ApiKey) -> None:
        self._store.withdraw(api_key)

    async def caller_of(self, key_digest: str) -> Caller | None:
        return self._store.caller_of(key_digest)

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self._store.clock = self.clock
        return self._store.load(needs, key_digest)

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        return self._store.commit(loaded, changes, page)

    async def hosted_page(self, url: str) -> HostedPage | None:
        self._store.clock = self.clock
        return self._store.hosted_page(url)

    async def purge(self) -> int:
        self._store.clock = self.clock
        return self._store.purge()

    async def outbox(self) -> list[dict[str, Json]]:
        return self._store.outbox()


# --- Factories ------------------------------------------------------------------------------


async def make_async_store() -> AsyncWithMethods:
    """Return a new async store."""
    return AsyncWithMethods()


async def make_store_in_coroutine() -> MemoryStore:
    """Return a new blocking store."""
    return MemoryStore()


@asynccontextmanager
async def store_in_context() -> AsyncIterator[MemoryStore]:
    """Yield a store, which `check` cannot use."""
    yield MemoryStore()


_SHARED: Final = MemoryStore()


def same_store() -> MemoryStore:
    """Return the same store at each call."""
    return _SHARED


_SHARED_ASYNC: Final = AsyncWithMethods()


async def same_async_store() -> AsyncWithMethods:
    """Return the same async store at each call."""
    return _SHARED_ASYNC


_MESSAGES: Final = WithOutbox()
_MESSAGES.sent.append({"kind": "AccessEnded"})


def store_with_messages() -> WithOutbox:
    """Return a store whose outbox is not empty."""
    return _MESSAGES


def failing_factory() -> MemoryStore:
    """Raise the error of a database that is down."""
    raise ConnectionRefusedError("no database")
