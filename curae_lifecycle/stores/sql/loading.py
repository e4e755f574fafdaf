"""One statement that loads everything by key, and what its rows say.

The law of this module: **what is loaded is of one moment**, the database's own instant with it,
since it is one statement.
"""

from __future__ import annotations

import json
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
from curae_lifecycle.service.rate_keys import RateKey
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot
from curae_lifecycle.stores.callers import parse_caller
from curae_lifecycle.stores.codec import Storable, load
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.hosted_pages import HostedPage, PageKind
from curae_lifecycle.stores.sql.clock import NOW_SQL
from curae_lifecycle.stores.sql.keys import coordinate_key, id_key, rate_key, record_key
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value
from curae_lifecycle.web.json import parse_json

_Stored = TypeVar("_Stored", bound=Storable)


class LoadedRow(NamedTuple):
    """A row of what was loaded.

    Attributes:
        part: What part of the answer it is.
        id: Its key.
        version: Its version; of a bucket, when it is full again; of the instant, the instant.
        second: Of a connection, its position; of a bucket, the part of a microsecond.
        third: Of a bucket, into how many parts a microsecond is divided.
        document: Its value as JSON.
    """

    part: str
    id: str
    version: int
    second: int
    third: int
    document: str


PLACEHOLDER_DOCUMENT: Final = "null"
"""The document of a binding's row where nobody is bound and that was relied on."""


class Versions(dict[tuple[str, str], int]):
    """The version of each row that was read, by its table and key."""


_ROOT: Final = "(SELECT root_id FROM curae_connection WHERE id = ?)"
_POSITION: Final = "(SELECT position FROM curae_connection WHERE id = ?)"
_CHAIN_END: Final = f"FROM curae_connection WHERE root_id = {_ROOT} ORDER BY position DESC LIMIT 1"


@attrs.define
class _Union:
    """A statement in the making: one SELECT for each part of the answer."""

    selects: list[str] = attrs.field(factory=list[str])
    values: list[Value] = attrs.field(factory=list[Value])

    def add(self, part: str, table: str, where: str, *values: Value) -> None:
        """Rows of a table that have a version and a document."""
        self.selects.append(
            f"SELECT '{part}', id, version, 0, 0, document FROM {table} WHERE {where}"
        )
        self.values += values

    def add_connections(self, part: str, where: str, *values: Value) -> None:
        """Rows of connections, with their positions."""
        columns = f"SELECT '{part}', id, version, position, 0, document"
        self.selects.append(f"{columns} FROM curae_connection WHERE {where}")
        self.values += values

    def add_bucket(self, key: str) -> None:
        """Add the state of a bucket."""
        columns = "SELECT 'bucket', id, full_at, part, parts, ''"
        self.selects.append(f"{columns} FROM curae_bucket WHERE id = ?")
        self.values.append(key)

    def add_line(self, key: str) -> None:
        """Add a connection, its successor and the head of its chain."""
        self.add_connections("connection", "id = ?", key)
        self.add_connections("successor", "predecessor_id = ?", key)
        self.add_first("head", _CHAIN_END, key)

    def add_chain(self, key: str) -> None:
        """Add a connection and every later connection of its chain."""
        where = f"root_id = {_ROOT} AND position >= {_POSITION}"
        self.add_connections("chain", where, key, key)

    def add_session(self, key: str) -> None:
        """Add a session and the binding of its coordinate."""
        self.add("session", "curae_session", "id = ?", key)
        bound = "id = (SELECT coordinate FROM curae_session WHERE id = ?)"
        self.add("binding", "curae_binding", bound, key)

    def add_page(self, page: ConnectionsPage) -> None:
        """Add the connections of a coordinate, or one page of them."""
        where, values = "coordinate = ?", [coordinate_key(page.coordinate)]
        if page.after is not None:
            where, values = f"{where} AND id > ?", [*values, id_key(page.after)]
        if page.limit is None:
            self.add_connections("connections", where, *values)
        else:
            rest = f"FROM curae_connection WHERE {where} ORDER BY id LIMIT ?"
            self.add_first("connections", rest, *values, page.limit)

    def add_first(self, part: str, rest: str, *values: Value) -> None:
        """Add the first rows of an ordered query; within a union it needs a table of its own."""
        table = f"(SELECT id, version, position, document {rest}) AS {part}_rows"
        columns = f"SELECT '{part}', id, version, position, 0, document"
        self.selects.append(f"{columns} FROM {table}")
        self.values += values

    def statement(self) -> Statement:
        """All of it."""
        return Statement(" UNION ALL ".join(self.selects), tuple(self.values))


def _beginning(dialect: Dialect, clock: int | None) -> _Union:
    # Names for all columns come from the first SELECT, and its value is the first.
    names = "AS part, '' AS id"
    first = f"SELECT 'now' {names}, {NOW_SQL[dialect]} AS version, 0 AS second, 0 AS third, '' AS document"
    return _Union([first], [] if clock is None else [clock])


