"""Triggers: the changes of a connection, by its standing.

The law of this module: **a connection's stored rank never falls** (PENDING < ACTIVE <
ACTION_REQUIRED < EXPIRED < REVOKED), so a revocation is never undone.

Facts (authorize, require_action, expire) are judged at the instant they happened; commands
(revoke, reconnect) at `now`. `AUTHORIZATION` decides before `TRIGGERS`: a connection with a
successor is never authorized. `EXPIRY_RECORD` decides if an expiry that the clock brought must be
recorded, `ENDING` what the server ends with a transition. `PREVIEWS` asks each trigger without
changing anything. `chain` holds what a reconnect makes. An instant that is out of order or not UTC
raises `ArgumentError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.connection import (
    Actor,
    Connection,
    ConnectionView,
    Standing,
    Status,
    clamp_to_updated_at,
    evolve_connection,
    standing,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import (
    IGNORE,
    PROCEED,
    Done,
    Ignore,
    Ignored,
    MoveTo,
    Proceed,
    Reason,
    Refused,
    RefuseWith,
    Value,
)
from curae_lifecycle.rules.problems import CATALOGUE, DetailValue, Problem, ProblemCode
from curae_lifecycle.rules.tables import Axis, Row, Table
from curae_lifecycle.rules.values import check_instant, clamp_happened_at


class Trigger(StrEnum):
    """The events and commands about a connection that the rules decide, such as revoke."""

    AUTHORIZE = "authorize"
    REQUIRE_ACTION = "require_action"
    EXPIRE = "expire"
    REVOKE = "revoke"
    RECONNECT = "reconnect"


class SuccessorState(StrEnum):
    """The state of a connection's successor, which recovered it: none, PENDING or anything else."""

    NONE = "no successor"
    PENDING = "successor PENDING"
    OTHER = "successor anything else"


class Ending(StrEnum):
    """The thing for the server to end, for instance at a revocation: the hand-off or the access."""

    HANDOFF = "its live hand-off"
    ACCESS = "the access that it gave"


class RefusalReason(Reason):
    """The reasons to refuse a reconnect: the connection is still PENDING, or is ACTIVE."""

    STILL_PENDING = "STILL_PENDING", "Show the patient the next action that you have."
    ALREADY_ACTIVE = "ALREADY_ACTIVE", "Read over the connection; it needs no recovery."


@attrs.frozen
class Recover:
    """The outcome of a cell of the table `connection`: the table `recovery` decides further."""

    def __str__(self) -> str:
        return "recover"


@attrs.frozen
class RecordExpiry:
    """The outcome of a cell of the table `connection`: record that the authorization ended.

    The status `to` is stored, unless it is stored already.
    """

    to: Status = Status.EXPIRED

    def __str__(self) -> str:
        return "EXPIRED (records it) or ignore"


TriggerVerdict = MoveTo[Status] | Ignore | RefuseWith | RecordExpiry | Recover
"""The types of outcome that a cell of the table `connection` may hold."""

PENDING, LAPSED, ACTIVE, ACTION_REQUIRED, EXPIRED, REVOKED = Standing
AUTHORIZE, REQUIRE_ACTION, EXPIRE, REVOKE, RECONNECT = Trigger
NO_SUCCESSOR, SUCCESSOR_PENDING, SUCCESSOR_OTHER = SuccessorState

TO_ACTIVE: Final = MoveTo(Status.ACTIVE)
TO_ACTION_REQUIRED: Final = MoveTo(Status.ACTION_REQUIRED)
TO_EXPIRED: Final = MoveTo(Status.EXPIRED)
TO_REVOKED: Final = MoveTo(Status.REVOKED)
RECORD_EXPIRY: Final = RecordExpiry()
RECOVER: Final = Recover()
HANDOFF_LAPSED: Final = RefuseWith(ProblemCode.HANDOFF_LAPSED)
NOT_PENDING: Final = RefuseWith(ProblemCode.CONNECTION_NOT_PENDING)
SUPERSEDED: Final = RefuseWith(ProblemCode.CONNECTION_SUPERSEDED)
STILL_PENDING: Final = RefuseWith(
    ProblemCode.CONNECTION_NOT_RECONNECTABLE, RefusalReason.STILL_PENDING
)
ALREADY_ACTIVE: Final = RefuseWith(
    ProblemCode.CONNECTION_NOT_RECONNECTABLE, RefusalReason.ALREADY_ACTIVE
)

