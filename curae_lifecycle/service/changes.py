"""Changes of a decision: its writes, effects and events, and functions that build them."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules import chain, outcomes, triggers
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding, account_state
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import LANDED, CuraeConnectSession, Initiated, Landing
from curae_lifecycle.service.effects import (
    AccessEnded,
    Effect,
    HandoffCancelled,
    SuccessorsLive,
    UserProvisioned,
)
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    SessionWrite,
    Write,
)


@attrs.frozen
class Changes:
    """The changes of a decision, to commit in one transaction; `+` joins two.

    Attributes:
        writes: The values to store.
        effects: The tasks for the server.
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


_Versioned = TypeVar("_Versioned", Connection, LimitedAccountAppBinding, HostedPage)


def bump_version(value: _Versioned) -> _Versioned:
    """Return a copy of `value` with its version one higher, to make concurrent writes conflict.

    Store it for a decision that relied on `value` without changing it. A concurrent decision from
    the earlier version then fails its commit and is decided again.
    """
    return attrs.evolve(value, version=value.version + 1)


def connection_write_changes(
    kind: EventKind, before: Connection | None, after: Connection, *effects: Effect
) -> Changes:
    """Return the changes that store a connection and emit its event.

    Args:
        kind: The kind of the event.
        before: The connection as it is stored; `None` for a new one.
        after: The connection to store.
        effects: The tasks for the server.
    """
    event = Event(kind, after, after.updated_at)
    return Changes((ConnectionWrite(before, after),), effects, (event,))


def ending_changes(kind: EventKind, before: Connection, after: Connection) -> Changes:
    """Return the changes that store a connection which needs action, expired or was revoked.

    The changes hold the connection's event, and the effect that ends its open hand-off or its
    access, as the table `ending` says.

    Args:
        kind: The kind of the event.
        before: The connection as it is stored.
        after: The connection to store.
    """
    return connection_write_changes(kind, before, after, _ending(before, after))


def recovery_changes(recovered: Connection, successor: Connection) -> Changes:
    """Return the changes of a reconnect that made a successor: store it and emit its event.

    Args:
        recovered: The head of the chain as it is stored, which the successor recovers. The version
            of `recovered` is raised, so that a concurrent write of that connection conflicts.
        successor: The new connection.
    """
    held = ConnectionWrite(recovered, bump_version(recovered))
    made = Event(EventKind.CONNECTION_CREATED, successor, successor.updated_at)
    return Changes((held, ConnectionWrite(None, successor)), (), (made,))


def revocation_changes(
    reached: tuple[Connection, ...],
    answers: tuple[outcomes.Done[Connection] | outcomes.Ignored[Connection], ...],
    *,
    has_head: bool,
) -> Changes:
    """Return the changes of a revocation: the revoked connections, with their effects and events.

    Args:
        reached: The connections that the revocation revokes, as they are stored: one, or several
            that follow one another in a chain.
        answers: The answer of `triggers.revoke` for each of `reached`, in the same order: Done if
            the connection is revoked now, Ignored if it was revoked before.
        has_head: True if `reached` includes the last connection (the head) of the chain. Then the
            head's version is raised even if the head was revoked before, so that a concurrent
            reconnect conflicts. Otherwise the reconnect could add a successor that this revocation
            does not revoke.
    """
    moved = [
        ending_changes(EventKind.CONNECTION_REVOKED, before, answer.value)
        for before, answer in zip(reached, answers, strict=True)
        if isinstance(answer, outcomes.Done)
    ]
    changes = sum(moved, NO_CHANGES)
    if has_head and isinstance(answers[-1], outcomes.Ignored):
        changes += Changes((ConnectionWrite(reached[-1], bump_version(reached[-1])),))
    return changes


def live_head_changes(
    connection: Connection, head: Connection | None, now: datetime, *, era: datetime | None
) -> Changes:
    """Return the changes that warn of a live connection after a revoked one in its chain [O].

    If an actor revokes one connection alone, the last one of its chain (the head) can still be
    PENDING, ACTIVE or ACTION_REQUIRED (live). The changes then hold the warning, the effect
    `SuccessorsLive`. They raise the head's version, so that a concurrent change of the head
    conflicts. They are `NO_CHANGES` if the connection is itself the last one, or the head is not
    live.

    Args:
        connection: The connection that was revoked.
        head: The last connection of its chain; `None` if it has no successor.
        now: The instant of the revocation, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
    """
    if head is None or head.id == connection.id or not chain.is_live(head, now, era=era):
        return NO_CHANGES
    held = ConnectionWrite(head, bump_version(head))
    return Changes((held,), (SuccessorsLive(connection.id, head.id),))


