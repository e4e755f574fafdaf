"""Graduation hand-off: the way of a LIMITED user to an ACTIVE one [P]."""

from __future__ import annotations

from typing import ClassVar

import attrs

from curae_lifecycle.rules.binding import start_graduation
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.ratelimit import GRADUATION_LIMIT
from curae_lifecycle.rules.values import AppUserId, Coordinate, NextAction
from curae_lifecycle.service.members import APP_USER_ID, Given
from curae_lifecycle.service.operations.operation import (
    BASE_PATH,
    Asked,
    KeyUse,
    Operation,
    OperationRule,
    Reply,
    Ruling,
    refusal,
)


@attrs.frozen
class GraduationStarted(Reply):
    """Answers a graduation hand-off: `{nextAction}`."""

    next_action: NextAction


@attrs.frozen
class StartGraduation(Operation):
    """A graduation hand-off [P]."""

    app_user_id: AppUserId

    reply: ClassVar = GraduationStarted
    rule: ClassVar = OperationRule(
        name="graduation-handoff",
        why="[P] Mints a next action.",
        summary="Start the graduation of a LIMITED account",
        method="POST",
        path=f"{BASE_PATH}/curae-connect/graduation-handoff",
        scope=CONNECTION_WRITE,
        key=KeyUse.NOT_ALLOWED,
        limit=GRADUATION_LIMIT,
        status=201,
        body=(APP_USER_ID,),
        asks=("graduation-handoff",),
    )

    @classmethod
    def read(cls, given: Given) -> StartGraduation:
        """The operation of a body."""
        return cls(given[APP_USER_ID])

    def coordinate(self, caller: Caller) -> Coordinate:
        """The coordinate of the app's user."""
        return caller.coordinate(self.app_user_id)

    def decide(self, asked: Asked) -> Ruling:
        """A next action for a LIMITED user; the binding moves when it is over."""
        answer = start_graduation(asked.snapshot.binding)
        if isinstance(answer, Refused):
            return refusal(answer)
        return Ruling(GraduationStarted(asked.new_ids.next_action), answer.rules)
