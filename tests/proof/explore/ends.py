"""The ends of intervals: one tick before, and at the end.

The law of this module: **intervals are half-open everywhere**. Each end is computed here from the
words of the rules; the library's functions say whether it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules import connection as connections
from curae_lifecycle.rules import idempotency, ratelimit, session, triggers
from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.connection import Connection, Standing
from curae_lifecycle.rules.idempotency import Attempt, KnownResponse, LostLeaseAction
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.ratelimit import ExactLog, LogState
from curae_lifecycle.rules.values import ConnectionId, format_time
from curae_lifecycle.service.response import Response
from tests.proof.explore.clients import START
from tests.proof.explore.engine import RuleBrokenError
from tests.proof.explore.scene import CALLER, KEY, PACKAGES, SAME, TICK, USER, new_ids, uuid

ENDS: Final = START + timedelta(minutes=30)
"""The end of every pending, awaited or authorized value here."""

MINUTE: Final = timedelta(minutes=1)
LATER: Final = ENDS + timedelta(days=2)
"""An instant after every end."""

Value = TypeVar("Value")


@attrs.frozen
class End:
    """The end of an interval.

    Attributes:
        what: The interval.
        at: The first instant after it.
        over: The library's verdict at an instant.
    """

    what: str
    at: datetime
    over: Callable[[datetime], bool]


def check_ends() -> int:
    """Check the end of every interval against the functions.

    Returns:
        The number of checked ends.

    Raises:
        RuleBrokenError: If an interval ends a tick too early, or still runs at its end.
    """
    looked_at = 0
    for end in _ends():
        if end.over(end.at - TICK):
            raise RuleBrokenError("half-open", f"{end.what} is over a tick early", _at(end))
        if not end.over(end.at):
            raise RuleBrokenError("half-open", f"{end.what} still runs at its end", _at(end))
        looked_at += 1
    return looked_at


def _at(end: End) -> str:
    return f"which ends at {format_time(end.at)}"


def _ends() -> Iterator[End]:
    yield from _connection_ends()
    yield _session_end()
    yield from _record_ends()
    yield _window_end()


def _done(answer: Done[Value] | Ignored[Value] | Refused | LeaseLost) -> Value:
    assert isinstance(answer, Done)
    return answer.value


def _connection_ends() -> Iterator[End]:
    pending = connections.create(
        id=ConnectionId(uuid(1)),
        coordinate=CALLER.coordinate(USER),
        data_packages=PACKAGES,
        now=START,
        next_action=new_ids(1, START).next_action,
        era=None,
    )
    active = _done(triggers.authorize(pending, START, expires_at=ENDS, era=None))
    failed = _done(triggers.require_action(active, START, reason="portal_login", era=None))
    for standing, connection in (
        (Standing.PENDING, pending),
        (Standing.ACTIVE, active),
        (Standing.ACTION_REQUIRED, failed),
    ):
        yield End(f"the standing {standing}", ENDS, _no_longer(standing, connection))

    def announced(now: datetime) -> bool:
        deadline = connections.next_deadline(active, era=None)
        return deadline is not None and deadline <= now

    def lapsed(now: datetime) -> bool:
        return isinstance(triggers.authorize(pending, LATER, happened_at=now, era=None), Refused)

    def denied(now: datetime) -> bool:
        return not isinstance(decide_access(active, PACKAGES[0], now, era=None), Granted)

    yield End("the deadline that is announced", ENDS, announced)
    yield End("the time for a hand-off that is reported late", ENDS, lapsed)
    yield End("access", ENDS, denied)


def _no_longer(standing: Standing, connection: Connection) -> Callable[[datetime], bool]:
    return lambda now: connections.standing(connection, now, era=None) is not standing


def _session_end() -> End:
    new = new_ids(1, START)
    awaited = session.initiate(
        None,
        CALLER.coordinate(USER),
        START,
        prefer_signup=True,
        id=new.session_id,
        user_id=new.user_id,
        next_action=new.next_action,
    ).value.session

    def over(now: datetime) -> bool:
        return isinstance(
            session.complete_handoff(awaited, binding=None, user_id=new.user_id, now=now), Refused
        )

    return End("a session's wait", ENDS, over)


def _record_ends() -> Iterator[End]:
    attempt = idempotency.begin_attempt(None, key=KEY, fingerprint=SAME, now=START)
    assert isinstance(attempt, Attempt)
    answer = Response(201, (), b"answer")
    kept = idempotency.completed_record(attempt, answer)
    running = idempotency.in_flight_record(attempt, lease=MINUTE // TICK)
    calls_out = idempotency.in_flight_record(
        attempt, lease=MINUTE // TICK, lost_lease=LostLeaseAction.UNKNOWN
    )

    def taken_over(now: datetime) -> bool:
        return isinstance(
            idempotency.begin_attempt(running, key=KEY, fingerprint=SAME, now=now), Attempt
        )

    def lost(now: datetime) -> bool:
        return isinstance(
            attempts.complete(running, attempt=attempt, response=answer, now=now), LeaseLost
        )

    def resolved(now: datetime) -> bool:
        return isinstance(attempts.resolve(calls_out, now, response=None), Done)

    def executed_again(now: datetime) -> bool:
        return not isinstance(
            idempotency.begin_attempt(kept, key=KEY, fingerprint=SAME, now=now), KnownResponse
        )

    def dropped(now: datetime) -> bool:
        return idempotency.record_expires_at(kept) <= now

    yield End("a lease, for whoever would take over,", START + MINUTE, taken_over)
    yield End("a lease, for its holder,", START + MINUTE, lost)
    yield End("a lease, for the server that would resolve,", START + MINUTE, resolved)
    yield End("a record's retention", START + timedelta(hours=24), executed_again)
    yield End("a record in its store", START + timedelta(hours=24), dropped)


def _window_end() -> End:
    policy = ExactLog("initiate", 2, 60)
    full = LogState.of((START, START))

    def admitted(now: datetime) -> bool:
        return not isinstance(ratelimit.admit_one(policy, full, now), int)

    return End("a window of the limit", START + MINUTE, admitted)
