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
    """The changes of a decision, for one transaction.

    Attributes:
        writes: The values to store.
        effects: The tasks of the server.
        events: The events for the outbox.
    """

    writes: tuple[Write, ...] = ()
    effects: tuple[Effect, ...] = ()
    events: tuple[Event, ...] = ()

    def __add__(self, others: Changes) -> Changes:
        return Changes(
            self.writes + others.writes, self.effects + others.effects, self.events + others.events
        )


NO_CHANGES: Final = Changes()
"""No writes, no effects and no events."""


_Versioned = TypeVar("_Versioned", Connection, LimitedAccountAppBinding)


def bump_version(value: _Versioned) -> _Versioned:
    """Return a value with its version moved, for a decision that only relied on it.

    A concurrent decision from the earlier version then fails its commit and is decided again.
    """
    return attrs.evolve(value, version=value.version + 1)


def connection_write_changes(
    kind: EventKind, before: Connection | None, after: Connection, *effects: Effect
) -> Changes:
    """Return the changes of a connection that is written, with its event.

    Args:
        kind: The kind of the event.
        before: The connection as it is stored; `None` for a new one.
        after: The connection to store.
        effects: The tasks of the server.
    """
    event = Event(kind, after, after.updated_at)
    return Changes((ConnectionWrite(before, after),), effects, (event,))


def created_changes(made: Connection, binding: LimitedAccountAppBinding | None = None) -> Changes:
    """Return the changes of a new connection, so that a tombstone of its coordinate conflicts.

    Args:
        made: The new connection.
        binding: The binding of its coordinate, which it relies on. `None` if no user is bound; the
            store then refuses the commit if a user is bound by that time.
    """
    created = connection_write_changes(EventKind.CONNECTION_CREATED, None, made)
    if binding is None:
        return created
    return Changes((BindingWrite(binding, bump_version(binding)),)) + created


def ending_changes(kind: EventKind, before: Connection, after: Connection) -> Changes:
    """Return the changes of a connection that needs action, expired or was revoked.

    Args:
        kind: The kind of the event.
        before: The connection as it is stored.
        after: The connection to store.
    """
    return connection_write_changes(kind, before, after, _ending(before, after))


def recovery_changes(recovered: Connection, successor: Connection) -> Changes:
    """Return the changes of a successor that was minted for the head of a chain.

    Args:
        recovered: The head of the chain, which the successor relies on.
        successor: The new connection.
    """
    held = ConnectionWrite(recovered, bump_version(recovered))
    made = Event(EventKind.CONNECTION_CREATED, successor, successor.updated_at)
    return Changes((held, ConnectionWrite(None, successor)), (), (made,))


def revocation_changes(
    reached: tuple[Connection, ...],
    answers: tuple[outcomes.Done[Connection] | outcomes.Ignored[Connection], ...],
    heads: tuple[Connection, ...] = (),
) -> Changes:
    """Return the changes of a revocation.

    Args:
        reached: The connections that it reached.
        answers: The answer of the rule for each of them.
        heads: The connections among them that a concurrent recovery must not follow: the new
            connection would outlive a revocation that ends everything.
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
    """Return the effect of a revocation that left a later connection of the chain alive [O].

    The version of the head moves, so that a concurrent end of the head conflicts.

    Args:
        connection: The connection that was revoked.
        head: The last connection of its chain.
        now: The instant of the revocation, in UTC.
    """
    if head is None or head.id == connection.id or not chain.is_live(head, now):
        return NO_CHANGES
    held = ConnectionWrite(head, bump_version(head))
    return Changes((held,), (SuccessorsLive(connection.id, head.id),))


def initiation_changes(before: LimitedAccountAppBinding | None, made: Initiated) -> Changes:
    """Return the changes of a session that was minted, and of the user that it provisioned.

    Args:
        before: The binding of the coordinate as it is stored; `None` if no user is bound.
        made: The session and its binding.
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
    """Return the changes of a hand-off that landed: of the session, and of a binding that moved.

    Args:
        session: The session as it is stored.
        binding: The binding of the coordinate as it is stored; `None` if no user is bound.
        landing: The session and the binding to store.
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
    """Return the changes of a binding that moved.

    Args:
        kind: The kind of the event.
        before: The binding as it is stored; `None` for a new one.
        after: The binding to store.
        now: When it is recorded.
    """
    return Changes((BindingWrite(before, after),), (), (Event(kind, after, now),))


def _ending(before: Connection, after: Connection) -> Effect:
    if triggers.ENDING[before.status].outcome.value is triggers.Ending.HANDOFF:
        return HandoffCancelled(after.id)
    return AccessEnded(after.id, after.revoked_at or after.updated_at)
