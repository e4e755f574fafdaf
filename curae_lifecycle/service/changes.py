"""What a decision asks of the server: writes, effects and events, as data.

The laws of this module: **a write says before and after**, so a store compares and sets;
**an effect is for the server alone** and never reaches a response [S]; **an event is named by
what happened to what and when**, so an outbox can tell a repetition from a second occurrence.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from json import dumps as _json_text
from typing import Final, TypeVar
from uuid import UUID, uuid5

import attrs

from curae_lifecycle.rules import chain, idempotency, outcomes, ratelimit, triggers, values
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.session import CuraeConnectSession, Initiated, Landing


@attrs.frozen
class BucketKey:
    """Whose bucket: one per API key, its owner and policy [S; the owner O]."""

    owner: KeyOwner
    policy: str

    def __hash__(self) -> int:
        # The API key's id tells owners apart, but for one that was registered again.
        return hash((self.owner.api_key_id, self.policy))


@attrs.frozen
class LimitKey:
    """Whose exact log: one per app user and policy, across apps [S]."""

    app_user: values.AppUser
    policy: str

    def __hash__(self) -> int:
        # A user has few limits, and is seldom of both environments.
        user = self.app_user
        return hash((user.customer_account_id, user.app_user_id))


RateKey = BucketKey | LimitKey
"""Whose limit it is: an API key, or an app user."""


@attrs.frozen
class ConnectionWrite:
    """Insert (`before` is `None`) or update a connection.

    Two constraints are all a database needs: the id, and the predecessor's id, each unique. Where
    a decision only relied on a connection, `after` is the same with one write more: a late
    authorization, the mint of a successor and the revocation of a chain so meet on one row [O].
    """

    before: Connection | None
    after: Connection


@attrs.frozen
class SessionWrite:
    """Insert or update a connect session, unique by its id.

    Attributes:
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
    """

    before: CuraeConnectSession | None
    after: CuraeConnectSession


@attrs.frozen
class BindingWrite:
    """Insert or update a binding, unique by its coordinate, or count that it was relied on.

    Attributes:
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
    """

    before: LimitedAccountAppBinding | None
    after: LimitedAccountAppBinding


@attrs.frozen
class RecordWrite:
    """Insert or update an idempotency record, unique by its key.

    What was loaded may be past its retention.

    Attributes:
        key: Whose record it is.
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
    """

    key: idempotency.RecordKey
    before: idempotency.Record | None
    after: idempotency.Record


@attrs.frozen
class RateWrite:
    """Insert or update the state of the rate limit that was charged, unique by its key.

    Attributes:
        key: Whose limit it is.
        policy: The limit.
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
    """

    key: RateKey
    policy: ratelimit.Policy
    before: ratelimit.RateState | None
    after: ratelimit.RateState

    @property
    def expires_at(self) -> datetime:
        """When the state may be dropped, never before."""
        return ratelimit.state_expires_at(self.policy, self.after) or values.LAST_INSTANT


Write = ConnectionWrite | SessionWrite | BindingWrite | RecordWrite | RateWrite
"""What is to be stored, of whichever kind."""


@attrs.frozen
class AccessEnded:
    """Drop every cached grant of the connection.

    Attributes:
        connection_id: The connection's id.
        at: Since when it gives no access.
    """

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
    """Access goes on: the head of the revoked connection's chain is alive [O].

    An app that revokes an old id may believe that all access ended.
    """

    connection_id: values.ConnectionId
    head_id: values.ConnectionId


@attrs.frozen
class UserProvisioned:
    """Create the LIMITED user that the binding names.

    Attributes:
        user_id: The new user.
        coordinate: Whom it is bound to.
    """

    user_id: values.UserId = attrs.field(repr=False)
    coordinate: values.Coordinate


Effect = AccessEnded | HandoffCancelled | NextActionReplaced | SuccessorsLive | UserProvisioned
"""What the server has to do, of whichever kind."""


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


Subject = Connection | CuraeConnectSession | LimitedAccountAppBinding
"""What an event is about."""

_EVENTS: Final = UUID("6f1c3d0e-9a43-5b0f-8a57-2f4f6f0f5d11")
"""The name space of the ids of events."""


def coordinate_text(coordinate: values.Coordinate) -> str:
    """A coordinate as text, the same for ever: a JSON list of its members."""
    environment, app_id = _json_text(coordinate.environment), _json_text(coordinate.app_id)
    account_id = _json_text(coordinate.customer_account_id)
    return f"[{environment}, {app_id}, {account_id}, {_json_text(coordinate.app_user_id)}]"


@attrs.frozen
class Event:
    """Something that happened, for an outbox: to what, as it is now, and when it was recorded.

    Attributes:
        kind: Which kind of event it is.
        subject: What it happened to, as it is now.
        at: When it was recorded.
    """

    kind: EventKind
    subject: Subject
    at: datetime

    @property
    def id(self) -> str:
        """The event's id: the same kind, subject and instant always make the same UUID [P, O]."""
        subject_id = self.subject_id
        subject = coordinate_text(self.coordinate) if subject_id is None else _json_text(subject_id)
        at = values.format_time(self.at)
        return str(uuid5(_EVENTS, f"[{_json_text(self.kind)}, {subject}, {_json_text(at)}]"))

    @property
    def subject_id(self) -> values.ConnectionId | values.SessionId | None:
        """The connection's or the session's id; `None` for the binding of the coordinate."""
        return None if isinstance(self.subject, LimitedAccountAppBinding) else self.subject.id

    @property
    def coordinate(self) -> values.Coordinate:
        """To whom it belongs."""
        subject = self.subject
        return (subject.identity if isinstance(subject, Connection) else subject).coordinate


