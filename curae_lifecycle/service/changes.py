"""Changes of a decision: its writes, effects and events, and functions that build them."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules import chain, outcomes, triggers
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession, Initiated, Landing
from curae_lifecycle.service.effects import (
    AccessEnded,
    Effect,
    HandoffCancelled,
    SuccessorsLive,
    UserProvisioned,
)
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, SessionWrite, Write


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


def bump_version(value: _Versioned) -> _Versioned:
    """The value one write later, where a decision changes nothing of it and only relied on it.

    Whoever read it before finds another version, and decides again.
    """
    return attrs.evolve(value, version=value.version + 1)


def connection_write_changes(
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
    created = connection_write_changes(EventKind.CONNECTION_CREATED, None, made)
    if binding is None:
        return created
    return Changes((BindingWrite(binding, bump_version(binding)),)) + created


def ending_changes(kind: EventKind, before: Connection, after: Connection) -> Changes:
    """The changes of a connection that needs action, expired or was revoked.

    Args:
        kind: Which kind of event it is.
        before: The connection as it is stored.
        after: What takes its place.
    """
    return connection_write_changes(kind, before, after, _ending(before, after))


def recovery_changes(recovered: Connection, successor: Connection) -> Changes:
    """The changes of a successor that was minted for the head of a chain.

    Args:
        recovered: The head of the chain, which is relied on.
        successor: What recovers it.
    """
    held = ConnectionWrite(recovered, bump_version(recovered))
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
        ending_changes(EventKind.CONNECTION_REVOKED, before, answer.value)
        for before, answer in zip(reached, answers, strict=True)
        if isinstance(answer, outcomes.Done)
    ]
    unmoved = {answer.value.id for answer in answers if isinstance(answer, outcomes.Ignored)}
    held = [ConnectionWrite(head, bump_version(head)) for head in heads if head.id in unmoved]
    return sum(moved, NO_CHANGES) + Changes(tuple(held))


def live_head_changes(connection: Connection, head: Connection | None, now: datetime) -> Changes:
    """What the server learns where a connection was revoked alone and its chain goes on [O].

    The head is held: it may not end meanwhile and be named as alive all the same.

    Args:
        connection: What was revoked.
        head: The last of its chain.
        now: The instant at which it is asked, in UTC.
    """
    if head is None or head.id == connection.id or not chain.is_live(head, now):
        return NO_CHANGES
    held = ConnectionWrite(head, bump_version(head))
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
    if triggers.ENDING[before.status].outcome.value is triggers.Ending.HANDOFF:
        return HandoffCancelled(after.id)
    return AccessEnded(after.id, after.revoked_at or after.updated_at)
