"""The cast of every model: one app, one user, one key, and unlimited ids.

The law of this module: **nothing here is decided**; these are the names of the actors.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.idempotency import RETENTION, Fingerprint, IdempotencyKey, RecordKey
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds
from tests.proof.explore.engine import Line

SAME: Final = Fingerprint("create-connection", "same")
OTHER: Final = Fingerprint("create-connection", "other")
TICK: Final = timedelta(microseconds=1)
LEASE: Final = timedelta(microseconds=idempotency.DEFAULT_LEASE)
DAY: Final = timedelta(microseconds=RETENTION)
ACCOUNT: Final = CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b")
CALLER: Final = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)
KEY: Final = RecordKey(CALLER.key_owner, IdempotencyKey("k-1"))
USER: Final = AppUserId("user-1")
PACKAGES: Final = (DataPackage("labs"),)
ERASED: Final = Response(409, (), b"forgotten")
"""A stand-in for the refusal of a forgotten key, which no execution gives."""

REGISTER: Final[Line] = {
    "register": {
        "apiKey": "cae_live_k1",
        "appId": "app-1",
        "customerAccountId": ACCOUNT,
        "scopes": ["connection:write"],
    }
}


def uuid(number: int) -> str:
    """Return an id for a number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def new_ids(number: int, now: datetime) -> NewIds:
    """Return ids and a next action that are unique to a number."""
    ends = now + timedelta(minutes=30)
    return NewIds(
        connection_id=ConnectionId(uuid(number)),
        session_id=SessionId(uuid(1000 + number)),
        user_id=UserId(f"limited-{number}"),
        next_action=NextAction(f"https://connect.example/{number}", ends),
    )


def post(path: str, key: str, body: Line | None = None) -> Line:
    """Return a request as a log line."""
    headers = {"Authorization": "Bearer cae_live_k1", "Idempotency-Key": key}
    return {
        "request": {
            "method": "POST",
            "path": f"/api/sdk/v1/{path}",
            "headers": dict(headers),
            "body": None if body is None else dict(body),
        }
    }


CREATE: Final = post("connections", KEY.key, {"appUserId": USER, "dataPackages": [*PACKAGES]})
