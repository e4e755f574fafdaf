"""What the platform learns by itself: one fact, the values it concerns, and what follows.

The law of this module: **a fact is judged at the instant it happened and recorded once**; a
late or repeated one that changes nothing is ignored. A server's hosted pages, refresh jobs and
consoles report facts; the answer's changes are stored like those of a request.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import attrs

from curae_lifecycle.rules.binding import (
    BindingTransition,
    LimitedAccountAppBinding,
    graduate,
    tombstone,
)
from curae_lifecycle.rules.connection import (
    Actor,
    Connection,
    Transition,
    authorize,
    check_authorization,
    expire,
    require_action,
    revoke_chain,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.session import CuraeConnectSession, complete_handoff
from curae_lifecycle.rules.values import (
    ConnectionId,
    Coordinate,
    SessionId,
    UserId,
    check_occurrence,
)
from curae_lifecycle.service.changes import (
    NO_CHANGES,
    BindingWrite,
    Changes,
    Event,
    EventKind,
    SessionWrite,
    Write,
    authorization_changes,
    connection_changes,
    revocation_changes,
)
from curae_lifecycle.service.operations import Gate, refuse_at


@attrs.frozen
class Authorized:
    """The patient authorized on the hosted page."""

    connection_id: ConnectionId
    expires_at: datetime | None = None
    happened_at: datetime | None = None


@attrs.frozen
class ActionRequired:
    """The patient must act before data flows again."""

    connection_id: ConnectionId
    reason: str
    happened_at: datetime | None = None


@attrs.frozen
class Expired:
    """The authorization is over."""

    connection_id: ConnectionId
    happened_at: datetime | None = None


@attrs.frozen
class Revoked:
    """Somebody revoked outside the API."""

    connection_id: ConnectionId
    actor: Actor
    happened_at: datetime | None = None


@attrs.frozen
class HandoffCompleted:
    """The hosted page gave the user over to the app: completeHandoff."""

    session_id: SessionId
    user_id: UserId
    happened_at: datetime | None = None


@attrs.frozen
class Graduated:
    """The LIMITED user became ACTIVE; `user_id` is the bound one where absent."""

    coordinate: Coordinate
    user_id: UserId | None = None
    happened_at: datetime | None = None


@attrs.frozen
class Tombstoned:
    """The bound user is gone."""

    coordinate: Coordinate
    happened_at: datetime | None = None


ConnectionFact = Authorized | ActionRequired | Expired | Revoked
BindingFact = Graduated | Tombstoned
Fact = ConnectionFact | HandoffCompleted | BindingFact


@attrs.frozen
class FactNeeds:
    """What the server loads for a fact.

    Attributes:
        connection: The connection, and every later one of its chain.
        session: The session, and the binding of its coordinate.
        binding: The binding of the coordinate.
    """

    connection: ConnectionId | None = None
    session: SessionId | None = None
    binding: Coordinate | None = None


@attrs.frozen
class FactSnapshot:
    """What was loaded; `None` and `()` for what is not there."""

    connection: Connection | None = None
    following: tuple[Connection, ...] = ()
    session: CuraeConnectSession | None = None
    binding: LimitedAccountAppBinding | None = None


FactAnswer = Done[Changes] | Ignored[Changes] | Refused
"""Done: store the changes. Ignored: there are none. Refused: the problem says why."""


def fact_needs(fact: Fact) -> FactNeeds:
    """What the server must load before it records the fact."""
    match fact:
        case Authorized() | ActionRequired() | Expired() | Revoked():
            return FactNeeds(connection=fact.connection_id)
        case HandoffCompleted():
            return FactNeeds(session=fact.session_id)
        case Graduated() | Tombstoned():
            return FactNeeds(binding=fact.coordinate)


def record_fact(fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
    """Record one fact [O].

    Args:
        fact: What happened.
        snapshot: What was loaded for `fact_needs(fact)`.
        now: When it is recorded.

    Returns:
        Done, ignored or refused, as the tables say; `NOT_FOUND` for an unknown id.

    Raises:
        ArgumentError: An instant out of order or not UTC, whatever is stored.
    """
    if isinstance(fact, Authorized):
        check_authorization(now, fact.happened_at, fact.expires_at)
    else:
        check_occurrence(fact.happened_at, now)
    match fact:
        case Graduated() | Tombstoned():
            return _binding_fact(fact, snapshot.binding, now)
        case HandoffCompleted():
            if snapshot.session is None:
                return refuse_at(Gate.OWNERSHIP)
            return _handoff(fact, snapshot.session, snapshot.binding, now)
        case Authorized() | ActionRequired() | Expired() | Revoked():
            if snapshot.connection is None:
                return refuse_at(Gate.OWNERSHIP)
            return _connection_fact(fact, snapshot.connection, snapshot.following, now)
        case _ as never:
            assert_never(never)


def _connection_fact(
    fact: ConnectionFact,
    connection: Connection,
    following: tuple[Connection, ...],
    now: datetime,
) -> FactAnswer:
    answer: Transition
    match fact:
        case Revoked(_, actor, happened_at):
            return _revoked(connection, following, now, actor, happened_at)
        case Authorized(_, expires_at, happened_at):
            answer = authorize(
                connection,
                now,
                expires_at=expires_at,
                happened_at=happened_at,
                successor=following[0] if following else None,
            )
        case ActionRequired(_, reason, happened_at):
            answer = require_action(connection, now, reason=reason, happened_at=happened_at)
        case Expired(_, happened_at):
            answer = expire(connection, now, happened_at=happened_at)
        case _ as never:
            assert_never(never)
    match answer:
        case Done(after, rules):
            return Done(_connection_changes(fact, connection, after), rules)
        case Ignored(_, rules):
            return Ignored(NO_CHANGES, rules)
        case Refused():
            return answer


def _connection_changes(
    fact: Authorized | ActionRequired | Expired, before: Connection, after: Connection
) -> Changes:
    match fact:
        case Authorized():
            return authorization_changes(before, after)
        case ActionRequired():
            return connection_changes(EventKind.CONNECTION_ACTION_REQUIRED, before, after)
        case Expired():
            return connection_changes(EventKind.CONNECTION_EXPIRED, before, after)


def _revoked(
    connection: Connection,
    following: tuple[Connection, ...],
    now: datetime,
    actor: Actor,
    happened_at: datetime | None,
) -> FactAnswer:
    answers = revoke_chain(connection, following, now, actor=actor, happened_at=happened_at)
    rules = tuple(rule for answer in answers for rule in answer.rules)
    changes = revocation_changes(connection, following, answers, now, actor)
    return Done(changes, rules) if changes.writes else Ignored(changes, rules)


def _handoff(
    fact: HandoffCompleted,
    session: CuraeConnectSession,
    binding: LimitedAccountAppBinding | None,
    now: datetime,
) -> FactAnswer:
    answer = complete_handoff(session, binding, fact.user_id, now, happened_at=fact.happened_at)
    match answer:
        case Done(landing, rules):
            coordinate = session.coordinate
            writes: tuple[Write, ...] = (SessionWrite(session, landing.session),)
            events: tuple[Event, ...] = (
                Event(EventKind.SESSION_LANDED, coordinate, session.id, now),
            )
            if landing.binding is not None and landing.binding is not binding:
                writes += (BindingWrite(binding, landing.binding),)
                events += (Event(EventKind.BINDING_SIGNED_UP, coordinate, None, now),)
            return Done(Changes(writes, (), events), rules)
        case Ignored(_, rules):
            return Ignored(NO_CHANGES, rules)
        case Refused():
            return answer


def _binding_fact(
    fact: BindingFact, binding: LimitedAccountAppBinding | None, now: datetime
) -> FactAnswer:
    answer: BindingTransition
    kind: EventKind
    coordinate = fact.coordinate
    match fact:
        case Graduated(_, user_id):
            kind = EventKind.BINDING_GRADUATED
            # Where nobody is bound the table refuses, whoever is named.
            bound = UserId("") if binding is None else binding.user_id
            answer = graduate(binding, coordinate, bound if user_id is None else user_id)
        case Tombstoned():
            kind = EventKind.BINDING_TOMBSTONED
            answer = tombstone(binding)
        case _ as never:
            assert_never(never)
    match answer:
        case Done(after, rules):
            event = Event(kind, coordinate, None, now)
            return Done(Changes((BindingWrite(binding, after),), (), (event,)), rules)
        case Ignored(_, rules):
            return Ignored(NO_CHANGES, rules)
        case Refused():
            return answer
