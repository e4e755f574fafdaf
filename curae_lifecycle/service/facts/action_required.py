"""The fact that the patient must act."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.triggers import Trigger, require_action
from curae_lifecycle.rules.values import ConnectionId, parse_opaque
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import FACT_CONNECTION_ID, HAPPENED_AT, PAGE_URL, REASON
from curae_lifecycle.service.snapshot import Snapshot


@attrs.frozen
class ActionRequired(fact.ConnectionFact):
    """The fact that the patient must act before data flows again.

    Attributes:
        connection_id: The connection's id.
        reason: Why the patient must act, in the server's own words; responses show it.
        happened_at: When it happened, in UTC; `None` for the instant at which it is recorded.
        page_url: The URL of the hosted page that the fact comes from; `None` if it comes from no
            page. No repr shows it.
    """

    connection_id: ConnectionId
    reason: str
    happened_at: datetime | None = None
    page_url: str | None = attrs.field(default=None, repr=False)

    kind = "connection.require_action"
    trigger = Trigger.REQUIRE_ACTION
    members = (FACT_CONNECTION_ID, REASON, HAPPENED_AT, PAGE_URL)

    def __attrs_post_init__(self) -> None:
        """Check the reason and the members that every connection's fact has.

        Raises:
            ArgumentError: The reason or `page_url` is empty, no text or holds a surrogate, the id
                is no text, or `happened_at` is no UTC instant.
        """
        parse_opaque("reason", self.reason)
        super().__attrs_post_init__()

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Return the changes that move an ACTIVE connection to ACTION_REQUIRED.

        The fact is ignored if the connection was not ACTIVE at `happened_at`.
        """
        connection = fact.require_connection(snapshot)
        answer = require_action(
            connection, now, era=snapshot.era, reason=self.reason, happened_at=self.happened_at
        )
        return fact.to_connection_fact_answer(
            EventKind.CONNECTION_ACTION_REQUIRED, connection, answer
        )
