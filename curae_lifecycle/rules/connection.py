"""A patient's authorization for data packages to flow to one coordinate.

The laws of this module: **a connection's stored rank never falls** (PENDING < ACTIVE <
ACTION_REQUIRED < EXPIRED < REVOKED), so revocation never comes undone; **recovery makes a new
connection and never touches the old one**; chains are linear. Every rule asks for the
*standing*, which is derived from what is stored and the instant, and never stored.

Five tables decide, in this order: `STANDING` (what a connection is at an instant), `EVENTS`
(what an event does to it), `EXPIRY_RECORD` (whether an expiry that time brought is still to
be written down), `AUTHORIZATION` (a connection with a successor is never authorized) and
`RECOVERY` (what a reconnect makes). `REVOCATION_REACH` says how far a revocation goes.

Facts (authorize, require_action, expire) are judged at the instant they happened; commands
(revoke, reconnect) at `now`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar, assert_never

import attrs

from curae_lifecycle.rules.outcomes import (
    Done,
    Ignore,
    Ignored,
    MoveTo,
    Proceed,
    Refused,
    RefuseWith,
)
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    ArgumentError,
    ConnectionId,
    Coordinate,
    DataPackage,
    NextAction,
    check_instant,
    check_occurrence,
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


class Clock(StrEnum):
    """Where an instant lies to the deadline that counts for the stored status."""

    BEFORE = "before the deadline, or none set"
    REACHED = "at or after the deadline"


class Trigger(StrEnum):
    """What can happen to a connection."""

    AUTHORIZE = "authorize"
    REQUIRE_ACTION = "require_action"
    EXPIRE = "expire"
    REVOKE = "revoke"
    RECONNECT = "reconnect"


class Successor(StrEnum):
    """What a connection's successor is at an instant."""

    NONE = "no successor"
    PENDING = "successor PENDING"
    OTHER = "successor anything else"


class Actor(StrEnum):
    """Who revoked."""

    APP = "APP"
    PATIENT = "PATIENT"
    PLATFORM = "PLATFORM"
    UPSTREAM = "UPSTREAM"


class Reach(StrEnum):
    """How far a revocation goes."""

    ONE = "that connection"
    CHAIN = "that connection and every later one"


@attrs.frozen
class Recover:
    """A cell's verdict: the reconnect goes on to the recovery table."""

    def __str__(self) -> str:
        return "recover"


@attrs.frozen
class RecordExpiry:
    """A cell's verdict: write the expiry down, unless it is written down already."""

    to: Status = Status.EXPIRED

    def __str__(self) -> str:
        return "EXPIRED (records it) or ignore"


@attrs.frozen
class Mint:
    """A cell's verdict: a new connection recovers this one."""

    def __str__(self) -> str:
        return "mint a successor"


@attrs.frozen
class Reissue:
    """A cell's verdict: the same successor with a fresh next action and deadline."""

    def __str__(self) -> str:
        return "reissue the successor"


STANDING: Final = Table[tuple[Status, Clock], MoveTo[Standing]](
    "standing",
    "What a connection is at an instant. The deadline is the hand-off's while PENDING, and "
    "`expiresAt` while ACTIVE or ACTION_REQUIRED; intervals are half-open.",
    (Axis.of("stored status", Status), Axis.of("clock", Clock)),
    (
        Row(
            "standing.pending",
            (Status.PENDING, Clock.BEFORE),
            MoveTo(Standing.PENDING),
            "[O] The hosted page can still be finished.",
        ),
        Row(
            "standing.lapsed",
            (Status.PENDING, Clock.REACHED),
            MoveTo(Standing.LAPSED),
            "[O] Derived, since a stored lapse would beat a completion recorded late.",
        ),
        Row(
            "standing.active",
            (Status.ACTIVE, Clock.BEFORE),
            MoveTo(Standing.ACTIVE),
            "[S] Authorized and not over.",
        ),
        Row(
            "standing.active-over",
            (Status.ACTIVE, Clock.REACHED),
            MoveTo(Standing.EXPIRED),
            "[O] At `expiresAt` it is over; no leeway, whether or not anyone recorded it.",
        ),
        Row(
            "standing.action-required",
            (Status.ACTION_REQUIRED, Clock.BEFORE),
            MoveTo(Standing.ACTION_REQUIRED),
            "[S] The patient must act before data flows again.",
        ),
        Row(
            "standing.action-required-over",
            (Status.ACTION_REQUIRED, Clock.REACHED),
            MoveTo(Standing.EXPIRED),
            "[O] The authorization ran out while it waited for the patient.",
        ),
        Row(
            "standing.expired",
            (Status.EXPIRED, ANY),
            MoveTo(Standing.EXPIRED),
            "[S] A recorded expiry stands.",
        ),
        Row(
            "standing.revoked",
            (Status.REVOKED, ANY),
            MoveTo(Standing.REVOKED),
            "[S] Revocation is monotone.",
        ),
    ),
)

