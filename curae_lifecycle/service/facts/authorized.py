"""The fact that the patient authorized a connection."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.triggers import Trigger, authorize, check_expires_at
from curae_lifecycle.rules.values import ConnectionId, check_instant, clamp_happened_at
from curae_lifecycle.service.changes import connection_write_changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import (
    EXPIRES_AT,
    FACT_CONNECTION_ID,
    HAPPENED_AT,
    PAGE_URL,
)
from curae_lifecycle.service.snapshot import Snapshot


@attrs.frozen
class Authorized(fact.ConnectionFact):
    """The fact that the patient authorized a connection on the hosted page.

    Attributes:
        connection_id: The connection's id.
        expires_at: When the authorization ends (exclusive); `None` for no end.
        happened_at: When the patient authorized, in UTC; `None` for the instant of recording.
        page_url: The URL of the hosted page that the fact comes from; `None` if it comes from no
            page. No repr shows it.
    """

    connection_id: ConnectionId
    expires_at: datetime | None = None
    happened_at: datetime | None = None
    page_url: str | None = attrs.field(default=None, repr=False)

    kind = "connection.authorize"
    trigger = Trigger.AUTHORIZE
    members = (FACT_CONNECTION_ID, EXPIRES_AT, HAPPENED_AT, PAGE_URL)

    def __attrs_post_init__(self) -> None:
        """Check `expires_at` and the members that every connection's fact has.

        Raises:
            ArgumentError: An instant is not UTC, the id is no text, or `page_url` is empty, no text
                or holds a surrogate.
        """
        if self.expires_at is not None:
            check_instant("expires_at", self.expires_at)
        super().__attrs_post_init__()

    def check(self, now: datetime) -> None:
        """Check that `happened_at` is not too far ahead, and that `expires_at` is later than it.

        Args:
            now: When the fact is recorded, in UTC. Without a `happened_at`, the patient authorized
                at `now`.

        Raises:
            ArgumentError: An instant is not UTC, `happened_at` is more than five minutes after
                `now`, or `expires_at` is not after the authorization.
        """
        check_expires_at(self.expires_at, clamp_happened_at(self.happened_at, now))

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Return the changes that move a PENDING connection to ACTIVE.

        If the connection has a successor, the fact is refused. Otherwise it is ignored for an
        ACTIVE connection, and refused for one that is neither PENDING nor ACTIVE, such as LAPSED.
        """
        connection = fact.require_connection(snapshot)
        answer = authorize(
            connection,
            now,
            era=snapshot.era,
            expires_at=self.expires_at,
            happened_at=self.happened_at,
            successor=snapshot.successor,
            head=snapshot.head,
        )
        kind = EventKind.CONNECTION_AUTHORIZED
        return fact.to_fact_answer(
            answer, lambda after: connection_write_changes(kind, connection, after)
        )
