"""The SELECT that loads everything for a request or a fact, and the parser of its rows.

The law of this module: **all loaded values are of one moment**, and so is the database's own
instant, because one statement reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.ratelimit import BucketState, LogState, RateState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import from_epoch_microseconds
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import RateKey
from curae_lifecycle.service.snapshot import ChainPart, ConnectionsPage, Needs, Snapshot
from curae_lifecycle.stores.callers import parse_caller
from curae_lifecycle.stores.codec import Storable, load
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.keys import coordinate_key, id_key, rate_key, record_key
from curae_lifecycle.stores.sql.clock import NOW_SQL, now_values
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value
from curae_lifecycle.web.json import parse_json

_Stored = TypeVar("_Stored", bound=Storable)


class LoadedRow(NamedTuple):
    """A row of the result of `load_statement`, the SELECT of everything that a request needs.

    The column `part` says what the others hold. Instants are in microseconds since 1970.

    Attributes:
        part: The part of the result, such as `connection`, `bucket` or `now`.
        id: The key of the stored row; empty for `now`.
        version: The row's version. For a bucket, the instant at which it is full again. For `now`,
            the current instant.
        second: Another number; the name is no unit of time. For a connection, its position in the
            chain. For a bucket, the fraction of a microsecond to add to `version`, times the
            bucket's refill. Otherwise 0.
        document: The value as JSON text; empty for a bucket and for `now`. No repr shows it.
    """

    part: str
    id: str
    version: int
    second: int
    document: str

    def __repr__(self) -> str:
        return f"LoadedRow({self.part}, version={self.version}, second={self.second})"


class Versions(dict[tuple[str, str], int]):
    """The version of each loaded row, by table name and key.

    A commit compares these versions with the stored ones to detect conflicts. Tables whose rows
    need no comparison, such as those of callers and buckets, are not included.
    """


_ROOT: Final = "(SELECT root_id FROM curae_connection WHERE id = ?)"
_POSITION: Final = "(SELECT position FROM curae_connection WHERE id = ?)"
_CHAIN_END: Final = f"FROM curae_connection WHERE root_id = {_ROOT} ORDER BY position DESC LIMIT 1"


@attrs.define
class _UnionBuilder:
    """A builder of the loading statement: one SELECT for each part of the result."""

    selects: list[str] = attrs.field(factory=list[str])
    values: list[Value] = attrs.field(factory=list[Value])

    def add(self, part: str, table: str, where: str, *values: Value) -> None:
        """Add the rows of a table that has a version and a document."""
        self.selects.append(f"SELECT '{part}', id, version, 0, document FROM {table} WHERE {where}")
        self.values += values

    def add_connections(self, part: str, where: str, *values: Value) -> None:
        """Add connections, with their positions."""
        columns = f"SELECT '{part}', id, version, position, document"
        self.selects.append(f"{columns} FROM curae_connection WHERE {where}")
        self.values += values

    def add_bucket(self, key: str) -> None:
        """Add the state of a bucket."""
        columns = "SELECT 'bucket', id, full_at, part, ''"
        self.selects.append(f"{columns} FROM curae_bucket WHERE id = ?")
        self.values.append(key)

    def add_connection_in_chain(self, key: str) -> None:
        """Add a connection, its successor, the head of its chain and its coordinate's binding."""
        self.add_binding_of("curae_connection", key)
        self.add_connections("connection", "id = ?", key)
        self.add_connections("successor", "predecessor_id = ?", key)
        self.add_first("head", _CHAIN_END, key)

    def add_chain(self, key: str) -> None:
        """Add a connection, every later connection of its chain and its coordinate's binding."""
        self.add_binding_of("curae_connection", key)
        where = f"root_id = {_ROOT} AND position >= {_POSITION}"
        self.add_connections("chain", where, key, key)

    def add_chain_part(self, key: str, part: ChainPart) -> None:
        """Add a connection, a part of its chain's later ones and its coordinate's binding."""
        self.add_binding_of("curae_connection", key)
        self.add_connections("chain", "id = ?", key)
        where, values = f"root_id = {_ROOT} AND position > {_POSITION}", list[Value]([key, key])
        if part.before is not None:
            where, values = f"{where} AND position < ?", [*values, part.before]
        rest = f"FROM curae_connection WHERE {where} ORDER BY position DESC LIMIT ?"
        self.add_first("chain", rest, *values, part.limit)

    def add_session(self, key: str) -> None:
        """Add a session and the binding of its coordinate."""
        self.add_row("session", "curae_session", key)
        self.add_binding_of("curae_session", key)

    def add_binding_of(self, table: str, key: str) -> None:
        """Add the binding of the coordinate of a connection or session."""
        bound = f"id = (SELECT coordinate FROM {table} WHERE id = ?)"
        self.add("binding", "curae_binding", bound, key)

    def add_row(self, part: str, table: str, key: str | None) -> None:
        """Add the row of a table with this key; `None` adds nothing."""
        if key is not None:
            self.add(part, table, "id = ?", key)

    def add_page(self, page: ConnectionsPage) -> None:
        """Add the connections of a coordinate, or one page of them, and its binding."""
        key = coordinate_key(page.coordinate)
        self.add_row("binding", "curae_binding", key)
        where, values = "coordinate = ?", [key]
        if page.after is not None:
            where, values = f"{where} AND id > ?", [*values, id_key(page.after)]
        if page.limit is None:
            self.add_connections("connections", where, *values)
        else:
            rest = f"FROM curae_connection WHERE {where} ORDER BY id LIMIT ?"
            self.add_first("connections", rest, *values, page.limit)

    def add_first(self, part: str, rest: str, *values: Value) -> None:
        """Add the first rows of an ordered query, as a subquery because it is part of a union."""
        table = f"(SELECT id, version, position, document {rest}) AS {part}_rows"
        columns = f"SELECT '{part}', id, version, position, document"
        self.selects.append(f"{columns} FROM {table}")
        self.values += values

    def statement(self) -> Statement:
        """Build the whole statement."""
        return Statement(" UNION ALL ".join(self.selects), tuple(self.values))