EventVerdict = MoveTo[Status] | Ignore | RefuseWith | RecordExpiry | Recover

_NOT_PENDING: Final = RefuseWith(ProblemCode.CONNECTION_NOT_PENDING)

EVENTS: Final = Table[tuple[Trigger, Standing], EventVerdict](
    "connection",
    "What each event does to a connection, by its standing.",
    (Axis.of("event", Trigger), Axis.of("standing", Standing)),
    (
        Row(
            "connection.authorize.pending",
            (Trigger.AUTHORIZE, Standing.PENDING),
            MoveTo(Status.ACTIVE),
            "[O] The patient finished in time.",
        ),
        Row(
            "connection.authorize.lapsed",
            (Trigger.AUTHORIZE, Standing.LAPSED),
            RefuseWith(ProblemCode.HANDOFF_LAPSED),
            "[O] It happened after the hosted page was over.",
        ),
        Row(
            "connection.authorize.active",
            (Trigger.AUTHORIZE, Standing.ACTIVE),
            Ignore(),
            "[O] A repeated authorization changes nothing.",
        ),
        Row(
            "connection.authorize.action-required",
            (Trigger.AUTHORIZE, Standing.ACTION_REQUIRED),
            _NOT_PENDING,
            "[O] Only a reconnect recovers.",
        ),
        Row(
            "connection.authorize.expired",
            (Trigger.AUTHORIZE, Standing.EXPIRED),
            _NOT_PENDING,
            "[O] Only a reconnect recovers.",
        ),
        Row(
            "connection.authorize.revoked",
            (Trigger.AUTHORIZE, Standing.REVOKED),
            _NOT_PENDING,
            "[O] Revocation never comes undone, however late the authorization arrives.",
        ),
        Row(
            "connection.require-action.pending",
            (Trigger.REQUIRE_ACTION, Standing.PENDING),
            MoveTo(Status.ACTION_REQUIRED),
            "[O] The portal wants something of the patient before it authorizes.",
        ),
        Row(
            "connection.require-action.lapsed",
            (Trigger.REQUIRE_ACTION, Standing.LAPSED),
            Ignore(),
            "[O] There is no hand-off left that an action could help.",
        ),
        Row(
            "connection.require-action.active",
            (Trigger.REQUIRE_ACTION, Standing.ACTIVE),
            MoveTo(Status.ACTION_REQUIRED),
            "[O] A failed upstream refresh is this at most, never a revocation.",
        ),
        Row(
            "connection.require-action.action-required",
            (Trigger.REQUIRE_ACTION, Standing.ACTION_REQUIRED),
            Ignore(),
            "[O] The first reason stands.",
        ),
        Row(
            "connection.require-action.expired",
            (Trigger.REQUIRE_ACTION, Standing.EXPIRED),
            Ignore(),
            "[O] The authorization is over; a late signal cannot lower its rank.",
        ),
        Row(
            "connection.require-action.revoked",
            (Trigger.REQUIRE_ACTION, Standing.REVOKED),
            Ignore(),
            "[O] The authorization is over; a late signal cannot lower its rank.",
        ),
        Row(
            "connection.expire.pending",
            (Trigger.EXPIRE, Standing.PENDING),
            Ignore(),
            "[O] What was never authorized has nothing to run out.",
        ),
        Row(
            "connection.expire.lapsed",
            (Trigger.EXPIRE, Standing.LAPSED),
            Ignore(),
            "[O] A lapse is derived; recording it would beat a completion recorded late.",
        ),
        Row(
            "connection.expire.active",
            (Trigger.EXPIRE, Standing.ACTIVE),
            MoveTo(Status.EXPIRED),
            "[O] The upstream ended it before `expiresAt`.",
        ),
        Row(
            "connection.expire.action-required",
            (Trigger.EXPIRE, Standing.ACTION_REQUIRED),
            MoveTo(Status.EXPIRED),
            "[O] The upstream ended it while it waited for the patient.",
        ),
        Row(
            "connection.expire.expired",
            (Trigger.EXPIRE, Standing.EXPIRED),
            RecordExpiry(),
            "[O] Time ended it; the fact writes that down once.",
        ),
        Row(
            "connection.expire.revoked",
            (Trigger.EXPIRE, Standing.REVOKED),
            Ignore(),
            "[O] Revoked outranks expired.",
        ),
        Row(
            "connection.revoke.pending",
            (Trigger.REVOKE, Standing.PENDING),
            MoveTo(Status.REVOKED),
            "[S] What can be authorized can be revoked before it is.",
        ),
        Row(
            "connection.revoke.lapsed",
            (Trigger.REVOKE, Standing.LAPSED),
            MoveTo(Status.REVOKED),
            "[S] A completion recorded late must not outlive the revocation.",
        ),
        Row(
            "connection.revoke.active",
            (Trigger.REVOKE, Standing.ACTIVE),
            MoveTo(Status.REVOKED),
            "[S] Access ends at `revokedAt`.",
        ),
        Row(
            "connection.revoke.action-required",
            (Trigger.REVOKE, Standing.ACTION_REQUIRED),
            MoveTo(Status.REVOKED),
            "[S] Access ends at `revokedAt`.",
        ),
        Row(
            "connection.revoke.expired",
            (Trigger.REVOKE, Standing.EXPIRED),
            MoveTo(Status.REVOKED),
            "[S] An act of the patient or the app outranks the clock.",
        ),
        Row(
            "connection.revoke.revoked",
            (Trigger.REVOKE, Standing.REVOKED),
            Ignore(),
            "[S] Monotone: the first `revokedAt` stands; `revokedNow` is false [P].",
        ),
        Row(
            "connection.reconnect.pending",
            (Trigger.RECONNECT, Standing.PENDING),
            RefuseWith(ProblemCode.CONNECTION_NOT_RECONNECTABLE, "STILL_PENDING"),
            "[S] Pending connections are not reconnected: the hand-off is still open.",
        ),
        Row(
            "connection.reconnect.lapsed",
            (Trigger.RECONNECT, Standing.LAPSED),
            Recover(),
            "[O] A lapsed hand-off shows as EXPIRED, and expired ones are recovered.",
        ),
        Row(
            "connection.reconnect.active",
            (Trigger.RECONNECT, Standing.ACTIVE),
            RefuseWith(ProblemCode.CONNECTION_NOT_RECONNECTABLE, "ALREADY_ACTIVE"),
            "[S] Active connections are not reconnected: nothing needs recovery.",
        ),
        Row(
            "connection.reconnect.action-required",
            (Trigger.RECONNECT, Standing.ACTION_REQUIRED),
            Recover(),
            "[S] Recovery is for expired, revoked and action-required connections.",
        ),
        Row(
            "connection.reconnect.expired",
            (Trigger.RECONNECT, Standing.EXPIRED),
            Recover(),
            "[S] Recovery is for expired, revoked and action-required connections.",
        ),
        Row(
            "connection.reconnect.revoked",
            (Trigger.RECONNECT, Standing.REVOKED),
            Recover(),
            "[S] A new connection, so the revocation itself stays.",
        ),
    ),
    state="standing",
)

