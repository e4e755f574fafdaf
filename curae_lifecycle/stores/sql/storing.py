"""The statements that compare and set everything that was decided.

The law of this module: **every write compares the version of what it replaces**, or leaves it to a
unique index.

Rows are changed in the order of their tables and keys, those that are there before those that are
new, buckets last: so two transactions wait for each other in one order, and nobody waits for a
bucket for long. (Two successors of one connection wait for each other at its row, and not at the
unique index too, which would be a deadlock.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import record_expires_at
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, Coordinate, to_epoch_microseconds
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.callers import format_caller
from curae_lifecycle.stores.codec import dump
from curae_lifecycle.stores.contract import Loaded, unbound
from curae_lifecycle.stores.hosted_pages import HostedPage
from curae_lifecycle.stores.outbox import Message
from curae_lifecycle.stores.sql.buckets import charge_statements
from curae_lifecycle.stores.sql.keys import coordinate_key, key_of, rate_key, record_key
from curae_lifecycle.stores.sql.loading import PLACEHOLDER_DOCUMENT, Versions
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value
from curae_lifecycle.web.json import Json

_ROWS_POSTED: Final = 100
"""How many messages one statement posts: a database takes so many values and no more."""


_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False)


def format_document(document: Mapping[str, Json]) -> str:
    """The text of a document, in ASCII: whatever it holds comes back from a database of any kind."""
    return _ENCODER.encode(document)


def commit_statements(
    dialect: Dialect,
    loaded: Loaded,
    changes: Changes,
    messages: Sequence[Message],
    page: HostedPage | None,
) -> list[Statement]:
    """What is run in one transaction; each must change as many rows as it says.

    Raises:
        ArgumentError: A write replaces what was not loaded, or the sizes of a bucket are too large.
    """
    versions = loaded.seen if isinstance(loaded.seen, Versions) else Versions()
    at = to_epoch_microseconds(loaded.now)
    statements = [
        _posted(messages[first : first + _ROWS_POSTED], at)
        for first in range(0, len(messages), _ROWS_POSTED)
    ]
    if page is not None:
        statements.append(_opened(dialect, page))
    written = [_written(dialect, versions=versions, write=write, at=at) for write in changes.writes]
    coordinate = unbound(changes.writes)
    if coordinate is not None:
        written.append(_held_unbound(versions, coordinate))
    written.sort(key=itemgetter(0))
    for _, each in written:
        statements += each
    return statements


_PURGED_AT_ONCE: Final = 1000


@attrs.frozen
class Purge:
    """What drops the rows of one table that are over, a thousand at a time: nobody waits long.

    Attributes:
        table: The table.
        column: When its rows are over.
        until: The microsecond up to which rows are dropped.
    """

    table: str
    column: str
    until: int

    def nearest(self) -> Statement:
        """What finds up to when a thousand rows are over; no row where there are fewer."""
        return Statement(
            f"SELECT {self.column} FROM {self.table} WHERE {self.column} <= ? "
            f"ORDER BY {self.column} LIMIT 1 OFFSET {_PURGED_AT_ONCE - 1}",
            (self.until,),
        )

    def drop(self, nearest: Sequence[Sequence[object]]) -> Statement:
        """What drops those rows, or all that are over."""
        until = nearest[0][0] if nearest else self.until
        assert isinstance(until, int)  # noqa: S101 - of a column of numbers
        return Statement(f"DELETE FROM {self.table} WHERE {self.column} <= ?", (until,))


def purges(now: int) -> list[Purge]:
    """What drops everything that has been over for as long as clocks may disagree.

    Args:
        now: The instant in microseconds.
    """
    over = now - CLOCK_TOLERANCE
    return [
        *(
            Purge(table, "expires_at", over)
            for table in ("curae_record", "curae_log", "curae_page")
        ),
        # It is full a part of a microsecond after the one that its row names.
        Purge("curae_bucket", "full_at", over - 1),
    ]


def _written(
    dialect: Dialect, versions: Versions, write: Write, at: int
) -> tuple[_Place, list[Statement]]:
    # Where the write comes in the order of all, and what it runs.
    if isinstance(write, RateWrite) and isinstance(write.policy, Bucket):
        key = rate_key(write.key)
        charge = charge_statements(
            dialect, policy=write.policy, key=key, at=at, known=write.before is not None
        )
        return (len(_ORDER), False, key), charge
    table, key, whose, columns = _row(write)
    columns["document"] = format_document(dump(write.after))
    # The row of a binding may be there for nobody.
    is_there = isinstance(write, BindingWrite) and (table, key) in versions
    is_new = write.before is None and not is_there
    order = _ORDER.index(table), is_new, key
    if is_new:
        return order, [_inserted(table, {"id": key, "version": 1, **whose, **columns})]
    if (table, key) not in versions:
        raise ArgumentError("changes", "decided from what was loaded")
    return order, [_updated(table, columns=columns, key=key, version=versions[table, key])]


def _held_unbound(versions: Versions, coordinate: Coordinate) -> tuple[_Place, list[Statement]]:
    # Whoever binds somebody meanwhile meets this at the row, which is there for nobody from now on.
    table, key = "curae_binding", coordinate_key(coordinate)
    version = versions.get((table, key))
    order = _ORDER.index(table), version is None, key
    if version is None:
        return order, [
            _inserted(table, {"id": key, "version": 1, "document": PLACEHOLDER_DOCUMENT})
        ]
    return order, [_updated(table, columns={}, key=key, version=version)]


_ORDER: Final = (
    "curae_connection",
    "curae_session",
    "curae_binding",
    "curae_record",
    "curae_log",
)

_Place = tuple[int, bool, str]
"""Which table, whether the row is new, and its key."""

_Columns = dict[str, Value]


def _row(write: Write) -> tuple[str, str, _Columns, _Columns]:
    # The table and key of a write; whose it is, which never changes; what moves beside the
    # document.
    match write:
        case ConnectionWrite(_, after):
            identity = after.identity
            whose: _Columns = {
                "predecessor_id": identity.predecessor_id,
                "root_id": identity.root_id,
                "position": identity.position,
                "coordinate": coordinate_key(identity.coordinate),
            }
            return "curae_connection", identity.id, whose, {}
        case SessionWrite(_, after):
            return "curae_session", after.id, {"coordinate": coordinate_key(after.coordinate)}, {}
        case BindingWrite(_, after):
            return "curae_binding", coordinate_key(after.coordinate), {}, {}
        case RecordWrite(name, _, after):
            until = to_epoch_microseconds(record_expires_at(after))
            return "curae_record", record_key(name), {}, {"expires_at": until}
        case RateWrite(name):
            until = to_epoch_microseconds(write.expires_at)
            return "curae_log", rate_key(name), {}, {"expires_at": until}


def _inserted(table: str, columns: _Columns) -> Statement:
    return Statement(_insertion(table, tuple(columns)), tuple(columns.values()), 1)


def _updated(table: str, columns: _Columns, key: str, version: int) -> Statement:
    return Statement(_update(table, tuple(columns)), (*columns.values(), key, version), 1)


@cache
def _insertion(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


@cache
def _update(table: str, names: tuple[str, ...]) -> str:
    sets = ", ".join(["version = version + 1", *(f"{name} = ?" for name in names)])
    return f"UPDATE {table} SET {sets} WHERE id = ? AND version = ?"


def save_caller_statement(dialect: Dialect, digest: str, caller: Caller) -> Statement:
    """What lets an API key stand for a caller; registering again replaces."""
    columns: _Columns = {"id": digest, "version": 1, "document": format_caller(caller)}
    return _replaced(dialect, table="curae_caller", unique="id", columns=columns)


def withdrawal_statement(digest: str) -> Statement:
    """What makes an API key unknown."""
    return Statement("DELETE FROM curae_caller WHERE id = ?", (digest,))


def _opened(dialect: Dialect, page: HostedPage) -> Statement:
    columns: _Columns = {
        "id": page.digest,
        "subject": key_of(page.kind, page.subject),
        "expires_at": to_epoch_microseconds(page.expires_at),
        "document": format_document({"kind": page.kind, "subject": page.subject}),
    }
    return _replaced(dialect, table="curae_page", unique="subject", columns=columns)


def _replaced(dialect: Dialect, table: str, unique: str, columns: _Columns) -> Statement:
    # MariaDB counts a row that it replaces twice.
    rows = None if dialect is Dialect.MARIADB else 1
    return Statement(
        _replacement(dialect, table=table, unique=unique, names=tuple(columns)),
        tuple(columns.values()),
        rows,
    )


@cache
def _replacement(dialect: Dialect, table: str, unique: str, names: tuple[str, ...]) -> str:
    # A new row, or new values of the row that has the unique one.
    given, instead = {
        Dialect.MARIADB: ("VALUES({})", "ON DUPLICATE KEY UPDATE"),
        Dialect.POSTGRESQL: ("excluded.{}", f"ON CONFLICT ({unique}) DO UPDATE SET"),
        Dialect.SQLITE: ("excluded.{}", f"ON CONFLICT ({unique}) DO UPDATE SET"),
    }[dialect]
    sets = ", ".join(f"{name} = {given.format(name)}" for name in names if name != unique)
    return f"{_insertion(table, names)} {instead} {sets}"


def _posted(messages: Sequence[Message], at: int) -> Statement:
    values: list[Value] = []
    for message in messages:
        document = format_document(message.document)
        values += (key_of(message.subject), message.kind, document, at)
    return Statement(_posting(len(messages)), tuple(values), len(messages))


@cache
def _posting(rows: int) -> str:
    columns = "subject, kind, document, due_at, attempts"
    return f"INSERT INTO curae_outbox ({columns}) VALUES {', '.join(['(?, ?, ?, ?, 0)'] * rows)}"
