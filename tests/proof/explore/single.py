"""A world of one connection: every event in every order, at every significant instant.

The law of this module: **in any order of events**, the stored rank never falls (law 1), the first
revocation is final (law 2), time alone only advances a standing (law 4), access is what was
authorized (law 5), and what is ignored or refused changes nothing (law 11). A connection is never
stuck: it is ACTIVE, or time or its server brings it to a state that a reconnect recovers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import connection as connections
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.chain import Minted, Reissued
from curae_lifecycle.rules.connection import Actor, Connection, Standing
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import ConnectionId, format_time
from curae_lifecycle.testing.laws import (
    LawBrokenError,
    RevocationAnswer,
    check_access,
    check_nothing_changed,
    check_rank_never_falls,
    check_revocation,
    check_standing_is_monotone,
)
from tests.proof.explore.clients import START
from tests.proof.explore.engine import Label, Line, StepBrokenError
from tests.proof.explore.scene import (
    CALLER,
    CREATE,
    PACKAGES,
    REGISTER,
    TICK,
    USER,
    new_ids,
    post,
    uuid,
)

HALF_HOUR: Final = timedelta(minutes=30)
IN_TIME: Final = START + TICK
END: Final = START + 2 * HALF_HOUR
INSTANTS: Final = (
    START,
    IN_TIME,
    START + HALF_HOUR - TICK,
    START + HALF_HOUR,
    END - TICK,
    END,
)
"""Every instant of the clock: on either side of the two deadlines."""

Answer = Done[Connection] | Ignored[Connection] | Refused


@attrs.frozen
class SingleState:
    """A connection and the clock.

    Versions are left out: nothing compares them here, and they grow without bound.

    Attributes:
        place: The time of the clock, as an index of `INSTANTS`.
        connection: The stored connection.
        successor: The connection that recovers it, or None.
    """

    place: int
    connection: Connection
    successor: Connection | None = None


@attrs.frozen
class _Occurrence:
    what: str
    happen: Callable[[Connection, datetime, Connection | None], Answer]
    line: Line
    happened_at: datetime | None = None


def _authorized(
    ends: datetime | None, happened_at: datetime | None
) -> Callable[[Connection, datetime, Connection | None], Answer]:
    def happen(connection: Connection, now: datetime, successor: Connection | None) -> Answer:
        end = ends if ends is None or ends > (happened_at or now) else None
        return triggers.authorize(
            connection, now, expires_at=end, happened_at=happened_at, successor=successor, era=None
        )

    return happen


def _needs_action(connection: Connection, now: datetime, _: Connection | None) -> Answer:
    return triggers.require_action(connection, now, reason="portal_login", era=None)


def _needed_action(connection: Connection, now: datetime, _: Connection | None) -> Answer:
    return triggers.require_action(connection, now, reason="refresh", happened_at=IN_TIME, era=None)


def _expires(connection: Connection, now: datetime, _: Connection | None) -> Answer:
    return triggers.expire(connection, now, era=None)


def _expired(connection: Connection, now: datetime, _: Connection | None) -> Answer:
    return triggers.expire(connection, now, happened_at=IN_TIME, era=None)


def _revokes(actor: Actor) -> Callable[[Connection, datetime, Connection | None], Answer]:
    def happen(connection: Connection, now: datetime, successor: Connection | None) -> Answer:
        later = () if successor is None else (successor,)
        return chains.revoke_chain(connection, later, now, actor=actor, era=None)[0]

    return happen


_OCCURRENCES: Final = (
    _Occurrence(
        "is authorized for an hour",
        _authorized(END, None),
        {"type": "connection.authorize", "expiresAt": format_time(END)},
    ),
    _Occurrence(
        "is authorized for ever", _authorized(None, None), {"type": "connection.authorize"}
    ),
    _Occurrence(
        what="was authorized in time",
        happen=_authorized(END, IN_TIME),
        line={"type": "connection.authorize", "expiresAt": format_time(END)},
        happened_at=IN_TIME,
    ),
    _Occurrence(
        "needs an action",
        _needs_action,
        {"type": "connection.require_action", "reason": "portal_login"},
    ),
    _Occurrence(
        what="needed an action",
        happen=_needed_action,
        line={"type": "connection.require_action", "reason": "refresh"},
        happened_at=IN_TIME,
    ),
    _Occurrence("expires", _expires, {"type": "connection.expire"}),
    _Occurrence(
        what="expired before",
        happen=_expired,
        line={"type": "connection.expire"},
        happened_at=IN_TIME,
    ),
    *(
        _Occurrence(
            f"is revoked by {actor}",
            _revokes(actor),
            {"type": "connection.revoke", "actor": str(actor)},
        )
        for actor in Actor
    ),
)


@attrs.frozen
class Single:
    """One connection and all that can happen to it."""

    promise = "the connection is ACTIVE, or may be recovered, or has been"

    def starts(self) -> Iterator[SingleState]:
        """Yield a connection that was just created."""
        made = connections.create(
            id=ConnectionId(uuid(1)),
            coordinate=CALLER.coordinate(USER),
            data_packages=PACKAGES,
            now=START,
            next_action=new_ids(1, START).next_action,
            era=None,
        )
        yield SingleState(0, made)

    def settled(self, state: SingleState) -> bool:
        """Return whether the connection is ACTIVE, or recovered or recoverable."""
        now = INSTANTS[state.place]
        active = connections.standing(state.connection, now, era=None) is Standing.ACTIVE
        return active or state.successor is not None

    def steps(self, state: SingleState) -> Iterator[tuple[Label, bool, SingleState]]:
        """Yield every fact, every revocation, a reconnect, and time.

        Liveness relies on the clock and the app alone; every other step counts as a fault.
        """
        now = INSTANTS[state.place]
        for each in _OCCURRENCES:
            if each.happened_at is None or each.happened_at <= now:
                label = ("connection", each.what)
                try:
                    answer = each.happen(state.connection, now, state.successor)
                    after = _unwritten(_held(state.connection, answer, now))
                except LawBrokenError as broken:
                    raise StepBrokenError(label, broken) from broken
                yield label, True, SingleState(state.place, after, state.successor)
        yield ("app", "reconnects"), False, _reconnected(state, now)
        if state.place < len(INSTANTS) - 1:
            later = SingleState(state.place + 1, state.connection, state.successor)
            yield ("clock", f"shows {format_time(INSTANTS[later.place])}"), False, later

    def run(
        self, states: Sequence[SingleState], last: Label | None
    ) -> Sequence[tuple[Label, Line | None]]:
        """Print every fact and reconnect as a log line."""
        trace: list[tuple[Label, Line | None]] = [
            (("log", "opens"), {"at": format_time(START), **line})
            for line in (REGISTER, {**CREATE, "as": "c1"})
        ]
        labels = [
            next(label for label, _, to in self.steps(before) if to == after)
            for before, after in itertools.pairwise(states)
        ]
        labels += [] if last is None else [last]
        for before, label in zip(states, labels, strict=False):
            trace.append((label, _line(label, INSTANTS[before.place], len(trace))))
        return trace


def _held(before: Connection, answer: Answer, now: datetime) -> Connection:
    if isinstance(answer, Refused):
        return before
    after = answer.value
    if isinstance(answer, Ignored):
        check_nothing_changed(before, after)
    check_rank_never_falls([before, after])
    if before.revoked_at is not None:
        first = RevocationAnswer(before.id, revoked_now=False, revoked_at=before.revoked_at)
        check_revocation(
            [first, attrs.evolve(first, revoked_at=after.revoked_at)], revoked=[before.id]
        )
    check_standing_is_monotone(after, INSTANTS, era=None)
    for package in (*PACKAGES, "other"):
        check_access(after, package, now, era=None)
    return after


def _reconnected(state: SingleState, now: datetime) -> SingleState:
    action = new_ids(2, now).next_action
    answer = chains.reconnect(
        state.connection,
        state.successor,
        now,
        id=ConnectionId(uuid(2)),
        next_action=action,
        era=None,
    )
    if isinstance(answer, Refused):
        return state
    match answer.value:
        case Minted(connection) | Reissued(_, connection):
            return SingleState(state.place, state.connection, _unwritten(connection))


def _unwritten(connection: Connection) -> Connection:
    return attrs.evolve(connection, version=1)


def _line(label: Label, now: datetime, number: int) -> Line | None:
    who, what = label
    if who == "app":
        return {
            "at": format_time(now),
            **post("connections/{c1.connection.id}:reconnect", f"k-{number}"),
        }
    for each in _OCCURRENCES:
        if who == "connection" and each.what == what:
            fact = {"connectionId": "{c1.connection.id}", **each.line}
            if each.happened_at is not None:
                fact["happenedAt"] = format_time(each.happened_at)
            return {"at": format_time(now), "fact": fact}
    return None
