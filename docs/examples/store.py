"""What the examples ask of a store, and what every store of theirs does alike.

The law of this module: **a store compares before it sets**. What a write replaces must still be
as it was read; else the store raises `Conflict`, and everything is loaded and decided again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, TypeVar

import attrs

from curae_lifecycle import ApiKey, Caller, FactSnapshot, Snapshot, dump, load
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.idempotency import RecordKey
from curae_lifecycle.rules.ratelimit import BucketState, LogState, RateState
from curae_lifecycle.rules.values import AppUser, Coordinate
from curae_lifecycle.service.changes import BucketKey, Changes, RateKey
from curae_lifecycle.service.facts.fact import FactNeeds
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.web.events import format_event
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
        """Drop the records and rate limits whose deadline is well over; return how many."""
        ...

    def open_page(self, url: str, subject: str) -> None:
        """Let a hosted page's URL stand for what it is about; an earlier URL of that dies."""
        ...

    def page(self, url: str) -> str | None:
        """What a hosted page is about; `None` for a URL that is unknown or dead."""
        ...


def format_value(value: Storable) -> str:
    """The text that a value is kept as: the same value, the same text."""
    return format_json(dump(value)).decode()


class Texts:
    """What was read in one transaction, value by value, as it is kept.

    A write compares with the text itself: after an upgrade the same value may have another one.
    """

    def __init__(self) -> None:
        # By identity: equal values of two rows may have been written by two releases.
        self._read: dict[int, tuple[Storable, str]] = {}

    def parse(self, kind: type[Stored], text: str) -> Stored:
        """The value of a text that `format_value` wrote, in this release or an earlier one."""
        value = load(kind, parse_json(text))
        self._read[id(value)] = value, text
        return value

    def parse_rate(self, key: RateKey, text: str) -> RateState:
        """The state of a bucket or of an app user's log."""
        if isinstance(key, BucketKey):
            return self.parse(BucketState, text)
        return self.parse(LogState, text)

    def of(self, value: Storable) -> str:
        """The text that a value was read from, or would be kept as where it was not read here."""
        _, text = self._read.get(id(value)) or (value, format_value(value))
        return text


def digest(secret: str) -> str:
    """What a URL is found by: whoever reads the database cannot open the page."""
    return hashlib.sha256(secret.encode()).hexdigest()


def line_from(
    found: tuple[Connection, ...],
) -> tuple[Connection | None, Connection | None, Connection | None]:
    """A connection, its successor and the head of its chain, of up to three in their order."""
    if not found:
        return None, None, None
    if len(found) == 1:
        return found[0], None, None
    return found[0], found[1], found[-1]


def connection_columns(connection: Connection) -> dict[str, str | int | None]:
    """The columns that a connection is searched by, beside its id."""
    identity = connection.identity
    return {
        "predecessor_id": identity.predecessor_id,
        "root_id": identity.root_id,
        "position": identity.position,
        **coordinate_key(identity.coordinate),
    }


def coordinate_key(coordinate: Coordinate) -> dict[str, str]:
    """The columns that name a coordinate."""
    return {
        "environment": coordinate.environment.value,
        "app_id": coordinate.app_id,
        "customer_account_id": coordinate.customer_account_id,
        "app_user_id": coordinate.app_user_id,
    }


def record_key(key: RecordKey) -> dict[str, str]:
    """The columns that name an idempotency record."""
    return {"owner": _owner(key.owner), "key": key.key}


def rate_key(key: RateKey) -> dict[str, str]:
    """The columns that name the state of a rate limit."""
    owner = _owner(key.owner if isinstance(key, BucketKey) else key.app_user)
    return {"owner": owner, "policy": key.policy}


def _owner(owner: KeyOwner | AppUser) -> str:
    # As JSON, so that no two owners have one text; the two kinds differ in how much they hold.
    # Without escapes, which would make the longest id too long for an index of PostgreSQL.
    return json.dumps(attrs.astuple(owner), ensure_ascii=False)


def outbox_rows(changes: Changes) -> list[dict[str, str]]:
    """What a worker does and publishes once the transaction is over, in order."""
    effects = [
        _outbox_row(type(effect).__name__, attrs.asdict(effect)) for effect in changes.effects
    ]
    return effects + [_outbox_row(each.kind, format_event(each)) for each in changes.events]


def _outbox_row(kind: str, document: Mapping[str, object]) -> dict[str, str]:
    return {"kind": str(kind), "document": json.dumps(document, default=str)}
