"""Connections: a patient's authorization for data to flow to one coordinate, and its standing.

Every rule asks for the *standing*. It follows from the stored connection and an instant, and is
never stored. `DEADLINE` names the instant at which the standing of a stored status changes by
itself. `STANDING` names the standing before and after that instant. The triggers of a connection
are in `triggers`, and its recovery in `chain`. An instant that is out of order or not UTC raises
`ArgumentError`.

A *tombstone* records that a coordinate's user is gone. The coordinate's *era* is when its last
tombstone was recorded.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Value
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table
from curae_lifecycle.rules.values import (
    ConnectionId,
    Coordinate,
    DataPackage,
    NextAction,
    check_instant,
)


class Status(StrEnum):
    """The status of a connection as it is stored [S].

    A connection never returns to a status that is earlier in the list. Rules do not use the status
    directly: they ask for the `Standing`, which applies deadlines.

    Attributes:
        PENDING: The patient has not authorized yet.
        ACTIVE: Data may flow.
        ACTION_REQUIRED: The patient must act before data flows again.
        EXPIRED: The authorization ended.
        REVOKED: The authorization was revoked, for ever.
    """

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class Standing(StrEnum):
    """A connection's effective state at an instant: its stored status after deadlines apply [O].

    An ACTIVE or ACTION_REQUIRED connection is EXPIRED from its `expires_at`. A PENDING connection
    is LAPSED from its hand-off deadline; LAPSED is never stored. A connection is REVOKED if it has
    a `revoked_at`, or if its user was recorded as gone (a tombstone) since it was made.
    """

    PENDING = "PENDING"
    LAPSED = "LAPSED"
    ACTIVE = "ACTIVE"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class DeadlineKind(StrEnum):
    """The deadline at which the standing of a connection changes by itself.

    Attributes:
        HANDOFF: The instant at which the hosted page ends, for a connection that is PENDING.
        EXPIRY: `expiresAt`, for a connection that is ACTIVE or ACTION_REQUIRED.
        NONE: No deadline; only an event changes the standing.
    """

    HANDOFF = "the hand-off's deadline"
    EXPIRY = "expiresAt"
    NONE = "none"


class RevocationState(StrEnum):
    """The two cases of a stored connection: without and with a `revokedAt`.

    Attributes:
        NEVER: The connection has no `revokedAt`.
        ONCE: The connection has a `revokedAt`, so it is REVOKED, whatever its stored status.
    """

    NEVER = "no revokedAt"
    ONCE = "a revokedAt"


class EraState(StrEnum):
    """The two cases of a connection: made under the present era of its coordinate, or not.

    A new era begins when the coordinate's user is recorded as gone: a tombstone.

    Attributes:
        THIS: No tombstone of the coordinate was recorded since the connection was made.
        OTHER: A tombstone was recorded since then, so the connection counts as REVOKED.
    """

    THIS = "made under the present era"
    OTHER = "made under another era"


class DeadlineState(StrEnum):
    """The two cases of an instant: before the deadline of a connection, or not.

    Attributes:
        BEFORE: The deadline is still ahead, or the connection has none.
        REACHED: The deadline is that instant or an earlier one.
    """

    BEFORE = "before the deadline, or none set"
    REACHED = "at or after the deadline"


class Actor(StrEnum):
    """The actors that can revoke a connection.

    Attributes:
        APP: The app, through the API.
        PATIENT: The patient whose records the connection gives access to.
        PLATFORM: The platform.
        UPSTREAM: The source of the patient's records.
    """

    APP = "APP"
    PATIENT = "PATIENT"
    PLATFORM = "PLATFORM"
    UPSTREAM = "UPSTREAM"


PENDING, LAPSED, ACTIVE, ACTION_REQUIRED, EXPIRED, REVOKED = Standing
NEVER, ONCE = RevocationState
THIS, OTHER = EraState
BEFORE, REACHED = DeadlineState
HANDOFF, EXPIRY, NONE = DeadlineKind
_S: Final = Status
INITIAL_STATUS: Final = Status.PENDING
"""The stored status of a new connection."""

# fmt: off
DEADLINE: Final = Table[tuple[Status, RevocationState, EraState], Value[DeadlineKind]](
    "deadline",
    "Which instant a stored connection waits for: there its standing changes by itself.",
    (Axis.of("stored status", Status), Axis.of("revocation", RevocationState), Axis.of("era", EraState)),
    Row((ANY,                ONCE,  ANY),   Value(NONE),    "[O] For ever, whatever else it says.", name="revoked-at"),
    Row((ANY,                NEVER, OTHER), Value(NONE),    "[O] A tombstone ended it for ever.", name="other-era"),
    Row((_S.PENDING,         NEVER, THIS),  Value(HANDOFF), "[O] The page lives no longer.", name="pending"),
    Row((_S.ACTIVE,          NEVER, THIS),  Value(EXPIRY),  "[S] It runs out at `expiresAt`.", name="active"),
    Row((_S.ACTION_REQUIRED, NEVER, THIS),  Value(EXPIRY),  "[O] It runs out while it waits.", name="action-required"),
    Row((_S.EXPIRED,         NEVER, THIS),  Value(NONE),    "[S] Over already.", name="expired"),
    Row((_S.REVOKED,         NEVER, THIS),  Value(NONE),    "[S] For ever.", name="revoked"),
)
"""The table `deadline`: the deadline, if any, at which a stored connection's standing changes."""

