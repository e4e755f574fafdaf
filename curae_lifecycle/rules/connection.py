"""A patient's authorization for data packages to flow to one coordinate, and what it is when.

Every rule asks for the *standing*, which follows from what is stored and the instant, and is
never stored: `DEADLINE` says which instant a stored status waits for, `STANDING` what the
connection is before and after it. What happens to a connection is in `triggers`, what recovers
one in `chain`. An instant that is out of order or not UTC raises `ArgumentError`.
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
    """What is stored [S], in the order of rank."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class Standing(StrEnum):
    """What a connection is at an instant; LAPSED is derived and never stored [O]."""

    PENDING = "PENDING"
    LAPSED = "LAPSED"
    ACTIVE = "ACTIVE"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class DeadlineKind(StrEnum):
    """The instant at which a standing changes by itself."""

    HANDOFF = "the hand-off's deadline"
    EXPIRY = "expiresAt"
    NONE = "none"


class RevocationState(StrEnum):
    """Whether a connection carries a `revokedAt`."""

    NEVER = "no revokedAt"
    ONCE = "a revokedAt"


class DeadlineState(StrEnum):
    """Where an instant lies to the deadline."""

    BEFORE = "before the deadline, or none set"
    REACHED = "at or after the deadline"


class Actor(StrEnum):
    """Who revoked."""

    APP = "APP"
    PATIENT = "PATIENT"
    PLATFORM = "PLATFORM"
    UPSTREAM = "UPSTREAM"


PENDING, LAPSED, ACTIVE, ACTION_REQUIRED, EXPIRED, REVOKED = Standing
NEVER, ONCE = RevocationState
BEFORE, REACHED = DeadlineState
HANDOFF, EXPIRY, NONE = DeadlineKind
INITIAL_STATUS: Final = Status.PENDING
"""What is stored of a connection that was just made."""

# fmt: off
DEADLINE: Final = Table[tuple[Status, RevocationState], Value[DeadlineKind]](
    "deadline",
    "Which instant a stored connection waits for: there its standing changes by itself.",
    (Axis.of("stored status", Status), Axis.of("revocation", RevocationState)),
    Row((ANY,                    ONCE),  Value(NONE),    "[O] For ever, whatever stands with it.", name="revoked-at"),
    Row((Status.PENDING,         NEVER), Value(HANDOFF), "[O] The page lives no longer.", name="pending"),
    Row((Status.ACTIVE,          NEVER), Value(EXPIRY),  "[S] It runs out at `expiresAt`.", name="active"),
    Row((Status.ACTION_REQUIRED, NEVER), Value(EXPIRY),  "[O] It runs out while it waits.", name="action-required"),
    Row((Status.EXPIRED,         NEVER), Value(NONE),    "[S] Over already.", name="expired"),
    Row((Status.REVOKED,         NEVER), Value(NONE),    "[S] For ever.", name="revoked"),
)
"""The table `deadline`: which instant a stored connection waits for."""

STANDING: Final = Table[tuple[Status, RevocationState, DeadlineState], Value[Standing]](
    "standing",
    "What a connection is at an instant. The deadline is the hand-off's while PENDING, and `expiresAt` while "
    "ACTIVE or ACTION_REQUIRED; intervals are half-open.",
    (Axis.of("stored status", Status), Axis.of("revocation", RevocationState), Axis.of("clock", DeadlineState)),
    Row((ANY,                    ONCE,  ANY),     Value(REVOKED), "[O] Fails closed.", name="revoked-at"),
    Row((Status.PENDING,         NEVER, BEFORE),  Value(PENDING), "[O] The page is still open.", name="pending"),
    Row((Status.PENDING,         NEVER, REACHED), Value(LAPSED), "[O] Derived, never stored.", name="lapsed"),
    Row((Status.ACTIVE,          NEVER, BEFORE),  Value(ACTIVE), "[S] Authorized and not over.", name="active"),
    Row((Status.ACTIVE,          NEVER, REACHED), Value(EXPIRED), "[O] Over: no leeway.", name="active-over"),
    Row((Status.ACTION_REQUIRED, NEVER, BEFORE),  Value(ACTION_REQUIRED), "[S] Needs action.", name="action-required"),
    Row((Status.ACTION_REQUIRED, NEVER, REACHED), Value(EXPIRED), "[O] It ran out.", name="action-required-over"),
    Row((Status.EXPIRED,         NEVER, ANY),     Value(EXPIRED), "[S] A recorded expiry stands.", name="expired"),
    Row((Status.REVOKED,         NEVER, ANY),     Value(REVOKED), "[S] Revocation is monotone.", name="revoked"),
)
"""The table `standing`: what a connection is at an instant."""
# fmt: on


