"""The statements that compare and set everything that was decided.

The laws of this module: **every write compares the version of what it replaces**, or leaves it to a
unique index; **a bucket is charged from what it holds by then**: charges of one key commute, so
that requests under it do not turn each other away.

Rows are changed in the order of their tables and keys, buckets last, so that two transactions wait
for each other in one order, and nobody waits for a bucket for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import record_expires_at
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, SECOND, microseconds
from curae_lifecycle.service.changes import (
    BindingWrite,
    Changes,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.codec import Storable, dump
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.outbox import Message
from curae_lifecycle.stores.pages import HostedPage
from curae_lifecycle.stores.sql.callers import format_caller
from curae_lifecycle.stores.sql.keys import coordinate_key, key_of, rate_key, record_key
from curae_lifecycle.stores.sql.loading import Versions
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value
from curae_lifecycle.web.json import format_json

_LARGEST: Final = 2**63
"""What a number of a database cannot hold."""


def format_value(value: Storable) -> str:
    """The text that a value is kept as."""
    return format_json(dump(value)).decode()


def commit_statements(
    dialect: Dialect,
    loaded: Loaded,
    changes: Changes,
    messages: Sequence[Message],
    page: HostedPage | None,
) -> list[Statement]:
    """What is run in one transaction; each must change as many rows as it says.

    Raises:
        ArgumentError: A write replaces what was not loaded.
    """
    versions = loaded.seen if isinstance(loaded.seen, dict) else {}
    at = microseconds(loaded.now)
    ordered: list[tuple[tuple[int, str], list[Statement]]] = []
    for write in changes.writes:
        order, statements = _written(dialect, versions, write, at)
        ordered.append((order, statements))
    ordered.sort(key=lambda each: each[0])
    statements = [statement for _, each in ordered for statement in each]
    if page is not None:
        statements.insert(0, _opened(dialect, page))
    if messages:
        statements.insert(0, _posted(messages, at))
    return statements


def as_one(statements: Sequence[Statement]) -> Statement:
    """Several statements as one of PostgreSQL: it changes all that it must, or fails as a whole.

    Where a row is not as it was read it divides by nothing, which is the one thing that undoes a
    statement of its own accord.
    """
    names = [f"changed_{number}" for number in range(len(statements))]
    parts = [
        f"{name} AS ({statement.text} RETURNING 1)"
        for name, statement in zip(names, statements, strict=True)
    ]
    wrong = [
        f"(SELECT COUNT(*) FROM {name}) <> {statement.rows}"
        for name, statement in zip(names, statements, strict=True)
        if statement.rows is not None
    ]
    values = tuple(value for statement in statements for value in statement.values)
    check = f"SELECT 1 / (CASE WHEN {' OR '.join(wrong) or '1 = 0'} THEN 0 ELSE 1 END)"
    return Statement(f"WITH {', '.join(parts)} {check}", values)


def purge_statements(now: int) -> list[Statement]:
    """What drops everything that has been over for as long as clocks may disagree.

    Args:
        now: The instant in microseconds.
    """
    over = now - CLOCK_TOLERANCE
    by_end = ("curae_record", "curae_log", "curae_page")
    return [
        *(Statement(f"DELETE FROM {table} WHERE expires_at <= ?", (over,)) for table in by_end),
        # Not yet full at the part of a microsecond after it.
        Statement("DELETE FROM curae_bucket WHERE full_at < ?", (over,)),
    ]


def _written(
    dialect: Dialect, versions: Versions, write: Write, at: int
) -> tuple[tuple[int, str], list[Statement]]:
    # Where the write comes in the order of all, and what it runs.
    if isinstance(write, RateWrite) and isinstance(write.policy, Bucket):
        key = rate_key(write.key)
        return (len(_ORDER), key), _charged(dialect, write.policy, key, at)
    table, key, columns = _row(write)
    columns["document"] = format_value(write.after)
    order = _ORDER.index(table), key
    if write.before is None:
        return order, [_inserted(table, key, columns)]
    return order, [_updated(table, key, columns, versions)]


_ORDER: Final = (
    "curae_connection",
    "curae_session",
    "curae_binding",
    "curae_record",
    "curae_log",
)


def _row(write: Write) -> tuple[str, str, dict[str, Value]]:
    # The table and key of a write, and what it sets beside the document.
    match write:
        case ConnectionWrite(_, after):
            identity = after.identity
            columns: dict[str, Value] = {
                "predecessor_id": identity.predecessor_id,
                "root_id": identity.root_id,
                "position": identity.position,
                "coordinate": coordinate_key(identity.coordinate),
            }
            return "curae_connection", identity.id, columns
        case SessionWrite(_, after):
            return "curae_session", after.id, {"coordinate": coordinate_key(after.coordinate)}
        case BindingWrite(_, after):
            return "curae_binding", coordinate_key(after.coordinate), {}
        case RecordWrite(name, _, after):
            until = microseconds(record_expires_at(after))
            return "curae_record", record_key(name), {"expires_at": until}
        case RateWrite(name):
            return "curae_log", rate_key(name), {"expires_at": microseconds(write.expires_at)}


def _inserted(table: str, key: str, columns: dict[str, Value]) -> Statement:
    names, marks = ", ".join(columns), ", ?" * len(columns)
    text = f"INSERT INTO {table} (id, version, {names}) VALUES (?, 1{marks})"
    return Statement(text, (key, *columns.values()), 1)


def _updated(table: str, key: str, columns: dict[str, Value], versions: Versions) -> Statement:
    if (table, key) not in versions:
        raise ArgumentError("changes", "decided from what was loaded")
    sets = ", ".join(f"{name} = ?" for name in columns)
    text = f"UPDATE {table} SET version = version + 1, {sets} WHERE id = ? AND version = ?"
    return Statement(text, (*columns.values(), key, versions[table, key]), 1)


def _charged(dialect: Dialect, policy: Bucket, key: str, at: int) -> list[Statement]:
    token, refill = policy.seconds * SECOND, policy.refill
    most = policy.capacity * token
    if max(most, token + most, refill * refill) >= _LARGEST:
        raise ArgumentError("buckets", "of sizes whose product a 64-bit integer holds")
    # The time until it is full, in parts of a microsecond, as `rules.ratelimit` counts it; what
    # another refill left is rounded up.
    held = "curae_bucket."
    rescaled = f"({held}part * ? + {held}parts - 1)"
    divided = (
        f"{rescaled} DIV {held}parts" if dialect is Dialect.MARIADB else f"{rescaled} / {held}parts"
    )
    missing = (
        f"(CASE WHEN {held}full_at < ? THEN 0 ELSE ({held}full_at - ?) * ? + {divided} END + ?)"
    )
    values: tuple[Value, ...] = (at, at, refill, refill, token)
    whole = f"{missing} DIV ?" if dialect is Dialect.MARIADB else f"{missing} / ?"
    charge = f"full_at = ? + {whole}, part = {missing} % ?, parts = ?"
    charge_values = (at, *values, refill, *values, refill, refill)
    admits, admits_values = f"{missing} <= ?", (*values, most)
    fresh = (key, at + token // refill, token % refill, refill)
    columns = "curae_bucket (id, full_at, part, parts)"
    if dialect is not Dialect.MARIADB:
        text = (
            f"INSERT INTO {columns} VALUES (?, ?, ?, ?) "
            f"ON CONFLICT (id) DO UPDATE SET {charge} WHERE {admits}"
        )
        return [Statement(text, (*fresh, *charge_values, *admits_values), 1)]
    return [
        Statement(f"INSERT IGNORE INTO {columns} VALUES (?, ?, 0, 1)", (key, 0)),
        Statement(
            f"UPDATE curae_bucket SET {charge} WHERE id = ? AND {admits}",
            (*charge_values, key, *admits_values),
            1,
        ),
    ]


def caller_statement(dialect: Dialect, digest: str, caller: Caller) -> Statement:
    """What lets an API key stand for a caller; registering again replaces."""
    columns: dict[str, Value] = {"id": digest, "version": 1, "document": format_caller(caller)}
    return _replaced(dialect, "curae_caller", "id", columns)


def withdrawal_statement(digest: str) -> Statement:
    """What makes an API key unknown."""
    return Statement("DELETE FROM curae_caller WHERE id = ?", (digest,))


def _opened(dialect: Dialect, page: HostedPage) -> Statement:
    columns: dict[str, Value] = {
        "id": page.digest,
        "subject": key_of(page.kind, page.subject),
        "expires_at": microseconds(page.expires_at),
        "document": format_json({"kind": page.kind, "subject": page.subject}).decode(),
    }
    return _replaced(dialect, "curae_page", "subject", columns)


def _replaced(dialect: Dialect, table: str, unique: str, columns: dict[str, Value]) -> Statement:
    # A new row, or new values of the row that has the unique one.
    if dialect is Dialect.MARIADB:
        sets = ", ".join(f"{name} = VALUES({name})" for name in columns if name != unique)
        instead = f"ON DUPLICATE KEY UPDATE {sets}"
    else:
        sets = ", ".join(f"{name} = excluded.{name}" for name in columns if name != unique)
        instead = f"ON CONFLICT ({unique}) DO UPDATE SET {sets}"
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    text = f"INSERT INTO {table} ({names}) VALUES ({marks}) {instead}"
    return Statement(text, tuple(columns.values()))


def _posted(messages: Sequence[Message], at: int) -> Statement:
    row = "(?, ?, ?, 0, ?)"
    text = (
        "INSERT INTO curae_outbox (subject, kind, document, attempts, due_at) "
        f"VALUES {', '.join([row] * len(messages))}"
    )
    values = [
        value
        for message in messages
        for value in (
            key_of(message.subject),
            message.kind,
            format_json(message.document).decode(),
            at,
        )
    ]
    return Statement(text, tuple(values), len(messages))
