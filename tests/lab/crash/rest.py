"""A database at rest, by user."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeVar

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.ratelimit import BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import AppUser, AppUserId, CustomerAccountId, Environment
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.stores.codec import Storable, load
from curae_lifecycle.stores.formats import FORMAT
from curae_lifecycle.stores.keys import rate_key
from curae_lifecycle.web.json import parse_json
from tests.lab.crash.world import Place, Posted, Rest

Stored = TypeVar("Stored", bound=Storable)

_TABLES: Final[dict[type[Storable], str]] = {
    Connection: "curae_connection",
    CuraeConnectSession: "curae_session",
    LimitedAccountAppBinding: "curae_binding",
    Record: "curae_record",
    LogState: "curae_log",
}
_LIMITS: Final = ("initiate", "graduation")


@attrs.frozen(eq=False)
class Whole:
    """A database at rest.

    Attributes:
        values: All stored values.
        posted: The new messages of its outbox in order: the number, the key of the subject, the
            message.
        number: The number of the last message.
        buckets: The instant at which each bucket is full again, by its key.
    """

    values: Mapping[Place, Storable]
    posted: tuple[tuple[int, str, Posted], ...]
    number: int
    buckets: Mapping[str, BucketState]


@attrs.define
class Reader:
    """A reader of a database that parses only changed values."""

    engine: sa.Engine
    known: dict[Place, tuple[str, Storable]] = attrs.field(factory=dict)

    def read(self, after: int = 0) -> Whole:
        """Read everything, and the messages after a number."""
        # A restarted database has none of its former connections.
        self.engine.dispose()
        with self.engine.begin() as connection:
            values = {
                place: value
                for kind, table in _TABLES.items()
                for place, value in self._values(connection, kind, table)
            }
            new = (
                "SELECT id, subject, kind, document FROM curae_outbox WHERE id > :after ORDER BY id"
            )
            rows = connection.execute(sa.text(new), {"after": after})
            posted = [(row[0], row[1], (row[2], _without_format(row[3]))) for row in rows]
            rows = connection.exec_driver_sql("SELECT id, full_at, part FROM curae_bucket")
            buckets = {row[0]: BucketState(row[1], row[2]) for row in rows}
        return Whole(
            values=values,
            posted=tuple(posted),
            number=posted[-1][0] if posted else after,
            buckets=buckets,
        )

    def _values(
        self, connection: sa.Connection, kind: type[Stored], table: str
    ) -> Iterator[tuple[Place, Storable]]:
        for key, text in connection.exec_driver_sql(f"SELECT id, document FROM {table}"):  # noqa: S608 - one of a few
            place = (kind.__name__, key)
            known = self.known.get(place)
            if known is None or known[0] != text:
                known = self.known[place] = text, load(kind, parse_json(text))
            yield place, known[1]


def of_users(
    whole: Whole, keys: Mapping[tuple[str, str], AppUser], users: Collection[AppUser]
) -> tuple[dict[AppUser, Rest], list[str]]:
    """Return the values of each user in a database.

    Args:
        whole: All values.
        keys: The user of each idempotency key, by the id of its API key and itself.
        users: Every user.

    Returns:
        Each user's part, and the values of no known user.
    """
    values: dict[AppUser, dict[Place, Storable]] = defaultdict(dict)
    posted: dict[AppUser, dict[str, list[Posted]]] = defaultdict(lambda: defaultdict(list))
    nobodys: list[str] = []
    logs: dict[str, AppUser] = {}
    for user in users:
        logs |= {rate_key(LimitKey(user, limit)): user for limit in _LIMITS}
    owners: dict[str, AppUser] = {}
    for place, value in whole.values.items():
        owner = _owner(place, value=value, keys=keys, logs=logs)
        if owner is None:
            nobodys.append(f"{place[0]} {place[1]}")
            continue
        values[owner][place] = value
        owners[place[1]] = owner
    for number, subject, message in whole.posted:
        owner = _owner_of_message(message[1], owners)
        if owner is None:
            nobodys.append(f"message {number}, {message[0]}")
        else:
            posted[owner][subject].append(message)
    parts = {user: Rest(values[user], posted[user]) for user in {*values, *posted}}
    return parts, nobodys


def _owner(
    place: Place,
    value: Storable,
    keys: Mapping[tuple[str, str], AppUser],
    logs: Mapping[str, AppUser],
) -> AppUser | None:
    match value:
        case Connection():
            return value.identity.coordinate.app_user
        case CuraeConnectSession() | LimitedAccountAppBinding():
            return value.coordinate.app_user
        case Record():
            return keys.get((value.key.owner.api_key_id, value.key.key))
        case _:
            return logs.get(place[1])


def _owner_of_message(
    document: Mapping[str, Json], owners: Mapping[str, AppUser]
) -> AppUser | None:
    coordinate = document.get("coordinate")
    if isinstance(coordinate, dict):
        return AppUser(
            Environment(str(coordinate["environment"])),
            CustomerAccountId(str(coordinate["customerAccountId"])),
            AppUserId(str(coordinate["appUserId"])),
        )
    return owners.get(str(document.get("connectionId")))


def _without_format(text: str) -> dict[str, Json]:
    """Return the document of a message as a handler gets it."""
    document: dict[str, Json] = json.loads(text)
    assert document.pop(FORMAT) == 1
    return document
