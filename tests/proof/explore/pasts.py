"""Old connections that may be recovered, and the log lines of their past."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from curae_lifecycle.rules import connection as connections
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import ConnectionId, format_time
from tests.proof.explore.clients import START
from tests.proof.explore.engine import Line
from tests.proof.explore.scene import CALLER, PACKAGES, TICK, USER, new_ids, uuid

HOUR: Final = timedelta(hours=1)
_AUTHORIZED: Final[Line] = {"type": "connection.authorize"}
_ENDS_AT_START: Final[Line] = {**_AUTHORIZED, "expiresAt": format_time(START)}
PASTS: Final[dict[Status, tuple[Line, ...]]] = {
    Status.ACTION_REQUIRED: (
        _AUTHORIZED,
        {"type": "connection.require_action", "reason": "portal_login"},
    ),
    Status.ACTIVE: (_ENDS_AT_START,),
    Status.EXPIRED: (_ENDS_AT_START, {"type": "connection.expire"}),
    Status.REVOKED: ({"type": "connection.revoke", "actor": str(Actor.APP)},),
}
"""The log lines after the creation of an old connection, by its stored status."""


def old_connection(what: str) -> Connection:
    """Return an old connection with a past, created an hour ago."""
    made = START - HOUR
    old = connections.create(
        id=ConnectionId(uuid(1)),
        coordinate=CALLER.coordinate(USER),
        data_packages=PACKAGES,
        now=made,
        next_action=new_ids(1, made).next_action,
        era=None,
    )
    soon = made + TICK
    match what:
        case "LAPSED":
            return old
        case "ACTION_REQUIRED":
            authorized = triggers.authorize(old, soon, expires_at=None, era=None)
            assert isinstance(authorized, Done)
            answer = triggers.require_action(
                authorized.value, soon, reason="portal_login", era=None
            )
        case "EXPIRED":
            answer = triggers.authorize(old, soon, expires_at=START, era=None)
        case "EXPIRED EARLY":
            authorized = triggers.authorize(old, soon, expires_at=START, era=None)
            assert isinstance(authorized, Done)
            answer = triggers.expire(authorized.value, soon, era=None)
        case _:
            answer = triggers.revoke(old, soon, actor=Actor.APP, era=None)
    assert isinstance(answer, Done)
    return answer.value
