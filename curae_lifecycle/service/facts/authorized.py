"""The patient authorized."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.triggers import authorize, check_end
from curae_lifecycle.rules.values import ConnectionId, check_occurrence
from curae_lifecycle.service.changes import written
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import EXPIRES_AT, HAPPENED_AT, KNOWN_CONNECTION
from curae_lifecycle.service.snapshot import Snapshot


@attrs.frozen
class Authorized(fact.ConnectionFact):
    """The patient authorized on the hosted page.

    Attributes:
        connection_id: The connection's id.
        expires_at: When the authorization ends; `None` for never.
        happened_at: When it happened; `None` for now.
    """

    connection_id: ConnectionId
    expires_at: datetime | None = None
    happened_at: datetime | None = None

    kind = "connection.authorize"
    members = (KNOWN_CONNECTION, EXPIRES_AT, HAPPENED_AT)

    def check(self, now: datetime) -> None:
        """Also its end must be after it."""
        check_end(self.expires_at, check_occurrence(self.happened_at, now))

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """ACTIVE, where it is the head of its chain and happened in time."""
        connection = fact.the_connection(snapshot)
        answer = authorize(
            connection,
            now,
            expires_at=self.expires_at,
            happened_at=self.happened_at,
            successor=snapshot.successor,
            head=snapshot.head,
        )
        kind = EventKind.CONNECTION_AUTHORIZED
        return fact.recorded(answer, lambda after: written(kind, connection, after))
