"""What the examples ask of a store, and what every store of theirs does alike.

The law of this module: **a store compares before it sets**. What a write replaces must still be
as it was read; else the store raises `Conflict`, and everything is loaded and decided again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, TypeVar

import attrs

from curae_lifecycle import ApiKey, Caller, ConnectionId, FactSnapshot, Snapshot, dump, load
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.ratelimit import BucketState, LogState, RateState
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.changes import BucketKey, Changes, Effect, Event, RateKey
from curae_lifecycle.service.facts.fact import FactNeeds
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.web.json import format_json, parse_json

Stored = TypeVar("Stored", bound=Storable)


class Conflict(Exception):  # noqa: N818 - it is no error: somebody else was faster
    """Something is no longer as it was read: roll back, load again and decide again."""


class Store(Protocol):
    """One transaction's view of a database."""

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Let an API key stand for a caller; registering again replaces."""
        ...

    def caller(self, api_key: ApiKey | None) -> Caller | None:
        """Whom an API key stands for; `None` for no key or an unknown one."""
        ...

    def load(self, asked: Needs) -> Snapshot:
        """Everything that a call needs."""
        ...

    def load_fact(self, asked: FactNeeds) -> FactSnapshot:
        """Everything that a fact concerns."""
        ...

    def store(self, changes: Changes) -> None:
        """Compare and set every write, and put effects and events into the outbox.

        Raises:
            Conflict: Something is no longer as it was read; roll back.
        """
        ...

    def purge(self, now: datetime) -> int:
        """Drop the records and rate limits whose deadline has come; return how many."""
        ...

    def open_page(self, url: str, subject: str) -> None:
        """Let a hosted page's URL stand for what it is about; an earlier URL of that dies."""
        ...

    def page(self, url: str) -> str | None:
        """What a hosted page is about; `None` for a URL that is unknown or dead."""
        ...


def format_value(value: Storable) -> str:
    """The text that a value is kept as, and compared by: the same value, the same text."""
    return format_json(dump(value)).decode()


def parse_value(kind: type[Stored], text: str) -> Stored:
    """The value of a text that `format_value` wrote."""
    return load(kind, parse_json(text))


def parse_rate(key: RateKey, text: str) -> RateState:
    """The state of a bucket or of an app user's log."""
    if isinstance(key, BucketKey):
        return parse_value(BucketState, text)
    return parse_value(LogState, text)


def digest(secret: str) -> str:
    """What a URL is found by: whoever reads the database cannot open the page."""
    return hashlib.sha256(secret.encode()).hexdigest()


def chain_from(
    connection_id: ConnectionId, connections: Iterable[Connection]
) -> tuple[Connection, ...]:
    """A connection and whatever follows it, nearest first, out of all of its chain."""
    links = {each.identity.predecessor_id: each for each in connections}
    chain = [each for each in links.values() if each.id == connection_id]
    while chain and chain[-1].id in links:
        chain.append(links[chain[-1].id])
    return tuple(chain)


def coordinate_key(coordinate: Coordinate) -> dict[str, str]:
    """The columns that name a coordinate."""
    return {
        "environment": coordinate.environment.value,
        "app_id": coordinate.app_id,
        "customer_account_id": coordinate.customer_account_id,
        "app_user_id": coordinate.app_user_id,
    }


def rate_key(key: RateKey) -> dict[str, str]:
    """The columns that name the state of a rate limit."""
    if isinstance(key, BucketKey):
        return {"owner": json.dumps([key.api_key_id]), "policy": key.policy}
    user = key.app_user
    owner = [user.environment.value, user.customer_account_id, user.app_user_id]
    return {"owner": json.dumps(owner), "policy": key.policy}


def outbox_rows(changes: Changes) -> list[dict[str, str]]:
    """What a worker does and publishes once the transaction is over, in order."""
    effects = [_outbox_row(type(effect).__name__, effect) for effect in changes.effects]
    return effects + [_outbox_row(happened.kind, happened) for happened in changes.events]


def _outbox_row(kind: str, value: Effect | Event) -> dict[str, str]:
    return {"kind": str(kind), "document": json.dumps(attrs.asdict(value), default=str)}
