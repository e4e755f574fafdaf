"""Values as rows: what a store of your own writes down, what it looks for, and what it found.

The law of this module: **a store only fetches rows and compares documents**; what a row is found
by, and what the rows that were found say, is worked out here, in any order of rows.

`row_of` returns the row of a write. `wanted` says which rows a request or a fact needs; a store
fetches them, in one statement or several, and `snapshot_of` turns them into a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import Record, record_expires_at
from curae_lifecycle.rules.ratelimit import BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.codec import Storable, dump, load
from curae_lifecycle.stores.keys import coordinate_key, rate_key, record_key
from curae_lifecycle.web.json import json_text, parse_json

_Stored = TypeVar("_Stored", bound=Storable)
_Key = TypeVar("_Key")

Found = Mapping[tuple[str, str], str]
"""The documents of the rows that were found, by their kinds and keys."""


@attrs.frozen
class Row:
    """A value as it is written down; no two rows have the same kind and key.

    Attributes:
        kind: The name of the value's class.
        key: Its id, or a digest of its key.
        document: All of it, as JSON.
        expires_at: When a record or a rate limit is over, in microseconds since 1970; the row may
            be dropped five minutes later, and never before.
        user: Whose connection or session it is: the key of the user's binding.
        predecessor: The id of the connection that a connection recovers; no two have the same.
        root: The id of the first connection of its chain.
        position: Its place in the chain, from 1.
    """

    kind: str
    key: str
    document: str = attrs.field(repr=False)
    expires_at: int | None = None
    user: str | None = None
    predecessor: str | None = None
    root: str | None = None
    position: int | None = None


@attrs.frozen(kw_only=True)
class RowQuery:
    """The rows to fetch, all of one moment; `None` where none are needed.

    Attributes:
        keys: Rows by kind and key.
        line: A connection's id: fetch its successor and the last connection of its chain.
        chain: A connection's id: fetch every later connection of its chain.
        session: A session's id: fetch the binding of its user.
        user: The key of a user's binding: fetch the user's connections.
        after: Fetch only connections of the user whose key is greater.
        limit: Fetch at most this many of them, the smallest keys first.
    """

    keys: tuple[tuple[str, str], ...]
    line: str | None = None
    chain: str | None = None
    session: str | None = None
    user: str | None = None
    after: str | None = None
    limit: int | None = None


def row_of(write: Write) -> Row:
    """The row that a write leaves."""
    after = write.after
    kind, document = type(after).__name__, json_text(dump(after))
    match write:
        case ConnectionWrite(_, connection):
            identity = connection.identity
            return Row(
                kind=kind,
                key=identity.id,
                document=document,
                user=coordinate_key(identity.coordinate),
                predecessor=identity.predecessor_id,
                root=identity.root_id,
                position=identity.position,
            )
        case SessionWrite(_, session):
            return Row(
                kind=kind,
                key=session.id,
                document=document,
                expires_at=None,
                user=coordinate_key(session.coordinate),
            )
        case BindingWrite(_, binding):
            return Row(kind, coordinate_key(binding.coordinate), document)
        case RecordWrite(key, _, record):
            return Row(
                kind=kind,
                key=record_key(key),
                document=document,
                expires_at=to_epoch_microseconds(record_expires_at(record)),
            )
        case RateWrite(key):
            return Row(
                kind=kind,
                key=rate_key(key),
                document=document,
                expires_at=to_epoch_microseconds(write.expires_at),
            )


def build_row_query(needs: Needs) -> RowQuery:
    """Return the rows that a request or a fact needs."""
    keys = [
        *_names(Record, record_key, needs.record),
        *[name for key in needs.buckets for name in _names(BucketState, rate_key, key)],
        *_names(LogState, rate_key, needs.limit),
        *_names(LimitedAccountAppBinding, coordinate_key, needs.binding),
        *_names(CuraeConnectSession, str, needs.session),
        *_names(Connection, str, needs.connection or needs.chain),
    ]
    page = needs.connections
    return RowQuery(
        keys=tuple(keys),
        line=needs.connection,
        chain=needs.chain,
        session=needs.session,
        user=None if page is None else coordinate_key(page.coordinate),
        after=None if page is None else page.after,
        limit=None if page is None else page.limit,
    )


def snapshot_of(needs: Needs, found: Found) -> Snapshot:
    """Return the snapshot that the fetched rows make; rows that were not asked for are ignored.

    Args:
        needs: What was asked for.
        found: The fetched rows, in any order.

    Raises:
        MalformedError: A document is not one of this library's; the member at fault is named.
        NewerFormatError: A newer release wrote it.
    """
    asked = needs.connection or needs.chain
    connection = _value(found, kind=Connection, text=str, key=asked)
    later = [] if connection is None else _later(found, connection)
    has_line = needs.connection is not None and bool(later)
    session = _value(found, kind=CuraeConnectSession, text=str, key=needs.session)
    bound = needs.binding if session is None else session.coordinate
    return Snapshot(
        record=_value(found, kind=Record, text=record_key, key=needs.record),
        buckets=tuple(
            _value(found, kind=BucketState, text=rate_key, key=key) for key in needs.buckets
        ),
        limit=_value(found, kind=LogState, text=rate_key, key=needs.limit),
        connection=connection,
        successor=later[0] if has_line else None,
        head=later[-1] if has_line else None,
        following=() if needs.chain is None else tuple(later),
        session=session,
        binding=_value(found, kind=LimitedAccountAppBinding, text=coordinate_key, key=bound),
        connections=() if needs.connections is None else _page(found, needs.connections),
    )


def _page(found: Found, page: ConnectionsPage) -> tuple[Connection, ...]:
    theirs = [each for each in _connections(found) if each.identity.coordinate == page.coordinate]
    ahead = [each for each in theirs if page.after is None or each.id > page.after]
    return tuple(sorted(ahead, key=lambda each: each.id)[: page.limit])


def _names(
    kind: type[_Stored], text: Callable[[_Key], str], key: _Key | None
) -> list[tuple[str, str]]:
    return [] if key is None else [(kind.__name__, text(key))]


def _value(
    found: Found, kind: type[_Stored], text: Callable[[_Key], str], key: _Key | None
) -> _Stored | None:
    for name in _names(kind, text, key):
        if name in found:
            return load(kind, parse_json(found[name]))
    return None


def _connections(found: Found) -> list[Connection]:
    kind = Connection.__name__
    return [load(Connection, parse_json(text)) for (name, _), text in found.items() if name == kind]


def _later(found: Found, connection: Connection) -> list[Connection]:
    root, position = connection.identity.root_id, connection.identity.position
    of_chain = [each for each in _connections(found) if each.identity.root_id == root]
    later = [each for each in of_chain if each.identity.position > position]
    return sorted(later, key=lambda each: each.identity.position)