EXPIRY_RECORD: Final = Table[tuple[Status], MoveTo[Status] | Ignore](
    "expiry-record",
    "Whether an expiry that the clock brought is still to be written down.",
    (Axis.of("stored status", Status),),
    (
        Row(
            "expiry-record.pending",
            (Status.PENDING,),
            Ignore(),
            "[O] Cannot arise: a PENDING connection lapses, it does not expire.",
        ),
        Row(
            "expiry-record.active",
            (Status.ACTIVE,),
            MoveTo(Status.EXPIRED),
            "[O] The stored status still says ACTIVE.",
        ),
        Row(
            "expiry-record.action-required",
            (Status.ACTION_REQUIRED,),
            MoveTo(Status.EXPIRED),
            "[O] The stored status still says ACTION_REQUIRED.",
        ),
        Row(
            "expiry-record.expired",
            (Status.EXPIRED,),
            Ignore(),
            "[O] It is written down already.",
        ),
        Row(
            "expiry-record.revoked",
            (Status.REVOKED,),
            Ignore(),
            "[O] Cannot arise: a revoked connection does not expire.",
        ),
    ),
    state="stored status",
)

AUTHORIZATION: Final = Table[tuple[Successor], Proceed | RefuseWith](
    "authorization",
    "Whether a connection may be authorized at all, asked before its standing.",
    (Axis.of("successor", Successor),),
    (
        Row(
            "authorization.no-successor",
            (Successor.NONE,),
            Proceed(),
            "[O] It is the head of its chain.",
        ),
        Row(
            "authorization.successor-pending",
            (Successor.PENDING,),
            RefuseWith(ProblemCode.CONNECTION_SUPERSEDED),
            "[O] Two live connections of one chain would be two accesses.",
        ),
        Row(
            "authorization.successor-other",
            (Successor.OTHER,),
            RefuseWith(ProblemCode.CONNECTION_SUPERSEDED),
            "[O] Two live connections of one chain would be two accesses.",
        ),
    ),
)