# fmt: off
AUTHORIZATION: Final = Table[SuccessorState, Proceed | RefuseWith](
    "authorization",
    "Whether a connection may be authorized at all, asked before its standing.",
    Axis.of("successor", SuccessorState),
    Row(SuccessorState.NONE,    PROCEED,    "[O] It is the head of its chain.",            name="no-successor"),
    Row(SuccessorState.PENDING, SUPERSEDED, "[O] Two live ones in a chain double access.", name="successor-pending"),
    Row(SuccessorState.OTHER,   SUPERSEDED, "[O] Two live ones in a chain double access.", name="successor-other"),
)
"""The table `authorization`: a connection with a successor is never authorized."""

TRIGGERS: Final = Table[tuple[Trigger, Standing], TriggerVerdict](
    "connection",
    "What each trigger does to a connection, by its standing.",
    (Axis.of("trigger", Trigger), Axis.of("standing", Standing)),
    Row((AUTHORIZE,      PENDING),         TO_ACTIVE,          "[O] The patient finished in time."),
    Row((AUTHORIZE,      LAPSED),          HANDOFF_LAPSED,     "[O] It happened after the hosted page was over."),
    Row((AUTHORIZE,      ACTIVE),          IGNORE,             "[O] A repeated authorization changes nothing."),
    Row((AUTHORIZE,      ACTION_REQUIRED), NOT_PENDING,        "[O] Only a reconnect recovers."),
    Row((AUTHORIZE,      EXPIRED),         NOT_PENDING,        "[O] Only a reconnect recovers."),
    Row((AUTHORIZE,      REVOKED),         NOT_PENDING,        "[O] However late it arrives, a revocation stands."),
    Row((REQUIRE_ACTION, PENDING),         IGNORE,             "[O] The page is open and the patient is there."),
    Row((REQUIRE_ACTION, LAPSED),          IGNORE,             "[O] No hand-off is left that an action could help."),
    Row((REQUIRE_ACTION, ACTIVE),          TO_ACTION_REQUIRED, "[O] A failed refresh is this at most, never revoked."),
    Row((REQUIRE_ACTION, ACTION_REQUIRED), IGNORE,             "[O] The first reason stands."),
    Row((REQUIRE_ACTION, EXPIRED),         IGNORE,             "[O] It is over; a late signal lowers no rank."),
    Row((REQUIRE_ACTION, REVOKED),         IGNORE,             "[O] It is over; a late signal lowers no rank."),
    Row((EXPIRE,         PENDING),         IGNORE,             "[O] What was never authorized has nothing to run out."),
    Row((EXPIRE,         LAPSED),          IGNORE,             "[O] A stored lapse would beat a late completion."),
    Row((EXPIRE,         ACTIVE),          TO_EXPIRED,         "[O] The upstream ended it before `expiresAt`."),
    Row((EXPIRE,         ACTION_REQUIRED), TO_EXPIRED,         "[O] The upstream ended it meanwhile."),
    Row((EXPIRE,         EXPIRED),         RECORD_EXPIRY,      "[O] Time ended it; the fact writes that down once."),
    Row((EXPIRE,         REVOKED),         IGNORE,             "[O] Revoked outranks expired."),
    Row((REVOKE,         PENDING),         TO_REVOKED,         "[O] Also before the patient has finished."),
    Row((REVOKE,         LAPSED),          TO_REVOKED,         "[O] No late completion outlives the revocation."),
    Row((REVOKE,         ACTIVE),          TO_REVOKED,         "[S] Access ends at `revokedAt`."),
    Row((REVOKE,         ACTION_REQUIRED), TO_REVOKED,         "[S] Access ends at `revokedAt`."),
    Row((REVOKE,         EXPIRED),         TO_REVOKED,         "[O] An act of a person outranks the clock."),
    Row((REVOKE,         REVOKED),         IGNORE,             "[S] The first `revokedAt` stands for ever."),
    Row((RECONNECT,      PENDING),         STILL_PENDING,      "[S] The hand-off is still open: nothing to recover."),
    Row((RECONNECT,      LAPSED),          RECOVER,            "[O] Shown as EXPIRED, and what expired is recovered."),
    Row((RECONNECT,      ACTIVE),          ALREADY_ACTIVE,     "[S] Active: nothing needs recovery."),
    Row((RECONNECT,      ACTION_REQUIRED), RECOVER,            "[S] Recovery is for what ended or needs action."),
    Row((RECONNECT,      EXPIRED),         RECOVER,            "[S] Recovery is for what ended or needs action."),
    Row((RECONNECT,      REVOKED),         RECOVER,            "[S] A new connection, so the revocation itself stays."),
    state="standing",
)
"""The table `connection`: what each trigger does to a connection, by its standing."""

