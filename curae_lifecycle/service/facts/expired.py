"""The fact that an authorization ended."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.triggers import Trigger, expire
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import FACT_CONNECTION_ID, HAPPENED_AT, PAGE_URL
from curae_lifecycle.service.snapshot import Snapshot


@attrs.frozen
class Expired(fact.ConnectionFact):
    """The fact that an authorization ended: the source of the data ended it, or it expired.

    Attributes:
        connection_id: The connection's id.
        happened_at: When the authorization ended, in UTC; `None` for the instant of recording.
        page_url: The URL of the hosted page that the fact comes from; `None` if it comes from no
            page. No repr shows it.
    """

    connection_id: ConnectionId
    happened_at: datetime | None = None
    page_url: str | None = attrs.field(default=None, repr=False)

    kind = "connection.expire"
    trigger = Trigger.EXPIRE
    members = (FACT_CONNECTION_ID, HAPPENED_AT, PAGE_URL)

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Return the changes that store EXPIRED if the stored status is ACTIVE or ACTION_REQUIRED.

        The fact is ignored in any other status. It is ignored, too, if the connection is REVOKED
        because its user is gone (tombstoned), even if that is not stored yet.
        """
        connection = fact.require_connection(snapshot)
        answer = expire(connection, now, era=snapshot.era, happened_at=self.happened_at)
        return fact.to_connection_fact_answer(EventKind.CONNECTION_EXPIRED, connection, answer)