RecoveryVerdict = Mint | Reissue | RefuseWith

_SUPERSEDED: Final = RefuseWith(ProblemCode.CONNECTION_SUPERSEDED)
_STILL_PENDING: Final = RefuseWith(ProblemCode.CONNECTION_NOT_RECONNECTABLE, "STILL_PENDING")
_ALREADY_ACTIVE: Final = RefuseWith(ProblemCode.CONNECTION_NOT_RECONNECTABLE, "ALREADY_ACTIVE")

RECOVERY: Final = Table[tuple[Standing, Successor], RecoveryVerdict](
    "recovery",
    "What a reconnect makes: chains are linear, and a retry never makes a second successor.",
    (Axis.of("standing", Standing), Axis.of("successor", Successor)),
    (
        Row(
            "recovery.lapsed.none",
            (Standing.LAPSED, Successor.NONE),
            Mint(),
            "[O] The first recovery of a hand-off that lapsed.",
        ),
        Row(
            "recovery.lapsed.pending",
            (Standing.LAPSED, Successor.PENDING),
            Reissue(),
            "[O] A client that lost the answer has no other way to the URL.",
        ),
        Row(
            "recovery.lapsed.other",
            (Standing.LAPSED, Successor.OTHER),
            _SUPERSEDED,
            "[O] The chain went on; its next id is named.",
        ),
        Row(
            "recovery.action-required.none",
            (Standing.ACTION_REQUIRED, Successor.NONE),
            Mint(),
            "[S] The first recovery.",
        ),
        Row(
            "recovery.action-required.pending",
            (Standing.ACTION_REQUIRED, Successor.PENDING),
            Reissue(),
            "[O] A client that lost the answer has no other way to the URL.",
        ),
        Row(
            "recovery.action-required.other",
            (Standing.ACTION_REQUIRED, Successor.OTHER),
            _SUPERSEDED,
            "[O] The chain went on; its next id is named.",
        ),
        Row(
            "recovery.expired.none",
            (Standing.EXPIRED, Successor.NONE),
            Mint(),
            "[S] The first recovery.",
        ),
        Row(
            "recovery.expired.pending",
            (Standing.EXPIRED, Successor.PENDING),
            Reissue(),
            "[O] A client that lost the answer has no other way to the URL.",
        ),
        Row(
            "recovery.expired.other",
            (Standing.EXPIRED, Successor.OTHER),
            _SUPERSEDED,
            "[O] The chain went on; its next id is named.",
        ),
        Row(
            "recovery.revoked.none",
            (Standing.REVOKED, Successor.NONE),
            Mint(),
            "[S] The first recovery.",
        ),
        Row(
            "recovery.revoked.pending",
            (Standing.REVOKED, Successor.PENDING),
            Reissue(),
            "[O] A client that lost the answer has no other way to the URL.",
        ),
        Row(
            "recovery.revoked.other",
            (Standing.REVOKED, Successor.OTHER),
            _SUPERSEDED,
            "[O] The chain went on; its next id is named.",
        ),
        Row(
            "recovery.pending",
            (Standing.PENDING, ANY),
            _STILL_PENDING,
            "[S] Refused by its standing before this table is asked; a successor cannot arise.",
        ),
        Row(
            "recovery.active",
            (Standing.ACTIVE, ANY),
            _ALREADY_ACTIVE,
            "[S] Refused by its standing before this table is asked; a successor cannot arise.",
        ),
    ),
)