EXPIRY_RECORD: Final = Table[Status, MoveTo[Status] | Ignore](
    "expiry-record",
    "Whether an expiry that the clock brought is still to be written down.",
    Axis.of("stored status", (Status.ACTIVE, Status.ACTION_REQUIRED, Status.EXPIRED)),
    Row(Status.ACTIVE,          TO_EXPIRED, "[O] The stored status still says ACTIVE."),
    Row(Status.ACTION_REQUIRED, TO_EXPIRED, "[O] The stored status still says ACTION_REQUIRED."),
    Row(Status.EXPIRED,         IGNORE,     "[O] It is written down already."),
    state="stored status",
)
"""The table `expiry-record`: whether EXPIRED must be stored once an authorization has ended."""

ENDING: Final = Table[Status, Value[Ending]](
    "ending",
    "What the server must end when a connection needs action, expires or is revoked, by the status that it leaves.",
    Axis.of("stored status", (Status.PENDING, Status.ACTIVE, Status.ACTION_REQUIRED, Status.EXPIRED)),
    Row(Status.PENDING,         Value(Ending.HANDOFF), "[O] The hosted page must not be finished any more."),
    Row(Status.ACTIVE,          Value(Ending.ACCESS),  "[S] Connection-authorized access ends."),
    Row(Status.ACTION_REQUIRED, Value(Ending.ACCESS),  "[O] A cached grant may still be about."),
    Row(Status.EXPIRED,         Value(Ending.ACCESS),  "[O] A cached grant may still be about."),
)
"""The table `ending`: the hand-off or the access to end, by the status that a connection leaves."""
# fmt: on


Transition = Done[Connection] | Ignored[Connection] | Refused
"""The answer to a fact or a revocation of one connection."""


def successor_state(
    successor: Connection | None, now: datetime, *, era: datetime | None
) -> SuccessorState:
    """Return the state of a connection's successor at an instant.

    Args:
        successor: The successor as it is stored; `None` if there is none.
        now: The instant, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
    """
    if successor is None:
        return NO_SUCCESSOR
    return SUCCESSOR_PENDING if standing(successor, now, era=era) is PENDING else SUCCESSOR_OTHER


def authorize(
    connection: Connection,
    now: datetime,
    *,
    era: datetime | None,
    expires_at: datetime | None = None,
    happened_at: datetime | None = None,
    successor: Connection | None = None,
    head: Connection | None = None,
) -> Transition:
    """Record that the patient authorized a connection [O].

    Args:
        connection: The connection as it is stored.
        now: When the authorization is recorded, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        expires_at: When the authorization ends (exclusive); `None` for no end.
        happened_at: When the patient authorized, in UTC; `None` for `now`.
        successor: The connection that recovered `connection`; `None` if none did.
        head: The last connection of the chain; needed only if it is later than `successor`.

    Returns:
        Done: the connection, now stored as ACTIVE. Ignored: it was ACTIVE before. Refused:
        `CONNECTION_SUPERSEDED` if there is a successor; `HANDOFF_LAPSED` if the hand-off had ended;
        else `CONNECTION_NOT_PENDING`.

    Raises:
        ArgumentError: An instant is not UTC, `expires_at` is not after the authorization, or
            `happened_at` is more than five minutes after `now` (or after the connection's
            `updated_at`, if that is later).
    """
    at = clamp_to_updated_at(connection, now)
    happened = _happened(connection, happened_at, at)
    check_expires_at(expires_at, happened)
    chain = AUTHORIZATION[successor_state(successor, at, era=era)]
    if not isinstance(chain.outcome, Proceed):
        problem = build_problem(
            chain.outcome, connection, at, era=era, successor=successor, head=head
        )
        return Refused(problem, chain.rules)
    row = TRIGGERS[AUTHORIZE, standing(connection, happened, era=era)]
    outcome = row.outcome
    if isinstance(outcome, MoveTo):
        after = evolve_connection(
            connection, outcome.to, at, authorized_at=happened, expires_at=expires_at
        )
        return Done(after, row.rules)
    return _unmoved(outcome, rules=row.rules, connection=connection, happened=happened, era=era)


