"""SQL statements that find, claim, delete, delay and revive messages of the outbox.

The laws of this module:

- **A worker claims messages before it delivers them, by compare-and-set.** A claim takes a message
  only if the message is still due, and has no claim or still the expired one that was read.
- **Messages of one subject go in order.** A message is not due while an earlier message of its
  subject exists that is not dead.
- **A due `AccessEnded` goes first**, after the earlier messages of its subject. It takes turns with
  the usual order, so a flood of them at most doubles the wait of other messages.
- **Only the worker that holds a claim can end it.**
- **No clock holds a message up for long.** A message that was never tried is due once it is the first
  of its subject. A retry is due at most the longest pause from now. A claim is over at most its lease
  and five minutes from now.

A message waits only while `waits_from <= now < due_at`. Each wait sets both instants, so that a clock
that was put back to before `waits_from` ends the wait. Messages that were never tried have a `due_at`
of 0, so they are always due.

Messages are deleted one by one, never up to a number: numbers are not in the order of commits, so a
message with a lower number may still be committed later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple, cast

from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, SECOND
from curae_lifecycle.service.effects import AccessEnded
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.stores.formats import NewerFormatError, upgrade_document
from curae_lifecycle.stores.outbox import (
    MESSAGE,
    AnyDelivery,
    Delivery,
    MalformedDelivery,
    NewerDelivery,
)
from curae_lifecycle.stores.sql.clock import NOW_SQL, now_values
from curae_lifecycle.stores.sql.statement import Dialect, Statement, Value, placeholders
from curae_lifecycle.web.json import MalformedError, parse_json


class Due(NamedTuple):
    """A message of the outbox that a worker may claim now.

    A claim keeps other workers from the message until the claim expires.

    Attributes:
        number: The message's number.
        due_at: The planned end of the pause after a failed attempt, or of an earlier claim, in
            microseconds since 1970; 0 for a message that was never tried. It may be in the future:
            if the clock was put back, a pause or claim that begins in the future has no effect.
        attempts: The number of earlier claims, without those that were released untried.
        claim: The token of an earlier claim that has expired, or `None`. The message may have
            crashed the worker that held the claim.
        subject: The digest of the connection, session or coordinate that the message is about.
        urgent: 1 in a row that was selected because the subject has a due `AccessEnded`, the effect
            to drop cached grants; else 0.
    """

    number: int
    due_at: int
    attempts: int
    claim: str | None
    subject: str
    urgent: int


def due_statement(dialect: Dialect, limit: int) -> Statement:
    """Build the SELECT of messages that a worker may claim; `due_messages` puts its rows in order.

    Messages of one subject, such as a connection, go in order: only the first one that is not dead
    is considered. The SELECT unites four searches:

    - for messages that were never tried;
    - for messages whose pause after a failed attempt, or whose claim by a worker, has ended;
    - for messages whose pause or claim ends early, because the database's clock was put back;
    - for urgent messages once more, since `limit` may cut them off in the searches above.

    A message is urgent if any message of its subject is a due `AccessEnded` (access has ended).

    Args:
        dialect: The database's dialect.
        limit: The largest number of messages to select by each search.
    """
    now = f"(SELECT {NOW_SQL[dialect]})"
    is_postgresql = dialect is Dialect.POSTGRESQL
    cases = (
        _UNTRIED_ON_POSTGRESQL if is_postgresql else "due_at = 0 {first} ORDER BY id",
        f"due_at > 0 AND due_at <= {now} {{first}} ORDER BY due_at, id",
        f"{_DUE_AT} > {now} AND waits_from > {now} {{first}} ORDER BY waits_from",
    )
    first = _IS_FIRST_ON_POSTGRESQL if is_postgresql else _IS_FIRST
    urgent = _URGENT_ON_POSTGRESQL if is_postgresql else _URGENT
    parts = [
        *[
            f"SELECT {_DUE_COLUMNS}, 0 AS urgent FROM curae_outbox AS later "
            f"WHERE {case.format(first=first)}"
            for case in cases
        ],
        urgent.format(now=now, index=_INDEX_ON_MARIADB if dialect is Dialect.MARIADB else ""),
    ]
    clock = now_values(dialect)
    kinds = [AccessEnded.__name__] * (2 if is_postgresql else 1)
    return Statement(
        " UNION ALL ".join(
            [f"SELECT * FROM ({part} LIMIT ?) AS part_{n}" for n, part in enumerate(parts)]
        ),
        (limit, *clock, limit, *clock, *clock, limit, *kinds, *clock, *clock, limit),
    )


_DUE_COLUMNS: Final = "id, due_at, attempts, claim, subject"

_IS_FIRST: Final = (
    "AND NOT EXISTS (SELECT 1 FROM curae_outbox AS earlier WHERE "
    "earlier.subject = later.subject AND earlier.id < later.id "
    "AND earlier.due_at IS NOT NULL)"
)

_UNTRIED_ON_POSTGRESQL: Final = "due_at <= 0 {first} ORDER BY due_at, id"
"""The condition and order of untried messages; only the index on `due_at` serves them.