def load_statement(
    dialect: Dialect, needs: Needs, *, key_digest: str | None, clock: int | None
) -> Statement:
    """Build the statement that loads everything of one moment.

    Args:
        dialect: The database's dialect.
        needs: What is loaded.
        key_digest: The digest of the API key whose caller is loaded too; `None` for a fact.
        clock: The instant in microseconds, for a database without such a clock.
    """
    union = _beginning(dialect, clock)
    if key_digest is not None:
        union.add("caller", "curae_caller", "id = ?", key_digest)
    if needs.record is not None:
        union.add("record", "curae_record", "id = ?", record_key(needs.record))
    for bucket in needs.buckets:
        union.add_bucket(rate_key(bucket))
    if needs.limit is not None:
        union.add("log", "curae_log", "id = ?", rate_key(needs.limit))
    if needs.connection is not None:
        union.add_line(id_key(needs.connection))
    if needs.chain is not None:
        union.add_chain(id_key(needs.chain))
    if needs.session is not None:
        union.add_session(id_key(needs.session))
    if needs.binding is not None:
        union.add("binding", "curae_binding", "id = ?", coordinate_key(needs.binding))
    if needs.connections is not None:
        union.add_page(needs.connections)
    return union.statement()


def now_statement(dialect: Dialect, clock: int | None) -> Statement:
    """What asks the database for its instant."""
    return _beginning(dialect, clock).statement()


def page_statement(dialect: Dialect, digest: str, clock: int | None) -> Statement:
    """What finds a hosted page, with the instant."""
    union = _beginning(dialect, clock)
    union.selects.append(
        "SELECT 'page', id, expires_at, 0, 0, document FROM curae_page WHERE id = ?"
    )
    union.values.append(digest)
    return union.statement()


@attrs.frozen
class _Answer:
    """The rows of one statement, by the part of the answer that they are."""

    parts: dict[str, list[LoadedRow]]

    @classmethod
    def of(cls, rows: Iterable[Sequence[object]]) -> _Answer:
        """Sort the rows by what they are."""
        parts: dict[str, list[LoadedRow]] = {}
        for given in rows:
            row = LoadedRow._make(given)
            parts.setdefault(row.part, []).append(row)
        return cls(parts)

    def instant(self) -> datetime:
        """The database's instant."""
        return from_epoch_microseconds(self.parts["now"][0].version)

    def one(self, part: str, kind: type[_Stored]) -> _Stored | None:
        """The value of the one row that a part has, or none."""
        rows = self.parts.get(part)
        if rows is None or rows[0].document == PLACEHOLDER_DOCUMENT:
            return None
        return load(kind, parse_json(rows[0].document))

    def connections(self, part: str) -> tuple[Connection, ...]:
        """Connections of a chain by their position, others by their id."""
        by_place = part == "chain"
        rows = sorted(self.parts.get(part, []), key=lambda row: row.second if by_place else row.id)
        return tuple([load(Connection, parse_json(row.document)) for row in rows])

    def line(self) -> tuple[Connection | None, Connection | None, Connection | None]:
        """A connection, its successor, and the head where there is a successor."""
        successor = self.one("successor", Connection)
        head = None if successor is None else self.one("head", Connection)
        return self.one("connection", Connection), successor, head

    def bucket(self, key: RateKey) -> RateState | None:
        """The state of a bucket."""
        for row in self.parts.get("bucket", []):
            if row.id == rate_key(key):
                return BucketState(row.version, row.second, row.third)
        return None

    def caller(self) -> Caller | None:
        """Whom the API key stands for."""
        rows = self.parts.get("caller")
        return None if rows is None else parse_caller(rows[0].document)

    def versions(self) -> Versions:
        """The version of each row, by the table it is of and its key."""
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
}


def parse_loaded(needs: Needs, rows: Iterable[Sequence[object]]) -> Loaded:
    """Return what the rows of a `load_statement` hold."""
    answer = _Answer.of(rows)
    connection, successor, head = answer.line()
    chain = answer.connections("chain")
    snapshot = Snapshot(
        record=answer.one("record", Record),
        buckets=tuple([answer.bucket(key) for key in needs.buckets]),
        limit=answer.one("log", LogState),
        connection=chain[0] if chain else connection,
        successor=successor,
        head=head,
        following=chain[1:],
        session=answer.one("session", CuraeConnectSession),
        binding=answer.one("binding", LimitedAccountAppBinding),
        connections=answer.connections("connections"),
    )
    return Loaded(
        snapshot=snapshot, now=answer.instant(), caller=answer.caller(), seen=answer.versions()
    )


def loaded_now(rows: Iterable[Sequence[object]]) -> datetime:
    """What the rows of a `now_statement` say."""
    return _Answer.of(rows).instant()


def loaded_page(rows: Iterable[Sequence[object]]) -> HostedPage | None:
    """What the rows of a `page_statement` say; `None` for a page that is unknown or over."""
    answer = _Answer.of(rows)
    found, now = answer.parts.get("page"), answer.instant()
    if found is None or from_epoch_microseconds(found[0].version) <= now:
        return None
    members = json.loads(found[0].document)
    kind, until = PageKind(members["kind"]), from_epoch_microseconds(found[0].version)
    return HostedPage(digest=found[0].id, kind=kind, subject=members["subject"], expires_at=until)