@attrs.frozen
class Changes:
    """What is to be stored, done by the server and put into an outbox, in one transaction.

    Attributes:
        writes: What is to be stored.
        effects: What the server has to do.
        events: What has happened.
    """

    writes: tuple[Write, ...] = ()
    effects: tuple[Effect, ...] = ()
    events: tuple[Event, ...] = ()

    def __add__(self, others: Changes) -> Changes:
        return Changes(
            self.writes + others.writes, self.effects + others.effects, self.events + others.events
        )


NO_CHANGES: Final = Changes()
"""Nothing to store, nothing to do, nothing that happened."""


_Versioned = TypeVar("_Versioned", Connection, LimitedAccountAppBinding)


def relied_on(value: _Versioned) -> _Versioned:
    """The value one write later, where a decision changes nothing of it and only relied on it.

    Whoever read it before finds another version, and decides again.
    """
    return attrs.evolve(value, version=value.version + 1)


def written(
    kind: EventKind, before: Connection | None, after: Connection, *effects: Effect
) -> Changes:
    """The changes of a connection that was written, and its event.

    Args:
        kind: Which kind of event it is.
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
        effects: What the server has to do.
    """
    event = Event(kind, after, after.updated_at)
    return Changes((ConnectionWrite(before, after),), effects, (event,))


def created_changes(made: Connection, binding: LimitedAccountAppBinding | None = None) -> Changes:
    """The changes of a new connection, which a tombstone of its coordinate must not miss.

    Args:
        made: The new connection.
        binding: Its coordinate's binding, which it relies on; `None` where nobody is bound. A store
            then stores it only where nobody is bound by then.
    """
    created = written(EventKind.CONNECTION_CREATED, None, made)
    if binding is None:
        return created
    return Changes((BindingWrite(binding, relied_on(binding)),)) + created


def connection_changes(kind: EventKind, before: Connection, after: Connection) -> Changes:
    """The changes of a connection that needs action, expired or was revoked.

    Args:
        kind: Which kind of event it is.
        before: The connection as it is stored.
        after: What takes its place.
    """
    return written(kind, before, after, _ending(before, after))


