"""SQL statements that commit changes by compare-and-set, and that delete expired rows.

The law of this module: **every write compares the version of the row that it replaces**, or relies
on a unique index.

Statements run in the order of their tables and keys, updates before inserts, and buckets last. So
two transactions wait for each other in one order, and the lock on a bucket is held briefly. Updates
come first because two successors of one connection then meet at its row. If they also met at the
unique index, they would deadlock. Each INSERT expects its rows, although it inserts or raises,
because PostgreSQL keeps the order only of statements whose rows are counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Final

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import record_expires_at
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, to_epoch_microseconds
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.callers import format_caller
from curae_lifecycle.stores.codec import dump
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.formats import number_document
from curae_lifecycle.stores.keys import (
    coordinate_key,
    key_of,
    page_subject_key,
    rate_key,
    record_key,
)
from curae_lifecycle.stores.outbox import MESSAGE, Message
from curae_lifecycle.stores.sql.buckets import charge_statements
from curae_lifecycle.stores.sql.loading import Versions
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value, placeholders

_MESSAGES_PER_STATEMENT: Final = 100
"""The largest number of messages in one INSERT, since databases limit the parameters of each."""

_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False)


def format_document(document: Mapping[str, Json]) -> str:
    """Format a document as compact JSON text.

    The text is ASCII, so that every database returns it unchanged.
    """
    return _ENCODER.encode(document)


def commit_statements(
    dialect: Dialect,
    loaded: Loaded,
    changes: Changes,
    messages: Sequence[Message],
    page: HostedPage | None,
) -> list[Statement]:
    """Build the statements of a commit, for one transaction.

    Args:
        dialect: The database's dialect.
        loaded: The loaded values that the changes were decided from.
        changes: The changes. Only their writes are used; the rest is in `messages`.
        messages: The messages for the outbox, which hold the effects and events of `changes`.
        page: The hosted page to register, if any.

    Raises:
        ArgumentError: A write replaces a value that was not loaded. Or a number of a bucket, such
            as its capacity, is too large for 64-bit integers.
    """
    versions = loaded.seen if isinstance(loaded.seen, Versions) else Versions()
    at = to_epoch_microseconds(loaded.now)
    statements = [
        _outbox_insert(messages[first : first + _MESSAGES_PER_STATEMENT], at)
        for first in range(0, len(messages), _MESSAGES_PER_STATEMENT)
    ]
    if page is not None:
        statements.append(_page_upsert(dialect, page))
    ordered = [
        _write_statements(dialect, versions=versions, write=write, at=at)
        for write in changes.writes
    ]
    ordered.sort(key=itemgetter(0))
    for _, each in ordered:
        statements += each
    return statements


_PURGE_BATCH: Final = 1000

EARLIEST: Final = -(2**63)
"""The instant at which the first batch of a purge begins: earlier than every row's.

