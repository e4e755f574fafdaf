"""The patient authorized."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.triggers import Trigger, authorize, check_expires_at
from curae_lifecycle.rules.values import ConnectionId, clamp_happened_at
from curae_lifecycle.service.changes import connection_write_changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import EXPIRES_AT, FACT_CONNECTION_ID, HAPPENED_AT
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
    trigger = Trigger.AUTHORIZE
    members = (FACT_CONNECTION_ID, EXPIRES_AT, HAPPENED_AT)

    def check(self, now: datetime) -> None:
        """Raise `ArgumentError` if `expires_at` is not after the authorization."""
        check_expires_at(self.expires_at, clamp_happened_at(self.happened_at, now))

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Move the connection to ACTIVE if it is the head of its chain and authorized in time."""
        connection = fact.require_connection(snapshot)
        answer = authorize(
            connection,
            now,
            expires_at=self.expires_at,
            happened_at=self.happened_at,
            successor=snapshot.successor,
            head=snapshot.head,
        )
        kind = EventKind.CONNECTION_AUTHORIZED
        return fact.to_fact_answer(
            answer, lambda after: connection_write_changes(kind, connection, after)
        )
