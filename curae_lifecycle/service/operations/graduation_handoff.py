"""Graduation hand-off: a LIMITED user becomes ACTIVE [P]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import binding, credentials, outcomes, ratelimit, values
from curae_lifecycle.service.members import APP_USER_ID
from curae_lifecycle.service.operations import example_values, operation


@attrs.frozen
class GraduationStarted(operation.Reply):
    """The reply to `StartGraduation`: `{nextAction}`, the page on which the user becomes ACTIVE."""

    next_action: values.NextAction


@attrs.frozen
class StartGraduation(operation.UserOperation):
    """The operation that sends a LIMITED user to a hosted page to become ACTIVE [P]."""

    app_user_id: values.AppUserId

    reply = GraduationStarted
    rule = operation.OperationRule(
        name="graduation-handoff",
        why="[P] Mints a next action.",
        summary="Start the graduation of a LIMITED account",
        method="POST",
        path=f"{operation.BASE_PATH}/curae-connect/graduation-handoff",
        scope=credentials.CONNECTION_WRITE,
        key=operation.KeyUse.NOT_ALLOWED,
        limit=ratelimit.GRADUATION_LIMIT,
        status=201,
        body=(APP_USER_ID,),
        asks=("graduation-handoff",),
    )

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        """Return an example for the OpenAPI document: a started graduation."""
        return (
            operation.Example(
                "started",
                cls(example_values.USER),
                example_values.snapshot_in_state(binding.AccountState.LIMITED),
            ),
        )

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        """Reply with a next action if the user is LIMITED, else refuse.

        The binding does not change; the fact `Graduated` changes it later.
        """
        answer = binding.decide_graduation_start(context.snapshot.binding)
        if isinstance(answer, outcomes.Refused):
            return operation.ruling_from_refusal(answer)
        return operation.Ruling(GraduationStarted(context.new_ids.next_action), answer.rules)