REVOCATION_REACH: Final = Table[tuple[Actor], MoveTo[Reach]](
    "revocation-reach",
    "How far a revocation goes, by who revoked.",
    (Axis.of("actor", Actor),),
    (
        Row(
            "revocation-reach.app",
            (Actor.APP,),
            MoveTo(Reach.ONE),
            "[O] An app tidies up old ids; a live successor is reported as an effect.",
        ),
        Row(
            "revocation-reach.patient",
            (Actor.PATIENT,),
            MoveTo(Reach.CHAIN),
            "[O] A patient means the access, not an id.",
        ),
        Row(
            "revocation-reach.platform",
            (Actor.PLATFORM,),
            MoveTo(Reach.CHAIN),
            "[O] The platform ends the access, not an id.",
        ),
        Row(
            "revocation-reach.upstream",
            (Actor.UPSTREAM,),
            MoveTo(Reach.ONE),
            "[O] An upstream knows one grant; a live successor is reported as an effect.",
        ),
    ),
)


@attrs.frozen
class ConnectionIdentity:
    """What a connection is and stays: transitions share this value and cannot touch it.

    Attributes:
        id: Its id.
        coordinate: Whose it is.
        data_packages: What may flow, sorted.
        created_at: When it was made.
        predecessor_id: The connection it recovers; unique among all connections, so a
            database's unique index on it is all the concurrency control a chain needs.
        root_id: The first connection of its chain; its own id where it is the first.
    """

    id: ConnectionId
    coordinate: Coordinate
    data_packages: tuple[DataPackage, ...]
    created_at: datetime
    predecessor_id: ConnectionId | None
    root_id: ConnectionId


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
        revoked_by: Who revoked.
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

    @property
    def id(self) -> ConnectionId:
        """The connection's id."""
        return self.identity.id


@attrs.frozen
class Minted:
    """A recovery that made a new connection."""

    connection: Connection


@attrs.frozen
class Reissued:
    """A recovery that gave the pending successor a fresh next action and deadline.

    Attributes:
        before: The successor as it was; the URL it was given then is dead.
        connection: The successor now.
    """

    before: Connection
    connection: Connection


Transition = Done[Connection] | Ignored[Connection] | Refused
"""What a fact or a revocation answers."""

Recovery = Done[Minted | Reissued] | Refused
"""What a reconnect answers."""


def next_deadline(connection: Connection) -> datetime | None:
    """When the standing next changes by itself; `None` when only an event can change it."""
    status = connection.status
    if status is Status.PENDING:
        return connection.handoff_deadline
    if status is Status.ACTIVE or status is Status.ACTION_REQUIRED:
        return connection.expires_at
    return None


def standing(connection: Connection, now: datetime) -> Standing:
    """What the connection is at `now` [O; statuses S].

    Raises:
        ArgumentError: `now` is no UTC instant.
    """
    check_instant("now", now)
    return _standing(connection, now)


def _standing(connection: Connection, now: datetime) -> Standing:
    # Hot: every rule asks this first, so it looks nothing up that it can have at hand.
    status = connection.status
    deadline = connection.handoff_deadline if status is _PENDING else connection.expires_at
    clock = _BEFORE if deadline is None or now < deadline else _REACHED
    return _STANDING[status, clock].outcome.to


_PENDING: Final = Status.PENDING
_BEFORE: Final = Clock.BEFORE
_REACHED: Final = Clock.REACHED
_STANDING: Final = STANDING.cells
_EVENTS: Final = EVENTS.cells
_AUTHORIZATION: Final = AUTHORIZATION.cells
_NO_SUCCESSOR: Final = Successor.NONE
_AUTHORIZE: Final = Trigger.AUTHORIZE
_REQUIRE_ACTION: Final = Trigger.REQUIRE_ACTION
_EXPIRE: Final = Trigger.EXPIRE
_REVOKE: Final = Trigger.REVOKE


