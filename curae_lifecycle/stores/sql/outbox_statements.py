"""SQL statements that find, claim, delete, delay and revive messages of the outbox.

The laws of this module:

- **A claim is a compare-and-set.** It takes a message only if no worker has moved `due_at` since it
  was read, and sets `due_at` to the end of the lease.
- **Messages of one subject go in order.** A message is not due while an earlier message of its
  subject exists that is not dead.
- **Only the worker that holds a claim can end it.**

Messages are deleted one by one, never up to a number: numbers are not in the order of commits, so a
message with a lower number may still be committed later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, cast

from curae_lifecycle.rules.values import SECOND
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.clock import NOW_SQL, now_parameter
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value
from curae_lifecycle.web.json import parse_json


class Due(NamedTuple):
    """A message that a worker may claim.

    Attributes:
        number: The message's number.
        due_at: The instant since which the message has been due, in microseconds since 1970.
        attempts: The number of earlier claims, without those that were released untried.
        claim_expired: Whether the lease of an earlier claim expired. The message may have crashed
            the worker that held that claim.
    """

    number: int
    due_at: int
    attempts: int
    claim_expired: bool


def due_statement(dialect: Dialect, limit: int) -> Statement:
    """Build the SELECT of messages that a worker may claim, the longest due first.

    Args:
        dialect: The database's dialect.
        limit: The largest number of messages to select.
    """
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
    """Parse the rows of a `due_statement`, and keep their order."""
    found = [Due._make(cast("Sequence[int]", row)) for row in rows]
    return [due._replace(claim_expired=bool(due.claim_expired)) for due in found]


def claim_statement(dialect: Dialect, due: Sequence[Due], claim: str, lease: float) -> Statement:
    """Build the UPDATE that claims messages which no other worker has claimed since the read.

    Args:
        dialect: The database's dialect.
        due: The messages as they were read.
        claim: The token of the claim: random text.
        lease: How long the claim lasts, in seconds.
    """
    text = (
        "UPDATE curae_outbox SET claim = ?, attempts = attempts + 1, "
        f"due_at = {NOW_SQL[dialect]} + ? WHERE {_STILL_DUE} AND {_id_in(due)}"
    )
    until = (*_clock_values(dialect), int(lease * SECOND))
    return Statement(text, (claim, *until, _latest_due_at(due), *_numbers_of(due)))


def mark_expired_dead_statement(due: Sequence[Due]) -> Statement:
    """Build the UPDATE that marks messages dead after the claim of their last attempt expired.

    A message that another worker has claimed since `due` was read stays alive.
    """
    where = f"{_STILL_DUE} AND {_id_in(due)}"
    text = f"UPDATE curae_outbox SET claim = NULL, due_at = NULL WHERE {where}"
    return Statement(text, (_latest_due_at(due), *_numbers_of(due)))


_STILL_DUE: Final = "due_at <= ?"
"""The condition that no worker has claimed the message since it was read.

