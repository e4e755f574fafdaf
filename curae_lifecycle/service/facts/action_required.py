"""The patient must act."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import attrs

from curae_lifecycle.rules.triggers import require_action
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import EventKind
from curae_lifecycle.service.facts.fact import (
    Fact,
    FactAnswer,
    FactNeeds,
    FactSnapshot,
    moved_connection,
    the_connection,
)
from curae_lifecycle.service.members import HAPPENED_AT, KNOWN_CONNECTION, REASON, Given


@attrs.frozen
class ActionRequired(Fact):
    """The patient must act before data flows again."""

    connection_id: ConnectionId
    reason: str
    happened_at: datetime | None = None

    kind: ClassVar = "connection.require_action"
    members: ClassVar = (KNOWN_CONNECTION, REASON, HAPPENED_AT)

    @classmethod
    def read(cls, given: Given) -> ActionRequired:
        """The fact of what was sent."""
        return cls(given[KNOWN_CONNECTION], given[REASON], given[HAPPENED_AT])

    def needs(self) -> FactNeeds:
        """The connection."""
        return FactNeeds(connection=self.connection_id)

    def judge(self, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        """ACTION_REQUIRED, where the authorization is not over."""
        connection = the_connection(snapshot)
        answer = require_action(connection, now, reason=self.reason, happened_at=self.happened_at)
        return moved_connection(EventKind.CONNECTION_ACTION_REQUIRED, connection, answer)
