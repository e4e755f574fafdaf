"""Values that the examples of operations share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, create
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
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
    UserId,
)
from curae_lifecycle.service.snapshot import Snapshot

NOW: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
"""The instant of every example in the OpenAPI document."""

CALLER: Final = Caller(
    api_key_id=ApiKeyId("example"),
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"),
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)
"""The caller of every example in the OpenAPI document."""

USER: Final = AppUserId("user-1")
"""The app user of every example in the OpenAPI document."""

COORDINATE: Final = CALLER.coordinate(USER)
"""The coordinate of `USER`, the app user of the examples."""

PACKAGES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))
"""The data packages of every example in the OpenAPI document."""

CONNECTION: Final = create(
    id=ConnectionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d01"),
    coordinate=COORDINATE,
    data_packages=PACKAGES,
    now=NOW - timedelta(days=1),
    next_action=NextAction("https://connect.example/0", NOW + timedelta(minutes=5)),
    era=None,
)
"""A pending connection of `USER`, the app user of the examples."""

REVOKED_CONNECTION: Final = revoke(
    CONNECTION, NOW - timedelta(hours=1), era=None, actor=Actor.APP
).value
"""The connection of the examples (`CONNECTION`) after a revocation."""


def snapshot_in_state(state: AccountState) -> Snapshot:
    """Return the loaded values of an example in which the user's account has the given state.

    They are the binding of `COORDINATE`, the examples' coordinate, and nothing else. The state is
    LIMITED, ACTIVE or TOMBSTONED.
    """
    user_id = UserId("u-1")
    return Snapshot(
        binding=LimitedAccountAppBinding(
            coordinate=COORDINATE, user_id=user_id, state=state, generation=1
        )
    )
