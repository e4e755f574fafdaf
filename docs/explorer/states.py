"""The states that a reader of the explorer can choose, and the stored values of each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import (
    Actor,
    Connection,
    ConnectionIdentity,
    EraState,
    RevocationState,
    Standing,
    Status,
)
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    FingerprintMatch,
    IdempotencyKey,
    LostLeaseAction,
    Record,
    RecordKey,
    RecordStanding,
    RecordState,
    begin_attempt,
    completed_record,
    in_flight_record,
)
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
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
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds

State = Mapping[str, str]
"""One choice for each of `CHOICES`."""

HOUR: Final = timedelta(hours=1)
PATH_A, PATH_B, PATH_C = EntryPath
ALONE: Final = "no successor"
FOLLOWED: Final = "successor "

CLOCKS: Final[dict[str, timedelta | None]] = {
    "before the deadline": HOUR,
    "at the deadline": timedelta(),
    "after the deadline": -HOUR,
    "none set": None,
}
"""The time until the connection's deadline."""

SESSIONS: Final = {
    f"{PATH_B}, waiting": (PATH_B, HandoffState.AWAITED, HOUR),
    f"{PATH_B}, over without landing": (PATH_B, HandoffState.AWAITED, timedelta()),
    f"{PATH_B}, landed for the bound user": (PATH_B, HandoffState.LANDED, HOUR),
    PATH_A: (PATH_A, HandoffState.LANDED, HOUR),
    PATH_C: (PATH_C, HandoffState.NOT_REQUIRED, HOUR),
}
"""The path, the hand-off and the remaining time of each session; UNLINKED users have the first one."""

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "stored status": tuple(Status),
    "revocation": tuple(RevocationState),
    "era": tuple(EraState),
    "clock": tuple(CLOCKS),
    "successor": (ALONE, *(FOLLOWED + standing for standing in Standing)),
    "account": tuple(AccountState),
    "session": tuple(SESSIONS),
    "record": tuple(RecordStanding),
    "request": tuple(FingerprintMatch),
}
"""The choices by name, with their values, in the words of the rules."""

OF_CONNECTION: Final[tuple[str, ...]] = ("stored status", "revocation", "era", "clock", "successor")
"""The choices that describe a connection."""

OF_SESSION: Final[tuple[str, ...]] = ("account", "session", "era")
"""The choices that describe a session and the account of its coordinate."""

NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)
MADE: Final = NOW - timedelta(days=1)
CONNECTION: Final = ConnectionId("00000000-0000-4000-8000-000000000001")
SUCCESSOR: Final = ConnectionId("00000000-0000-4000-8000-000000000002")
SESSION: Final = SessionId("00000000-0000-4000-8000-000000000003")
BOUND: Final = UserId("bound")
NEW: Final = UserId("new")
USER: Final = AppUserId("user")
PACKAGE: Final = DataPackage("labs")
CALLER: Final = Caller(
    api_key_id=ApiKeyId("key"),
    app_id=AppId("app"),
    customer_account_id=CustomerAccountId("00000000-0000-4000-8000-000000000004"),
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)
COORDINATE: Final = CALLER.coordinate(USER)
KEY: Final = IdempotencyKey("k-1")
NEW_IDS: Final = NewIds(
    connection_id=ConnectionId("00000000-0000-4000-8000-000000000005"),
    session_id=SessionId("00000000-0000-4000-8000-000000000006"),
    user_id=NEW,
    next_action=NextAction("https://connect.example/", NOW + HOUR),
)


def connection(state: State) -> Connection:
    """Return the chosen connection."""
    left = CLOCKS[state["clock"]]
    deadline = None if left is None else NOW + left
    identity = ConnectionIdentity(
        id=CONNECTION,
        coordinate=COORDINATE,
        data_packages=(PACKAGE,),
        created_at=MADE,
        predecessor_id=None,
        root_id=CONNECTION,
        era=_era(state),
    )
    revoked = state["revocation"] == RevocationState.ONCE
    return _stored(identity, Status(state["stored status"]), deadline=deadline, revoked=revoked)


