"""Looking ahead: what may be done to a connection now, and which warnings of its end are due.

The law of this module: **it asks the very calls**, and changes nothing. A screen that greys a
button out shows what the call would be answered at that instant [O].
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.chain import Recovery, reconnect
from curae_lifecycle.rules.connection import EXPIRY, Actor, Connection, deadline_kind
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.triggers import Transition, Trigger
from curae_lifecycle.rules.values import LAST_INSTANT, NextAction, check_instant


class PreviewOutcome(StrEnum):
    """What a trigger would answer."""

    DONE = "done"
    IGNORED = "ignored"
    REFUSED = "refused"


@attrs.frozen
class TriggerPreview:
    """What a trigger, a fact or an operation of the same name, would answer if it came now.

    `refused` is the very refusal, where it would be one; `rules` name what would decide, in order.

    Attributes:
        trigger: Which trigger.
        outcome: `done`, `ignored` or `refused`.
        refused: The refusal, where it is one.
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
        id: The same for ever, so that each warning is sent once.
        due_at: From when on it is due.
        ends_at: When the authorization ends.
    """

    id: str
    due_at: datetime
    ends_at: datetime


_SECOND: Final = timedelta(seconds=1)
DEFAULT_LEAD_TIMES: Final = (timedelta(days=30), timedelta(days=7))
"""How long before its end a patient is warned of it, unless the server says otherwise [O]."""


def preview_triggers(
    connection: Connection,
    now: datetime,
    successor: Connection | None = None,
    head: Connection | None = None,
) -> tuple[TriggerPreview, ...]:
    """What each fact and operation on a connection would answer at `now` [O].

    It is asked with its successor and the head of its chain, as `authorize` and `reconnect` are.

    Returns:
        One for each `Trigger`, in their order. A get is always answered.
    """
    # Of what a call is given besides, nothing decides: no reason, no actor, no next action.
    action = NextAction("", LAST_INSTANT)
    answers: dict[Trigger, Transition | Recovery] = {
        Trigger.AUTHORIZE: triggers.authorize(connection, now, successor=successor, head=head),
        Trigger.REQUIRE_ACTION: triggers.require_action(connection, now, reason=""),
        Trigger.EXPIRE: triggers.expire(connection, now),
        Trigger.REVOKE: triggers.revoke(connection, now, actor=Actor.APP),
        Trigger.RECONNECT: reconnect(
            connection, successor, now, id=connection.id, next_action=action, head=head
        ),
    }
    return tuple([_prospect(*each) for each in answers.items()])


def find_due_notices(
    connection: Connection, now: datetime, lead_times: tuple[timedelta, ...] = DEFAULT_LEAD_TIMES
) -> tuple[ExpiryNotice, ...]:
    """Which warnings of the authorization's end are due at `now` [O].

    One that would have been due before the patient authorized is left out: who authorizes for a
    week is not warned a month ahead. Once the authorization is over nothing is due.

    Args:
        connection: The head of a chain; whatever was recovered needs no warning.
        now: The instant that is asked about.
        lead_times: How long before the end each warning is due.

    Returns:
        The warnings that are due, the earliest first.

    Raises:
        ArgumentError: `now` is no UTC instant, or a lead is no whole second, or below one.
    """
    check_instant("now", now)
    if any(lead < _SECOND or lead % _SECOND for lead in lead_times):
        raise ArgumentError("lead_times", "whole seconds, at least one")
    since, ends_at = connection.authorized_at, connection.expires_at
    if since is None or ends_at is None or deadline_kind(connection) is not EXPIRY:
        return ()
    # Spans are compared, not instants: a lead may be longer than there are years.
    granted, left = ends_at - since, ends_at - now
    return tuple(
        ExpiryNotice(f"{connection.id}.ends-in.{lead // _SECOND}", ends_at - lead, ends_at)
        for lead in sorted(set(lead_times), reverse=True)
        if timedelta() < left <= lead <= granted
    )


def _prospect(trigger: Trigger, answer: Transition | Recovery) -> TriggerPreview:
    refused = answer if isinstance(answer, Refused) else None
    return TriggerPreview(
        trigger=trigger,
        outcome=PreviewOutcome(type(answer).__name__.lower()),
        refused=refused,
        rules=answer.rules,
    )
