"""Examples of the operations: title, members and loaded values of each."""

from __future__ import annotations

import pytest

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.values import UserId
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.example_values import (
    CONNECTION,
    COORDINATE,
    PACKAGES,
    REVOKED_CONNECTION,
    USER,
)
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Example, Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.snapshot import Snapshot


def account(state: AccountState) -> Snapshot:
    binding = LimitedAccountAppBinding(
        coordinate=COORDINATE, user_id=UserId("u-1"), state=state, generation=1
    )
    return Snapshot(binding=binding)


PENDING = Snapshot(connection=CONNECTION)
REVOKED = Snapshot(connection=REVOKED_CONNECTION)

EXAMPLES: dict[type[Operation], tuple[Example, ...]] = {
    CreateConnection: (Example("created", CreateConnection(USER, PACKAGES), Snapshot()),),
    GetConnection: (Example("shown", GetConnection(CONNECTION.id), PENDING),),
    Reconnect: (Example("recovered", Reconnect(CONNECTION.id), REVOKED),),
    Revoke: (
        Example("revoked", Revoke(CONNECTION.id), PENDING),
        Example("revokedBefore", Revoke(CONNECTION.id), REVOKED),
    ),
    Initiate: (
        Example(
            "existingActiveHandoff",
            Initiate(USER, prefer_signup=False),
            account(AccountState.ACTIVE),
        ),
        Example("newActiveSignupHandoff", Initiate(USER, prefer_signup=True), Snapshot()),
        Example("silentLimited", Initiate(USER, prefer_signup=False), Snapshot()),
    ),
    GetAccountState: (
        Example("limited", GetAccountState(USER, frozenset()), account(AccountState.LIMITED)),
    ),
    StartGraduation: (Example("started", StartGraduation(USER), account(AccountState.LIMITED)),),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_has_exactly_the_expected_examples(operation: type[Operation]) -> None:
    assert operation.examples() == EXAMPLES[operation]
