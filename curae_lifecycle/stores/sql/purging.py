"""The purge of a SQL store: expired rows, unfinished sweeps, and rows of erased app users.

The laws of this module: **a live row is never deleted**; **nothing is deleted before its end was
delivered**.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, Coordinate, to_epoch_microseconds
from curae_lifecycle.service.hosted_page import PageKind
from curae_lifecycle.stores.codec import load
from curae_lifecycle.stores.contract import AsyncStore
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.outbox import coordinate_subject
from curae_lifecycle.stores.retry import Retrier
from curae_lifecycle.stores.sql.statement import Statement, placeholders
from curae_lifecycle.stores.sql.storing import (
    EARLIEST,
    Purge,
    clear_user_statement,
    format_era,
    purges,
)
from curae_lifecycle.stores.sql.transactions import (
    AsyncTransactions,
    RetriedTransactions,
    run_until_committed,
)
from curae_lifecycle.stores.sweeping import sweep
from curae_lifecycle.web.json import MalformedError, parse_json

_LOG: Final = logging.getLogger(__name__)

_ROWS_PER_STATEMENT: Final = 100


async def purge_database(
    database: AsyncTransactions, store: AsyncStore, *, now: datetime, retrier: Retrier
) -> None:
    """Delete expired rows and those of erased app users, and finish sweeps that were cut off.

    A tombstone records that a user is gone. A sweep revokes the connections of that user.

    Args:
        database: The database to delete from.
        store: The store on this database, which the sweeps load from and commit to.
        now: The database's instant.
        retrier: Repeats each batch while the database is unavailable.

    Raises:
        StoreUnavailableError: The database was unavailable in every attempt at a batch.
    """
    instant = to_epoch_microseconds(now)
    # The database limits each statement itself, by the timeout of its engine.
    policy = attrs.evolve(retrier.policy, attempt_seconds=retrier.policy.seconds)
    retried = RetriedTransactions(database, attrs.evolve(retrier, policy=policy))
    for purge in purges(instant):
        await _delete_expired(retried, purge)
    await _finish_sweeps(retried, store, retrier)
    await _purge_erasures(retried, instant)


async def _delete_expired(database: RetriedTransactions, purge: Purge) -> None:
    after, is_last = EARLIEST, False
    while not is_last:
        found = await database.rows(purge.batch_end_statement(after))
        is_last = not found
        end = purge.until if is_last else found[0][0]
        assert isinstance(end, int)  # noqa: S101 - the column holds integers
        await run_until_committed(database, [purge.drop(after, end)], database.retrier)
        after = end


async def _finish_sweeps(database: AsyncTransactions, store: AsyncStore, retrier: Retrier) -> None:
    after = ""
    while rows := await database.rows(
        Statement(
            "SELECT id, document FROM curae_binding WHERE unswept = 1 AND id > ? "
            f"ORDER BY id LIMIT {_ROWS_PER_STATEMENT}",
            (after,),
        )
    ):
        for id_, document in rows:
            after = str(id_)
            with _log_unreadable("a sweep is left"):
                binding = _parse_binding(document)
                await sweep(store, binding.coordinate, retrier=retrier)


@contextmanager
def _log_unreadable(what: str) -> Generator[None]:
    # Ends the block at a stored value that cannot be read, and logs what that left undone.
    try:
        yield
    except NewerFormatError as error:
        _LOG.warning("%s to a newer release: %s", what, error)
    except MalformedError as error:
        _LOG.error("%s: a row is malformed: %s", what, error)


def _parse_binding(document: object) -> LimitedAccountAppBinding:
    return load(LimitedAccountAppBinding, parse_json(str(document)))


@attrs.frozen
class Erased:
    """The connections and sessions of an erased app user that are still stored.

    A purge deletes them once no message about them is left in the outbox.

    Attributes:
        connections: The ids of the connections.
        sessions: The ids of the connect sessions.
        coordinate: The app user's coordinate, if messages about it must be delivered first, too.
            `None` if a new user is bound to it: such messages may then be about the new user.
    """

    connections: tuple[str, ...]
    sessions: tuple[str, ...]
    coordinate: Coordinate | None

    def message_key_batches(self) -> Iterator[tuple[str, ...]]:
        """Yield, in batches, the keys by which to look for outbox messages about these rows.

        A purge deletes the rows only once no message with one of these keys is undelivered.
        """
        about = [*self.connections, *self.sessions]
        if self.coordinate is not None:
            about.append(coordinate_subject(self.coordinate))
        yield from _batches([key_of(each) for each in about])

    def deletions(self) -> Iterator[tuple[Statement, Statement]]:
        """Yield pairs of statements that delete a batch of rows with their hosted pages.

        Each pair is one transaction. If a purge is cut off between two pairs, the next purge
        deletes the rows that are left.
        """
        for table, kind, ids in (
            ("curae_connection", PageKind.CONNECTION, self.connections),
            ("curae_session", PageKind.SESSION, self.sessions),
        ):
            for batch in _batches(ids):
                subjects = tuple([key_of(kind, each) for each in batch])
                yield _deletion("curae_page", "subject", subjects), _deletion(table, "id", batch)


def erased_statements(key: str, kept_eras: tuple[int, ...]) -> tuple[Statement, Statement]:
    """Build two SELECTs of the rows to delete of an erased app user: connections, then sessions.

    A row's era is the instant of the coordinate's last tombstone when the row was made.

    Args:
        key: The key of the coordinate.
        kept_eras: The eras whose rows are not deleted, in microseconds since 1970. They are the
            era that the erasure began, and the present one.
    """
    where = f"coordinate = ? AND era NOT IN ({placeholders(len(kept_eras))})"
    connections, sessions = [
        Statement(f"SELECT id FROM {table} WHERE {where}", (key, *kept_eras))
        for table in ("curae_connection", "curae_session")
    ]
    return connections, sessions


def count_statement(subjects: tuple[str, ...]) -> Statement:
    """Build the SELECT that counts the outbox messages about connections, sessions or users.

    Args:
        subjects: The keys of connections, sessions or coordinates, such as a batch from
            `Erased.message_key_batches`.
    """
    text = f"SELECT COUNT(*) FROM curae_outbox WHERE subject IN ({placeholders(len(subjects))})"
    return Statement(text, subjects)


async def _purge_erasures(database: AsyncTransactions, now: int) -> None:
    # If the clock was ahead at an erasure and has been put right since, the deletion is too far off.
    latest = now + CLOCK_TOLERANCE
    await database.run_transaction(
        [Statement("UPDATE curae_erasure SET due_at = ? WHERE due_at > ?", (latest, latest))]
    )
    after = ""
    while rows := await database.rows(
        Statement(
            "SELECT e.id, e.era, b.version, b.document FROM curae_erasure e "
            "LEFT JOIN curae_binding b ON b.id = e.id "
            f"WHERE e.due_at <= ? AND e.id > ? ORDER BY e.id LIMIT {_ROWS_PER_STATEMENT}",
            (now, after),
        )
    ):
        for id_, era, version, document in rows:
            after = str(id_)
            assert isinstance(era, int)  # noqa: S101 - the column holds integers
            if document is None:
                await database.run_transaction([_erasure_deletion(after, era)])
                continue
            assert isinstance(version, int)  # noqa: S101 - as `era`
            with _log_unreadable("an erasure is left"):
                binding = _parse_binding(document)
                await _purge_erasure(database, after, era=era, version=version, binding=binding)


async def _purge_erasure(
    database: AsyncTransactions,
    key: str,
    *,
    era: int,
    version: int,
    binding: LimitedAccountAppBinding,
) -> None:
    # Whichever tombstone was the last: no user is bound.
    is_tombstoned = binding.state is AccountState.TOMBSTONED
    kept_eras = (era, format_era(binding.era))
    connections, sessions = [
        tuple(str(id_) for (id_,) in await database.rows(each))
        for each in erased_statements(key, kept_eras)
    ]
    erased = Erased(connections, sessions, binding.coordinate if is_tombstoned else None)
    for batch in erased.message_key_batches():
        ((waiting,),) = await database.rows(count_statement(batch))
        if waiting:
            _LOG.warning("an erasure is left: the outbox has messages about the user")
            return
    for deletion in erased.deletions():
        if not await database.run_transaction(deletion):
            # A concurrent transaction won. The mark stays, so the next purge deletes the rest.
            return
    if not is_tombstoned:
        # Another user is bound.
        statements = [_erasure_deletion(key, era)]
    elif not await _is_used(database, key, kept_eras):
        gone = Statement(
            "DELETE FROM curae_binding WHERE id = ? AND version = ?", (key, version), 1
        )
        statements = [gone, _erasure_deletion(key, era)]
    elif binding.user_id is not None:
        statements = [
            clear_user_statement(database.dialect, key=key, version=version, binding=binding)
        ]
    else:
        return
    await database.run_transaction(statements)


async def _is_used(database: AsyncTransactions, key: str, eras: tuple[int, ...]) -> bool:
    for table in ("curae_connection", "curae_session"):
        where = f"coordinate = ? AND era IN ({placeholders(len(eras))})"
        if await database.rows(
            Statement(f"SELECT id FROM {table} WHERE {where} LIMIT 1", (key, *eras))
        ):
            return True
    return False


def _erasure_deletion(key: str, era: int) -> Statement:
    return Statement("DELETE FROM curae_erasure WHERE id = ? AND era = ?", (key, era))


def _batches(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(keys), _ROWS_PER_STATEMENT):
        yield tuple(keys[first : first + _ROWS_PER_STATEMENT])


def _deletion(table: str, column: str, keys: tuple[str, ...]) -> Statement:
    return Statement(f"DELETE FROM {table} WHERE {column} IN ({placeholders(len(keys))})", keys)