def check_expires_at(expires_at: datetime | None, authorized_at: datetime) -> None:
    """Check that an authorization ends after it begins.

    Args:
        expires_at: When the authorization ends; `None`, for no end, passes.
        authorized_at: When the authorization begins.

    Raises:
        ArgumentError: `expires_at` is not a UTC instant, or is not after `authorized_at`.
    """
    if expires_at is not None:
        check_instant("expires_at", expires_at)
        if expires_at <= authorized_at:
            raise ArgumentError("expires_at", "after the authorization")


def require_action(
    connection: Connection,
    now: datetime,
    *,
    era: datetime | None,
    reason: str,
    happened_at: datetime | None = None,
) -> Transition:
    """Record that the patient must act, for instance after a failed upstream refresh [O].

    Args:
        connection: The connection as it is stored.
        now: When the fact is recorded, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        reason: Why the patient must act, in the server's own words; responses show it.
        happened_at: When the fact happened, in UTC; `None` for `now`.

    Returns:
        Done: the connection, now ACTION_REQUIRED. Ignored: at `happened_at` its standing was not
        ACTIVE; an earlier reason stays. This trigger is never refused.

    Raises:
        ArgumentError: An instant is not UTC, or `happened_at` is more than five minutes after `now`
            (or after the connection's `updated_at`, if that is later).
    """
    at = clamp_to_updated_at(connection, now)
    happened = _happened(connection, happened_at, at)
    row = TRIGGERS[REQUIRE_ACTION, standing(connection, happened, era=era)]
    if isinstance(row.outcome, MoveTo):
        return Done(evolve_connection(connection, row.outcome.to, at, reason=reason), row.rules)
    return _unmoved(row.outcome, rules=row.rules, connection=connection, happened=happened, era=era)


def expire(
    connection: Connection,
    now: datetime,
    *,
    era: datetime | None,
    happened_at: datetime | None = None,
) -> Transition:
    """Record that the authorization of a connection ended, early or at its `expires_at` [O].

    Args:
        connection: The connection as it is stored.
        now: When the end is recorded, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        happened_at: When the authorization ended, in UTC; `None` for `now`.

    Returns:
        Done: the connection, now stored as EXPIRED, with `expires_at` unchanged. Ignored: it was
        never authorized, is stored as EXPIRED, or is REVOKED. This trigger is never refused.

    Raises:
        ArgumentError: An instant is not UTC, or `happened_at` is more than five minutes after `now`
            (or after the connection's `updated_at`, if that is later).
    """
    at = clamp_to_updated_at(connection, now)
    happened = _happened(connection, happened_at, at)
    row = TRIGGERS[EXPIRE, standing(connection, happened, era=era)]
    rules = row.rules
    outcome: TriggerVerdict = row.outcome
    if isinstance(outcome, RecordExpiry):
        record = EXPIRY_RECORD[connection.status]
        outcome = record.outcome
        rules = (row.rule, record.rule)
    if isinstance(outcome, MoveTo):
        return Done(evolve_connection(connection, outcome.to, at), rules)
    return _unmoved(outcome, rules=rules, connection=connection, happened=happened, era=era)


def revoke(
    connection: Connection,
    now: datetime,
    *,
    era: datetime | None,
    actor: Actor,
    happened_at: datetime | None = None,
) -> Done[Connection] | Ignored[Connection]:
    """Revoke one connection, for ever [S].

    Args:
        connection: The connection as it is stored.
        now: When the revocation is requested or recorded, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        actor: The actor that revokes.
        happened_at: When the revocation happened, in UTC; `None` for `now`.

    Returns:
        Done: the connection, now REVOKED; respond with `revokedNow` true. Ignored: it was revoked
        before; the first `revokedAt` stays and `revokedNow` is false [P].

    Raises:
        ArgumentError: An instant is not UTC, or `happened_at` is more than five minutes after `now`
            (or after the connection's `updated_at`, if that is later).
    """
    at = clamp_to_updated_at(connection, now)
    revoked_at = _happened(connection, happened_at, at)
    return _revoke(connection, at, revoked_at=revoked_at, actor=actor, era=era)


