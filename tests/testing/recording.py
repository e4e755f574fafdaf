"""Stores that record their calls, to test the wrappers of stores."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.testing.blocking import BlockingStoreAdapter
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore
from tests.support.server import API_KEY, CALLER, ID
from tests.support.strategies import START

NEEDS: Final = Needs(connection=ID)
LOADED: Final = Loaded(Snapshot(), START, caller=CALLER, seen="version 7")
PAGE: Final = HostedPage("digest", PageKind.CONNECTION, ID, expires_at=START + timedelta(days=1))
KEY: Final = ApiKey(API_KEY)
DROPPED: Final = 7


class RecordingStore:
    """A store without contents that records the arguments of its calls."""

    charges_apart = True

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def clock(self) -> datetime:
        """Return an instant that never changes."""
        return START

    def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Record the key and its caller."""
        self.calls.append(("register", api_key, caller))
        return "registered"

    def caller_of(self, key_digest: str) -> Caller | None:
        """Record the digest."""
        self.calls.append(("caller_of", key_digest))
        return CALLER

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Record the needs and the digest."""
        self.calls.append(("load", needs, key_digest))
        return LOADED

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Record the changes."""
        self.calls.append(("commit", loaded, changes, page))
        return True

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        """Record the charges."""
        self.calls.append(("charge", loaded, charges, durable))
        return True

    def purge(self) -> object:
        """Record the purge."""
        self.calls.append(("purge",))
        return DROPPED


class AsyncRecordingStore:
    """The same store with coroutine functions."""

    charges_apart = True

    def __init__(self) -> None:
        self.inner = RecordingStore()

    def clock(self) -> datetime:
        """Return an instant that never changes."""
        return START

    async def register(self, api_key: ApiKey, caller: Caller) -> object:
        """Record the key and its caller."""
        return self.inner.register(api_key, caller)

    async def caller_of(self, key_digest: str) -> Caller | None:
        """Record the digest."""
        return self.inner.caller_of(key_digest)

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Record the needs and the digest."""
        return self.inner.load(needs, key_digest)

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        """Record the changes."""
        return self.inner.commit(loaded, changes, page)

    async def charge(
        self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool
    ) -> bool:
        """Record the charges."""
        return self.inner.charge(loaded, charges, durable=durable)

    async def purge(self) -> object:
        """Record the purge."""
        return self.inner.purge()


def check_calls(wrapper: BlockingStoreAdapter | SimulatedClockStore, inner: RecordingStore) -> None:
    """Check that a wrapper passes the arguments and the result of each call on."""
    assert wrapper.register(KEY, CALLER) == "registered"
    assert wrapper.caller_of("digest") is CALLER
    assert wrapper.load(NEEDS, "digest") == LOADED
    assert wrapper.load(NEEDS) == LOADED
    assert wrapper.commit(LOADED, NO_CHANGES, PAGE)
    assert wrapper.commit(LOADED, NO_CHANGES)
    assert wrapper.charges_apart
    assert wrapper.charge(LOADED, (), durable=True)
    assert wrapper.charge(LOADED, (), durable=False)
    assert inner.calls == [
        ("register", KEY, CALLER),
        ("caller_of", "digest"),
        ("load", NEEDS, "digest"),
        ("load", NEEDS, None),
        ("commit", LOADED, NO_CHANGES, PAGE),
        ("commit", LOADED, NO_CHANGES, None),
        ("charge", LOADED, (), True),
        ("charge", LOADED, (), False),
    ]
