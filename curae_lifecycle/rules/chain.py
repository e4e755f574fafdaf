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
    ConnectionView,
    Standing,
    check_next_action,
    clamp_to_updated_at,
    evolve_connection,
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
    Preview,
    Recover,
    SuccessorState,
    Transition,
    Trigger,
    build_problem,
    revoke,
    successor_state,
)
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    ConnectionId,
    NextAction,
    add_microseconds,
    elapsed,
)


class Reach(StrEnum):
    """The connections that a revocation revokes: the named one alone, or later ones, too.

    Attributes:
        ONE: Only the named connection.
        CHAIN: The named connection and every later one of its chain, which reconnects made.
    """

    ONE = "that connection"
    CHAIN = "that connection and every later one"


class Liveness(StrEnum):
    """The two cases of a connection: it may give access now or later, or it is over.

    Attributes:
        LIVE: The connection is PENDING, ACTIVE or ACTION_REQUIRED.
        OVER: The connection is LAPSED, EXPIRED or REVOKED; only a reconnect gives access again.
    """

    LIVE = "live"
    OVER = "over"


@attrs.frozen
class Mint:
    """The outcome of a cell of the table `recovery`: make a successor.

    The successor is a new connection that recovers the old one. `reconnect` returns `Minted`.
    """

    def __str__(self) -> str:
        return "mint a successor"


@attrs.frozen
class Reissue:
    """The outcome of a cell of the table `recovery`: renew the pending successor.

    The successor gets a fresh hosted page and its deadline. `reconnect` returns `Reissued`.
    """

    def __str__(self) -> str:
        return "reissue the successor"


PENDING, LAPSED, ACTIVE, ACTION_REQUIRED, EXPIRED, REVOKED = Standing

MINT: Final = Mint()
REISSUE: Final = Reissue()
RECOVERABLE: Final = tuple(
    [each for each in Standing if isinstance(TRIGGERS[Trigger.RECONNECT, each].outcome, Recover)]
)
"""The standings in which a reconnect recovers a connection; in the others it is refused."""

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
"""The table `recovery`: whether a reconnect makes or renews a successor, or is refused."""

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
"""The table `life`: whether a connection is live, so that it may give access now or later.

If an earlier connection is revoked alone, an effect warns the server that a later one is live.
"""
# fmt: on


@attrs.frozen
class Minted:
    """The result of a reconnect that made `connection`, a new successor of the old connection."""

    connection: Connection


@attrs.frozen
class Reissued:
    """The result of a reconnect that gave the pending successor a fresh hosted page.

    The earlier URL of the successor no longer works.

    Attributes:
        before: The successor as it is stored.
        connection: The successor with the deadline of its new next action, to store.
    """

    before: Connection
    connection: Connection


Recovery = Done[Minted | Reissued] | Refused
"""The answer of `reconnect`: a successor was made or renewed, or the reconnect is refused."""


def revoke_chain(
    connection: Connection,
    following: tuple[Connection, ...],
    now: datetime,
    *,
    era: datetime | None,
    actor: Actor,
    happened_at: datetime | None = None,
) -> tuple[Done[Connection] | Ignored[Connection], ...]:
    """Revoke a connection and, for a PATIENT or PLATFORM, every later one of its chain [O].

    Store all of the answers in one commit.

    Args:
        connection: The connection to revoke.
        following: Every later connection of its chain (those that reconnects made), nearest first.
            They are not used for an APP or UPSTREAM.
        now: When the revocation is recorded, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        actor: The actor that revoked. The table `revocation-reach` says for each actor whether the
            later connections are revoked, too.
        happened_at: When the revocation happened, in UTC; `None` for `now`. It becomes the
            `revoked_at` of each revoked connection; but a connection that was created later gets
            its own creation time.

    Returns:
        One answer for `connection`, then one for each later connection that is to be revoked. Done:
        that connection, now REVOKED. Ignored: it was revoked before. The rules of the first answer
        begin with the row of the table `revocation-reach`.

    Raises:
        ArgumentError: An instant is not UTC, or `happened_at` is more than five minutes after
            `now` (or after the `updated_at` of `connection`, if that is later).
    """
    reach = REVOCATION_REACH[actor]
    later = () if reach.outcome.value is Reach.ONE else following
    first = revoke(connection, now, era=era, actor=actor, happened_at=happened_at)
    others: list[Done[Connection] | Ignored[Connection]] = []
    for each in later:
        at = clamp_to_updated_at(each, now)
        # `connection` may have seen a later instant than `each`; that loses no revocation [O].
        happened = None if happened_at is None else min(happened_at, at)
        others.append(revoke(each, now, era=era, actor=actor, happened_at=happened))
    return (attrs.evolve(first, rules=(reach.rule, *first.rules)), *others)


