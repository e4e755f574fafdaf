"""The hosted page gave the user over to the app."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import attrs

from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.session import complete_handoff
from curae_lifecycle.rules.values import SessionId, UserId
from curae_lifecycle.service.changes import NO_CHANGES, landing_changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, FactNeeds, FactSnapshot
from curae_lifecycle.service.members import HAPPENED_AT, KNOWN_SESSION, USER_ID, Given


@attrs.frozen
class HandoffCompleted(Fact):
    """The hosted page gave the user over to the app: completeHandoff."""

    session_id: SessionId
    user_id: UserId = attrs.field(repr=False)
    happened_at: datetime | None = None

    kind: ClassVar = "handoff.complete"
    members: ClassVar = (KNOWN_SESSION, USER_ID, HAPPENED_AT)

    @classmethod
    def read(cls, given: Given) -> HandoffCompleted:
        """The fact of what was sent."""
        return cls(given[KNOWN_SESSION], given[USER_ID], given[HAPPENED_AT])

    def needs(self) -> FactNeeds:
        """The session, and the binding of its coordinate."""
        return FactNeeds(session=self.session_id)

    def judge(self, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        """Landed, the session together with the binding or not at all."""
        session, binding = snapshot.session, snapshot.binding
        assert session is not None  # noqa: S101 - `record_fact` looked
        answer = complete_handoff(session, binding, self.user_id, now, happened_at=self.happened_at)
        match answer:
            case Done(landing, rules):
                return Done(landing_changes(session, binding, landing, now), rules)
            case Ignored(_, rules):
                return Ignored(NO_CHANGES, rules)
            case Refused():
                return answer
