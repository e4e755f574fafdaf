"""One fact of each kind, and their subjects: connections, a session, a binding."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle import (
    ActionRequired,
    Actor,
    Authorized,
    ConnectionId,
    Done,
    Expired,
    Graduated,
    HandoffCompleted,
    Revoked,
    SessionId,
    Tombstoned,
)
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.chain import Minted, reconnect
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.snapshot import Needs
from tests.support.server import ID, LIMITED, LIMITED_USER
from tests.support.strategies import (
    COORDINATE,
    START,
    apply_trigger,
    at,
    next_action,
    pending,
    uuid,
)

SESSION: Final = SessionId(uuid(1001))
USER: Final = LIMITED_USER
REASON: Final = "portal_login"
OF_A_CONNECTION: Final[dict[str, Fact]] = {
    "authorize": Authorized(ID),
    "require_action": ActionRequired(ID, REASON),
    "expire": Expired(ID),
    "revoke": Revoked(ID, Actor.UPSTREAM),
}
OTHERS: Final[list[tuple[Fact, Needs]]] = [
    (HandoffCompleted(SESSION, USER), Needs(session=SESSION)),
    (Graduated(COORDINATE), Needs(binding=COORDINATE)),
    (Tombstoned(COORDINATE), Needs(binding=COORDINATE)),
]
"""The other facts, and the needs of each."""


def recovered(connection: Connection, now: datetime, number: int) -> Connection:
    """Return the successor of a connection, with a number."""
    answer = reconnect(
        connection, None, now, id=ConnectionId(uuid(number)), next_action=next_action(now), era=None
    )
    assert isinstance(answer, Done)
    assert isinstance(answer.value, Minted)
    return answer.value.connection


def needing_action(connection: Connection, now: datetime) -> Connection:
    """Return an authorized connection whose patient must act."""
    return apply_trigger(apply_trigger(connection, "authorize", now), "require action", now)


AUTHORIZED: Final = apply_trigger(pending(), "authorize", at(10))
STANDINGS: Final[dict[str, tuple[Connection, datetime]]] = {
    "PENDING": (pending(), at(20)),
    "LAPSED": (pending(), at(30)),
    "ACTIVE": (AUTHORIZED, at(20)),
    "ACTION_REQUIRED": (apply_trigger(AUTHORIZED, "require action", at(11)), at(20)),
    "EXPIRED": (AUTHORIZED, at(60)),
    "EXPIRED, recorded": (apply_trigger(AUTHORIZED, "expire", at(11)), at(20)),
    "REVOKED": (apply_trigger(pending(), "PATIENT", at(10)), at(20)),
}
"""A connection and an instant for each standing; EXPIRED before and after it is stored."""

WAITING: Final = CuraeConnectSession(
    id=SESSION,
    coordinate=COORDINATE,
    path=EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF,
    handoff=HandoffState.AWAITED,
    created_at=START,
    expires_at=at(30),
    landed_at=None,
    user_id=None,
)
LANDED: Final = attrs.evolve(WAITING, handoff=HandoffState.LANDED, landed_at=at(1), user_id=USER)


def bound(state: AccountState, version: int = 1) -> LimitedAccountAppBinding:
    """Return the binding of the coordinate to the user, in a state."""
    return attrs.evolve(LIMITED, state=state, version=version)


ACTIVE: Final = bound(AccountState.ACTIVE)
TOMBSTONED: Final = bound(AccountState.TOMBSTONED)