def successor_kind(successor: Connection | None, now: datetime) -> Successor:
    """What the successor is at `now`, as the chain's rules ask for it."""
    if successor is None:
        return _NO_SUCCESSOR
    return Successor.PENDING if _standing(successor, now) is Standing.PENDING else Successor.OTHER


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

    Raises:
        ArgumentError: `now` is no UTC instant, or the next action ended before it.
    """
    check_next_action(next_action, now)
    identity = ConnectionIdentity(id, coordinate, data_packages, now, None, id)
    return Connection(identity, Status.PENDING, now, next_action.expires_at)


def check_next_action(next_action: NextAction, now: datetime) -> None:
    """Raise where the next action ended before `now`; one that ends at `now` is over at once.

    Raises:
        ArgumentError: An instant that is not UTC, or an end before `now`.
    """
    check_instant("now", now)
    check_instant("next_action.expires_at", next_action.expires_at)
    if next_action.expires_at < now:
        raise ArgumentError("next_action.expires_at", "no earlier than now")


def authorize(
    connection: Connection,
    now: datetime,
    *,
    expires_at: datetime | None = None,
    happened_at: datetime | None = None,
    successor: Connection | None = None,
) -> Transition:
    """Record that the patient authorized [O].

    Args:
        connection: The connection as stored.
        now: When it is recorded.
        expires_at: When the authorization ends; `None` for no end.
        happened_at: When the patient authorized; `now` where absent.
        successor: The connection that recovered this one, where there is one.

    Returns:
        Done: ACTIVE now. Ignored: it was ACTIVE before. Refused: `CONNECTION_SUPERSEDED`,
        `HANDOFF_LAPSED` or `CONNECTION_NOT_PENDING`.

    Raises:
        ArgumentError: An instant out of order or not UTC.
    """
    happened = check_authorization(now, happened_at, expires_at)
    identity = connection.identity
    if happened < identity.created_at:
        raise _not_born()
    chain = _AUTHORIZATION[successor_kind(successor, now),]
    if isinstance(chain.outcome, RefuseWith):
        return Refused(_problem(chain.outcome, connection, now, successor), chain.rules)
    row = _EVENTS[_AUTHORIZE, _standing(connection, happened)]
    outcome = row.outcome
    if isinstance(outcome, MoveTo):
        return Done(
            Connection(
                identity,
                outcome.to,
                now,
                connection.handoff_deadline,
                happened,
                expires_at,
                connection.action_required_reason,
                connection.revoked_at,
                connection.revoked_by,
            ),
            row.rules,
        )
    return _unmoved(outcome, row.rules, connection, happened)


def check_authorization(
    now: datetime, happened_at: datetime | None, expires_at: datetime | None
) -> datetime:
    """The instant of an authorization, after checking what no connection is needed for.

    Raises:
        ArgumentError: An instant that is not UTC, a fact from the future, or an end that is
            not after the authorization.
    """
    happened = check_occurrence(happened_at, now)
    if expires_at is not None:
        check_instant("expires_at", expires_at)
        if expires_at <= happened:
            raise ArgumentError("expires_at", "after the authorization")
    return happened


def require_action(
    connection: Connection, now: datetime, *, reason: str, happened_at: datetime | None = None
) -> Transition:
    """Record that the patient must act, for instance after a failed upstream refresh [O].

    Returns:
        Done: ACTION_REQUIRED now. Ignored: the first reason stands, or it is over already.

    Raises:
        ArgumentError: An instant out of order or not UTC.
    """
    happened = check_occurrence(happened_at, now)
    identity = connection.identity
    if happened < identity.created_at:
        raise _not_born()
    row = _EVENTS[_REQUIRE_ACTION, _standing(connection, happened)]
    outcome = row.outcome
    if isinstance(outcome, MoveTo):
        return Done(
            Connection(
                identity,
                outcome.to,
                now,
                connection.handoff_deadline,
                connection.authorized_at,
                connection.expires_at,
                reason,
                connection.revoked_at,
                connection.revoked_by,
            ),
            row.rules,
        )
    return _unmoved(outcome, row.rules, connection, happened)


def expire(
    connection: Connection, now: datetime, *, happened_at: datetime | None = None
) -> Transition:
    """Record that the authorization is over: the upstream ended it, or time did [O].

    Returns:
        Done: EXPIRED is stored now; `expiresAt` stays as it was. Ignored: it was never
        authorized, or a status of the same or a higher rank is stored.

    Raises:
        ArgumentError: An instant out of order or not UTC.
    """
    happened = check_occurrence(happened_at, now)
    identity = connection.identity
    if happened < identity.created_at:
        raise _not_born()
    row = _EVENTS[_EXPIRE, _standing(connection, happened)]
    rules = row.rules
    outcome: EventVerdict = row.outcome
    if isinstance(outcome, RecordExpiry):
        record = EXPIRY_RECORD[connection.status,]
        outcome = record.outcome
        rules = (row.rule, record.rule)
    if isinstance(outcome, MoveTo):
        return Done(
            Connection(
                identity,
                outcome.to,
                now,
                connection.handoff_deadline,
                connection.authorized_at,
                connection.expires_at,
                connection.action_required_reason,
                connection.revoked_at,
                connection.revoked_by,
            ),
            rules,
        )
    return _unmoved(outcome, rules, connection, happened)


def revoke(
    connection: Connection, now: datetime, *, actor: Actor, happened_at: datetime | None = None
) -> Done[Connection] | Ignored[Connection]:
    """Revoke one connection, for ever [S].

    Returns:
        Done: REVOKED now, `revokedNow` is true. Ignored: it was revoked before; the first
        `revokedAt` stands and `revokedNow` is false [P].

    Raises:
        ArgumentError: An instant out of order or not UTC.
    """
    happened = check_occurrence(happened_at, now)
    if happened < connection.identity.created_at:
        raise _not_born()
    return _revoke(connection, now, actor, happened)


def revoke_chain(
    connection: Connection,
    following: tuple[Connection, ...],
    now: datetime,
    *,
    actor: Actor,
    happened_at: datetime | None = None,
) -> tuple[Done[Connection] | Ignored[Connection], ...]:
    """Revoke as far as the actor's revocation reaches, to be stored in one commit [O].

    Args:
        connection: The connection that was named.
        following: Every later connection of its chain, nearest first.
        now: When it is recorded.
        actor: Who revoked; `REVOCATION_REACH` says how far that goes.
        happened_at: When; it is the `revoked_at` of all that are reached, also of a later
            connection that was made after it.

    Returns:
        One answer for the named connection, then one for each later one that is reached.

    Raises:
        ArgumentError: An instant out of order or not UTC.
    """
    happened = check_occurrence(happened_at, now)
    named = revoke(connection, now, actor=actor, happened_at=happened)
    if REVOCATION_REACH[actor,].outcome.to is Reach.ONE:
        return (named,)
    return (named, *(_revoke(each, now, actor, happened) for each in following))


def reconnect(
    connection: Connection,
    successor: Connection | None,
    now: datetime,
    *,
    id: ConnectionId,  # noqa: A002 - the spec's word for it
    next_action: NextAction,
) -> Recovery:
    """Start a recovery: a new connection, or the pending successor again [S; chains O].

    Args:
        connection: The connection to recover; it is not touched.
        successor: The connection that recovers it already, where there is one.
        now: The instant of the request.
        id: The id of a new connection, used only where one is minted.
        next_action: The fresh next action of whichever connection is answered.

    Returns:
        Done: `Minted` or `Reissued`. Refused: `CONNECTION_NOT_RECONNECTABLE` with its reason,
        or `CONNECTION_SUPERSEDED` naming the chain's next id.

    Raises:
        ArgumentError: An instant out of order or not UTC.
    """
    check_next_action(next_action, now)
    at = _standing(connection, now)
    event = EVENTS[Trigger.RECONNECT, at]
    if isinstance(event.outcome, RefuseWith):
        return Refused(_problem(event.outcome, connection, now, successor), event.rules)
    assert isinstance(event.outcome, Recover)  # noqa: S101 - the event's cells hold no other verdict
    row = RECOVERY[at, successor_kind(successor, now)]
    rules = (event.rule, row.rule)
    match row.outcome:
        case Mint():
            old = connection.identity
            identity = ConnectionIdentity(
                id, old.coordinate, old.data_packages, now, old.id, old.root_id
            )
            made = Connection(identity, Status.PENDING, now, next_action.expires_at)
            return Done(Minted(made), rules)
        case Reissue():
            assert successor is not None  # noqa: S101 - the row's key says so
            return Done(Reissued(successor, _reissue(successor, now, next_action)), rules)
        case RefuseWith() as refuse:
            return Refused(_problem(refuse, connection, now, successor), rules)
        case _ as never:
            assert_never(never)


def _revoke(
    connection: Connection, now: datetime, actor: Actor, happened: datetime
) -> Done[Connection] | Ignored[Connection]:
    row = _EVENTS[_REVOKE, _standing(connection, now)]
    outcome = row.outcome
    if isinstance(outcome, MoveTo):
        return Done(
            Connection(
                connection.identity,
                outcome.to,
                now,
                connection.handoff_deadline,
                connection.authorized_at,
                connection.expires_at,
                connection.action_required_reason,
                happened,
                actor,
            ),
            row.rules,
        )
    assert isinstance(outcome, Ignore)  # noqa: S101 - the event's cells hold no other verdict
    return Ignored(connection, row.rules)


def _reissue(successor: Connection, now: datetime, next_action: NextAction) -> Connection:
    return Connection(
        successor.identity,
        successor.status,
        now,
        next_action.expires_at,
        successor.authorized_at,
        successor.expires_at,
        successor.action_required_reason,
        successor.revoked_at,
        successor.revoked_by,
    )


def _not_born() -> ArgumentError:
    return ArgumentError("happened_at", "no earlier than the connection's creation")


def _unmoved(
    outcome: EventVerdict, rules: tuple[str, ...], connection: Connection, happened: datetime
) -> Ignored[Connection] | Refused:
    if isinstance(outcome, RefuseWith):
        return Refused(_problem(outcome, connection, happened, None), rules)
    assert isinstance(outcome, Ignore)  # noqa: S101 - the event's cells hold no other verdict
    return Ignored(connection, rules)


def _problem(
    refuse: RefuseWith, connection: Connection, at: datetime, successor: Connection | None
) -> Problem:
    facts: dict[ProblemCode, str | datetime | None] = {
        ProblemCode.CONNECTION_SUPERSEDED: successor.id if successor else None,
        ProblemCode.CONNECTION_NOT_RECONNECTABLE: refuse.reason,
        ProblemCode.CONNECTION_NOT_PENDING: _standing(connection, at),
        ProblemCode.HANDOFF_LAPSED: connection.handoff_deadline,
    }
    return Problem(refuse.code, (connection.id, facts[refuse.code]))


class MergeError(ValueError):
    """Two snapshots that are not of one connection were merged.

    Attributes:
        left: The id of the first.
        right: The id of the second.
    """

    def __init__(self, left: ConnectionId, right: ConnectionId) -> None:
        """Name both ids; where they are equal, something else of the identity differs."""
        super().__init__(f"snapshots of {left} and {right} have different identities")
        self.left = left
        self.right = right


RANK: Final = {status: rank for rank, status in enumerate(Status)}
"""The order of `Status`: a stored status only ever rises."""

_Least = TypeVar("_Least", str, datetime)


def merge(left: Connection, right: Connection) -> Connection:
    """Join two snapshots of one connection that may have arrived out of order [O].

    The higher rank wins; `revoked_at`, `authorized_at` and `expires_at` are the earliest known,
    `updated_at` and the hand-off deadline the latest; ties are broken by value, never by the
    order of the arguments. Commutative, associative, idempotent; REVOKED absorbs.

    Raises:
        MergeError: The identities differ.
    """
    if left.identity != right.identity:
        raise MergeError(left.id, right.id)
    revocation = min(left, right, key=_revocation)
    return Connection(
        left.identity,
        max(left.status, right.status, key=RANK.__getitem__),
        max(left.updated_at, right.updated_at),
        _most(left.handoff_deadline, right.handoff_deadline),
        _least(left.authorized_at, right.authorized_at),
        _least(left.expires_at, right.expires_at),
        _least(left.action_required_reason, right.action_required_reason),
        revocation.revoked_at,
        revocation.revoked_by,
    )


def _revocation(connection: Connection) -> tuple[bool, datetime, bool, str]:
    # The earliest first; an unknown instant or actor last.
    at, by = connection.revoked_at, connection.revoked_by
    return (at is None, at or LAST_INSTANT, by is None, by or "")


def _least(left: _Least | None, right: _Least | None) -> _Least | None:
    if left is None or right is None:
        return right if left is None else left
    return min(left, right)


def _most(left: datetime | None, right: datetime | None) -> datetime | None:
    if left is None or right is None:
        return right if left is None else left
    return max(left, right)