def sweep(
    connection: Connection, now: datetime, *, tombstoned_at: datetime
) -> Done[Connection] | Ignored[Connection]:
    """Record as REVOKED a connection that a tombstone (its user is gone) has ended already [O].

    Args:
        connection: The connection as it is stored, made under another era than the present one.
        now: When the revocation is recorded, in UTC; `tombstoned_at` counts instead if later.
        tombstoned_at: When the coordinate's last tombstone happened, as its binding says.

    Returns:
        Done: the connection, now REVOKED by the platform. Ignored: it was revoked before.

    Raises:
        ArgumentError: `now` is not a UTC instant.
    """
    return _revoke(
        connection,
        # The clock of the worker that sweeps may be behind that of the worker that recorded.
        clamp_to_updated_at(connection, max(now, tombstoned_at)),
        revoked_at=max(tombstoned_at, connection.identity.created_at),
        actor=Actor.PLATFORM,
        era=connection.identity.era,
    )


def _revoke(
    connection: Connection,
    at: datetime,
    *,
    revoked_at: datetime,
    actor: Actor,
    era: datetime | None,
) -> Done[Connection] | Ignored[Connection]:
    row = TRIGGERS[REVOKE, standing(connection, at, era=era)]
    outcome = row.outcome
    if isinstance(outcome, MoveTo):
        after = evolve_connection(
            connection, outcome.to, at, revoked_at=revoked_at, revoked_by=actor
        )
        return Done(after, row.rules)
    assert isinstance(outcome, Ignore)  # noqa: S101 - the trigger's cells hold no other verdict
    return Ignored(connection, row.rules)


def _happened(connection: Connection, happened_at: datetime | None, at: datetime) -> datetime:
    if happened_at is None:
        return at
    # At the earliest when the connection was made [O].
    return max(clamp_happened_at(happened_at, at), connection.identity.created_at)


def _unmoved(
    outcome: TriggerVerdict,
    *,
    rules: tuple[str, ...],
    connection: Connection,
    happened: datetime,
    era: datetime | None,
) -> Ignored[Connection] | Refused:
    if isinstance(outcome, Ignore):
        return Ignored(connection, rules)
    assert isinstance(outcome, RefuseWith)  # noqa: S101 - the trigger's cells hold no other verdict
    return Refused(build_problem(outcome, connection, happened, era=era), rules)


def build_problem(
    verdict: RefuseWith,
    connection: Connection,
    at: datetime,
    *,
    era: datetime | None,
    successor: Connection | None = None,
    head: Connection | None = None,
) -> Problem:
    """Return the problem of a refusal by the table `connection`, `authorization` or `recovery`.

    Args:
        verdict: The outcome of the table's cell.
        connection: The connection of the request or the fact.
        at: The instant at which the table was asked, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        successor: The connection that recovered `connection`; `None` if none did.
        head: The last connection of the chain; needed only if it is later than `successor`.
    """
    last = head or successor
    details: dict[str, DetailValue] = {
        "connectionId": connection.id,
        "standing": standing(connection, at, era=era),
        "deadline": connection.handoff_deadline,
        "reason": verdict.reason,
        "nextConnectionId": None if successor is None else successor.id,
        "headConnectionId": None if last is None else last.id,
    }
    keys = CATALOGUE[verdict.code].outcome.details
    return Problem(verdict.code, tuple([details[key] for key in keys]))


Preview = Callable[[ConnectionView], Transition]
"""A function that returns what a trigger would do, and changes nothing."""

PREVIEWS: Final[Mapping[Trigger, Preview]] = {
    # No rule depends on the reason or the end of an authorization.
    AUTHORIZE: lambda view: authorize(
        view.connection, view.now, era=view.era, successor=view.successor, head=view.head
    ),
    REQUIRE_ACTION: lambda view: require_action(view.connection, view.now, era=view.era, reason=""),
    EXPIRE: lambda view: expire(view.connection, view.now, era=view.era),
}
"""The functions that `preview_trigger` calls for facts such as `expire`; they change nothing."""
