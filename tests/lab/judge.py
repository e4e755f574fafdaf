"""The laws, checked on everything in a database and on every response.

The outbox is judged whole: no message of it was delivered yet.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.ratelimit import LogState
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath
from curae_lifecycle.rules.values import AppUser
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.codec import Storable, load
from curae_lifecycle.stores.keys import rate_key
from curae_lifecycle.testing.laws import LawBrokenError, check_one_execution, check_rate_limit
from curae_lifecycle.testing.store_invariants import check_store
from curae_lifecycle.web.json import parse_json

Stored = TypeVar("Stored", bound=Storable)

Keyed = tuple[str, str]
"""An API key's id and an idempotency key."""

_CREATED: Final = 201
_WINDOW: Final = timedelta(seconds=60)
_OF_THE_FRONT: Final = frozenset(
    {"date", "server", "content-length", "connection", "via", "x-request-id"}
)


@attrs.frozen
class Stock:
    """The contents of a database."""

    connections: list[Connection]
    sessions: list[CuraeConnectSession]
    bindings: list[LimitedAccountAppBinding]
    records: dict[Keyed, Record]
    logs: dict[str, LogState]
    events: Counter[tuple[str, str | None]]
    effects: Counter[tuple[str, str]]


def take_stock(engine: sa.Engine) -> Stock:
    """Read a database at rest."""
    with engine.begin() as connection:
        records = _read(connection, Record, "curae_record")
        logs = connection.exec_driver_sql("SELECT id, document FROM curae_log")
        return Stock(
            connections=_read(connection, Connection, "curae_connection"),
            sessions=_read(connection, CuraeConnectSession, "curae_session"),
            bindings=_read(connection, LimitedAccountAppBinding, "curae_binding"),
            records={(each.key.owner.api_key_id, each.key.key): each for each in records},
            logs={key: load(LogState, parse_json(document)) for key, document in logs},
            events=Counter(_events(connection)),
            effects=Counter(_effects(connection)),
        )


def _read(connection: sa.Connection, kind: type[Stored], table: str) -> list[Stored]:
    documents = sa.select(sa.column("document", sa.Text)).select_from(sa.table(table))
    rows = connection.execute(documents).scalars()
    return [load(kind, parse_json(row)) for row in rows]


def _events(connection: sa.Connection) -> Iterator[tuple[str, str | None]]:
    for kind, document in connection.exec_driver_sql("SELECT kind, document FROM curae_outbox"):
        if "." in kind:
            yield kind, json.loads(document)["subject"].get("id")