def recovery_changes(recovered: Connection, successor: Connection) -> Changes:
    """The changes of a successor that was minted for the head of a chain.

    Args:
        recovered: The head of the chain, which is relied on.
        successor: What recovers it.
    """
    held = ConnectionWrite(recovered, relied_on(recovered))
    made = Event(EventKind.CONNECTION_CREATED, successor, successor.updated_at)
    return Changes((held, ConnectionWrite(None, successor)), (), (made,))


def revocation_changes(
    reached: tuple[Connection, ...],
    answers: tuple[outcomes.Done[Connection] | outcomes.Ignored[Connection], ...],
    heads: tuple[Connection, ...] = (),
) -> Changes:
    """The changes of a revocation.

    Args:
        reached: The connections that it reached.
        answers: What the rule answered, one for each of them.
        heads: Those of them that no connection made meanwhile may follow: it would outlive a
            revocation that ends everything.
    """
    moved = [
        connection_changes(EventKind.CONNECTION_REVOKED, before, answer.value)
        for before, answer in zip(reached, answers, strict=True)
        if isinstance(answer, outcomes.Done)
    ]
    unmoved = {answer.value.id for answer in answers if isinstance(answer, outcomes.Ignored)}
    held = [ConnectionWrite(head, relied_on(head)) for head in heads if head.id in unmoved]
    return sum(moved, NO_CHANGES) + Changes(tuple(held))


def left_alive(connection: Connection, head: Connection | None, now: datetime) -> Changes:
    """What the server learns where a connection was revoked alone and its chain goes on [O].

    The head is held: it may not end meanwhile and be named as alive all the same.

    Args:
        connection: What was revoked.
        head: The last of its chain.
        now: The instant at which it is asked, in UTC.
    """
    if head is None or head.id == connection.id or not chain.is_live(head, now):
        return NO_CHANGES
    held = ConnectionWrite(head, relied_on(head))
    return Changes((held,), (SuccessorsLive(connection.id, head.id),))


def initiation_changes(before: LimitedAccountAppBinding | None, made: Initiated) -> Changes:
    """The changes of a session that was minted, and of the user that it provisioned.

    Args:
        before: The coordinate's binding as it is stored; `None` where nobody is bound.
        made: The session, and the binding that goes with it.
    """
    session, after = made.session, made.binding
    at = session.created_at
    write, initiated = SessionWrite(None, session), Event(EventKind.SESSION_INITIATED, session, at)
    if after is None or after is before:
        return Changes((write,), (), (initiated,))
    return Changes(
        (write, BindingWrite(before, after)),
        (UserProvisioned(after.user_id, session.coordinate),),
        (initiated, Event(EventKind.BINDING_PROVISIONED, after, at)),
    )


def landing_changes(
    session: CuraeConnectSession,
    binding: LimitedAccountAppBinding | None,
    landing: Landing,
    now: datetime,
) -> Changes:
    """The changes of a hand-off that landed: the session, and the binding where it moved.

    Args:
        session: The session as it is stored.
        binding: The coordinate's binding as it is stored; `None` where nobody is bound.
        landing: Both as they are from now on.
        now: When it is recorded.
    """
    at = max(now, session.created_at)
    landed = Event(EventKind.SESSION_LANDED, landing.session, at)
    changes = Changes((SessionWrite(session, landing.session),), (), (landed,))
    if landing.binding is None or landing.binding is binding:
        return changes
    return changes + binding_changes(
        EventKind.BINDING_SIGNED_UP, before=binding, after=landing.binding, now=at
    )


def binding_changes(
    kind: EventKind,
    before: LimitedAccountAppBinding | None,
    after: LimitedAccountAppBinding,
    now: datetime,
) -> Changes:
    """The changes of a binding that moved.

    Args:
        kind: Which kind of event it is.
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
        now: When it is recorded.
    """
    return Changes((BindingWrite(before, after),), (), (Event(kind, after, now),))


def _ending(before: Connection, after: Connection) -> Effect:
    if triggers.ENDING[before.status].outcome.what is triggers.Ending.HANDOFF:
        return HandoffCancelled(after.id)
    return AccessEnded(after.id, after.revoked_at or after.updated_at)
