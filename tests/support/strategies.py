"""One user and one connection, and strategies about them."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import strategies as st

from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
)
from curae_lifecycle.testing import strategies
from curae_lifecycle.testing.strategies import NEXT_ACTION_LIFETIME, START, TICK

__all__ = ["NEXT_ACTION_LIFETIME", "START", "TICK"]

COORDINATE = Coordinate(
    environment=Environment.LIVE,
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b"),
    app_user_id=AppUserId("user-1"),
)


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def next_action(now: datetime, lifetime: timedelta = NEXT_ACTION_LIFETIME) -> NextAction:
    return NextAction("https://connect.example/1", now + lifetime)


def pending(now: datetime = START, *, number: int = 1) -> Connection:
    return rules.create(
        id=ConnectionId(uuid(number)),
        coordinate=COORDINATE,
        data_packages=(DataPackage("clinical_summary"), DataPackage("labs")),
        now=now,
        next_action=next_action(now),
        era=None,
    )


instants = strategies.instants()
actors = st.sampled_from(Actor)


class Frozen(datetime):
    """A subclass of datetime, as test clocks may return."""


few_instants = st.sampled_from([at(minutes) for minutes in (0, 10, 20, 30)])
snapshots = st.builds(
    Connection,
    st.just(pending().identity),
    st.sampled_from(Status),
    few_instants,
    st.none() | few_instants,
    st.none() | few_instants,
    st.none() | few_instants,
    st.sampled_from([None, "portal_login", "consent_withdrawn"]),
    st.none() | few_instants,
    st.none() | actors,
    st.sampled_from([1, 2, 300]),
)
"""Any snapshots of one connection, even ones that no rule creates."""


def apply_trigger(connection: Connection, trigger: str, now: datetime) -> Connection:
    """Apply a fact or revocation; return the stored connection, whatever the outcome."""
    match trigger:
        case "authorize":
            answer = triggers.authorize(
                connection, now, expires_at=at(60) if now < at(60) else None, era=None
            )
        case "authorize for ever":
            answer = triggers.authorize(connection, now, era=None)
        case "require action":
            answer = triggers.require_action(connection, now, reason="portal_login", era=None)
        case "expire":
            answer = triggers.expire(connection, now, era=None)
        case _:
            answer = triggers.revoke(connection, now, actor=Actor[trigger], era=None)
    return connection if isinstance(answer, Refused) else answer.value


happenings = st.sampled_from(
    ["authorize", "authorize for ever", "require action", "expire", *Actor.__members__]
)
"""The triggers of `apply_trigger`."""


@st.composite
def connections(draw: st.DrawFn) -> Connection:
    """Draw a connection with a plausible past: created at `START`, then some triggers in order.

    No fact is late, and an authorization ends an hour after `START` or never, so that the
    connection can be looked at before its last trigger; the package's `connections` are less regular.
    """
    connection = pending()
    for offset, trigger in sorted(
        draw(st.lists(st.tuples(strategies.offsets(), happenings), max_size=4))
    ):
        connection = apply_trigger(connection, trigger, START + offset)
    return connection
