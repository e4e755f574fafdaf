"""Initiate: a fresh connect session on Path A, B or C [S]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import credentials, ratelimit, values
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.session import CuraeConnectSession, initiate
from curae_lifecycle.service.changes import initiation_changes
from curae_lifecycle.service.members import APP_USER_ID, PREFER_SIGNUP
from curae_lifecycle.service.operations import example_values, operation


@attrs.frozen
class SessionInitiated(operation.Reply):
    """The reply to `Initiate`: `{session, nextAction}`, a new connect session and its page."""

    session: CuraeConnectSession
    next_action: values.NextAction


@attrs.frozen
class Initiate(operation.UserOperation):
    """The operation that creates a connect session [S].

    Attributes:
        app_user_id: The app's own id of its user.
        prefer_signup: Whether a user without an account is to sign up.
    """

    app_user_id: values.AppUserId
    prefer_signup: bool = False

    reply = SessionInitiated
    rule = operation.OperationRule(
        name="initiate",
        why="[S] Mints a fresh session.",
        summary="Start a connect session",
        method="POST",
        path=f"{operation.BASE_PATH}/curae-connect/initiate",
        scope=credentials.CONNECTION_WRITE,
        key=operation.KeyUse.NEEDED,
        limit=ratelimit.INITIATE_LIMIT,
        status=201,
        body=(APP_USER_ID, PREFER_SIGNUP),
    )

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        """Return three examples for the OpenAPI document: a session on each entry path, A to C."""
        return (
            operation.Example(
                "existingActiveHandoff",
                cls(example_values.USER),
                example_values.snapshot_in_state(AccountState.ACTIVE),
            ),
            operation.Example(
                "newActiveSignupHandoff", cls(example_values.USER, prefer_signup=True)
            ),
            operation.Example("silentLimited", cls(example_values.USER)),
        )

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        """Reply with a new session; bind a new LIMITED user if the entry path needs one."""
        binding, new_ids = context.snapshot.binding, context.new_ids
        answer = initiate(
            binding,
            context.coordinate,
            context.now,
            prefer_signup=self.prefer_signup,
            id=new_ids.session_id,
            user_id=new_ids.user_id,
            next_action=new_ids.next_action,
        )
        reply = SessionInitiated(answer.value.session, new_ids.next_action)
        return operation.Ruling(reply, answer.rules, initiation_changes(binding, answer.value))
