"""Values as rows, for a store of your own: the rows to write, to fetch and to read.

The law of this module: **a store only fetches rows and compares documents**. This module computes
the columns that a row is found by, and the values that the fetched rows hold, in any order.

`row_of` returns the row of a write. `build_row_query` returns the rows that a request or a fact
needs. A store fetches them, in one statement or several, and `snapshot_of` turns them into a
snapshot.
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
from curae_lifecycle.rules.values import ConnectionId, SessionId, to_epoch_microseconds
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.codec import Storable, dump, load
from curae_lifecycle.stores.keys import (
    coordinate_key,
    id_key,
    page_subject_key,
    rate_key,
    record_key,
)
from curae_lifecycle.web.json import json_text, parse_json

_Stored = TypeVar("_Stored", bound=Storable)
_Key = TypeVar("_Key")

Found = Mapping[tuple[str, str], str]
"""The documents of the fetched rows, by the kind and key of each row."""


@attrs.frozen
class Row:
    """A value as a row; no two rows have the same kind and key.

    An attribute that does not apply to the kind of value is `None`.

    Attributes:
        kind: The name of the value's class, such as `Connection`.
        key: The id of a connection or session, or the digest that identifies another value, such
            as that of a hosted page's URL.
        document: The whole value, as JSON.
        expires_at: When an idempotency record, a rate limit or a hosted page expires, in
            microseconds since 1970. The row may be dropped five minutes later, never before. An
            update keeps the later of the stored and the new instant, since another server may
            charge the same app user's rate limit with a longer window.
        user: For a connection or session: the key of its coordinate. The row of the coordinate's
            binding has the same text as its `key`.
        predecessor: The id of the connection whose reconnect made this one; `None` for the first of
            a chain. The column must be unique, since a connection has at most one successor.
        root: The id of the first connection of a connection's chain.
        position: A connection's place in its chain, from 1.
        subject: The key of a hosted page's subject: the connection, session or user that the page
            is about. The column must be unique: a new page replaces the row with the same subject.
    """

    kind: str
    key: str
    document: str = attrs.field(repr=False)
    expires_at: int | None = None
    user: str | None = None
    predecessor: str | None = None
    root: str | None = None
    position: int | None = None
    subject: str | None = None


@attrs.frozen(kw_only=True)
class RowQuery:
    """The rows that a store is to fetch for a request or a fact, all at one moment.

    A `None` in `connection`, `chain`, `session` or `user` asks for no rows.

    Attributes:
        keys: The kind and key of each row to fetch, if the row exists.
        connection: The id of a connection: fetch its successor, the last connection of the same
            chain, and the binding of the connection's user. The connection's own row is in `keys`.
        chain: The id of a connection: fetch every later connection of the same chain, and the
            binding of the connection's user. The connection's own row is in `keys`.
        chain_before: Fetch only those of the later connections whose `Row.position` is below this
            number; `None` for no such bound. A store may fetch more.
        chain_limit: Fetch only this many of them, those with the highest positions; `None` for all.
            A store may fetch more.
        session: The id of a session: fetch the binding of the session's user. The session's own
            row is in `keys`.
        user: The key of a user's binding: fetch the user's connections. The binding itself is in
            `keys`.
        after: Fetch only those of the user's connections whose key is greater than `after`; `None`
            for no such bound.
        limit: Fetch at most this many of the user's connections, the smallest keys first; `None`
            for all.
    """

    keys: tuple[tuple[str, str], ...]
    connection: str | None = None
    chain: str | None = None
    chain_before: int | None = None
    chain_limit: int | None = None
    session: str | None = None
    user: str | None = None
    after: str | None = None
    limit: int | None = None


def row_of(write: Write) -> Row:
    """Convert a write to the row to store: the new value, and the columns to find it by."""
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
                user=coordinate_key(session.coordinate),
            )
        case BindingWrite(_, binding):
            return Row(kind, coordinate_key(binding.coordinate), document)
        case PageWrite(_, page):
            return page_row(page)
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


def page_row(page: HostedPage) -> Row:
    """Convert a hosted page, such as the argument `page` of `commit`, to the row to store."""
    return Row(
        kind=HostedPage.__name__,
        key=page.digest,
        document=json_text(dump(page)),
        expires_at=to_epoch_microseconds(page.expires_at),
        subject=page_subject_key(page),
    )


def build_row_query(needs: Needs) -> RowQuery:
    """Build the query for the rows that hold the values of a request or a fact.

    The query is no SQL: it lists the keys of the rows that a store is to fetch. A malformed id,
    which a fact may hold, becomes an empty key. No row has the empty key.

    Args:
        needs: Names the values, by their ids and other keys.
    """
    keys = [
        *_row_names(Record, record_key, needs.record),
        *[name for key in needs.buckets for name in _row_names(BucketState, rate_key, key)],
        *_row_names(LogState, rate_key, needs.limit),
        *_row_names(LimitedAccountAppBinding, coordinate_key, needs.binding),
        *_row_names(CuraeConnectSession, id_key, needs.session),
        *_row_names(Connection, id_key, needs.connection or needs.chain),
        *_row_names(HostedPage, str, needs.page),
    ]
    page, part = needs.connections, needs.chain_part
    if page is not None:
        keys += _row_names(LimitedAccountAppBinding, coordinate_key, page.coordinate)
    return RowQuery(
        keys=tuple(keys),
        connection=_id_key(needs.connection),
        chain=_id_key(needs.chain),
        chain_before=None if part is None else part.before,
        chain_limit=None if part is None else part.limit,
        session=_id_key(needs.session),
        user=None if page is None else coordinate_key(page.coordinate),
        after=None if page is None else page.after,
        limit=None if page is None else page.limit,
    )


def snapshot_of(needs: Needs, found: Found) -> Snapshot:
    """Build the snapshot that holds the values of fetched rows.

    Rows that `needs` does not name are ignored.

    Args:
        needs: Names the values that the rows were fetched for, by their ids and other keys.
        found: The document of each fetched row, by the row's kind and key.

    Raises:
        MalformedError: A document is not one that this library wrote; the error names the member
            at fault, or `None` for the whole document.
        NewerFormatError: A newer release wrote the document.
    """
    connection = _find(found, kind=Connection, row_key=id_key, key=needs.connection or needs.chain)
    later = [] if connection is None else _later(found, connection)
    has_successor = needs.connection is not None and bool(later)
    session = _find(found, kind=CuraeConnectSession, row_key=id_key, key=needs.session)
    bound = needs.binding
    if needs.connections is not None:
        bound = needs.connections.coordinate
    if connection is not None:
        bound = connection.identity.coordinate
    if session is not None:
        bound = session.coordinate
    return Snapshot(
        record=_find(found, kind=Record, row_key=record_key, key=needs.record),
        buckets=tuple(
            _find(found, kind=BucketState, row_key=rate_key, key=key) for key in needs.buckets
        ),
        limit=_find(found, kind=LogState, row_key=rate_key, key=needs.limit),
        connection=connection,
        successor=later[0] if has_successor else None,
        head=later[-1] if has_successor else None,
        following=() if needs.chain is None else tuple(later),
        session=session,
        binding=_find(found, kind=LimitedAccountAppBinding, row_key=coordinate_key, key=bound),
        connections=() if needs.connections is None else _page(found, needs.connections),
        page=_find(found, kind=HostedPage, row_key=str, key=needs.page),
    )


def _id_key(id_: ConnectionId | SessionId | None) -> str | None:
    return None if id_ is None else id_key(id_)


def _page(found: Found, page: ConnectionsPage) -> tuple[Connection, ...]:
    owned = [each for each in _connections(found) if each.identity.coordinate == page.coordinate]
    following = [each for each in owned if page.after is None or each.id > page.after]
    return tuple(sorted(following, key=lambda each: each.id)[: page.limit])


def _row_names(
    kind: type[_Stored], row_key: Callable[[_Key], str], key: _Key | None
) -> list[tuple[str, str]]:
    return [] if key is None else [(kind.__name__, row_key(key))]


def _find(
    found: Found, kind: type[_Stored], row_key: Callable[[_Key], str], key: _Key | None
) -> _Stored | None:
    for name in _row_names(kind, row_key, key):
        if name in found:
            return load(kind, parse_json(found[name]))
    return None


def _connections(found: Found) -> list[Connection]:
    kind = Connection.__name__
    return [
        load(Connection, parse_json(document))
        for (name, _), document in found.items()
        if name == kind
    ]


def _later(found: Found, connection: Connection) -> list[Connection]:
    root, position = connection.identity.root_id, connection.identity.position
    of_chain = [each for each in _connections(found) if each.identity.root_id == root]
    later = [each for each in of_chain if each.identity.position > position]
    return sorted(later, key=lambda each: each.identity.position)
