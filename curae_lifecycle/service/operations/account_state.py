"""Account state: the state of an app user's account; read-only [P]."""

from __future__ import annotations

from functools import cache

import attrs

from curae_lifecycle.rules.binding import AccountState, account_state
from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.members import APP_USER_ID, ParsedMembers
from curae_lifecycle.service.operations import example_values, operation


@cache
def etag(state: AccountState) -> str:
    """Return the entity tag of an account state: the same for every user and app [O]."""
    return f'"account-{state.lower()}"'


@attrs.frozen
class AccountStateShown(operation.Reply):
    """The reply to a request for an account state: `{lifecycleState}`."""

    lifecycle_state: AccountState

    @property
    def etag(self) -> str:
        """The entity tag of the account state."""
        return etag(self.lifecycle_state)


@attrs.frozen
class GetAccountState(operation.UserOperation):
    """The operation that gets the account state of a user of the app [P].

    Attributes:
        app_user_id: The app's own id of its user.
        cached_states: The account states whose entity tags the client sent; a reply with one of
            these is a 304.
    """

    app_user_id: AppUserId
    cached_states: frozenset[AccountState] = frozenset()

    reply = AccountStateShown
    rule = operation.OperationRule(
        name="account-state",
        why="[P] Read-only; charges the coordinate nothing.",
        summary="Get the state of a user's account",
        method="GET",
        path=f"{operation.BASE_PATH}/curae-connect/account-state",
        scope=None,
        key=operation.KeyUse.UNUSED,
        status=200,
        query=(APP_USER_ID,),
        tags=True,
    )

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> GetAccountState:
        """Build the operation from the parsed query.

        `cached_states` are the states whose entity tags the client sent in `If-None-Match`; `*`
        stands for all states.
        """
        known = frozenset([state for state in AccountState if etag(state) in parsed.tags])
        return cls(parsed[APP_USER_ID], known)

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        """Return an example for the OpenAPI document: the state of a LIMITED account."""
        return (
            operation.Example(
                "limited",
                cls(example_values.USER),
                example_values.snapshot_in_state(AccountState.LIMITED),
            ),
        )

    def fingerprint_values(self) -> list[str]:
        """Return the app user's id: the fingerprint of a get has no other value.

        The cached states are left out: two gets of one app user are the same request, whatever the
        client has cached. The inherited method would raise for a frozenset such as these states.
        """
        return [self.app_user_id]

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        """Reply with the account state, or `NotModified` (a 304) if the client has it cached."""
        state = account_state(context.snapshot.binding)
        if state in self.cached_states:
            return operation.Ruling(operation.NotModified(etag(state)))
        return operation.Ruling(AccountStateShown(state))