def _start_union(dialect: Dialect) -> _UnionBuilder:
    # The first SELECT names the columns of the whole union.
    others = "0 AS second, '' AS document"
    first = f"SELECT 'now' AS part, '' AS id, {NOW_SQL[dialect]} AS version, {others}"
    return _UnionBuilder([first], [*now_values(dialect)])


def load_statement(dialect: Dialect, needs: Needs, key_digest: str | None) -> Statement:
    """Build the SELECT that loads everything in `needs` and the current instant.

    Args:
        dialect: The database's dialect.
        needs: The values to load.
        key_digest: The digest of the API key whose caller to load; `None` to load no caller.
    """
    union = _start_union(dialect)
    union.add_row("caller", "curae_caller", key_digest)
    union.add_row("page", "curae_page", needs.page)
    if needs.record is not None:
        union.add_row("record", "curae_record", record_key(needs.record))
    for bucket in needs.buckets:
        union.add_bucket(rate_key(bucket))
    if needs.limit is not None:
        union.add_row("log", "curae_log", rate_key(needs.limit))
    # The first of these that finds a binding decides which one the snapshot holds.
    if needs.session is not None:
        union.add_session(id_key(needs.session))
    if needs.connection is not None:
        union.add_connection_in_chain(id_key(needs.connection))
    if needs.chain is not None and needs.chain_part is not None:
        union.add_chain_part(id_key(needs.chain), needs.chain_part)
    elif needs.chain is not None:
        union.add_chain(id_key(needs.chain))
    if needs.connections is not None:
        union.add_page(needs.connections)
    if needs.binding is not None:
        union.add_row("binding", "curae_binding", coordinate_key(needs.binding))
    return union.statement()


def now_statement(dialect: Dialect) -> Statement:
    """Build the SELECT that reads the current instant of a database of this dialect."""
    return _start_union(dialect).statement()


def page_statement(dialect: Dialect, digest: str) -> Statement:
    """Build the SELECT that loads a hosted page and the current instant.

    Args:
        dialect: The database's dialect.
        digest: The digest of the page's URL.
    """
    union = _start_union(dialect)
    union.add_row("page", "curae_page", digest)
    return union.statement()