def successor(state: State) -> Connection | None:
    """Return the chosen successor of the connection; None without one."""
    if state["successor"] == ALONE:
        return None
    standing = Standing(state["successor"].removeprefix(FOLLOWED))
    identity = ConnectionIdentity(
        id=SUCCESSOR,
        coordinate=COORDINATE,
        data_packages=(PACKAGE,),
        created_at=MADE,
        predecessor_id=CONNECTION,
        root_id=CONNECTION,
        position=2,
    )
    if standing is Standing.LAPSED:
        return _stored(identity, Status.PENDING, deadline=NOW)
    revoked = standing is Standing.REVOKED
    return _stored(identity, Status(standing), deadline=NOW + HOUR, revoked=revoked)


def _era(state: State) -> datetime | None:
    # In every state the present era is that of a coordinate without a tombstone.
    return MADE if state["era"] == EraState.OTHER else None


def _stored(
    identity: ConnectionIdentity,
    status: Status,
    *,
    deadline: datetime | None,
    revoked: bool = False,
) -> Connection:
    pending = status is Status.PENDING
    return Connection(
        identity,
        status,
        MADE,
        handoff_deadline=deadline if pending else None,
        authorized_at=None if pending else MADE,
        expires_at=None if pending else deadline,
        revoked_at=MADE if revoked else None,
        revoked_by=Actor.APP if revoked else None,
    )


def binding(state: State) -> LimitedAccountAppBinding | None:
    """Return the chosen binding; None if the account is UNLINKED."""
    account = AccountState(state["account"])
    if account is AccountState.UNLINKED:
        return None
    reported_at = MADE if account is AccountState.TOMBSTONED else None
    return LimitedAccountAppBinding(
        coordinate=COORDINATE,
        user_id=BOUND,
        state=account,
        generation=1,
        tombstone_reported_at=reported_at,
    )


def session(state: State) -> CuraeConnectSession:
    """Return the chosen session."""
    path, handoff, left = SESSIONS[state["session"]]
    landed_at = MADE if handoff is HandoffState.LANDED else None
    user = None if handoff is HandoffState.AWAITED else BOUND
    return CuraeConnectSession(
        id=SESSION,
        coordinate=COORDINATE,
        path=path,
        handoff=handoff,
        created_at=MADE,
        expires_at=NOW + left,
        landed_at=landed_at,
        user_id=user,
        era=_era(state),
    )


def record(state: State, operation: Operation, key: RecordKey) -> Record | None:
    """Return the chosen record of the request's idempotency key; None if it is absent."""
    of, rule = fingerprint(operation), operation.rule
    if state["request"] == FingerprintMatch.OTHER:
        of = Fingerprint.of(rule.name, ["another request"])
    used = _begun(key, of, NOW - HOUR / 2)
    over = attrs.evolve(in_flight_record(used), lease_until=None)
    match RecordStanding(state["record"]):
        case RecordStanding.ABSENT:
            return None
        case RecordStanding.RELEASED:
            return attrs.evolve(over, state=RecordState.RELEASED)
        case RecordStanding.IN_FLIGHT:
            return in_flight_record(_begun(key, of, NOW))
        case RecordStanding.LEASE_OVER:
            return in_flight_record(used)
        case RecordStanding.UNKNOWN:
            return in_flight_record(used, lost_lease=LostLeaseAction.UNKNOWN)
        case RecordStanding.COMPLETED:
            return completed_record(used, Response(rule.status, (), b""))
        case RecordStanding.FORGOTTEN:
            return attrs.evolve(over, state=RecordState.FORGOTTEN)


def _begun(key: RecordKey, of: Fingerprint, at: datetime) -> Attempt:
    attempt = begin_attempt(None, key=key, fingerprint=of, now=at)
    assert isinstance(attempt, Attempt)  # noqa: S101 - a request with an unused key executes
    return attempt
