"""The authorization is over."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import attrs

from curae_lifecycle.rules.triggers import expire
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
from curae_lifecycle.service.members import HAPPENED_AT, KNOWN_CONNECTION, Given


@attrs.frozen
class Expired(Fact):
    """The authorization is over: the upstream ended it, or time did."""

    connection_id: ConnectionId
    happened_at: datetime | None = None

    kind: ClassVar = "connection.expire"
    members: ClassVar = (KNOWN_CONNECTION, HAPPENED_AT)

    @classmethod
    def read(cls, given: Given) -> Expired:
        """The fact of what was sent."""
        return cls(given[KNOWN_CONNECTION], given[HAPPENED_AT])

    def needs(self) -> FactNeeds:
        """The connection."""
        return FactNeeds(connection=self.connection_id)

    def judge(self, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        """EXPIRED, where it was authorized and that is not written down yet."""
        connection = the_connection(snapshot)
        answer = expire(connection, now, happened_at=self.happened_at)
        return moved_connection(EventKind.CONNECTION_EXPIRED, connection, answer)