STANDING: Final = Table[tuple[Status, RevocationState, EraState, DeadlineState], Value[Standing]](
    "standing",
    "What a connection is at an instant. The deadline is the hand-off's while PENDING, and `expiresAt` while "
    "ACTIVE or ACTION_REQUIRED; intervals are half-open.",
    (
        Axis.of("stored status", Status),
        Axis.of("revocation", RevocationState),
        Axis.of("era", EraState),
        Axis.of("clock", DeadlineState),
    ),
    Row((ANY,                ONCE,  ANY,   ANY),     Value(REVOKED), "[O] Fails closed.", name="revoked-at"),
    Row((ANY,                NEVER, OTHER, ANY),     Value(REVOKED), "[O] A tombstone ended it.", name="other-era"),
    Row((_S.PENDING,         NEVER, THIS,  BEFORE),  Value(PENDING), "[O] The page is still open.", name="pending"),
    Row((_S.PENDING,         NEVER, THIS,  REACHED), Value(LAPSED), "[O] Derived, never stored.", name="lapsed"),
    Row((_S.ACTIVE,          NEVER, THIS,  BEFORE),  Value(ACTIVE), "[S] Authorized and not over.", name="active"),
    Row((_S.ACTIVE,          NEVER, THIS,  REACHED), Value(EXPIRED), "[O] Over: no leeway.", name="active-over"),
    Row((_S.ACTION_REQUIRED, NEVER, THIS,  BEFORE),  Value(ACTION_REQUIRED), "[S] Must act.", name="action-required"),
    Row((_S.ACTION_REQUIRED, NEVER, THIS,  REACHED), Value(EXPIRED), "[O] It ran out.", name="action-required-over"),
    Row((_S.EXPIRED,         NEVER, THIS,  ANY),     Value(EXPIRED), "[S] A recorded expiry stands.", name="expired"),
    Row((_S.REVOKED,         NEVER, THIS,  ANY),     Value(REVOKED), "[S] Revocation is monotone.", name="revoked"),
)
"""The table `standing`: the standing (effective state) of a stored connection at an instant."""
# fmt: on


@attrs.frozen
class ConnectionIdentity:
    """The part of a connection that never changes: every transition keeps this value.

    Attributes:
        id: The connection's id.
        coordinate: The coordinate, the user of an SDK app, that the data flows to.
        data_packages: The data packages that may flow, sorted.
        created_at: When the connection was created.
        predecessor_id: The id of the connection that this one recovers; `None` for the first of a
            chain. A unique index on `predecessor_id` keeps each chain linear.
        root_id: The id of the first connection of the chain; equal to `id` for that connection.
        position: The place in the chain, counted from 1. The head is the connection with
            the highest position among those with the same `root_id`.
        era: The coordinate's era as the connection was made: when its user was last recorded as
            gone (tombstoned). `None` if never before.
    """

    id: ConnectionId
    coordinate: Coordinate
    data_packages: tuple[DataPackage, ...]
    created_at: datetime
    predecessor_id: ConnectionId | None
    root_id: ConnectionId
    position: int = 1
    era: datetime | None = None


