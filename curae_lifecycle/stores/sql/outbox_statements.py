"""The statements of the outbox: what may be claimed, claims it, and ends the claim.

The laws of this module: **a claim is a compare-and-set**: it takes what is still due at the moment
at which it was seen to be due, and moves that; **the first of a subject goes first**: nothing is
due while an earlier message of its subject is there and not dead; **only who holds the claim ends
it**. Messages are deleted one by one: numbers are not in the order of commits, so that nobody can
tell by a number what comes before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, cast

from curae_lifecycle.rules.values import SECOND
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.clock import NOW_SQL, now_parameter
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value
from curae_lifecycle.web.json import Json, parse_json


class Due(NamedTuple):
    """A message that may be claimed.

    Attributes:
        number: The message's number.
        due_at: Since when it has been due, in microseconds since 1970.
        attempts: How often it was claimed before.
        claim_expired: Whether whoever claimed it last did not end the claim: it may have died of it.
    """

    number: int
    due_at: int
    attempts: int
    claim_expired: bool


def due_statement(dialect: Dialect, limit: int) -> Statement:
    """What finds messages that may be claimed, those first that have been due for longest."""
    text = (
        "SELECT later.id, later.due_at, later.attempts, "
        "CASE WHEN later.claim IS NULL THEN 0 ELSE 1 END "
        f"FROM curae_outbox AS later WHERE later.due_at <= (SELECT {NOW_SQL[dialect]}) "
        "AND NOT EXISTS (SELECT 1 FROM curae_outbox AS earlier WHERE "
        "earlier.subject = later.subject AND earlier.id < later.id "
        "AND earlier.due_at IS NOT NULL) "
        "ORDER BY later.due_at, later.id LIMIT ?"
    )
    return Statement(text, (*_clock_values(dialect), limit))


def due_messages(rows: Iterable[Sequence[object]]) -> list[Due]:
    """What the rows of a `due_statement` say."""
    found = [Due._make(cast("Sequence[int]", row)) for row in rows]
    return [due._replace(claim_expired=bool(due.claim_expired)) for due in found]


def claim_statement(dialect: Dialect, due: Sequence[Due], claim: str, lease: float) -> Statement:
    """What claims messages for so many seconds, as far as nobody else did."""
    text = (
        "UPDATE curae_outbox SET claim = ?, attempts = attempts + 1, "
        f"due_at = {NOW_SQL[dialect]} + ? WHERE {_STILL_DUE} AND {_are(due)}"
    )
    until = (*_clock_values(dialect), int(lease * SECOND))
    return Statement(text, (claim, *until, _latest(due), *_numbers(due)))


def mark_expired_dead_statement(due: Sequence[Due]) -> Statement:
    """What makes messages dead whose last claim ran out."""
    text = f"UPDATE curae_outbox SET claim = NULL, due_at = NULL WHERE {_STILL_DUE} AND {_are(due)}"
    return Statement(text, (_latest(due), *_numbers(due)))


_STILL_DUE: Final = "due_at <= ?"
"""Whoever claimed it since moved that past any moment that was seen."""


def _latest(due: Sequence[Due]) -> int:
    return max(each.due_at for each in due)


def claimed_statement(due: Sequence[Due], claim: str) -> Statement:
    """What reads the messages that were claimed."""
    text = f"SELECT {_COLUMNS} FROM curae_outbox WHERE claim = ? AND {_are(due)} ORDER BY id"
    return Statement(text, (claim, *_numbers(due)))


class Backlog(NamedTuple):
    """How many messages an outbox holds, and how far behind its workers are.

    Attributes:
        messages: How many are to be shipped, those among them that are being shipped.
        dead: How many are dead.
        oldest_due_seconds: For how long the one has been due that has been due for longest; 0 where none is.
    """

    messages: int
    dead: int
    oldest_due_seconds: float


def backlog_statement(dialect: Dialect) -> Statement:
    """What counts the messages."""
    text = (
        f"SELECT COUNT(due_at), COUNT(*) - COUNT(due_at), MIN(due_at), (SELECT {NOW_SQL[dialect]}) "
        "FROM curae_outbox"
    )
    return Statement(text, _clock_values(dialect))


def backlog(rows: Sequence[Sequence[object]]) -> Backlog:
    """What the row of a `backlog_statement` says."""
    messages, dead, first, now = cast("tuple[int, int, int | None, int]", tuple(rows[0]))
    behind = 0.0 if first is None else max(0, now - first) / SECOND
    return Backlog(messages, dead, behind)


def dead_statement(after: int, limit: int) -> Statement:
    """What reads messages that are dead, from a number on."""
    where = "due_at IS NULL AND id > ? ORDER BY id LIMIT ?"
    return Statement(f"SELECT {_COLUMNS} FROM curae_outbox WHERE {where}", (after, limit))


_COLUMNS: Final = "id, attempts, kind, subject, document"


def deliveries(rows: Iterable[Sequence[object]]) -> tuple[Delivery, ...]:
    """What the rows of a `claimed_statement` or a `dead_statement` say."""
    found = [cast("tuple[int, int, str, str, str]", tuple(row)) for row in rows]
    return tuple(
        [
            Delivery(
                number=number,
                attempt=attempt,
                kind=kind,
                subject=subject,
                document=cast("dict[str, Json]", parse_json(document)),
            )
            for number, attempt, kind, subject, document in found
        ]
    )


def delete_delivered_statement(number: int, claim: str) -> Statement:
    """What drops a message that was shipped."""
    return Statement("DELETE FROM curae_outbox WHERE id = ? AND claim = ?", (number, claim), 1)


def failure_statements(
    dialect: Dialect, failed: Delivery, claim: str, pause: float
) -> list[Statement]:
    """What lets a message wait for its next attempt, so many seconds from now.

    Those after it wait as long, so that no look for what is due has to pass them each time.
    """
    until = f"{NOW_SQL[dialect]} + ?"
    values = (*_clock_values(dialect), int(pause * SECOND))
    held = Statement(
        f"UPDATE curae_outbox SET claim = NULL, due_at = {until} WHERE id = ? AND claim = ?",
        (*values, failed.number, claim),
        1,
    )
    followers = Statement(
        f"UPDATE curae_outbox SET due_at = {until} "
        f"WHERE subject = ? AND id > ? AND claim IS NULL AND due_at < {until}",
        (*values, failed.subject, failed.number, *values),
    )
    return [held, followers]


def mark_failed_dead_statement(number: int, claim: str) -> Statement:
    """What makes a message dead whose last attempt failed."""
    text = "UPDATE curae_outbox SET claim = NULL, due_at = NULL WHERE id = ? AND claim = ?"
    return Statement(text, (number, claim), 1)


def release_claim_statement(dialect: Dialect, given: Sequence[Delivery], claim: str) -> Statement:
    """What gives messages back that were claimed and not tried."""
    marks = ", ".join("?" * len(given))
    text = (
        "UPDATE curae_outbox SET claim = NULL, attempts = attempts - 1, "
        f"due_at = {NOW_SQL[dialect]} WHERE claim = ? AND id IN ({marks})"
    )
    return Statement(text, (*_clock_values(dialect), claim, *[each.number for each in given]))


def revival_statement(dialect: Dialect, number: int) -> Statement:
    """What lets a dead message be tried again as if it were new."""
    text = (
        f"UPDATE curae_outbox SET attempts = 0, due_at = {NOW_SQL[dialect]} "
        "WHERE id = ? AND due_at IS NULL"
    )
    return Statement(text, (*_clock_values(dialect), number), 1)


def _clock_values(dialect: Dialect) -> tuple[Value, ...]:
    at = now_parameter(dialect)
    return () if at is None else (at,)


def _are(due: Sequence[Due]) -> str:
    return f"id IN ({', '.join('?' * len(due))})"


def _numbers(due: Sequence[Due]) -> list[int]:
    return [each.number for each in due]
