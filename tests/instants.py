"""Run a store in memory at chosen instants: requests, facts, questions for access and writes."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from curae_lifecycle.rules.access import AccessDecision, decide_access
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import Changes, Write
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.patience import Patience
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer

ONE_ATTEMPT: Final = Patience(attempts=1)


def handle_at(
    store: MemoryStore, request: Request, now: datetime, new_ids: NewIds | None = None
) -> Answer:
    """Answer a request at an instant, with the given ids."""

    def mint(_: datetime) -> NewIds:
        if new_ids is None:
            raise ArgumentError("new_ids", "given for a mutation")
        return new_ids

    store.clock = lambda: now
    return serve(store, request, mint, store.settings, patience=ONE_ATTEMPT)


def record_at(store: MemoryStore, fact: Fact, now: datetime) -> FactAnswer:
    """Record a fact at an instant."""
    store.clock = lambda: now
    return record(store, fact, patience=ONE_ATTEMPT)


def access_at(
    store: MemoryStore, connection_id: ConnectionId, package: str, now: datetime
) -> AccessDecision | None:
    """Decide access to a stored connection at an instant, or return None for an unknown id."""
    connection = store.connection(connection_id)
    return None if connection is None else decide_access(connection, package, now)


def commit_writes(store: MemoryStore, writes: tuple[Write, ...]) -> bool:
    """Commit writes that were decided from what is stored now."""
    return store.commit(store.load(Needs()), Changes(writes))


def caller_at(store: MemoryStore, api_key: ApiKey | None) -> Caller | None:
    """Return the caller of an API key, or None for no key or an unknown one."""
    return None if api_key is None else store.caller_of(api_key.digest())
