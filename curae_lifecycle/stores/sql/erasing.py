"""The erasure of everything that is stored about one app user.

The law of this module: **nothing is deleted before its end was delivered**. A tombstone ends the
access first. Five minutes later, once the outbox has delivered the effects and events, a purge
deletes the rows (`stores.sql.purging`).
"""

from __future__ import annotations

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, Coordinate, to_epoch_microseconds
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import PageKind, user_subject
from curae_lifecycle.service.writes import BindingWrite
from curae_lifecycle.stores.keys import coordinate_key, key_of
from curae_lifecycle.stores.retry import blocking_retrier
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.loading import loaded_now, now_statement
from curae_lifecycle.stores.sql.purging import Erased, count_statement, erased_statements
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import Database, SqlStore
from curae_lifecycle.stores.sql.storing import erasure_statement, format_era
from curae_lifecycle.stores.sql.transactions import (
    BlockingTransactions,
    RetriedTransactions,
    run_until_committed,
)
from curae_lifecycle.stores.sweeping import BATCH_POLICY


@attrs.frozen
class Erasure:
    """The result of `erase`: how much a later `SqlStore.purge` deletes, and how much it waits for.

    Attributes:
        connections: The number of connections to delete.
        sessions: The number of connect sessions to delete.
        waiting: The number of messages about the user that are still in the outbox. A `purge`
            deletes nothing before they are delivered.
    """

    connections: int = 0
    sessions: int = 0
    waiting: int = 0


def erase(database: Database, coordinate: Coordinate) -> Erasure:
    """End the access of an app user, and mark everything stored about them for deletion.

    The function tombstones the coordinate, which records that its user is gone. It revokes every
    connection, with the platform as the actor. This puts effects and events into the outbox. The
    hosted page about the user is deleted at once. From five minutes later on, `SqlStore.purge`
    deletes the connections and sessions with their hosted pages, once the outbox holds no more
    messages about the user. A request that loaded its values before the tombstone has ended by
    then, and the purge deletes its rows, too.

    Connections and sessions stay if their request loaded its values after the tombstone. As long as
    one of them is left, the row of the binding stays without the erased user. Stored responses hold
    the app user's id. They stay until a `purge` after their retention of 24 hours.

    Args:
        database: The database of a `SqlStore`.
        coordinate: The app user. The same user id in another app is a different coordinate.

    Returns:
        How much `purge` is to delete, and how many messages must be delivered before.

    Raises:
        StoreUnavailableError: The database failed for a minute. Call `erase` again.
        MalformedError: A stored value of the app user is not one that this library wrote.
        NewerFormatError: A newer release stored a value of the app user.
    """
    answer = record(SqlStore(database), Tombstoned(coordinate), retry_policy=BATCH_POLICY)
    assert isinstance(answer, Done)  # noqa: S101 - a tombstone without `happened_at` is no copy
    write = next(each for each in answer.value.writes if isinstance(each, BindingWrite))
    retrier = blocking_retrier(BATCH_POLICY)
    retried = RetriedTransactions(BlockingTransactions(database), retrier)
    return run_sync(_mark_erased(retried, write.after))


async def _mark_erased(
    database: RetriedTransactions, tombstone: LimitedAccountAppBinding
) -> Erasure:
    dialect, coordinate = database.dialect, tombstone.coordinate
    key, era = coordinate_key(coordinate), format_era(tombstone.era)
    now = loaded_now(await database.rows(now_statement(dialect)))
    due_at = to_epoch_microseconds(now) + CLOCK_TOLERANCE
    marks = [erasure_statement(dialect, key, era=era, due_at=due_at)]
    if tombstone.user_id is not None:
        page = key_of(PageKind.USER, user_subject(coordinate, tombstone.user_id))
        marks.append(Statement("DELETE FROM curae_page WHERE subject = ?", (page,)))
    await run_until_committed(database, marks, database.retrier)
    connections, sessions = [
        tuple(str(id_) for (id_,) in await database.rows(each))
        for each in erased_statements(key, (era,))
    ]
    erased = Erased(connections, sessions, coordinate)
    waiting = 0
    for batch in erased.message_key_batches():
        ((found,),) = await database.rows(count_statement(batch))
        assert isinstance(found, int)  # noqa: S101 - COUNT returns an integer
        waiting += found
    return Erasure(len(connections), len(sessions), waiting)
