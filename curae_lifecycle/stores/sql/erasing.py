"""The erasure of everything that is stored about one app user.

The law of this module: **nothing is deleted before its end was delivered**. Facts end the access
first. Then the outbox delivers their effects and events. Only then are the rows deleted, in one
transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import Coordinate, UserId
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import PageKind, user_subject
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.stores.outbox import coordinate_subject
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.keys import coordinate_key, key_of
from curae_lifecycle.stores.sql.loading import Versions
from curae_lifecycle.stores.sql.statement import Statement, Value
from curae_lifecycle.stores.sql.store import Database, SqlStore

_KEYS_PER_STATEMENT: Final = 100


@attrs.frozen
class Erasure:
    """The result of `erase`: the numbers of erased rows, or of undelivered messages.

    Attributes:
        connections: The number of erased connections.
        sessions: The number of erased connect sessions.
        bindings: The number of erased bindings: 1, or 0 if no user was bound.
        waiting: The number of messages about the user that are still in the outbox. If it is not 0,
            nothing was erased: deliver these messages and call `erase` again.
    """

    connections: int = 0
    sessions: int = 0
    bindings: int = 0
    waiting: int = 0


def erase(database: Database, coordinate: Coordinate) -> Erasure:
    """End the access of an app user and erase everything that is stored about them.

    The function first tombstones the bound user and revokes every connection as the platform, which
    puts effects and events into the outbox. While the outbox holds messages about the user, the
    function deletes nothing and returns their number. Otherwise it deletes the connections,
    sessions, binding and hosted pages.

    Rows that the app creates for the same user during the call stay. Stored responses hold the app
    user's id and stay too, until a `purge` after their 24 hours.

    Args:
        database: The database of a `SqlStore`.
        coordinate: The app user. The same user id in another app is a different coordinate.

    Raises:
        StoreUnavailableError: The database failed in every attempt. Call `erase` again.
    """
    key = coordinate_key(coordinate)
    # Sessions are listed before the access ends: later ones belong to the next user.
    found = database.rows(Statement("SELECT id FROM curae_session WHERE coordinate = ?", (key,)))
    sessions = [str(id_) for (id_,) in found]
    ended = _end_access(SqlStore(database), coordinate)
    about = [*ended.connections, *sessions, coordinate_subject(coordinate)]
    subjects = [key_of(each) for each in about]
    waiting = sum(_count_messages(database, batch) for batch in _batches(subjects))
    if waiting:
        return Erasure(waiting=waiting)
    pages = [key_of(PageKind.CONNECTION, each) for each in ended.connections]
    pages += [key_of(PageKind.SESSION, each) for each in sessions]
    pages += [key_of(PageKind.USER, user_subject(coordinate, user)) for user in ended.users]
    database.run_transaction(
        [
            *_deletions("curae_connection", "id", ended.connections),
            *_deletions("curae_session", "id", sessions),
            *_deletions("curae_page", "subject", pages),
            Statement(
                "DELETE FROM curae_binding WHERE id = ? AND version = ?", (key, ended.version)
            ),
        ]
    )
    return Erasure(len(ended.connections), len(sessions), len(ended.users))


@attrs.frozen
class _EndedAccess:
    """The access that `erase` has ended.

    Attributes:
        connections: The ids of the revoked connections.
        users: The tombstoned user, if one was bound.
        version: The version of the binding's row to delete, which may be a placeholder row. It is
            0 if no row may be deleted.
    """

    connections: tuple[str, ...]
    users: tuple[UserId, ...] = attrs.field(default=(), repr=False)
    version: int = 0


def _end_access(store: SqlStore, coordinate: Coordinate) -> _EndedAccess:
    record(store, Tombstoned(coordinate))
    loaded = store.load(Needs(binding=coordinate, connections=ConnectionsPage(coordinate)))
    for connection in loaded.snapshot.connections:
        # A tombstone ends no connection if no user is bound. Otherwise this changes nothing.
        record(store, Revoked(connection.id, Actor.PLATFORM))
    connections = tuple(each.id for each in loaded.snapshot.connections)
    binding, seen = loaded.snapshot.binding, loaded.seen
    assert isinstance(seen, Versions)  # noqa: S101 - `SqlStore.load` sets it
    version = seen.get(("curae_binding", coordinate_key(coordinate)), 0)
    if binding is None:
        return _EndedAccess(connections, version=version)
    if binding.state is not AccountState.TOMBSTONED:
        # Another user was bound after the tombstone. Their binding stays.
        return _EndedAccess(connections)
    return _EndedAccess(connections, (binding.user_id,), version)


def _batches(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(keys), _KEYS_PER_STATEMENT):
        yield tuple(keys[first : first + _KEYS_PER_STATEMENT])


def _count_messages(database: Database, subjects: tuple[Value, ...]) -> int:
    text = f"SELECT COUNT(*) FROM curae_outbox WHERE subject IN ({_placeholders(subjects)})"
    ((found,),) = database.rows(Statement(text, subjects))
    assert isinstance(found, int)  # noqa: S101 - COUNT returns an integer
    return found


def _deletions(table: str, column: str, keys: Sequence[str]) -> Iterator[Statement]:
    for batch in _batches(keys):
        yield Statement(f"DELETE FROM {table} WHERE {column} IN ({_placeholders(batch)})", batch)


def _placeholders(values: Sequence[Value]) -> str:
    return ", ".join("?" * len(values))
