"""Chains of connections: recovery, and the reach of a revocation.

The law of this module: **recovery makes a new connection and never touches the old one**, so a
chain is linear, and a retry never makes a second successor. An instant that is out of order or not
UTC raises `ArgumentError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.connection import (
    INITIAL_STATUS,
    Actor,
    Connection,
    ConnectionIdentity,
    Standing,
    check_next_action,
    clamp_to_updated_at,
    standing,
)
from curae_lifecycle.rules.outcomes import (
    Done,
    Ignored,
    Refused,
    RefuseWith,
    Value,
)
from curae_lifecycle.rules.tables import Axis, Row, Table
from curae_lifecycle.rules.triggers import (
    SUPERSEDED,
    TRIGGERS,
    Recover,
    SuccessorState,
    Trigger,
    build_problem,
    evolve_connection,
    revoke,
    successor_state,
)
from curae_lifecycle.rules.values import LAST_INSTANT, ConnectionId, NextAction


class Reach(StrEnum):
    """The reach of a revocation."""

    ONE = "that connection"
    CHAIN = "that connection and every later one"


class Liveness(StrEnum):
    """The liveness of a connection in a chain: live if it can give access, now or once its patient acts."""

    LIVE = "live"
    OVER = "over"


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


PENDING, LAPSED, ACTIVE, ACTION_REQUIRED, EXPIRED, REVOKED = Standing

MINT: Final = Mint()
REISSUE: Final = Reissue()
RECOVERABLE: Final = (LAPSED, ACTION_REQUIRED, EXPIRED, REVOKED)
"""The standings that a reconnect recovers; the table `connection` refuses the others."""

# fmt: off
RECOVERY: Final = Table[tuple[Standing, SuccessorState], Mint | Reissue | RefuseWith](
    "recovery",
    "What a reconnect makes: chains are linear, and a retry never makes a second successor.",
    (Axis.of("standing", RECOVERABLE), Axis.of("successor", SuccessorState)),
    Row((LAPSED,          SuccessorState.NONE),    MINT,       "[O] The first recovery of a hand-off that lapsed."),
    Row((LAPSED,          SuccessorState.PENDING), REISSUE,    "[O] A client that lost the answer needs the URL."),
    Row((LAPSED,          SuccessorState.OTHER),   SUPERSEDED, "[O] The chain went on; its next id is named."),
    Row((ACTION_REQUIRED, SuccessorState.NONE),    MINT,       "[S] The first recovery."),
    Row((ACTION_REQUIRED, SuccessorState.PENDING), REISSUE,    "[O] A client that lost the answer needs the URL."),
    Row((ACTION_REQUIRED, SuccessorState.OTHER),   SUPERSEDED, "[O] The chain went on; its next id is named."),
    Row((EXPIRED,         SuccessorState.NONE),    MINT,       "[S] The first recovery."),
    Row((EXPIRED,         SuccessorState.PENDING), REISSUE,    "[O] A client that lost the answer needs the URL."),
    Row((EXPIRED,         SuccessorState.OTHER),   SUPERSEDED, "[O] The chain went on; its next id is named."),
    Row((REVOKED,         SuccessorState.NONE),    MINT,       "[S] The first recovery."),
    Row((REVOKED,         SuccessorState.PENDING), REISSUE,    "[O] A client that lost the answer needs the URL."),
    Row((REVOKED,         SuccessorState.OTHER),   SUPERSEDED, "[O] The chain went on; its next id is named."),
)
"""The table `recovery`: what a reconnect makes."""

REVOCATION_REACH: Final = Table[Actor, Value[Reach]](
    "revocation-reach",
    "How far a revocation goes, by who revoked.",
    Axis.of("actor", Actor),
    Row(Actor.APP,      Value(Reach.ONE),   "[O] An app tidies up old ids; an effect reports a live successor."),
    Row(Actor.PATIENT,  Value(Reach.CHAIN), "[O] A patient means the access, not an id."),
    Row(Actor.PLATFORM, Value(Reach.CHAIN), "[O] The platform ends the access, not an id."),
    Row(Actor.UPSTREAM, Value(Reach.ONE),   "[O] An upstream knows one grant; an effect reports a live successor."),
)
"""The table `revocation-reach`: how far a revocation goes, by who revoked."""

LIFE: Final = Table[Standing, Value[Liveness]](
    "life",
    "Whether a later connection of a chain still lives when an earlier one is revoked alone.",
    Axis.of("standing", Standing),
    Row(PENDING,         Value(Liveness.LIVE), "[O] Its hosted page can still be finished."),
    Row(LAPSED,          Value(Liveness.OVER), "[O] Nobody finished it; only a new recovery gives access."),
    Row(ACTIVE,          Value(Liveness.LIVE), "[S] It gives access."),
    Row(ACTION_REQUIRED, Value(Liveness.LIVE), "[O] Its authorization is not over."),
    Row(EXPIRED,         Value(Liveness.OVER), "[S] Over."),
    Row(REVOKED,         Value(Liveness.OVER), "[S] For ever."),
)
"""The table `life`: whether a later connection still lives when an earlier one is revoked alone."""
# fmt: on


@attrs.frozen
class Minted:
    """A recovery that made a new connection."""

    connection: Connection


@attrs.frozen
class Reissued:
    """A recovery that gave the pending successor a fresh next action and deadline.

    The earlier URL of the successor no longer works.

    Attributes:
        before: The successor as it is stored.
        connection: The successor with its new deadline.
    """

    before: Connection
    connection: Connection


Recovery = Done[Minted | Reissued] | Refused
"""The answer to a reconnect."""


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
        connection: The connection to revoke.
        following: Every later connection of its chain, nearest first.
        now: When it is recorded.
        actor: The actor that revoked; `REVOCATION_REACH` holds the reach.
        happened_at: When it happened: the `revoked_at` of every connection that it reaches, but
            never before that connection was created.

    Returns:
        One answer for the connection, then one for each later connection that the revocation
        reaches. Done: REVOKED now. Ignored: it was revoked before.
    """
    reached = (connection, *following)
    if REVOCATION_REACH[actor].outcome.value is Reach.ONE:
        reached = (connection,)
    return tuple([revoke(each, now, actor=actor, happened_at=happened_at) for each in reached])


