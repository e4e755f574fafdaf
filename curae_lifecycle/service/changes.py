"""What a decision asks of the server: writes, effects and events, as data.

The laws of this module: **a write says before and after**, so a store compares and sets;
**an effect is for the server alone** and never reaches a response [S]; **an event is named by
what happened to what and when**, so an outbox can tell a repetition from a second occurrence.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules import chain, idempotency, outcomes, ratelimit, triggers, values
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.session import CuraeConnectSession, Initiated, Landing


@attrs.frozen
class BucketKey:
    """Whose bucket: one per API key and policy [S]."""

    api_key_id: values.ApiKeyId
    policy: str


@attrs.frozen
class LimitKey:
    """Whose exact log: one per app user and policy, across apps [S]."""

    app_user: values.AppUser
    policy: str


RateKey = BucketKey | LimitKey


@attrs.frozen
class ConnectionWrite:
    """Insert (`before` is `None`) or update a connection.

    Two constraints are all a database needs: the id, and the predecessor's id, each unique.

    Attributes:
        before: What was loaded.
        after: What is to be stored; `before` itself where it was only relied on.
        is_head: Whether the connection must still have no successor. A late authorization and
            a reconnect read the same connection and write different ones: if both were stored,
            a chain could have two ACTIVE connections. A patient's revocation must find every
            later connection [O].
    """

    before: Connection | None
    after: Connection
    is_head: bool = False


@attrs.frozen
class SessionWrite:
    """Insert or update a connect session, unique by its id."""

    before: CuraeConnectSession | None
    after: CuraeConnectSession


@attrs.frozen
class BindingWrite:
    """Insert or update a binding, unique by its coordinate."""

    before: LimitedAccountAppBinding | None
    after: LimitedAccountAppBinding


@attrs.frozen
class RecordWrite:
    """Insert or update an idempotency record, unique by its key.

    What was loaded may be past its retention.
    """

    key: idempotency.RecordKey
    before: idempotency.Record | None
    after: idempotency.Record


@attrs.frozen
class RateWrite:
    """Insert or update the state of the rate limit that was charged, unique by its key."""

    key: RateKey
    policy: ratelimit.Policy
    before: ratelimit.RateState | None
    after: ratelimit.RateState

    @property
    def expires_at(self) -> datetime:
        """When the state may be dropped, never before."""
        return ratelimit.state_expires_at(self.policy, self.after) or values.LAST_INSTANT


Write = ConnectionWrite | SessionWrite | BindingWrite | RecordWrite | RateWrite


@attrs.frozen
class AccessEnded:
    """Drop every cached grant of the connection."""

    connection_id: values.ConnectionId
    at: datetime


@attrs.frozen
class HandoffCancelled:
    """Tear down the live hand-off of the connection: its URL is dead."""

    connection_id: values.ConnectionId


@attrs.frozen
class NextActionReplaced:
    """Kill the connection's earlier URL: a fresh one was issued."""

    connection_id: values.ConnectionId


@attrs.frozen
class SuccessorsLive:
    """Access goes on: later connections of the revoked one's chain are alive [O].

    An app that revokes an old id may believe that all access ended.
    """

    connection_id: values.ConnectionId
    successor_ids: tuple[values.ConnectionId, ...]


@attrs.frozen
class UserProvisioned:
    """Create the LIMITED user that the binding names."""

    user_id: values.UserId = attrs.field(repr=False)
    coordinate: values.Coordinate


Effect = AccessEnded | HandoffCancelled | NextActionReplaced | SuccessorsLive | UserProvisioned


class EventKind(StrEnum):
    """What goes into an outbox."""

    CONNECTION_CREATED = "connection.created"
    CONNECTION_AUTHORIZED = "connection.authorized"
    CONNECTION_ACTION_REQUIRED = "connection.action_required"
    CONNECTION_EXPIRED = "connection.expired"
    CONNECTION_REVOKED = "connection.revoked"
    CONNECTION_REISSUED = "connection.reissued"
    SESSION_INITIATED = "connect_session.initiated"
    SESSION_LANDED = "connect_session.landed"
    BINDING_PROVISIONED = "binding.provisioned"
    BINDING_SIGNED_UP = "binding.signed_up"
    BINDING_GRADUATED = "binding.graduated"
    BINDING_TOMBSTONED = "binding.tombstoned"


@attrs.frozen
class Event:
    """Something that happened, for an outbox.

    Kind, subject and instant name it for ever. Its subject is a connection, a session, or `None`
    where it is the coordinate's binding; its instant is when it was recorded.
    """

    kind: EventKind
    coordinate: values.Coordinate
    subject_id: values.ConnectionId | values.SessionId | None
    at: datetime


@attrs.frozen
class Changes:
    """What is to be stored, done by the server and put into an outbox, in one transaction."""

    writes: tuple[Write, ...] = ()
    effects: tuple[Effect, ...] = ()
    events: tuple[Event, ...] = ()


NO_CHANGES: Final = Changes()


