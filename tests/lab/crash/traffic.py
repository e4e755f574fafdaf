"""The traffic of clients and facts: kinds, frequencies and pairs that race."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId, UserId
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.web.request import Request

BASE: Final = "/api/sdk/v1"

WEIGHTS: Final = {
    "initiate": 24,
    "create": 12,
    "reconnect": 12,
    "revoke": 6,
    "get": 6,
    "state": 3,
    "graduate": 4,
    "finish": 12,
    "cancel": 3,
    "expired": 3,
    "action-required": 3,
    "revoked": 2,
    "tombstoned": 1,
    "graduated": 1,
    "landed": 2,
    "meeting": 22,
}

MEETINGS: Final = (
    # Pairs that race on one connection.
    ("reconnect", "late"),
    ("reconnect", "late"),
    ("reconnect", "revoked"),
    ("reconnect", "expired"),
    ("reconnect", "reconnect"),
    ("reconnect", "tombstoned"),
    ("reconnect", "revoke"),
    ("revoke", "revoked"),
    ("revoke", "revoke"),
    ("revoke", "late"),
    ("expired", "action-required"),
    # Pairs that race on one user.
    ("create", "tombstoned"),
    ("initiate", "tombstoned"),
    ("initiate", "initiate"),
    ("initiate", "initiate"),
    ("initiate", "graduated"),
    ("graduate", "graduated"),
    ("landed", "initiate"),
    ("landed", "landed"),
)


@attrs.frozen
class Page:
    """A hosted page from a response."""

    url: str
    kind: str
    subject: str
    coordinate: Coordinate


@attrs.frozen
class Target:
    """The target of an operation: an app user, a connection, and a session of theirs.

    Attributes:
        deadline: The end of the connection's hosted page.
    """

    api_key: str
    coordinate: Coordinate
    connection: str | None
    deadline: datetime | None
    session: str | None


def fact_of(random: Random, kind: str, target: Target, now: datetime) -> Fact | None:
    """Return a fact of a kind about a target; None if the kind is no fact, or does not apply."""
    user = target.coordinate
    match kind:
        case "tombstoned":
            return Tombstoned(user)
        case "graduated":
            return Graduated(user)
        case "landed" if target.session is not None:
            who = UserId(f"landed-{random.randrange(2)}")
            return HandoffCompleted(SessionId(target.session), who)
        case _:
            pass
    if target.connection is None:
        return None
    id_ = ConnectionId(target.connection)
    match kind:
        case "expired":
            return Expired(id_)
        case "action-required":
            return ActionRequired(id_, "login")
        case "revoked":
            actor = random.choice([Actor.PATIENT, Actor.PLATFORM, Actor.UPSTREAM])
            return Revoked(id_, actor)
        case "late":
            happened = min(now, target.deadline or now) - timedelta(seconds=1)
            return Authorized(id_, now + timedelta(days=90), happened)
        case _:
            return None


def request_of(random: Random, kind: str, target: Target) -> Request | None:
    """Return a request of a kind about a target; None for another kind, or if it does not apply."""
    user, connection = target.coordinate.app_user_id, target.connection
    path, body = {
        "initiate": (
            "curae-connect/initiate",
            {"appUserId": user, "preferSignup": random.random() < 0.5},
        ),
        "create": ("connections", {"appUserId": user, "dataPackages": ["labs"]}),
        "reconnect": (f"connections/{connection}:reconnect", None),
        "revoke": (f"connections/{connection}:revoke", None),
        "get": (f"connections/{connection}", None),
        "state": (f"curae-connect/account-state?appUserId={user}", None),
        "graduate": ("curae-connect/graduation-handoff", {"appUserId": user}),
    }.get(kind, ("", None))
    if not path or (connection is None and "None" in path):
        return None
    headers = [("Authorization", f"Bearer {target.api_key}")]
    if kind in {"initiate", "create", "reconnect", "revoke"}:
        headers.append(("Idempotency-Key", f"{random.getrandbits(64):016x}"))
    method = "GET" if kind in {"get", "state"} else "POST"
    sent = b"" if body is None else json.dumps(body).encode()
    return Request(method=method, target=f"{BASE}/{path}", headers=tuple(headers), body=sent)