def reconnect(
    connection: Connection,
    successor: Connection | None,
    now: datetime,
    *,
    id: ConnectionId,  # noqa: A002 - the spec's word for it
    next_action: NextAction,
    head: Connection | None = None,
) -> Recovery:
    """Start a recovery: a new connection, or the pending successor again [S; chains O].

    Args:
        connection: The connection to recover; it is not touched.
        successor: The connection that recovered it already, or `None`.
        now: The instant of the request.
        id: The id of a new connection, used only if one is minted.
        next_action: The fresh next action of the new connection or of the successor.
        head: The last connection of its chain; `None` if that is the successor.

    Returns:
        Done: `Minted` or `Reissued`. Refused: `CONNECTION_NOT_RECONNECTABLE` with its reason,
        or `CONNECTION_SUPERSEDED` naming the chain's next id and its head.
    """
    check_next_action(next_action, now)
    # A reissue depends only on facts about the connection that never change once it has a successor.
    # So it need not conflict with a concurrent write of the connection, nor read its `updated_at`.
    asked_at = now if successor is None else clamp_to_updated_at(successor, now)
    at = clamp_to_updated_at(connection, asked_at)
    stands = standing(connection, at)
    asked = TRIGGERS[Trigger.RECONNECT, stands]
    if isinstance(asked.outcome, RefuseWith):
        return Refused(build_problem(asked.outcome, connection, at), asked.rules)
    assert isinstance(asked.outcome, Recover)  # noqa: S101 - the trigger's cells hold no other verdict
    row = RECOVERY[stands, successor_state(successor, asked_at)]
    rules = (asked.rule, row.rule)
    match row.outcome:
        case Mint():
            return Done(
                Minted(_successor(connection, at=at, connection_id=id, next_action=next_action)),
                rules,
            )
        case Reissue():
            assert successor is not None  # noqa: S101 - the row's key says so
            ends = next_action.expires_at
            again = evolve_connection(successor, successor.status, asked_at, handoff_deadline=ends)
            return Done(Reissued(successor, again), rules)
        case RefuseWith() as refuse:
            return Refused(
                build_problem(refuse, connection=connection, at=at, successor=successor, head=head),
                rules,
            )


def _successor(
    recovered: Connection, at: datetime, connection_id: ConnectionId, next_action: NextAction
) -> Connection:
    old = recovered.identity
    coordinate, packages, position = old.coordinate, old.data_packages, old.position + 1
    identity = ConnectionIdentity(
        id=connection_id,
        coordinate=coordinate,
        data_packages=packages,
        created_at=at,
        predecessor_id=old.id,
        root_id=old.root_id,
        position=position,
    )
    return Connection(
        identity=identity,
        status=INITIAL_STATUS,
        updated_at=at,
        handoff_deadline=next_action.expires_at,
    )


def is_live(connection: Connection, now: datetime) -> bool:
    """Return True if the connection can give access at `now`, or once its patient acts."""
    return LIFE[standing(connection, now)].outcome.value is Liveness.LIVE


def _preview_reconnect(
    connection: Connection, now: datetime, successor: Connection | None, head: Connection | None
) -> Recovery:
    # No rule depends on the new id or the next action.
    action = NextAction("", LAST_INSTANT)
    return reconnect(connection, successor, now, id=connection.id, next_action=action, head=head)


RecoveryPreview = Callable[[Connection, datetime, Connection | None, Connection | None], Recovery]
"""A function that asks a reconnect, as `triggers.Preview` asks another trigger."""

PREVIEWS: Final[Mapping[Trigger, RecoveryPreview]] = {Trigger.RECONNECT: _preview_reconnect}
"""The preview of each trigger of this module."""