@attrs.frozen
class _Result:
    """The rows of one loading statement, grouped by part."""

    parts: dict[str, list[LoadedRow]]

    @classmethod
    def of(cls, rows: Iterable[Sequence[object]]) -> _Result:
        """Group the rows by part."""
        parts: dict[str, list[LoadedRow]] = {}
        for given in rows:
            row = LoadedRow._make(given)
            parts.setdefault(row.part, []).append(row)
        return cls(parts)

    def instant(self) -> datetime:
        """Return the database's instant."""
        return from_epoch_microseconds(self.parts["now"][0].version)

    def one(self, part: str, kind: type[_Stored]) -> _Stored | None:
        """Return the value of a part's first row, or None if there is no row."""
        rows = self.parts.get(part)
        if rows is None:
            return None
        return load(kind, parse_json(rows[0].document))

    def connections(self, part: str) -> tuple[Connection, ...]:
        """Return the connections of a part: a chain by position, other parts by id."""
        if part not in self.parts:
            return ()
        by_place = part == "chain"
        rows = sorted(self.parts[part], key=lambda row: row.second if by_place else row.id)
        return tuple([load(Connection, parse_json(row.document)) for row in rows])

    def bucket(self, key: RateKey) -> RateState | None:
        """Return the state of a bucket, or None if it has no row."""
        for row in self.parts.get("bucket", []):
            if row.id == rate_key(key):
                return BucketState(row.version, row.second)
        return None

    def caller(self) -> Caller | None:
        """Return the caller of the API key, or None for an unknown key."""
        rows = self.parts.get("caller")
        return None if rows is None else parse_caller(rows[0].document)

    def versions(self) -> Versions:
        """Return the version of each row, by table and key."""
        return Versions(
            {
                (_TABLE_OF[part], row.id): row.version
                for part, rows in self.parts.items()
                if part in _TABLE_OF
                for row in rows
            }
        )


_TABLE_OF: Final = {
    "record": "curae_record",
    "log": "curae_log",
    "connection": "curae_connection",
    "successor": "curae_connection",
    "head": "curae_connection",
    "chain": "curae_connection",
    "connections": "curae_connection",
    "session": "curae_session",
    "binding": "curae_binding",
    "page": "curae_page",
}


def parse_loaded(needs: Needs, rows: Iterable[Sequence[object]]) -> Loaded:
    """Convert the rows of a `load_statement` to the result of a store's `load`.

    The result holds the loaded values, the database's instant, the caller and the rows' versions.

    Args:
        needs: The same needs as for the statement.
        rows: The rows, in any order.

    Raises:
        MalformedError: A document is not one that this library wrote.
        NewerFormatError: A newer release stored one of the documents.
    """
    result = _Result.of(rows)
    successor = result.one("successor", Connection)
    chain = result.connections("chain")
    snapshot = Snapshot(
        record=result.one("record", Record),
        buckets=tuple([result.bucket(key) for key in needs.buckets]),
        limit=result.one("log", LogState),
        connection=chain[0] if chain else result.one("connection", Connection),
        successor=successor,
        head=None if successor is None else result.one("head", Connection),
        following=chain[1:],
        session=result.one("session", CuraeConnectSession),
        binding=result.one("binding", LimitedAccountAppBinding),
        connections=result.connections("connections"),
        page=result.one("page", HostedPage),
    )
    return Loaded(
        snapshot=snapshot, now=result.instant(), caller=result.caller(), seen=result.versions()
    )


def loaded_now(rows: Iterable[Sequence[object]]) -> datetime:
    """Return the current instant from the rows of a `now_statement`."""
    return _Result.of(rows).instant()


def loaded_page(rows: Iterable[Sequence[object]]) -> HostedPage | None:
    """Parse the rows of a `page_statement`, which loads a hosted page by the digest of its URL.

    Returns:
        The hosted page; `None` if it is unknown or has expired.

    Raises:
        MalformedError: The document of the page is not one that this library wrote.
        NewerFormatError: A newer release stored the page.
    """
    result = _Result.of(rows)
    page = result.one("page", HostedPage)
    return None if page is None or page.expires_at <= result.instant() else page
