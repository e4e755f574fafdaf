"""Previews: the answer that each trigger would give now, and the due warnings of an expiry.

The law of this module: **a preview calls the rules themselves** and changes nothing. A user
interface that disables a button shows the answer that the request would get at that instant [O].
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules import chain, triggers
from curae_lifecycle.rules.chain import Recovery, RecoveryPreview
from curae_lifecycle.rules.connection import EXPIRY, Connection, ConnectionView, deadline_kind
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.tables import check_keys
from curae_lifecycle.rules.triggers import Preview, Transition, Trigger
from curae_lifecycle.rules.values import check_instant


class PreviewOutcome(StrEnum):
    """The outcome that a trigger would have now.

    Attributes:
        DONE: It would change the connection.
        IGNORED: It would change nothing, without an error.
        REFUSED: It would be refused with a problem.
    """

    DONE = "done"
    IGNORED = "ignored"
    REFUSED = "refused"


@attrs.frozen
class TriggerPreview:
    """The result that a trigger, such as `revoke`, would have on a connection now.

    Attributes:
        trigger: The trigger.
        outcome: `done`, `ignored` or `refused`.
        refused: The refusal with its problem; `None` for another outcome.
        rules: The names of the rules that would decide, in order.
    """

    trigger: Trigger
    outcome: PreviewOutcome
    refused: Refused | None
    rules: tuple[str, ...]


@attrs.frozen
class ExpiryNotice:
    """A warning that an authorization is about to end.

    Attributes:
        id: An id that never changes, so that each warning is sent once.
        due_at: When the warning is due.
        ends_at: When the authorization ends.
    """

    id: str
    due_at: datetime
    ends_at: datetime


_SECOND: Final = timedelta(seconds=1)
DEFAULT_LEAD_TIMES: Final = (timedelta(days=30), timedelta(days=7))
"""How long before the end of an authorization the warnings are due, by default [O]."""


_PREVIEWS: Final[Mapping[Trigger, Preview | RecoveryPreview]] = {
    **triggers.PREVIEWS,
    **chain.PREVIEWS,
}
check_keys("previews", _PREVIEWS, Trigger)


def preview_trigger(
    trigger: Trigger,
    connection: Connection,
    now: datetime,
    *,
    era: datetime | None,
    successor: Connection | None = None,
    head: Connection | None = None,
) -> Transition | Recovery:
    """Return what would happen to a connection if one trigger came now; change nothing [O].

    A fact, such as `authorize`, is taken as happening at `now`.

    Args:
        trigger: The trigger to preview.
        connection: The connection as it is stored.
        now: The instant, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        successor: The connection that recovered `connection`; `None` if none did.
        head: The last connection of the chain; needed only if it is later than `successor`.

    Returns:
        Done: the trigger would change the connection. Ignored: it would change nothing. Refused: it
        would be refused with that problem. The value of `Done` holds placeholders, such as ids, so
        do not use it.

    Raises:
        ArgumentError: `now` is not a UTC instant.
    """
    return _PREVIEWS[trigger](
        ConnectionView(connection=connection, now=now, era=era, successor=successor, head=head)
    )


def preview_triggers(
    connection: Connection,
    now: datetime,
    *,
    era: datetime | None,
    successor: Connection | None = None,
    head: Connection | None = None,
) -> tuple[TriggerPreview, ...]:
    """Return what would happen to a connection if each trigger came now; change nothing [O].

    Args:
        connection: The connection as it is stored.
        now: The instant, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
        successor: The connection that recovered `connection`; `None` if none did.
        head: The last connection of the chain; needed only if it is later than `successor`.

    Returns:
        One preview for each `Trigger`, in the order of that enumeration.

    Raises:
        ArgumentError: `now` is not a UTC instant.
    """
    return tuple(
        [
            _to_preview(
                trigger,
                preview_trigger(trigger, connection, now, era=era, successor=successor, head=head),
            )
            for trigger in Trigger
        ]
    )


def find_due_notices(
    connection: Connection,
    now: datetime,
    lead_times: tuple[timedelta, ...] = DEFAULT_LEAD_TIMES,
    *,
    era: datetime | None,
) -> tuple[ExpiryNotice, ...]:
    """Return the warnings that a connection's authorization ends soon, if they are due [O].

    A warning that would have been due before the patient authorized is left out: an authorization
    of a week has no warning a month ahead. Each warning is returned from its `due_at` until the
    authorization ends, so remember the ids of those that were sent.

    Args:
        connection: The last connection of a chain, as it is stored. Do not pass a connection with a
            successor, since it needs no warning.
        now: The instant, in UTC.
        lead_times: How long before the end each warning is due.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.

    Returns:
        The warnings that are due, the earliest first.

    Raises:
        ArgumentError: `now` is not a UTC instant, or a lead time is below one second or not in
            whole seconds.
    """
    check_instant("now", now)
    if any(lead < _SECOND or lead % _SECOND for lead in lead_times):
        raise ArgumentError("lead_times", "whole seconds, at least one")
    since, ends_at = connection.authorized_at, connection.expires_at
    if since is None or ends_at is None or deadline_kind(connection, era=era) is not EXPIRY:
        return ()
    # Compare spans, not instants: a lead time may reach back before the first instant.
    granted, left = ends_at - since, ends_at - now
    return tuple(
        ExpiryNotice(f"{connection.id}.ends-in.{lead // _SECOND}", ends_at - lead, ends_at)
        for lead in sorted(set(lead_times), reverse=True)
        if timedelta() < left <= lead <= granted
    )


def _to_preview(trigger: Trigger, answer: Transition | Recovery) -> TriggerPreview:
    refused = answer if isinstance(answer, Refused) else None
    return TriggerPreview(
        trigger=trigger,
        outcome=PreviewOutcome(type(answer).__name__.lower()),
        refused=refused,
        rules=answer.rules,
    )