It is the smallest integer of a database.
"""


@attrs.frozen
class Purge:
    """The deletion of one table's expired rows in batches of about a thousand.

    Run `batch_end_statement`, then `drop` up to the instant that it selected. Repeat both from that
    instant on. If `batch_end_statement` selects no row, run `drop` up to `until`, which deletes the
    rest. Small batches hold their locks briefly. Each batch begins where the last one ended: a
    search from the start would read deleted rows again, which the database keeps as long as an open
    transaction may read them.

    Attributes:
        table: The name of the table.
        column: The column that holds the instant of expiry, in microseconds since 1970.
        until: The last instant of expiry whose rows are deleted, in microseconds since 1970.
    """

    table: str
    column: str
    until: int

    def batch_end_statement(self, after: int) -> Statement:
        """Build the SELECT that finds where a batch ends: `drop` deletes up to that instant.

        That is the thousandth-earliest instant of expiry among the expired rows. The statement
        returns no row if fewer than a thousand rows are left.

        Args:
            after: The end of the previous batch, in microseconds since 1970; `EARLIEST` for the
                first batch.
        """
        return Statement(
            f"SELECT {self.column} FROM {self.table} WHERE {self.column} > ? "
            f"AND {self.column} <= ? ORDER BY {self.column} LIMIT 1 OFFSET {_PURGE_BATCH - 1}",
            (after, self.until),
        )

    def drop(self, after: int, end: int) -> Statement:
        """Build the DELETE of one batch of expired rows.

        Rows that expired later than `after`, and not later than `end`, are deleted. Both are
        instants in microseconds since 1970.

        Args:
            after: The end of the previous batch; `EARLIEST` for the first batch.
            end: The end of this batch, as `batch_end_statement` selected it; `until` for the last
                batch.
        """
        where = f"{self.column} > ? AND {self.column} <= ?"
        return Statement(f"DELETE FROM {self.table} WHERE {where}", (after, end))


def purges(now: int) -> list[Purge]:
    """Return a `Purge`, which deletes expired rows, for each table whose rows expire.

    Rows are deleted from five minutes after their expiry on. The five minutes are
    `CLOCK_TOLERANCE`, by which the clocks of servers may disagree.

    Args:
        now: The current instant in microseconds since 1970.
    """
    until = now - CLOCK_TOLERANCE
    return [
        *(
            Purge(table, "expires_at", until)
            for table in ("curae_record", "curae_log", "curae_page")
        ),
        # A bucket is full up to one microsecond after `full_at`, because of its part.
        Purge("curae_bucket", "full_at", until - 1),
    ]


def _write_statements(
    dialect: Dialect, versions: Versions, write: Write, at: int
) -> tuple[_Place, list[Statement]]:
    # Returns the statements of a write, and its place in the order of the transaction.
    if isinstance(write, RateWrite) and isinstance(write.policy, Bucket):
        key = rate_key(write.key)
        charge = charge_statements(
            dialect, policy=write.policy, key=key, at=at, known=write.before is not None
        )
        return (len(_ORDER), False, key), charge
    table, key, fixed, columns = _row(write)
    columns["document"] = format_document(dump(write.after))
    is_new = write.before is None
    place = _ORDER.index(table), is_new, key
    if is_new:
        return place, [_insert(table, {"id": key, "version": 1, **fixed, **columns})]
    if (table, key) not in versions:
        raise ArgumentError("changes", "decided from the loaded values")
    version = versions[table, key]
    return place, [_update(dialect, table=table, columns=columns, key=key, version=version)]


_ORDER: Final = (
    # A new page is stored before everything in this order, too.
    "curae_page",
    "curae_connection",
    "curae_session",
    "curae_binding",
    "curae_record",
    "curae_log",
)

_Place = tuple[int, bool, str]
"""The place of a statement in a transaction: the table's index, whether the row is new, its key."""

_Columns = dict[str, Value]


def _row(write: Write) -> tuple[str, str, _Columns, _Columns]:
    # Returns the table, the key, the columns that never change, and the columns that change
    # beside the document.
    match write:
        case ConnectionWrite(_, after):
            identity = after.identity
            fixed: _Columns = {
                "predecessor_id": identity.predecessor_id,
                "root_id": identity.root_id,
                "position": identity.position,
                "coordinate": coordinate_key(identity.coordinate),
                "era": format_era(identity.era),
            }
            return "curae_connection", identity.id, fixed, {}
        case SessionWrite(_, after):
            where = coordinate_key(after.coordinate)
            made: _Columns = {"coordinate": where, "era": format_era(after.era)}
            return "curae_session", after.id, made, {}
        case BindingWrite(_, after):
            unswept: _Columns = {"unswept": 0 if after.swept else 1}
            return "curae_binding", coordinate_key(after.coordinate), {}, unswept
        case PageWrite(_, after):
            return "curae_page", after.digest, {}, {}
        case RecordWrite(name, _, after):
            until = to_epoch_microseconds(record_expires_at(after))
            return "curae_record", record_key(name), {}, {"expires_at": until}
        case RateWrite(name):
            until = to_epoch_microseconds(write.expires_at)
            return "curae_log", rate_key(name), {}, {"expires_at": until}


def format_era(era: datetime | None) -> int:
    """Return an era as a number for a column `era`.

    An era is the instant of a coordinate's last tombstone, which records that its user is gone.

    Returns:
        The era in microseconds since 1970; 0 before the first tombstone.
    """
    return 0 if era is None else to_epoch_microseconds(era)


def _insert(table: str, columns: _Columns) -> Statement:
    return Statement(_insert_text(table, tuple(columns)), tuple(columns.values()), 1)


def _update(dialect: Dialect, table: str, columns: _Columns, key: str, version: int) -> Statement:
    text = _update_text(dialect, table, tuple(columns))
    return Statement(text, (*columns.values(), key, version), 1)