@attrs.frozen
class ConnectionIdentity:
    """What a connection is and stays: transitions share this value and cannot touch it.

    Attributes:
        coordinate: Whose it is.
        data_packages: What may flow, sorted.
        predecessor_id: The connection it recovers; unique among all connections, so a
            database's unique index on it keeps a chain linear.
        root_id: The first connection of its chain; its own id where it is the first.
        position: Its place in the chain, from 1: the head is the last one of its root.
        created_at: When it was made.
    """

    id: ConnectionId
    coordinate: Coordinate
    data_packages: tuple[DataPackage, ...]
    created_at: datetime
    predecessor_id: ConnectionId | None
    root_id: ConnectionId
    position: int = 1


@attrs.frozen
class Connection:
    """A connection as it is stored.

    Attributes:
        identity: What never changes.
        status: The stored status; rules ask for the standing.
        updated_at: When a transition last recorded something.
        handoff_deadline: When the pending hand-off is over (exclusive).
        authorized_at: When the patient authorized.
        expires_at: When the authorization is over (exclusive); `None` for no end.
        action_required_reason: Why the patient must act; it survives what comes after.
        revoked_at: When it was revoked; the first one stands for ever.
        version: How often it was written: every write counts, also one that only relied on it.
        revoked_by: Who revoked it first; `None` where nobody did, or nobody knows.
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


def next_deadline(connection: Connection) -> datetime | None:
    """When the standing next changes by itself; `None` when only an event can change it."""
    deadline = deadline_kind(connection)
    if deadline is HANDOFF:
        return connection.handoff_deadline
    return connection.expires_at if deadline is EXPIRY else None


def deadline_kind(connection: Connection) -> DeadlineKind:
    """Which instant changes the standing, where it is set."""
    return DEADLINE[connection.status, _revocation(connection)].outcome.value


def _revocation(connection: Connection) -> RevocationState:
    return NEVER if connection.revoked_at is None else ONCE


def standing(connection: Connection, now: datetime) -> Standing:
    """Return the standing of a connection at an instant [O; statuses S].

    Args:
        connection: The connection as it is stored.
        now: The instant, in UTC.

    Raises:
        ArgumentError: `now` is no UTC instant.
    """
    check_instant("now", now)
    deadline = next_deadline(connection)
    clock = BEFORE if deadline is None or now < deadline else REACHED
    return STANDING[connection.status, _revocation(connection), clock].outcome.value


def clamp_to_updated_at(connection: Connection, now: datetime) -> datetime:
    """Return the instant to record a change at: `now`, but never before `updated_at` [O].

    Args:
        connection: The connection as it is stored.
        now: The instant, in UTC.

    Raises:
        ArgumentError: `now` is no UTC instant.
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
) -> Connection:
    """A new connection, PENDING until its next action ends [P].

    Earlier connections of the coordinate are not looked at: the platform names no such rule.

    Args:
        id: The new connection's id.
        coordinate: Whose it is.
        data_packages: What the patient is asked for.
        now: When it is made, in UTC.
        next_action: What the patient is shown, and until when.
    """
    check_next_action(next_action, now)
    identity = ConnectionIdentity(
        id=id,
        coordinate=coordinate,
        data_packages=data_packages,
        created_at=now,
        predecessor_id=None,
        root_id=id,
    )
    return Connection(
        identity=identity,
        status=INITIAL_STATUS,
        updated_at=now,
        handoff_deadline=next_action.expires_at,
    )


def check_next_action(next_action: NextAction, now: datetime) -> None:
    """Raise where the next action ended before `now`; one that ends at `now` is over at once."""
    check_instant("now", now)
    check_instant("next_action.expires_at", next_action.expires_at)
    if next_action.expires_at < now:
        raise ArgumentError("next_action.expires_at", "no earlier than now")
