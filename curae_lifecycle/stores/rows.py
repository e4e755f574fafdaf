"""Values as rows: what a store of your own writes down, what it looks for, and what it found.

The law of this module: **a store only fetches rows and compares documents**; what a row is found
by, and what the rows that were found say, is worked out here, in any order of rows.

`row_of` is the row of a write. `wanted` says which rows a call or a fact needs; whoever found them,
in one statement or one after the other, makes `snapshot_of` or `fact_snapshot_of` of them.
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
from curae_lifecycle.rules.values import ConnectionId, microseconds
from curae_lifecycle.service.changes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.service.facts.fact import FactNeeds, FactSnapshot
from curae_lifecycle.service.snapshot import Needs, Snapshot
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


@attrs.frozen
class Wanted:
    """The rows that are needed, all of one moment; what is `None` is not needed.

    Attributes:
        keys: Rows by kind and key.
        line: The successor of a connection and the last one of its chain, by its id.
        chain: Every later connection of its chain, by its id.
        user: Every connection of a user.
        session: The binding of a session's user, by the session's id.
    """

    keys: tuple[tuple[str, str], ...]
    line: str | None = None
    chain: str | None = None
    user: str | None = None
    session: str | None = None


def row_of(write: Write) -> Row:
    """The row that a write leaves."""
    after = write.after
    kind, document = type(after).__name__, json_text(dump(after))
    match write:
        case ConnectionWrite(_, connection):
            its = connection.identity
            user, place = coordinate_key(its.coordinate), (its.root_id, its.position)
            return Row(kind, its.id, document, None, user, its.predecessor_id, *place)
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
                expires_at=microseconds(record_expires_at(record)),
            )
        case RateWrite(key):
            return Row(
                kind=kind,
                key=rate_key(key),
                document=document,
                expires_at=microseconds(write.expires_at),
            )


def wanted(needs: Needs | FactNeeds) -> Wanted:
    """Which rows a call or a fact needs."""
    if isinstance(needs, Needs):
        keys = [
            *_names(Record, record_key, needs.record),
            *[name for key in needs.buckets for name in _names(BucketState, rate_key, key)],
            *_names(LogState, rate_key, needs.limit),
            *_names(LimitedAccountAppBinding, coordinate_key, needs.binding),
            *_names(Connection, str, needs.connection),
        ]
        return Wanted(tuple(keys), line=needs.connection)
    keys = [
        *_names(Connection, str, needs.connection or needs.chain),
        *_names(CuraeConnectSession, str, needs.session),
        *_names(LimitedAccountAppBinding, coordinate_key, needs.binding),
    ]
    user = None if needs.connections is None else coordinate_key(needs.connections)
    return Wanted(
        keys=tuple(keys), line=needs.connection, chain=needs.chain, user=user, session=needs.session
    )


def snapshot_of(needs: Needs, found: Found) -> Snapshot:
    """What a call needs, of the rows that were found; others are not looked at.

    Raises:
        MalformedError: A document is none of this library's; the member at fault is named.
        NewerFormatError: A newer release wrote it.
    """
    return Snapshot(
        _value(found, kind=Record, text=record_key, key=needs.record),
        tuple([_value(found, kind=BucketState, text=rate_key, key=key) for key in needs.buckets]),
        _value(found, kind=LogState, text=rate_key, key=needs.limit),
        *_line(found, needs.connection),
        _value(found, kind=LimitedAccountAppBinding, text=coordinate_key, key=needs.binding),
    )


def fact_snapshot_of(needs: FactNeeds, found: Found) -> FactSnapshot:
    """What a fact concerns, of the rows that were found; it raises as `snapshot_of` does.

    Args:
        needs: What was asked for.
        found: The rows, as they are stored.
    """
    connection, successor, head = _line(found, needs.connection)
    following: list[Connection] = []
    if needs.chain is not None:
        connection = _value(found, kind=Connection, text=str, key=needs.chain)
        following = [] if connection is None else _later(found, connection)
    session = _value(found, kind=CuraeConnectSession, text=str, key=needs.session)
    user = needs.binding if session is None else session.coordinate
    binding = _value(found, kind=LimitedAccountAppBinding, text=coordinate_key, key=user)
    theirs = [each for each in _connections(found) if each.identity.coordinate == needs.connections]
    return FactSnapshot(
        connection=connection,
        successor=successor,
        head=head,
        following=tuple(following),
        session=session,
        binding=binding,
        connections=tuple(theirs),
    )


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


def _line(
    found: Found, connection_id: ConnectionId | None
) -> tuple[Connection | None, Connection | None, Connection | None]:
    connection = _value(found, kind=Connection, text=str, key=connection_id)
    later = [] if connection is None else _later(found, connection)
    return (connection, later[0], later[-1]) if later else (connection, None, None)