def reconnect(
    connection: Connection,
    successor: Connection | None,
    now: datetime,
    *,
    era: datetime | None,
    id: ConnectionId,  # noqa: A002 - the spec's word for it
    next_action: NextAction,
    head: Connection | None = None,
) -> Recovery:
    """Recover a connection: make a successor, or give the pending one a new page [S; chains O].

    Args:
        connection: The connection to recover; the recovery does not change it.
        successor: The connection that recovered `connection` before; `None` if none did.
        now: The instant of the request, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
            A new successor gets this era.
        id: The id for a new successor; unused if there is a pending successor.
        next_action: The fresh hosted page for the patient. Its end becomes the hand-off deadline of
            the successor. If the clock was put back, `now` is raised to the instant of the last
            write, and the deadline moves later by the same span.
        head: The last connection of the chain; needed only if it is later than `successor`.

    Returns:
        Done: `Minted` or `Reissued`. Refused: `CONNECTION_NOT_RECONNECTABLE` with a reason if
        `connection` is PENDING or ACTIVE; `CONNECTION_SUPERSEDED`, with the ids of `successor` and
        `head`, if the successor is no longer PENDING.

    Raises:
        ArgumentError: `now` or the end of the next action is not a UTC instant, or the next action
            ended before `now`.
    """
    check_next_action(next_action, now)
    # A reissue depends only on facts about the connection that never change once it has a successor.
    # So it need not conflict with a concurrent write of the connection, nor read its `updated_at`.
    asked_at = now if successor is None else clamp_to_updated_at(successor, now)
    at = clamp_to_updated_at(connection, asked_at)
    stands = standing(connection, at, era=era)
    asked = TRIGGERS[Trigger.RECONNECT, stands]
    if isinstance(asked.outcome, RefuseWith):
        return Refused(build_problem(asked.outcome, connection, at, era=era), asked.rules)
    assert isinstance(asked.outcome, Recover)  # noqa: S101 - the trigger's cells hold no other verdict
    row = RECOVERY[stands, successor_state(successor, asked_at, era=era)]
    rules = (asked.rule, row.rule)
    match row.outcome:
        case Mint():
            ends = _raise_deadline(next_action, now=now, at=at)
            made = _successor(connection, at=at, era=era, connection_id=id, deadline=ends)
            return Done(Minted(made), rules)
        case Reissue():
            assert successor is not None  # noqa: S101 - the row's key says so
            ends = _raise_deadline(next_action, now=now, at=asked_at)
            again = evolve_connection(successor, successor.status, asked_at, handoff_deadline=ends)
            return Done(Reissued(successor, again), rules)
        case RefuseWith() as refuse:
            problem = build_problem(refuse, connection, at, era=era, successor=successor, head=head)
            return Refused(problem, rules)


def _raise_deadline(next_action: NextAction, *, now: datetime, at: datetime) -> datetime:
    # Facts are judged at `at` at the earliest: a deadline before it would end the page at once [O].
    return add_microseconds(next_action.expires_at, elapsed(now, at))


def _successor(
    recovered: Connection,
    *,
    at: datetime,
    era: datetime | None,
    connection_id: ConnectionId,
    deadline: datetime,
) -> Connection:
    old = recovered.identity
    identity = ConnectionIdentity(
        id=connection_id,
        coordinate=old.coordinate,
        data_packages=old.data_packages,
        created_at=at,
        predecessor_id=old.id,
        root_id=old.root_id,
        position=old.position + 1,
        era=era,
    )
    return Connection(
        identity=identity, status=INITIAL_STATUS, updated_at=at, handoff_deadline=deadline
    )


def is_live(connection: Connection, now: datetime, *, era: datetime | None) -> bool:
    """Return whether a connection is PENDING, ACTIVE or ACTION_REQUIRED at an instant.

    Args:
        connection: The connection as it is stored.
        now: The instant, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
    """
    return LIFE[standing(connection, now, era=era)].outcome.value is Liveness.LIVE


def _preview_reconnect(view: ConnectionView) -> Recovery:
    # No rule depends on the new id or the next action.
    return reconnect(
        view.connection,
        view.successor,
        view.now,
        era=view.era,
        id=view.connection.id,
        next_action=NextAction("", LAST_INSTANT),
        head=view.head,
    )


def _preview_revoke(view: ConnectionView) -> Transition:
    # An app's revocation reaches one connection.
    return revoke_chain(view.connection, (), view.now, era=view.era, actor=Actor.APP)[0]


RecoveryPreview = Callable[[ConnectionView], Recovery]
"""A function that returns what a reconnect would do, and changes nothing."""

PREVIEWS: Final[Mapping[Trigger, Preview | RecoveryPreview]] = {
    Trigger.REVOKE: _preview_revoke,
    Trigger.RECONNECT: _preview_reconnect,
}
"""The previews of a revoke and a reconnect, which `preview_trigger` calls.

Each is a function that returns what the trigger would do to a connection, and changes nothing.
"""
