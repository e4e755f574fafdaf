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
from curae_lifecycle.rules.values import ConnectionId, instant_at
from curae_lifecycle.service.changes import RateKey
from curae_lifecycle.service.facts.fact import FactNeeds, FactSnapshot
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.stores.codec import Storable, load
from curae_lifecycle.stores.contract import LoadedCall, LoadedFact
from curae_lifecycle.stores.pages import HostedPage, PageKind
from curae_lifecycle.stores.sql.callers import parse_caller
from curae_lifecycle.stores.sql.clock import MOMENT
from curae_lifecycle.stores.sql.keys import coordinate_key, id_key, rate_key, record_key
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value
from curae_lifecycle.web.json import parse_json

_Stored = TypeVar("_Stored", bound=Storable)


class Row(NamedTuple):
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


NOBODY: Final = "null"
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

    def add_line(self, connection_id: ConnectionId) -> None:
        """A connection, its successor and the head of its chain."""
        key = id_key(connection_id)
        self.add_connections("connection", "id = ?", key)
        self.add_connections("successor", "predecessor_id = ?", key)
        # An ORDER BY within a union needs a table of its own.
        columns = "id, version, position, document"
        self.selects.append(
            f"SELECT 'head', id, version, position, 0, document "
            f"FROM (SELECT {columns} {_CHAIN_END}) AS chain_end"
        )
        self.values.append(key)

    def statement(self) -> Statement:
        """All of it."""
        return Statement(" UNION ALL ".join(self.selects), tuple(self.values))


def _beginning(dialect: Dialect, clock: int | None) -> _Union:
    # Names for all columns come from the first SELECT, and its value is the first.
    names = "AS part, '' AS id"
    first = f"SELECT 'now' {names}, {MOMENT[dialect]} AS version, 0 AS second, 0 AS third, '' AS document"
    return _Union([first], [] if clock is None else [clock])


def call_statement(dialect: Dialect, digest: str, needs: Needs, clock: int | None) -> Statement:
    """What loads a caller and all that a call of theirs needs.

    Args:
        dialect: Of the database.
        digest: The digest of the API key.
        needs: What the call needs.
        clock: The instant in microseconds, for a database that has no such clock.
    """
    union = _beginning(dialect, clock)
    union.add("caller", "curae_caller", "id = ?", digest)
    if needs.record is not None:
        union.add("record", "curae_record", "id = ?", record_key(needs.record))
    for bucket in needs.buckets:
        union.selects.append(
            "SELECT 'bucket', id, full_at, part, parts, '' FROM curae_bucket WHERE id = ?"
        )
        union.values.append(rate_key(bucket))
    if needs.limit is not None:
        union.add("log", "curae_log", "id = ?", rate_key(needs.limit))
    if needs.connection is not None:
        union.add_line(needs.connection)
    if needs.binding is not None:
        union.add("binding", "curae_binding", "id = ?", coordinate_key(needs.binding))
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


def fact_statement(dialect: Dialect, needs: FactNeeds, clock: int | None) -> Statement:
    """What loads all that a fact concerns."""
    union = _beginning(dialect, clock)
    if needs.connection is not None:
        union.add_line(needs.connection)
    if needs.chain is not None:
        where = f"root_id = {_ROOT} AND position >= {_POSITION}"
        key = id_key(needs.chain)
        union.add_connections("chain", where, key, key)
    if needs.session is not None:
        key = id_key(needs.session)
        union.add("session", "curae_session", "id = ?", key)
        bound = "id = (SELECT coordinate FROM curae_session WHERE id = ?)"
        union.add("binding", "curae_binding", bound, key)
    if needs.binding is not None:
        union.add("binding", "curae_binding", "id = ?", coordinate_key(needs.binding))
    if needs.connections is not None:
        key = coordinate_key(needs.connections)
        union.add_connections("connections", "coordinate = ?", key)
    return union.statement()


@attrs.frozen
class _Answer:
    """The rows of one statement, by the part of the answer that they are."""

    parts: dict[str, list[Row]]

    @classmethod
    def of(cls, rows: Iterable[Sequence[object]]) -> _Answer:
        """Sort the rows by what they are."""
        parts: dict[str, list[Row]] = {}
        for given in rows:
            row = Row._make(given)
            parts.setdefault(row.part, []).append(row)
        return cls(parts)

    def instant(self) -> datetime:
        """The database's instant."""
        return instant_at(self.parts["now"][0].version)

    def one(self, part: str, kind: type[_Stored]) -> _Stored | None:
        """The value of the one row that a part has, or none."""
        rows = self.parts.get(part)
        if rows is None or rows[0].document == NOBODY:
            return None
        return load(kind, parse_json(rows[0].document))

    def connections(self, part: str) -> tuple[Connection, ...]:
        """Connections, each after its predecessor."""
        rows = sorted(self.parts.get(part, []), key=lambda row: (row.second, row.id))
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


def loaded_call(needs: Needs, rows: Iterable[Sequence[object]]) -> LoadedCall:
    """What the rows of a `call_statement` say."""
    answer = _Answer.of(rows)
    connection, successor, head = answer.line()
    snapshot = Snapshot(
        record=answer.one("record", Record),
        buckets=tuple([answer.bucket(key) for key in needs.buckets]),
        limit=answer.one("log", LogState),
        connection=connection,
        successor=successor,
        head=head,
        binding=answer.one("binding", LimitedAccountAppBinding),
    )
    return LoadedCall(
        caller=answer.caller(), snapshot=snapshot, now=answer.instant(), seen=answer.versions()
    )


def loaded_fact(rows: Iterable[Sequence[object]]) -> LoadedFact:
    """What the rows of a `fact_statement` say."""
    answer = _Answer.of(rows)
    connection, successor, head = answer.line()
    chain = answer.connections("chain")
    snapshot = FactSnapshot(
        connection=chain[0] if chain else connection,
        successor=successor,
        head=head,
        following=chain[1:],
        session=answer.one("session", CuraeConnectSession),
        binding=answer.one("binding", LimitedAccountAppBinding),
        connections=answer.connections("connections"),
    )
    return LoadedFact(snapshot, answer.instant(), answer.versions())


def loaded_now(rows: Iterable[Sequence[object]]) -> datetime:
    """What the rows of a `now_statement` say."""
    return _Answer.of(rows).instant()


def loaded_page(rows: Iterable[Sequence[object]]) -> HostedPage | None:
    """What the rows of a `page_statement` say; `None` for a page that is unknown or over."""
    answer = _Answer.of(rows)
    found, now = answer.parts.get("page"), answer.instant()
    if found is None or instant_at(found[0].version) <= now:
        return None
    members = json.loads(found[0].document)
    kind, until = PageKind(members["kind"]), instant_at(found[0].version)
    return HostedPage(digest=found[0].id, kind=kind, subject=members["subject"], expires_at=until)