def page_changes(page: HostedPage) -> Changes:
    """Return the changes that raise the version of a hosted page, for a fact that came from it.

    A concurrent commit that replaces the page then conflicts with that of the fact.

    Args:
        page: The page as it is stored.
    """
    return Changes((PageWrite(page, bump_version(page)),))


def initiation_changes(before: LimitedAccountAppBinding | None, made: Initiated) -> Changes:
    """Return the changes of an initiate: a new session, and perhaps a new LIMITED user.

    If the hand-off landed at once (path A), the changes raise the binding's version, so that a
    concurrent tombstone of the coordinate's user conflicts.

    Args:
        before: The binding of the coordinate as it is stored; `None` if no user is bound.
        made: The new session and the binding, as `session.initiate` returned them. If that binding
            is not `before` itself, a LIMITED user was provisioned: the changes store the binding,
            and ask the server to create the user.
    """
    session, after = made.session, made.binding
    at = session.created_at
    write, initiated = SessionWrite(None, session), Event(EventKind.SESSION_INITIATED, session, at)
    if after is None or after is before:
        return Changes((write, *_bump_binding_if_landed(session, after)), (), (initiated,))
    user_id = after.user_id
    assert user_id is not None  # noqa: S101 - a provisioned binding has a user
    return Changes(
        (write, BindingWrite(before, after)),
        (UserProvisioned(user_id, session.coordinate),),
        (initiated, Event(EventKind.BINDING_PROVISIONED, after, at)),
    )


def landing_changes(
    session: CuraeConnectSession,
    binding: LimitedAccountAppBinding | None,
    landing: Landing,
    now: datetime,
) -> Changes:
    """Return the changes that record a hand-off: the session and its coordinate's binding.

    A binding that did not change gets the next version, so that a concurrent tombstone of the
    coordinate's user conflicts.

    Args:
        session: The session as it is stored.
        binding: The binding of the coordinate as it is stored; `None` if no user is bound.
        landing: The result of `complete_handoff`: the session and the binding to store.
        now: When the hand-off is recorded, in UTC.
    """
    at = max(now, session.created_at)
    landed = Event(EventKind.SESSION_LANDED, landing.session, at)
    changes = Changes((SessionWrite(session, landing.session),), (), (landed,))
    if landing.binding is None or landing.binding is binding:
        return changes + Changes(_bump_binding_if_landed(landing.session, landing.binding))
    return changes + binding_changes(
        EventKind.BINDING_SIGNED_UP, before=binding, after=landing.binding, now=at
    )


def _bump_binding_if_landed(
    session: CuraeConnectSession, binding: LimitedAccountAppBinding | None
) -> tuple[BindingWrite, ...]:
    if session.handoff is not LANDED or binding is None:
        return ()
    return (BindingWrite(binding, bump_version(binding)),)


def tombstone_changes(
    before: LimitedAccountAppBinding | None, after: LimitedAccountAppBinding
) -> Changes:
    """Return the changes that record that a user is gone: the binding, and perhaps its event.

    The event is there if the state of the binding changed to TOMBSTONED.

    Args:
        before: The binding as it is stored; `None` for a new one.
        after: The tombstoned binding to store.
    """
    if account_state(before) is AccountState.TOMBSTONED:
        return Changes((BindingWrite(before, after),))
    # Eras never repeat, so two tombstones at one instant have events with different ids.
    era = after.era
    assert era is not None  # noqa: S101 - a tombstone sets it
    return binding_changes(EventKind.BINDING_TOMBSTONED, before=before, after=after, now=era)


def binding_changes(
    kind: EventKind,
    before: LimitedAccountAppBinding | None,
    after: LimitedAccountAppBinding,
    now: datetime,
) -> Changes:
    """Return the changes that store a binding and emit its event.

    Args:
        kind: The kind of the event.
        before: The binding as it is stored; `None` for a new one.
        after: The binding to store.
        now: When the change is recorded, in UTC.
    """
    return Changes((BindingWrite(before, after),), (), (Event(kind, after, now),))


def _ending(before: Connection, after: Connection) -> Effect:
    if triggers.ENDING[before.status].outcome.value is triggers.Ending.HANDOFF:
        return HandoffCancelled(after.id)
    return AccessEnded(after.id, after.revoked_at or after.updated_at)
