"""Values that the rows work on, and the unit F: find a frozen value and make the next one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from benchmarks.measure import Side, Work
from curae_lifecycle.rules.connection import Connection, create
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.snapshot import NewIds

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
SOON: Final = NOW + timedelta(minutes=1)
LATER: Final = NOW + timedelta(hours=1)
END: Final = NOW + timedelta(days=30)

ACCOUNT: Final = CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b")
USER: Final = AppUserId("user-1")
COORDINATE: Final = Coordinate(
    environment=Environment.LIVE,
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    app_user_id=USER,
)
PACKAGES: Final = (DataPackage("clinical_summary"),)
NEXT_ACTION: Final = NextAction("https://connect.example/1", NOW + timedelta(minutes=30))
FRESH_ACTION: Final = NextAction("https://connect.example/2", LATER + timedelta(minutes=30))
SECRET: Final = "cae_live_k1"  # noqa: S105 - not a real secret
API_KEY: Final = ApiKey(SECRET)
CALLER: Final = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)


def connection_id(number: int) -> ConnectionId:
    """Return the id of a connection, different for each number."""
    return ConnectionId(f"c0000000-0000-4000-8000-{number:012}")


def session_id(number: int) -> SessionId:
    """Return the id of a session, different for each number."""
    return SessionId(f"50000000-0000-4000-8000-{number:012}")


def new_ids(number: int, next_action: NextAction = NEXT_ACTION) -> NewIds:
    """Return the ids and the next action that a server makes for one request."""
    return NewIds(
        connection_id=connection_id(number),
        session_id=session_id(number),
        user_id=UserId(f"u-{number}"),
        next_action=next_action,
    )


def pending() -> Connection:
    """Return a connection that the patient has not authorized yet."""
    return create(
        id=connection_id(1),
        coordinate=COORDINATE,
        data_packages=PACKAGES,
        now=NOW,
        next_action=NEXT_ACTION,
        era=None,
    )


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def print_json(value: object) -> bytes:
    """Return a value's JSON in its shortest form, as the floors write it."""
    return _ENCODER.encode(value).encode()


@attrs.frozen
class Eleven:
    """A value with as many fields as a connection with its id, frozen by attrs itself."""

    first: str
    second: str
    third: datetime
    fourth: datetime | None
    fifth: datetime | None
    sixth: datetime | None
    seventh: str | None
    eighth: datetime | None
    ninth: str | None
    tenth: str | None
    eleventh: int


def _constructing(_calls: int) -> Work:
    first = Eleven(
        first="id",
        second="PENDING",
        third=NOW,
        fourth=END,
        fifth=None,
        sixth=None,
        seventh=None,
        eighth=None,
        ninth=None,
        tenth=None,
        eleventh=1,
    )
    kept, verdicts = {"id": first}, {("authorize", "PENDING"): "ACTIVE"}

    def work() -> Eleven:
        old = kept["id"]
        # Positional arguments are the cheapest call, and F must not depend on how the library
        # passes its arguments.
        return Eleven(
            old.first,
            verdicts["authorize", old.second],
            SOON,
            old.fourth,
            SOON,
            END,
            old.seventh,
            old.eighth,
            old.ninth,
            old.tenth,
            old.eleventh + 1,
        )

    return work


F: Final = Side("F", _constructing, lambda value: type(value).__name__)
"""The unit: find a value in a dict, look up its next state in another, and make the next value."""
