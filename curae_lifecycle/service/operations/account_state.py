"""Account state: what the account of an app's user is; read-only [P]."""

from __future__ import annotations

from typing import ClassVar

import attrs

from curae_lifecycle.rules.binding import AccountState, account_state
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import AppUserId, Coordinate
from curae_lifecycle.service.members import APP_USER_ID, Given
from curae_lifecycle.service.operations.operation import (
    BASE_PATH,
    Asked,
    KeyUse,
    NotModified,
    Operation,
    OperationRule,
    Reply,
    Ruling,
)


def etag(state: AccountState) -> str:
    """The entity tag of an account state: the same for every user and app in it [O]."""
    return f'"account-{state.lower()}"'


@attrs.frozen
class AccountStateShown(Reply):
    """Answers an account state: `{lifecycleState}`."""

    lifecycle_state: AccountState

    @property
    def tag(self) -> str:
        """The entity tag of the state."""
        return etag(self.lifecycle_state)


@attrs.frozen
class GetAccountState(Operation):
    """The coordinate's account state [P].

    Attributes:
        app_user_id: Whose.
        known: The states whose entity tag the client already holds.
    """

    app_user_id: AppUserId
    known: frozenset[AccountState] = frozenset()

    reply: ClassVar = AccountStateShown
    rule: ClassVar = OperationRule(
        name="account-state",
        why="[P] Read-only; charges the coordinate nothing.",
        summary="Get the state of a user's account",
        method="GET",
        path=f"{BASE_PATH}/curae-connect/account-state",
        scope=None,
        key=KeyUse.UNUSED,
        status=200,
        query=(APP_USER_ID,),
        tags=True,
    )

    @classmethod
    def read(cls, given: Given) -> GetAccountState:
        """The operation of a query and the entity tags that came with it."""
        known = frozenset(state for state in AccountState if etag(state) in given.tags)
        return cls(given[APP_USER_ID], known)

    def coordinate(self, caller: Caller) -> Coordinate:
        """The coordinate of the app's user."""
        return caller.coordinate(self.app_user_id)

    def decide(self, asked: Asked) -> Ruling:
        """The state, or nothing where the client holds it."""
        state = account_state(asked.snapshot.binding)
        return Ruling(NotModified(etag(state)) if state in self.known else AccountStateShown(state))
