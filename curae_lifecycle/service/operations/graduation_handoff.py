"""Graduation hand-off: the way of a LIMITED user to an ACTIVE one [P]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules.binding import start_graduation
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.ratelimit import GRADUATION_LIMIT
from curae_lifecycle.rules.values import AppUserId, NextAction
from curae_lifecycle.service.members import APP_USER_ID
from curae_lifecycle.service.operations import operation


@attrs.frozen
class GraduationStarted(operation.Reply):
    """Answers a graduation hand-off: `{nextAction}`."""

    next_action: NextAction


@attrs.frozen
class StartGraduation(operation.UserOperation):
    """A graduation hand-off [P]."""

    app_user_id: AppUserId

    reply = GraduationStarted
    rule = operation.OperationRule(
        name="graduation-handoff",
        why="[P] Mints a next action.",
        summary="Start the graduation of a LIMITED account",
        method="POST",
        path=f"{operation.BASE_PATH}/curae-connect/graduation-handoff",
        scope=CONNECTION_WRITE,
        key=operation.KeyUse.NOT_ALLOWED,
        limit=GRADUATION_LIMIT,
        status=201,
        body=(APP_USER_ID,),
        asks=("graduation-handoff",),
    )

    def decide(self, asked: operation.Asked) -> operation.Ruling:
        """A next action for a LIMITED user; the binding moves when it is over."""
        answer = start_graduation(asked.snapshot.binding)
        if isinstance(answer, Refused):
            return operation.refusal(answer)
        return operation.Ruling(GraduationStarted(asked.new_ids.next_action), answer.rules)