@attrs.frozen
class Connection:
    """A connection as it is stored.

    Attributes:
        identity: The part that never changes.
        status: The stored status; rules use the standing, which `standing` computes.
        updated_at: When the connection was created or a change of it was last recorded. A write
            that only raises `version` does not count.
        handoff_deadline: When the hosted page to authorize the connection ends (exclusive); kept
            after the authorization. `None` for no end.
        authorized_at: When the patient authorized; `None` before that.
        expires_at: When the authorization ends (exclusive); `None` for no end, and before the
            authorization.
        action_required_reason: Why the patient must act, kept afterwards; `None` if never required.
        revoked_at: When the connection was first revoked; it never changes after that. `None` if it
            was not revoked.
        revoked_by: The actor of the first revocation; `None` without one, or if it is not known.
        version: The number of writes of the connection. A write that only raises `version`, so
            that a concurrent write conflicts, counts too.
    """

    identity: ConnectionIdentity
    status: Status
    updated_at: datetime
    handoff_deadline: datetime | None = None
    authorized_at: datetime | None = None
    expires_at: datetime | None = None
    action_required_reason: str | None = None
    revoked_at: datetime | None = None
    revoked_by: Actor | None = None
    version: int = 1

    @property
    def id(self) -> ConnectionId:
        """The connection's id."""
        return self.identity.id


@attrs.frozen
class ConnectionView:
    """The arguments of a preview, which says what a trigger would do to a connection.

    Attributes:
        connection: The connection as it is stored.
        now: The instant, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        successor: The connection that recovered `connection`; `None` if none did.
        head: The last connection of the chain; if `None`, `successor` counts as the last one.
    """

    connection: Connection
    now: datetime
    era: datetime | None
    successor: Connection | None
    head: Connection | None


def next_deadline(connection: Connection, *, era: datetime | None) -> datetime | None:
    """Return when the standing of a connection changes by itself, because a deadline is reached.

    Args:
        connection: The connection as it is stored.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.

    Returns:
        The instant, which may have passed already; `None` if only an event can change the standing.
    """
    return _deadline(connection, deadline_kind(connection, era=era))


def deadline_kind(connection: Connection, *, era: datetime | None) -> DeadlineKind:
    """Return which deadline of a connection changes its standing by itself.

    Args:
        connection: The connection as it is stored.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.

    Returns:
        HANDOFF if the stored status is PENDING, EXPIRY if it is ACTIVE or ACTION_REQUIRED, else
        NONE. NONE, too, if the connection has a `revoked_at` or its user is gone. EXPIRY is
        returned even without an `expires_at`: the authorization then has no end.
    """
    return DEADLINE[_cell(connection, era)].outcome.value


def _deadline(connection: Connection, kind: DeadlineKind) -> datetime | None:
    if kind is HANDOFF:
        return connection.handoff_deadline
    return connection.expires_at if kind is EXPIRY else None


def _cell(connection: Connection, era: datetime | None) -> tuple[Status, RevocationState, EraState]:
    revocation = NEVER if connection.revoked_at is None else ONCE
    # Eras are names, never compared by order.
    era_state = THIS if connection.identity.era == era else OTHER
    return connection.status, revocation, era_state


def standing(connection: Connection, now: datetime, *, era: datetime | None) -> Standing:
    """Return the standing of a connection: its effective state at an instant [O; statuses S].

    Deadlines and tombstones apply, so the standing can differ from the stored status.

    Args:
        connection: The connection as it is stored.
        now: The instant, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
            `binding.present_era` returns this instant.

    Raises:
        ArgumentError: `now` is not a UTC instant.
    """
    check_instant("now", now)
    status, revocation, era_state = _cell(connection, era)
    waits_for = DEADLINE[status, revocation, era_state].outcome.value
    deadline = _deadline(connection, waits_for)
    clock = BEFORE if deadline is None or now < deadline else REACHED
    return STANDING[status, revocation, era_state, clock].outcome.value