@cache
def _insert_text(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({placeholders(len(names))})"


@cache
def _update_text(dialect: Dialect, table: str, names: tuple[str, ...]) -> str:
    new = dict.fromkeys(names, "?")
    if table == "curae_log":
        # A server with a longer window may have charged the log before.
        greatest = "max" if dialect is Dialect.SQLITE else "GREATEST"
        new["expires_at"] = f"{greatest}(expires_at, ?)"
    sets = ", ".join(["version = version + 1", *(f"{name} = {new[name]}" for name in names)])
    return f"UPDATE {table} SET {sets} WHERE id = ? AND version = ?"


def save_caller_statement(dialect: Dialect, digest: str, caller: Caller) -> Statement:
    """Build the upsert that registers an API key, or replaces the caller of a registered key.

    Args:
        dialect: The database's dialect.
        digest: The digest of the API key.
        caller: The caller of the key.
    """
    columns: _Columns = {"id": digest, "version": 1, "document": format_caller(caller)}
    return _upsert(dialect, table="curae_caller", unique="id", columns=columns)


def erasure_statement(dialect: Dialect, key: str, *, era: int, due_at: int) -> Statement:
    """Build the upsert that notes an erased app user, whose rows a purge deletes later.

    If two erasures run at once, the note with the later era stays, whichever was written first.

    Args:
        dialect: The database's dialect.
        key: The key of the coordinate.
        era: The era that the erasure's tombstone began, in microseconds since 1970.
        due_at: When the rows may be deleted, in microseconds since 1970.
    """
    new_value, on_conflict = _upsert_clauses(dialect, "id")
    # MariaDB sets the columns one after another, so the era comes last.
    sets = ", ".join(
        f"{name} = CASE WHEN {new_value.format('era')} > curae_erasure.era "
        f"THEN {new_value.format(name)} ELSE curae_erasure.{name} END"
        for name in ("due_at", "era")
    )
    insert = _insert_text("curae_erasure", ("id", "era", "due_at"))
    return Statement(f"{insert} {on_conflict} {sets}", (key, era, due_at))


def clear_user_statement(
    dialect: Dialect, key: str, version: int, binding: LimitedAccountAppBinding
) -> Statement:
    """Build the UPDATE that removes the user from the binding of an erased coordinate.

    A purge runs the statement if connections or sessions that still need the binding are left. If
    none are left, the purge deletes the binding instead. Once a new user is bound, the purge does
    neither.

    Args:
        dialect: The database's dialect.
        key: The key of the coordinate.
        version: The version of the binding's row.
        binding: The binding as it is stored.
    """
    after = attrs.evolve(binding, user_id=None, version=binding.version + 1)
    columns: _Columns = {"document": format_document(dump(after))}
    return _update(dialect, table="curae_binding", columns=columns, key=key, version=version)


def withdrawal_statement(digest: str) -> Statement:
    """Build the DELETE that makes the API key with this digest unknown."""
    return Statement("DELETE FROM curae_caller WHERE id = ?", (digest,))


def _page_upsert(dialect: Dialect, page: HostedPage) -> Statement:
    columns: _Columns = {
        "id": page.digest,
        "version": 1,
        "subject": page_subject_key(page),
        "expires_at": to_epoch_microseconds(page.expires_at),
        "document": format_document(dump(page)),
    }
    return _upsert(dialect, table="curae_page", unique="subject", columns=columns)


def _upsert(dialect: Dialect, table: str, unique: str, columns: _Columns) -> Statement:
    # MariaDB counts a replaced row twice, so no number is expected of it.
    rows = None if dialect is Dialect.MARIADB else 1
    return Statement(
        _upsert_text(dialect, table=table, unique=unique, names=tuple(columns)),
        tuple(columns.values()),
        rows,
    )


@cache
def _upsert_text(dialect: Dialect, table: str, unique: str, names: tuple[str, ...]) -> str:
    # Inserts a row, or sets the other columns of the row with the same unique value.
    new_value, on_conflict = _upsert_clauses(dialect, unique)
    sets = ", ".join(f"{name} = {new_value.format(name)}" for name in names if name != unique)
    return f"{_insert_text(table, names)} {on_conflict} {sets}"


def _upsert_clauses(dialect: Dialect, unique: str) -> tuple[str, str]:
    # Returns the template of a column's new value, and the clause that precedes the assignments.
    if dialect is Dialect.MARIADB:
        return "VALUES({})", "ON DUPLICATE KEY UPDATE"
    return "excluded.{}", f"ON CONFLICT ({unique}) DO UPDATE SET"


def _outbox_insert(messages: Sequence[Message], at: int) -> Statement:
    values: list[Value] = []
    for message in messages:
        document = format_document(number_document(MESSAGE, message.document))
        # It is due as soon as it is committed, whatever the clock shows.
        values += (key_of(message.subject), message.kind, document, at)
    return Statement(_outbox_insert_text(len(messages)), tuple(values), len(messages))


@cache
def _outbox_insert_text(rows: int) -> str:
    columns = "subject, kind, document, waits_from, due_at, attempts"
    return f"INSERT INTO curae_outbox ({columns}) VALUES {', '.join(['(?, ?, ?, ?, 0, 0)'] * rows)}"