PostgreSQL takes an outbox that was last analyzed while it was empty for one row, however many
messages or deleted rows it has now. By that estimate, a plan that reads every row for each due
message costs as little as any other. So each search leaves PostgreSQL one index to choose from.
"""

_IS_FIRST_ON_POSTGRESQL: Final = (
    "AND NOT EXISTS (SELECT 1 FROM curae_outbox AS earlier WHERE "
    "earlier.subject >= later.subject "
    "AND (earlier.subject, earlier.id) < (later.subject, later.id) "
    "AND earlier.due_at + 0 IS NOT NULL ORDER BY earlier.subject, earlier.id OFFSET 0)"
)
"""The same condition as `_IS_FIRST`; only the index on `subject` and `id` serves its order.

`OFFSET 0` keeps PostgreSQL from a join, which may compare all messages with each other.
"""


_URGENT: Final = (
    "SELECT head.id, head.due_at, head.attempts, head.claim, head.subject, 1 AS urgent "
    "FROM curae_outbox AS ended CROSS JOIN curae_outbox AS head "
    "WHERE ended.kind = ? AND ended.due_at <= {now} AND head.due_at <= {now} "
    "AND head.id = (SELECT MIN(earlier.id) FROM curae_outbox AS earlier{index} WHERE "
    "earlier.subject = ended.subject AND earlier.due_at IS NOT NULL) "
    "ORDER BY ended.due_at, ended.id"
)
"""The first message of each subject that has a due message of one kind."""

_INDEX_ON_MARIADB: Final = " FORCE INDEX (curae_outbox_subject)"
"""Keeps MariaDB from reading every row for each due message if its statistics are old."""

_URGENT_ON_POSTGRESQL: Final = (
    "SELECT head.*, 1 AS urgent FROM curae_outbox AS ended CROSS JOIN LATERAL ("
    f"SELECT {_DUE_COLUMNS} FROM curae_outbox AS earlier WHERE "
    "earlier.subject >= ended.subject "
    "AND (earlier.subject, earlier.id) <= (ended.subject, ended.id) "
    "AND earlier.due_at + 0 IS NOT NULL ORDER BY earlier.subject, earlier.id LIMIT 1) AS head "
    "WHERE ended.kind >= ? AND (ended.kind, ended.due_at) <= (?, {now}) AND head.due_at <= {now} "
    "ORDER BY ended.kind, ended.due_at, ended.id"
)
"""The same as `_URGENT`; only one index serves each of its orders."""


def due_messages(
    rows: Iterable[Sequence[object]], limit: int, *, urgent_first: bool = True
) -> list[Due]:
    """Choose messages from the rows of a `due_statement`, and put them in the order of delivery.

    A message is urgent if its subject has a due `AccessEnded`, the effect to drop cached grants.
    Urgent and other messages take turns, so that neither kind holds up the other. Among the others,
    retries and messages that were never tried take turns. Of the retries, the one that has been due
    the longest comes first; of the untried messages, the one with the lowest number.

    Args:
        rows: The rows.
        limit: The largest number of messages to return.
        urgent_first: Whether an urgent message takes the first turn.
    """
    found = sorted(
        [Due._make(cast("tuple[int, int, int, str | None, str, int]", tuple(row))) for row in rows],
        key=lambda due: (due.due_at, due.number),
    )
    urgent = [due for due in found if due.urgent]
    tried = [due for due in found if due.due_at and not due.urgent]
    usual = _take_turns(tried, [due for due in found if not due.due_at and not due.urgent])
    turns = _take_turns(urgent, usual) if urgent_first else _take_turns(usual, urgent)
    return turns[:limit]


def _take_turns(first: Iterable[Due], second: Iterable[Due]) -> list[Due]:
    turns: dict[int, Due] = {}
    for pair in zip_longest(first, second):
        for due in pair:
            if due is not None:
                turns.setdefault(due.number, due)
    return [*turns.values()]


def claim_statement(dialect: Dialect, due: Sequence[Due], claim: str, lease: float) -> Statement:
    """Build the UPDATE that claims messages that no other worker has claimed since they were read.

    `claimed_statement` then selects the messages that this worker got.

    Args:
        dialect: The database's dialect.
        due: The messages, as `due_messages` returned them.
        claim: The token of the claim, random text by which the worker recognizes its own claim.
        lease: How long the claim lasts, in seconds.
    """
    now, clock = NOW_SQL[dialect], now_values(dialect)
    where, values = _still_due(dialect, due)
    text = (
        "UPDATE curae_outbox SET claim = ?, attempts = attempts + 1, "
        f"waits_from = {now} - ?, due_at = {now} + ? WHERE {where}"
    )
    until = (*clock, CLOCK_TOLERANCE, *clock, int(lease * SECOND))
    return Statement(text, (claim, *until, *values))


def mark_expired_dead_statements(dialect: Dialect, due: Due) -> list[Statement]:
    """Build the UPDATEs that mark a message dead after the claim of its last attempt expired.

    A dead message is not tried again. The first UPDATE must change one row. It changes none if
    another worker has claimed the message since `due` was read. The second makes the next message
    of the subject due.
    """
    where, values = _still_due(dialect, [due])
    text = f"UPDATE curae_outbox SET claim = NULL, due_at = NULL WHERE {where}"
    return [Statement(text, values, 1), _wake_statement(dialect, due.subject)]


_DUE_AT: Final = "due_at + 0"
"""`due_at`, so that no index on it is used; the statement finds its rows by another column.

