"""Examples of successes: answers of `decide` to what stands here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, create
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.triggers import revoke
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
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.web.respond import respond


def successes(kind: type[Operation], settings: Settings) -> dict[str, Response]:
    """Responses to an operation that succeeded, by their titles; none for one added elsewhere."""
    return {
        title: respond(decide(Call(_CALLER, asked, key, settings), snapshot, _NOW, _NEW)).response
        for title, asked, key, snapshot in _asked(kind)
    }


_NOW: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
_CONNECTION_ID: Final = "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d01"
_CALLER: Final = Caller(
    ApiKeyId("example"),
    AppId("app-1"),
    CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"),
    Environment.LIVE,
    frozenset({"connection:write"}),
)
_USER: Final = AppUserId("user-1")
_COORDINATE: Final = _CALLER.coordinate(_USER)
_PACKAGE_EXAMPLES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))
_NEW: Final = NewIds(
    ConnectionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d02"),
    SessionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d03"),
    UserId("user-of-the-platform"),
    NextAction("https://connect.example/6b7f2a52", _NOW + timedelta(minutes=30)),
)
_Asked = tuple[str, Operation, IdempotencyKey | None, Snapshot]


def _asked(kind: type[Operation]) -> list[_Asked]:
    # For each example of a success: its title, what is asked, and what was loaded for it.
    connection, key = _connection(), IdempotencyKey("k-1")
    examples: list[_Asked] = [
        ("created", CreateConnection(_USER, _PACKAGE_EXAMPLES), key, Snapshot()),
        ("shown", GetConnection(connection.id), None, Snapshot(connection=connection)),
        ("recovered", Reconnect(connection.id), key, Snapshot(connection=_revoked(connection))),
        ("revoked", Revoke(connection.id), key, Snapshot(connection=connection)),
        ("revokedBefore", Revoke(connection.id), key, Snapshot(connection=_revoked(connection))),
        ("existingActiveHandoff", Initiate(_USER), key, _bound(AccountState.ACTIVE)),
        ("newActiveSignupHandoff", Initiate(_USER, prefer_signup=True), key, Snapshot()),
        ("silentLimited", Initiate(_USER), key, Snapshot()),
        ("limited", GetAccountState(_USER), None, _bound(AccountState.LIMITED)),
        ("started", StartGraduation(_USER), None, _bound(AccountState.LIMITED)),
    ]
    return [each for each in examples if type(each[1]) is kind]


def _connection() -> Connection:
    return create(
        id=ConnectionId(_CONNECTION_ID),
        coordinate=_COORDINATE,
        data_packages=_PACKAGE_EXAMPLES,
        now=_NOW - timedelta(days=1),
        next_action=NextAction("https://connect.example/0", _NOW + timedelta(minutes=5)),
    )


def _revoked(connection: Connection) -> Connection:
    return revoke(connection, _NOW - timedelta(hours=1), actor=Actor.APP).value


def _bound(state: AccountState) -> Snapshot:
    return Snapshot(binding=LimitedAccountAppBinding(_COORDINATE, UserId("u-1"), state, 1))
