"""Everything that is kept about one app user, gone.

The law of this module: **nothing is forgotten before it is over**: first the access ends, by facts;
then whoever must hear of that has heard; and then the rows go, in one transaction.
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
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.stores.hosted_pages import PageKind, user_subject
from curae_lifecycle.stores.outbox import coordinate_subject
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.keys import coordinate_key, key_of
from curae_lifecycle.stores.sql.loading import Versions
from curae_lifecycle.stores.sql.statement import Statement, Value
from curae_lifecycle.stores.sql.store import Database, SqlStore

_AT_ONCE: Final = 100
"""How many keys one statement names."""


@attrs.frozen
class Erasure:
    """What was erased, or what must be shipped before.

    Attributes:
        connections: How many connections were erased.
        sessions: How many connect sessions.
        bindings: How many bindings: one, or none where nobody was bound.
        waiting: How many messages about the user are still in the outbox. Where there are any,
            nothing was erased: ship them, and erase again.
    """

    connections: int = 0
    sessions: int = 0
    bindings: int = 0
    waiting: int = 0


def erase(database: Database, coordinate: Coordinate) -> Erasure:
    """End what an app user has, and erase what is kept about them.

    Whoever is bound is tombstoned and every connection is revoked, as the platform, which posts
    effects and events. Only where none of these is left in the outbox, connections, sessions, the
    binding and hosted pages are deleted. What an app makes for the same user meanwhile stays, and
    so do kept answers, which hold the app user's id, until `purge` drops them: 24 hours.

    Args:
        database: The database of a `SqlStore`.
        coordinate: Whose; another app's user of the same id is another one.

    Raises:
        StoreUnavailableError: The database could not, in all attempts. Erase again.
    """
    key = coordinate_key(coordinate)
    # Those that begin after this are of whoever comes next.
    found = database.rows(Statement("SELECT id FROM curae_session WHERE coordinate = ?", (key,)))
    sessions = [str(id_) for (id_,) in found]
    ended = _end(SqlStore(database), coordinate)
    about = [*ended.connections, *sessions, coordinate_subject(coordinate)]
    waiting = sum(_count(database, part) for part in _parts(list(map(key_of, about))))
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
class _Ended:
    # The connections, each of them revoked by now; who was bound and is gone, if anybody was; and
    # the version of the row of that binding, which may be there for nobody.
    connections: tuple[str, ...]
    users: tuple[UserId, ...] = attrs.field(default=(), repr=False)
    version: int = 0


def _end(store: SqlStore, coordinate: Coordinate) -> _Ended:
    record(store, Tombstoned(coordinate))
    loaded = store.load(Needs(binding=coordinate, connections=ConnectionsPage(coordinate)))
    for connection in loaded.snapshot.connections:
        # Where nobody is bound a tombstone ends nothing; what it ended is revoked already.
        record(store, Revoked(connection.id, Actor.PLATFORM))
    connections = tuple(each.id for each in loaded.snapshot.connections)
    binding, seen = loaded.snapshot.binding, loaded.seen
    assert isinstance(seen, Versions)  # noqa: S101 - the store's own note
    version = seen.get(("curae_binding", coordinate_key(coordinate)), 0)
    if binding is None:
        return _Ended(connections, version=version)
    if binding.state is not AccountState.TOMBSTONED:
        # Somebody else was bound meanwhile, who stays.
        return _Ended(connections)
    return _Ended(connections, (binding.user_id,), version)


def _parts(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(keys), _AT_ONCE):
        yield tuple(keys[first : first + _AT_ONCE])


def _count(database: Database, subjects: tuple[Value, ...]) -> int:
    text = f"SELECT COUNT(*) FROM curae_outbox WHERE subject IN ({_marks(subjects)})"
    ((found,),) = database.rows(Statement(text, subjects))
    assert isinstance(found, int)  # noqa: S101 - it counts
    return found


def _deletions(table: str, column: str, keys: Sequence[str]) -> Iterator[Statement]:
    for part in _parts(keys):
        yield Statement(f"DELETE FROM {table} WHERE {column} IN ({_marks(part)})", part)


def _marks(values: Sequence[Value]) -> str:
    return ", ".join("?" * len(values))