While a transaction is open elsewhere, such as that of a dump, PostgreSQL and MariaDB keep all rows
that were delivered meanwhile. A search of that index would read each of them.
"""


def _still_due(dialect: Dialect, due: Sequence[Due]) -> tuple[str, tuple[Value, ...]]:
    # Returns the condition, with its values, that a message is due and unclaimed since it was read.
    claims = [each.claim for each in due if each.claim is not None]
    same = f" OR claim IN ({placeholders(len(claims))})" if claims else ""
    now, clock = NOW_SQL[dialect], now_values(dialect)
    waits = f"{_DUE_AT} IS NOT NULL AND ({_DUE_AT} <= {now} OR waits_from > {now})"
    return (
        f"(claim IS NULL{same}) AND {waits} AND {_id_in(due)}",
        (*claims, *clock, *clock, *_numbers_of(due)),
    )


def _wake_statement(dialect: Dialect, subject: str) -> Statement:
    # Builds the UPDATE that makes the untried messages of a subject due as soon as they are first.
    # `failure_statements` delayed them.
    return Statement(
        f"UPDATE curae_outbox SET due_at = 0, waits_from = {NOW_SQL[dialect]} WHERE "
        f"subject = ? AND claim IS NULL AND attempts = 0 AND {_DUE_AT} > 0",
        (*now_values(dialect), subject),
    )


def claimed_statement(due: Sequence[Due], claim: str) -> Statement:
    """Build the SELECT of the messages of `due` that are claimed with the token `claim`."""
    text = f"SELECT {_COLUMNS} FROM curae_outbox WHERE claim = ? AND {_id_in(due)}"
    return Statement(text, (claim, *_numbers_of(due)))


def held_claim_statement(number: int, claim: str) -> Statement:
    """Build the SELECT that returns a row if a message is still claimed with the token `claim`.

    A worker runs this after a conflict: with a row, it may store its result again.
    """
    return Statement("SELECT id FROM curae_outbox WHERE id = ? AND claim = ?", (number, claim))


class Backlog(NamedTuple):
    """The numbers of undelivered and of dead messages, and how late the oldest due message is.

    Attributes:
        messages: The number of messages to deliver, including those that workers have claimed.
        dead: The number of dead messages, which have no attempts left.
        oldest_due_seconds: How many seconds the oldest due message has been due; 0 if none is due.
            A claimed message is not due. One that a worker returned untried is due from then on.
            If the database's clock was stepped meanwhile, the number is wrong by that step.
    """

    messages: int
    dead: int
    oldest_due_seconds: float


def backlog_statement(dialect: Dialect) -> Statement:
    """Build the SELECT that counts the messages of the outbox, for `parse_backlog`.

    Its row holds the number of messages to deliver, the number of dead messages, the earliest due
    time of a message to deliver, and the database's current instant.
    """
    text = (
        "SELECT COUNT(due_at), COUNT(*) - COUNT(due_at), "
        "MIN(CASE WHEN due_at = 0 THEN waits_from ELSE due_at END), "
        f"(SELECT {NOW_SQL[dialect]}) FROM curae_outbox"
    )
    return Statement(text, now_values(dialect))


def parse_backlog(rows: Sequence[Sequence[object]]) -> Backlog:
    """Return the counts of messages, and how late the oldest is, from a `backlog_statement`."""
    messages, dead, first, now = cast("tuple[int, int, int | None, int]", tuple(rows[0]))
    behind = 0.0 if first is None else max(0, now - first) / SECOND
    return Backlog(messages, dead, behind)


def dead_statement(after: int, limit: int) -> Statement:
    """Build the SELECT of dead messages, which have no attempts left, in order of their numbers.

    Args:
        after: Only messages with a higher number are selected.
        limit: The largest number of messages to select.
    """
    where = "due_at IS NULL AND id > ? ORDER BY id LIMIT ?"
    return Statement(f"SELECT {_COLUMNS} FROM curae_outbox WHERE {where}", (after, limit))


def messages_statement() -> Statement:
    """Build the SELECT of every message, dead ones included, in the order of their numbers."""
    return Statement(f"SELECT {_COLUMNS} FROM curae_outbox ORDER BY id")


_COLUMNS: Final = "id, attempts, kind, subject, document"


def deliveries(rows: Iterable[Sequence[object]]) -> tuple[AnyDelivery, ...]:
    """Parse the rows of a SELECT of messages, such as a `claimed_statement`; keep their order.

    A message that only a newer release can read becomes a `NewerDelivery`, and a malformed one a
    `MalformedDelivery`.
    """
    return tuple([_delivery(row) for row in rows])


def documents(rows: Iterable[Sequence[object]]) -> list[dict[str, Json]]:
    """Return the content of each message, as JSON, from the rows of a `messages_statement`.

    Raises:
        MalformedError: A document is not one that this library wrote.
        NewerFormatError: A newer release stored one of the messages.
    """
    found: list[dict[str, Json]] = []
    for delivery in deliveries(rows):
        if not isinstance(delivery, Delivery):
            raise delivery.error
        found.append(delivery.document)
    return found


def _delivery(row: Sequence[object]) -> AnyDelivery:
    number, attempt, kind, subject, text = cast("tuple[int, int, str, str, str]", tuple(row))
    try:
        document = _parse_document(text)
    except MalformedError as malformed:
        return MalformedDelivery(
            number=number, attempt=attempt, kind=kind, subject=subject, error=malformed
        )
    except NewerFormatError as error:
        return NewerDelivery(
            number=number, attempt=attempt, kind=kind, subject=subject, error=error
        )
    return Delivery(number=number, attempt=attempt, kind=kind, subject=subject, document=document)


def _parse_document(text: str) -> dict[str, Json]:
    stored = parse_json(text)
    if not isinstance(stored, dict):
        raise MalformedError(None, Fault.INVALID)
    return upgrade_document(MESSAGE, stored)


def delivered_statements(dialect: Dialect, delivered: Delivery, claim: str) -> list[Statement]:
    """Build the statements that delete a delivered message.

    If earlier attempts at the message failed, later messages of its subject were delayed. The
    statements then end that delay, too. The first statement must delete one row. It deletes none if
    the claim was lost.

    Args:
        dialect: The database's dialect.
        delivered: The message, as the handler got it.
        claim: The token with which the worker claimed the message.
    """
    text = "DELETE FROM curae_outbox WHERE id = ? AND claim = ?"
    delete = Statement(text, (delivered.number, claim), 1)
    if delivered.attempt == 1:
        # Only a failed attempt delays other messages.
        return [delete]
    return [delete, _wake_statement(dialect, delivered.subject)]


def failure_statements(
    dialect: Dialect,
    failed: Delivery | MalformedDelivery,
    claim: str,
    *,
    pause: float,
    longest_pause: float,
) -> list[Statement]:
    """Build the UPDATEs that release a failed message and delay the next attempt.

    Later messages of the same subject are delayed too, so that the search for due messages does not
    scan them each time. The first UPDATE must change one row, and changes none if the claim was
    lost.

    Args:
        dialect: The database's dialect.
        failed: The message that could not be delivered.
        claim: The token with which the worker claimed the message.
        pause: The delay in seconds.
        longest_pause: The limit of the delay in seconds. The delay lasts no longer, even if the
            clock is put back meanwhile.
    """
    now, clock = NOW_SQL[dialect], now_values(dialect)
    waits = f"waits_from = {now} - ?, due_at = {now} + ?"
    until = int(pause * SECOND)
    values = (*clock, int(longest_pause * SECOND) - until, *clock, until)
    delayed = Statement(
        f"UPDATE curae_outbox SET claim = NULL, {waits} WHERE id = ? AND claim = ?",
        (*values, failed.number, claim),
        1,
    )
    followers = Statement(
        f"UPDATE curae_outbox SET {waits} WHERE subject = ? AND id > ? "
        "AND claim IS NULL AND attempts = 0 AND due_at IS NOT NULL",
        (*values, failed.subject, failed.number),
    )
    return [delayed, followers]


def mark_dead_statements(
    dialect: Dialect, failed: Delivery | MalformedDelivery, claim: str
) -> list[Statement]:
    """Build the UPDATEs that mark a message dead after its last attempt failed.

    A dead message is not tried again, so the next message of its subject becomes due. The first
    UPDATE must change one row. It changes none if the claim was lost.

    Args:
        dialect: The database's dialect.
        failed: The message that could not be delivered.
        claim: The token with which the worker claimed the message.
    """
    text = "UPDATE curae_outbox SET claim = NULL, due_at = NULL WHERE id = ? AND claim = ?"
    dead = Statement(text, (failed.number, claim), 1)
    return [dead, _wake_statement(dialect, failed.subject)]


def release_claim_statement(
    dialect: Dialect, untried: Sequence[AnyDelivery], claim: str
) -> Statement:
    """Build the UPDATE that gives up claimed messages without counting an attempt.

    Args:
        dialect: The database's dialect.
        untried: The messages, which the worker did not try to deliver.
        claim: The token with which the worker claimed the messages.
    """
    text = (
        "UPDATE curae_outbox SET claim = NULL, attempts = attempts - 1, due_at = 0, "
        f"waits_from = {NOW_SQL[dialect]} WHERE claim = ? AND id IN ({placeholders(len(untried))})"
    )
    return Statement(text, (*now_values(dialect), claim, *[each.number for each in untried]))


def revival_statement(dialect: Dialect, number: int) -> Statement:
    """Build the UPDATE that makes a dead message due now, with no attempts counted.

    The statement is undone with its transaction if no dead message has the `number`.
    """
    text = (
        f"UPDATE curae_outbox SET attempts = 0, due_at = 0, waits_from = {NOW_SQL[dialect]} "
        "WHERE id = ? AND due_at IS NULL"
    )
    return Statement(text, (*now_values(dialect), number), 1)


def discard_statement(number: int) -> Statement:
    """Build the DELETE of a dead message; without one of that number, the transaction is undone."""
    return Statement("DELETE FROM curae_outbox WHERE id = ? AND due_at IS NULL", (number,), 1)


def _id_in(due: Sequence[Due]) -> str:
    return f"id IN ({placeholders(len(due))})"


def _numbers_of(due: Sequence[Due]) -> list[int]:
    return [each.number for each in due]