def show_ended(
    connection: Connection, *, era: datetime | None, tombstoned_at: datetime | None
) -> Connection:
    """Return the connection to show in a response: REVOKED if a tombstone ended it [O].

    A tombstone, the record that the user is gone, ends connections at once, but their rows are
    updated later. If the row of such a connection is not updated yet, a copy is returned. Its
    `revoked_at` is the later of `tombstoned_at` (if known) and the creation. Any other connection
    is returned unchanged.

    Args:
        connection: The connection as it is stored.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        tombstoned_at: When the last tombstone of the coordinate happened, as its binding says;
            `None` if that is not known, or there was no tombstone.
    """
    if connection.revoked_at is not None or connection.identity.era == era:
        return connection
    created_at = connection.identity.created_at
    return attrs.evolve(connection, revoked_at=max(tombstoned_at or created_at, created_at))


def clamp_to_updated_at(connection: Connection, now: datetime) -> datetime:
    """Return the later of `now` and `connection.updated_at`: when to record a change [O].

    So `updated_at` never goes back, even if the clock did.

    Args:
        connection: The connection as it is stored.
        now: The instant, in UTC.

    Raises:
        ArgumentError: `now` is not a UTC instant.
    """
    check_instant("now", now)
    return max(now, connection.updated_at)


def create(
    *,
    id: ConnectionId,  # noqa: A002 - the spec's word for it
    coordinate: Coordinate,
    data_packages: tuple[DataPackage, ...],
    now: datetime,
    next_action: NextAction,
    era: datetime | None,
) -> Connection:
    """Return a new PENDING connection, whose hand-off ends with its next action [P].

    A coordinate may have any number of connections: the platform has no rule about earlier ones.

    Args:
        id: The new connection's id.
        coordinate: The coordinate that the data is to flow to.
        data_packages: The data packages that the patient is asked for, sorted.
        now: When the connection is created, in UTC.
        next_action: The hosted page to show the patient; its end is the hand-off's deadline.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.

    Raises:
        ArgumentError: `now` or the end of the next action is not a UTC instant, or the next action
            ended before `now`.
    """
    check_next_action(next_action, now)
    identity = ConnectionIdentity(
        id=id,
        coordinate=coordinate,
        data_packages=data_packages,
        created_at=now,
        predecessor_id=None,
        root_id=id,
        era=era,
    )
    return Connection(
        identity=identity,
        status=INITIAL_STATUS,
        updated_at=now,
        handoff_deadline=next_action.expires_at,
    )


def evolve_connection(
    connection: Connection,
    status: Status,
    now: datetime,
    *,
    handoff_deadline: datetime | None = None,
    authorized_at: datetime | None = None,
    expires_at: datetime | None = None,
    reason: str | None = None,
    revoked_at: datetime | None = None,
    revoked_by: Actor | None = None,
) -> Connection:
    """Return a changed copy of a connection, its version one higher; `None` keeps a member.

    `expires_at` counts only together with `authorized_at`: it then replaces the stored end, and
    `None` means no end. Without `authorized_at`, `expires_at` is ignored and the stored end stays.

    Args:
        connection: The connection as it is stored.
        status: The new stored status.
        now: When the change is recorded, the new `updated_at`.
        handoff_deadline: When the hosted page ends.
        authorized_at: When the patient authorized.
        expires_at: When the authorization ends.
        reason: Why the patient must act.
        revoked_at: When the connection was revoked.
        revoked_by: The actor that revoked the connection.
    """
    # By position: every transition passes here, and the fields are declared above.
    return Connection(
        connection.identity,
        status,
        now,
        handoff_deadline or connection.handoff_deadline,
        authorized_at or connection.authorized_at,
        expires_at if authorized_at else connection.expires_at,
        connection.action_required_reason if reason is None else reason,
        revoked_at or connection.revoked_at,
        revoked_by or connection.revoked_by,
        connection.version + 1,
    )


def check_next_action(next_action: NextAction, now: datetime) -> None:
    """Check that a next action, a hosted page to show, did not end before `now`.

    A next action that ends exactly at `now` passes, and has expired at once.

    Raises:
        ArgumentError: `now` or the end of the next action is not a UTC instant, or the next action
            ended before `now`.
    """
    check_instant("now", now)
    check_instant("next_action.expires_at", next_action.expires_at)
    if next_action.expires_at < now:
        raise ArgumentError("next_action.expires_at", "no earlier than now")
