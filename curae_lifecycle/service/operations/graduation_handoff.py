"""Graduation hand-off: the way of a LIMITED user to an ACTIVE one [P]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import binding, credentials, outcomes, ratelimit, values
from curae_lifecycle.service.members import APP_USER_ID
from curae_lifecycle.service.operations import operation


@attrs.frozen
class GraduationStarted(operation.Reply):
    """Answers a graduation hand-off: `{nextAction}`."""

    next_action: values.NextAction


@attrs.frozen
class StartGraduation(operation.UserOperation):
    """A graduation hand-off [P]."""

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

    def decide(self, asked: operation.OperationContext) -> operation.Ruling:
        """A next action for a LIMITED user; the binding moves when it is over."""
        answer = binding.start_graduation(asked.snapshot.binding)
        if isinstance(answer, outcomes.Refused):
            return operation.ruling_from_refusal(answer)
        return operation.Ruling(GraduationStarted(asked.new_ids.next_action), answer.rules)
