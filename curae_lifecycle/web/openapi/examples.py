"""Examples of successes: answers of `decide` to what stands here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from curae_lifecycle.rules import values
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, create
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.triggers import revoke
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
    """Responses to an operation that succeeded, by their titles; none for one added elsewhere.

    Args:
        kind: The operation.
        settings: What the server chose.
    """
    return {
        title: respond(
            decide(
                Call(caller=_CALLER, operation=asked, key=key, settings=settings),
                snapshot=snapshot,
                now=_NOW,
                new_ids=_NEW,
            )
        ).response
        for title, asked, key, snapshot in _EXAMPLES
        if type(asked) is kind
    }


_NOW: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
_CALLER: Final = Caller(
    api_key_id=values.ApiKeyId("example"),
    app_id=values.AppId("app-1"),
    customer_account_id=values.CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"),
    environment=values.Environment.LIVE,
    scopes=frozenset({"connection:write"}),
)
_USER: Final = values.AppUserId("user-1")
_COORDINATE: Final = _CALLER.coordinate(_USER)
_PACKAGES: Final = (values.DataPackage("clinical_summary"), values.DataPackage("labs"))
_NEW: Final = NewIds(
    connection_id=values.ConnectionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d02"),
    session_id=values.SessionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d03"),
    user_id=values.UserId("user-of-the-platform"),
    next_action=values.NextAction("https://connect.example/6b7f2a52", _NOW + timedelta(minutes=30)),
)
_KEY: Final = IdempotencyKey("k-1")
_ID: Final = values.ConnectionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d01")
_MADE: Final = create(
    id=_ID,
    coordinate=_COORDINATE,
    data_packages=_PACKAGES,
    now=_NOW - timedelta(days=1),
    next_action=values.NextAction("https://connect.example/0", _NOW + timedelta(minutes=5)),
)
_REVOKED: Final = revoke(_MADE, _NOW - timedelta(hours=1), actor=Actor.APP).value


def _bound(state: AccountState) -> Snapshot:
    return Snapshot(
        binding=LimitedAccountAppBinding(
            coordinate=_COORDINATE, user_id=values.UserId("u-1"), state=state, generation=1
        )
    )


_EXAMPLES: Final[tuple[tuple[str, Operation, IdempotencyKey | None, Snapshot], ...]] = (
    ("created", CreateConnection(_USER, _PACKAGES), _KEY, Snapshot()),
    ("shown", GetConnection(_ID), None, Snapshot(connection=_MADE)),
    ("recovered", Reconnect(_ID), _KEY, Snapshot(connection=_REVOKED)),
    ("revoked", Revoke(_ID), _KEY, Snapshot(connection=_MADE)),
    ("revokedBefore", Revoke(_ID), _KEY, Snapshot(connection=_REVOKED)),
    ("existingActiveHandoff", Initiate(_USER), _KEY, _bound(AccountState.ACTIVE)),
    ("newActiveSignupHandoff", Initiate(_USER, prefer_signup=True), _KEY, Snapshot()),
    ("silentLimited", Initiate(_USER), _KEY, Snapshot()),
    ("limited", GetAccountState(_USER), None, _bound(AccountState.LIMITED)),
    ("started", StartGraduation(_USER), None, _bound(AccountState.LIMITED)),
)
"""For each example of a success: its title, what is asked, and what was loaded for it."""
