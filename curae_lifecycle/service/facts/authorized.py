"""The patient authorized."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import attrs

from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import authorize, check_authorization
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import NO_CHANGES, authorization_changes
from curae_lifecycle.service.facts.fact import (
    Fact,
    FactAnswer,
    FactNeeds,
    FactSnapshot,
    the_connection,
)
from curae_lifecycle.service.members import EXPIRES_AT, HAPPENED_AT, KNOWN_CONNECTION, Given


@attrs.frozen
class Authorized(Fact):
    """The patient authorized on the hosted page."""

    connection_id: ConnectionId
    expires_at: datetime | None = None
    happened_at: datetime | None = None

    kind: ClassVar = "connection.authorize"
    members: ClassVar = (KNOWN_CONNECTION, EXPIRES_AT, HAPPENED_AT)

    @classmethod
    def read(cls, given: Given) -> Authorized:
        """The fact of what was sent."""
        return cls(given[KNOWN_CONNECTION], given[EXPIRES_AT], given[HAPPENED_AT])

    def needs(self) -> FactNeeds:
        """The connection, and what follows it."""
        return FactNeeds(connection=self.connection_id)

    def check(self, now: datetime) -> None:
        """Also its end must be after it."""
        check_authorization(now, self.happened_at, self.expires_at)

    def judge(self, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        """ACTIVE, where it is the head of its chain and happened in time."""
        connection = the_connection(snapshot)
        answer = authorize(
            connection,
            now,
            expires_at=self.expires_at,
            happened_at=self.happened_at,
            successor=snapshot.following[0] if snapshot.following else None,
        )
        match answer:
            case Done(after, rules):
                return Done(authorization_changes(connection, after), rules)
            case Ignored(_, rules):
                return Ignored(NO_CHANGES, rules)
            case Refused():
                return answer