def created_changes(made: Connection) -> Changes:
    """The changes of a new connection."""
    return _written(EventKind.CONNECTION_CREATED, None, made)


def connection_changes(kind: EventKind, before: Connection, after: Connection) -> Changes:
    """The changes of a connection that needs action, expired or was revoked."""
    return _written(kind, before, after, (_ending(before, after),))


def authorization_changes(before: Connection, after: Connection) -> Changes:
    """The changes of a connection that was authorized, which only the head of a chain can be."""
    return _written(EventKind.CONNECTION_AUTHORIZED, before, after, is_head=True)


def reissue_changes(before: Connection, after: Connection) -> Changes:
    """The changes of a successor that was given a fresh next action."""
    return _written(EventKind.CONNECTION_REISSUED, before, after, (NextActionReplaced(after.id),))


def recovery_changes(recovered: Connection, successor: Connection) -> Changes:
    """The changes of a successor that was minted for the head of a chain."""
    relied_on = ConnectionWrite(recovered, recovered, is_head=True)
    writes = (relied_on, ConnectionWrite(None, successor))
    return Changes(writes, (), (_event(EventKind.CONNECTION_CREATED, successor),))


def revocation_changes(
    connection: Connection,
    following: tuple[Connection, ...],
    answers: tuple[outcomes.Done[Connection] | outcomes.Ignored[Connection], ...],
    now: datetime,
    actor: Actor,
) -> Changes:
    """The changes of a revocation of one connection, or with it of every later one of its chain.

    What `revoke_chain` answered is one answer each, for as many of them as it reached.
    """
    reached = (connection, *following)
    moved = [
        (before, answer.value)
        for before, answer in zip(reached, answers, strict=False)
        if isinstance(answer, outcomes.Done)
    ]
    if not moved:
        return NO_CHANGES
    whole, last = chain.REVOCATION_REACH[actor].outcome.what is chain.Reach.CHAIN, reached[-1]
    writes = [ConnectionWrite(old, new, is_head=whole and old is last) for old, new in moved]
    if whole and moved[-1][0] is not last:
        # A connection that was minted since would outlive the revocation of its whole chain.
        writes.append(ConnectionWrite(last, last, is_head=True))
    alive = tuple(each.id for each in reached[len(answers) :] if chain.is_live(each, now))
    return Changes(
        tuple(writes),
        (
            *(_ending(before, after) for before, after in moved),
            *([SuccessorsLive(connection.id, alive)] if alive else []),
        ),
        tuple(_event(EventKind.CONNECTION_REVOKED, after) for _, after in moved),
    )


def initiation_changes(before: LimitedAccountAppBinding | None, made: Initiated) -> Changes:
    """The changes of a session that was minted, and of the user that it provisioned."""
    session, after = made.session, made.binding
    coordinate, at = session.coordinate, session.created_at
    initiated = Event(EventKind.SESSION_INITIATED, coordinate, session.id, at)
    if after is None or after is before:
        return Changes((SessionWrite(None, session),), (), (initiated,))
    return Changes(
        (SessionWrite(None, session), BindingWrite(before, after)),
        (UserProvisioned(after.user_id, coordinate),),
        (initiated, Event(EventKind.BINDING_PROVISIONED, coordinate, None, at)),
    )


def landing_changes(
    session: CuraeConnectSession,
    binding: LimitedAccountAppBinding | None,
    landing: Landing,
    now: datetime,
) -> Changes:
    """The changes of a hand-off that landed: the session, and the binding where it moved."""
    coordinate = session.coordinate
    landed = Event(EventKind.SESSION_LANDED, coordinate, session.id, now)
    if landing.binding is None or landing.binding is binding:
        return Changes((SessionWrite(session, landing.session),), (), (landed,))
    return Changes(
        (SessionWrite(session, landing.session), BindingWrite(binding, landing.binding)),
        (),
        (landed, Event(EventKind.BINDING_SIGNED_UP, coordinate, None, now)),
    )


def binding_changes(
    kind: EventKind,
    before: LimitedAccountAppBinding | None,
    after: LimitedAccountAppBinding,
    now: datetime,
) -> Changes:
    """The changes of a binding that graduated or was tombstoned."""
    return Changes((BindingWrite(before, after),), (), (Event(kind, after.coordinate, None, now),))


def _written(
    kind: EventKind,
    before: Connection | None,
    after: Connection,
    effects: tuple[Effect, ...] = (),
    *,
    is_head: bool = False,
) -> Changes:
    return Changes((ConnectionWrite(before, after, is_head),), effects, (_event(kind, after),))


def _event(kind: EventKind, after: Connection) -> Event:
    return Event(kind, after.identity.coordinate, after.id, after.updated_at)


def _ending(before: Connection, after: Connection) -> Effect:
    if triggers.ENDING[before.status].outcome.what is triggers.Ending.HANDOFF:
        return HandoffCancelled(after.id)
    return AccessEnded(after.id, after.revoked_at or after.updated_at)