def _effects(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    for kind, document in connection.exec_driver_sql("SELECT kind, document FROM curae_outbox"):
        if "." not in kind:
            members = json.loads(document)
            yield kind, members["userId" if kind == "UserProvisioned" else "connectionId"]


def judge(
    engine: sa.Engine, now: datetime, answers: Mapping[Keyed, list[Response]] | None = None
) -> list[str]:
    """Return every broken law with its observation; empty if all hold.

    Args:
        engine: The database, at rest.
        now: An instant no earlier than any stored one.
        answers: The responses of each key that must be stored.
    """
    stock = take_stock(engine)
    broken = list(
        _broken(
            lambda: check_store(
                stock.connections, sessions=stock.sessions, bindings=stock.bindings, now=now
            )
        )
    )
    broken += _rates(stock, now)
    broken += _executions(stock)
    broken += _events_broken(stock)
    broken += _effects_broken(stock)
    for key, seen in (answers or {}).items():
        broken += _answers(stock.records.get(key), key, seen)
    return broken


def _broken(check: Callable[[], None]) -> Iterator[str]:
    try:
        check()
    except LawBrokenError as error:
        yield str(error)


def _rates(stock: Stock, now: datetime) -> Iterator[str]:
    of_user: dict[AppUser, list[datetime]] = defaultdict(list)
    for session in stock.sessions:
        of_user[session.coordinate.app_user].append(session.created_at)
    for user, instants in of_user.items():
        yield from _broken(partial(check_rate_limit, instants))
        log = stock.logs.get(rate_key(LimitKey(user, "initiate")))
        # The log has every charge of the last minute only.
        charged = 0 if log is None else sum(each > now - _WINDOW for each in log.instants)
        made = sum(each > now - _WINDOW for each in instants)
        if charged != made:
            yield f"law 12: {made} initiates of {user} took effect and {charged} were charged"


def _executions(stock: Stock) -> Iterator[str]:
    # A change and its record are committed together or not at all.
    named: Counter[str] = Counter()
    for key, record in stock.records.items():
        kept = record.response
        if not isinstance(kept, Response):
            yield f"law 12: key {key[1]} is {record.state} and holds no answer"
        elif kept.status == _CREATED:
            document = json.loads(kept.body)
            made = document["session" if "session" in document else "connection"]["id"]
            kind = "reconnect" if "previousConnectionId" in document else "made"
            named[f"{kind} {made}"] += 1
    made = [each.id for each in stock.sessions]
    made += [each.id for each in stock.connections if each.identity.predecessor_id is None]
    for id_ in made:
        if named[f"made {id_}"] != 1:
            yield f"law 12: {named[f'made {id_}']} keys made {id_}"
    for connection in stock.connections:
        if connection.identity.predecessor_id and not named[f"reconnect {connection.id}"]:
            yield f"law 12: no key recovered {connection.id}"
    # The subject of a stored response is stored.
    stored = {each.id for each in stock.sessions} | {each.id for each in stock.connections}
    for name in named:
        if name.split()[1] not in stored:
            yield f"law 12: answered, and not stored: {name}"


def _events_broken(stock: Stock) -> Iterator[str]:
    expected: Counter[tuple[str, str | None]] = Counter()
    for connection in stock.connections:
        expected["connection.created", connection.id] = 1
        if connection.authorized_at is not None:
            expected["connection.authorized", connection.id] = 1
        if connection.revoked_at is not None:
            expected["connection.revoked", connection.id] = 1
    for session in stock.sessions:
        expected["connect_session.initiated", session.id] = 1
        if session.handoff == "LANDED" and session.path != "EXISTING_ACTIVE_HANDOFF":
            expected["connect_session.landed", session.id] = 1
    kinds = {kind for kind, _ in expected}
    for event in expected | stock.events:
        if event[0] in kinds and expected[event] != stock.events[event]:
            yield (
                f"law 12: {event[0]} of {event[1]} was emitted {stock.events[event]} times "
                f"instead of {expected[event]}"
            )


def _effects_broken(stock: Stock) -> Iterator[str]:
    expected: Counter[tuple[str, str]] = Counter()
    for session in stock.sessions:
        if session.path is EntryPath.SILENT_LIMITED and session.user_id is not None:
            expected["UserProvisioned", session.user_id] = 1
    reissued = Counter(_recovered(stock))
    for connection in stock.connections:
        if connection.status is Status.REVOKED and connection.authorized_at is None:
            expected["HandoffCancelled", connection.id] = 1
        if connection.id in reissued:
            expected["NextActionReplaced", connection.id] = reissued[connection.id] - 1
        ended = ("AccessEnded", connection.id)
        over = connection.status not in {Status.PENDING, Status.ACTIVE}
        if connection.authorized_at is not None and over:
            # Once for each status that it left: it needed action, expired and was revoked.
            expected[ended] = min(max(stock.effects[ended], 1), 3)
    counted = {"UserProvisioned", "HandoffCancelled", "NextActionReplaced", "AccessEnded"}
    for effect in expected | stock.effects:
        if effect[0] in counted and expected[effect] != stock.effects[effect]:
            yield (
                f"law 12: {effect[0]} of {effect[1]} was asked for {stock.effects[effect]} times "
                f"instead of {expected[effect]}"
            )


def _recovered(stock: Stock) -> Iterator[str]:
    # Once for each key that created a successor or reissued it.
    for record in stock.records.values():
        kept = record.response
        if isinstance(kept, Response) and kept.status == _CREATED:
            document = json.loads(kept.body)
            if "previousConnectionId" in document:
                yield document["connection"]["id"]


def _answers(record: Record | None, key: Keyed, seen: list[Response]) -> Iterator[str]:
    kept = None if record is None else record.response
    if not isinstance(kept, Response):
        yield f"law 12: key {key[1]} was answered and has no record of it"
        return
    lasting = [as_kept(each) for each in seen]
    yield from _broken(lambda: check_one_execution(lasting, 1))
    # Servers may order headers differently, but each always in the same way.
    yield from _broken(lambda: check_one_execution([_sorted(kept), _sorted(lasting[0])], 1))


def _sorted(response: Response) -> Response:
    return attrs.evolve(response, headers=tuple(sorted(response.headers)))


def as_kept(response: Response) -> Response:
    """Return a response without headers of the server software."""
    lasting = [pair for pair in response.headers if pair[0] not in _OF_THE_FRONT]
    return attrs.evolve(response, headers=tuple(lasting))


def is_kept(response: Response) -> bool:
    """Return whether a record of the response must be stored (section 4 of the rules)."""
    if response.status in {200, 201, 404}:
        return True
    document = json.loads(response.body)
    return response.status == 409 and document["retryable"] is False
