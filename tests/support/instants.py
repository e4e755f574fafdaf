"""Requests, facts, access decisions and writes on a store in memory at chosen instants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from curae_lifecycle.rules.access import AccessDecision, decide_access
from curae_lifecycle.rules.binding import present_era
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.values import EPOCH, ConnectionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.writes import Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer


class ThreadClock:
    """A clock that each thread can set for itself."""

    def __init__(self, usual: Callable[[], datetime]) -> None:
        self._usual = usual
        self._own = threading.local()

    def __call__(self) -> datetime:
        now = getattr(self._own, "now", None)
        return now if isinstance(now, datetime) else self._usual()

    def set(self, now: datetime | None) -> None:
        """Set the instant of this thread; None restores the usual clock."""
        self._own.now = now


_LOCK: Final = threading.Lock()


@contextmanager
def clock_at(store: MemoryStore, now: datetime) -> Generator[None]:
    """Set the store's clock for this thread within the block."""
    with _LOCK:
        clock = store.clock
        if not isinstance(clock, ThreadClock):
            clock = store.clock = ThreadClock(clock)
    clock.set(now)
    try:
        yield
    finally:
        clock.set(None)


def handle_at(
    store: MemoryStore, request: Request, now: datetime, new_ids: NewIds | None = None
) -> Answer:
    """Answer a request at an instant, with the given ids."""
    mint = RandomIds("https://connect.example/")
    with clock_at(store, now):
        return serve(store, request, lambda at: new_ids or mint(at), settings=store.settings)


def record_at(store: MemoryStore, fact: Fact, now: datetime) -> FactAnswer:
    """Record a fact at an instant."""
    with clock_at(store, now):
        return record(store, fact)


def access_at(
    store: MemoryStore, connection_id: ConnectionId, package: str, now: datetime
) -> AccessDecision | None:
    """Decide access to a stored connection at an instant, or return None for an unknown id."""
    connection = store.connection(connection_id)
    if connection is None:
        return None
    era = present_era(store.binding(connection.identity.coordinate))
    return decide_access(connection, package, now, era=era)


def commit_writes(store: MemoryStore, writes: tuple[Write, ...]) -> bool:
    """Commit writes that were decided on the stored state."""
    return store.commit(Loaded(Snapshot(), EPOCH), Changes(writes))


def caller_at(store: MemoryStore, api_key: ApiKey | None) -> Caller | None:
    """Return the caller of an API key, or None for no key or an unknown one."""
    return None if api_key is None else store.caller_of(api_key.digest())