A claim moves `due_at` into the future, past every `due_at` that was read as due.
"""


def _latest_due_at(due: Sequence[Due]) -> int:
    return max(each.due_at for each in due)


def claimed_statement(due: Sequence[Due], claim: str) -> Statement:
    """Build the SELECT of those messages of `due` that the token `claim` holds, by number."""
    text = f"SELECT {_COLUMNS} FROM curae_outbox WHERE claim = ? AND {_id_in(due)} ORDER BY id"
    return Statement(text, (claim, *_numbers_of(due)))


class Backlog(NamedTuple):
    """The numbers of undelivered and dead messages in an outbox, and the delay of its workers.

    Attributes:
        messages: The number of messages to deliver, including those that workers have claimed.
        dead: The number of dead messages.
        oldest_due_seconds: The seconds for which the oldest due message has been due; 0 if none is.
    """

    messages: int
    dead: int
    oldest_due_seconds: float


def backlog_statement(dialect: Dialect) -> Statement:
    """Build the SELECT of the numbers that `backlog` parses.

    Its row holds the number of messages to deliver, the number of dead messages, the earliest
    instant at which a message is due, and the database's current instant.
    """
    text = (
        f"SELECT COUNT(due_at), COUNT(*) - COUNT(due_at), MIN(due_at), (SELECT {NOW_SQL[dialect]}) "
        "FROM curae_outbox"
    )
    return Statement(text, _clock_values(dialect))


def backlog(rows: Sequence[Sequence[object]]) -> Backlog:
    """Parse the only row of a `backlog_statement`."""
    messages, dead, first, now = cast("tuple[int, int, int | None, int]", tuple(rows[0]))
    behind = 0.0 if first is None else max(0, now - first) / SECOND
    return Backlog(messages, dead, behind)


def dead_statement(after: int, limit: int) -> Statement:
    """Build the SELECT of dead messages, in the order of their numbers.

    Args:
        after: Only messages with a higher number are selected.
        limit: The largest number of messages to select.
    """
    where = "due_at IS NULL AND id > ? ORDER BY id LIMIT ?"
    return Statement(f"SELECT {_COLUMNS} FROM curae_outbox WHERE {where}", (after, limit))


def messages_statement() -> Statement:
    """Build the SELECT of every message, also of dead ones, in the order of their numbers."""
    return Statement(f"SELECT {_COLUMNS} FROM curae_outbox ORDER BY id", ())


_COLUMNS: Final = "id, attempts, kind, subject, document"


def deliveries(rows: Iterable[Sequence[object]]) -> tuple[Delivery, ...]:
    """Parse the rows of a `claimed_statement`, a `dead_statement` or a `messages_statement`.

    The messages keep the order of the rows.
    """
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
    """Build the DELETE of a delivered message.

    The statement must delete one row. It deletes none if the claim was lost.

    Args:
        number: The message's number.
        claim: The token of the claim.
    """
    return Statement("DELETE FROM curae_outbox WHERE id = ? AND claim = ?", (number, claim), 1)


def failure_statements(
    dialect: Dialect, failed: Delivery, claim: str, pause: float
) -> list[Statement]:
    """Build the UPDATEs that release a failed message and delay the next attempt.

    Later messages of the same subject are delayed too, so that the search for due messages does not
    scan them each time. The first UPDATE must change one row, and changes none if the claim was
    lost.

    Args:
        dialect: The database's dialect.
        failed: The message.
        claim: The token of the claim.
        pause: The delay in seconds.
    """
    until = f"{NOW_SQL[dialect]} + ?"
    values = (*_clock_values(dialect), int(pause * SECOND))
    delayed = Statement(
        f"UPDATE curae_outbox SET claim = NULL, due_at = {until} WHERE id = ? AND claim = ?",
        (*values, failed.number, claim),
        1,
    )
    followers = Statement(
        f"UPDATE curae_outbox SET due_at = {until} "
        f"WHERE subject = ? AND id > ? AND claim IS NULL AND due_at < {until}",
        (*values, failed.subject, failed.number, *values),
    )
    return [delayed, followers]


def mark_failed_dead_statement(number: int, claim: str) -> Statement:
    """Build the UPDATE that marks a message dead after its last attempt failed.

    The statement must change one row. It changes none if the claim was lost.

    Args:
        number: The message's number.
        claim: The token of the claim.
    """
    text = "UPDATE curae_outbox SET claim = NULL, due_at = NULL WHERE id = ? AND claim = ?"
    return Statement(text, (number, claim), 1)


def release_claim_statement(dialect: Dialect, untried: Sequence[Delivery], claim: str) -> Statement:
    """Build the UPDATE that releases claimed messages and does not count the attempt.

    Args:
        dialect: The database's dialect.
        untried: The messages, which the worker did not try to deliver.
        claim: The token of the claim.
    """
    marks = ", ".join("?" * len(untried))
    text = (
        "UPDATE curae_outbox SET claim = NULL, attempts = attempts - 1, "
        f"due_at = {NOW_SQL[dialect]} WHERE claim = ? AND id IN ({marks})"
    )
    return Statement(text, (*_clock_values(dialect), claim, *[each.number for each in untried]))


def revival_statement(dialect: Dialect, number: int) -> Statement:
    """Build the UPDATE that makes a dead message due now, with no attempts counted.

    The statement must change one row. It changes none if no dead message has the `number`.
    """
    text = (
        f"UPDATE curae_outbox SET attempts = 0, due_at = {NOW_SQL[dialect]} "
        "WHERE id = ? AND due_at IS NULL"
    )
    return Statement(text, (*_clock_values(dialect), number), 1)


def _clock_values(dialect: Dialect) -> tuple[Value, ...]:
    at = now_parameter(dialect)
    return () if at is None else (at,)


def _id_in(due: Sequence[Due]) -> str:
    return f"id IN ({', '.join('?' * len(due))})"


def _numbers_of(due: Sequence[Due]) -> list[int]:
    return [each.number for each in due]
