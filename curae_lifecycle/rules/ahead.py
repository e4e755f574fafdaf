"""Looking ahead: what may be done to a connection now, and which warnings of its end are due.

The law of this module: **it answers from the tables that decide**, and changes nothing. A screen
that greys a button out shows what the very call would be answered at that instant [O].
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.chain import RECOVERY
from curae_lifecycle.rules.connection import (
    EXPIRY,
    Connection,
    recorded_at,
    standing_at,
    waits_for,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Ignore, Proceed, Refused, RefuseWith
from curae_lifecycle.rules.tables import Row
from curae_lifecycle.rules.triggers import (
    AUTHORIZATION,
    AUTHORIZE,
    EXPIRY_RECORD,
    RECONNECT,
    TRIGGERS,
    RecordExpiry,
    Recover,
    Trigger,
    problem_of,
    successor_kind,
)
from curae_lifecycle.rules.values import check_instant


class Expected(StrEnum):
    """What a trigger would answer."""

    DONE = "done"
    IGNORED = "ignored"
    REFUSED = "refused"


@attrs.frozen
class Prospect:
    """What one trigger would answer if it came now.

    Attributes:
        trigger: What would happen: a fact, or an operation of the same name.
        expected: Done, ignored or refused.
        refused: The very refusal, where it would be one.
        rules: The names of the rules that would decide, in order.
    """

    trigger: Trigger
    expected: Expected
    refused: Refused | None
    rules: tuple[str, ...]


@attrs.frozen
class Notice:
    """A warning that an authorization is about to end.

    Attributes:
        name: The same for ever, so that each warning is sent once.
        due_at: From when on it is due.
        ends_at: When the authorization ends.
    """

    name: str
    due_at: datetime
    ends_at: datetime


_SECOND: Final = timedelta(seconds=1)
DEFAULT_LEADS: Final = (timedelta(days=30), timedelta(days=7))
"""How long before its end a patient is warned of it, unless the server says otherwise [O]."""


def allowed(
    connection: Connection,
    now: datetime,
    successor: Connection | None = None,
    head: Connection | None = None,
) -> tuple[Prospect, ...]:
    """What each fact and operation on a connection would answer at `now` [O].

    Args:
        connection: The connection as stored.
        now: The instant that is asked about.
        successor: The connection that recovered it, where there is one.
        head: The last connection of its chain, where that is another than the successor.

    Returns:
        One for each `Trigger`, in their order. A get is always answered.
    """
    return tuple([_prospect(each, connection, now, successor, head) for each in Trigger])


def notices(
    connection: Connection, now: datetime, leads: tuple[timedelta, ...] = DEFAULT_LEADS
) -> tuple[Notice, ...]:
    """Which warnings of the authorization's end are due at `now` [O].

    One that would have been due before the patient authorized is left out: who authorizes for a
    week is not warned a month ahead. Once the authorization is over nothing is due.

    Args:
        connection: The head of a chain; whatever was recovered needs no warning.
        now: The instant that is asked about.
        leads: How long before the end each warning is due.

    Returns:
        The warnings that are due, the earliest first.

    Raises:
        ArgumentError: `now` is no UTC instant, or a lead is no whole second, or below one.
    """
    check_instant("now", now)
    if any(lead < _SECOND or lead % _SECOND for lead in leads):
        raise ArgumentError("leads", "whole seconds, at least one")
    since, ends_at = connection.authorized_at, connection.expires_at
    if since is None or ends_at is None or waits_for(connection) is not EXPIRY:
        return ()
    # Spans are compared, not instants: a lead may be longer than there are years.
    granted, left = ends_at - since, ends_at - now
    return tuple(
        Notice(f"{connection.id}.ends-in.{lead // _SECOND}", ends_at - lead, ends_at)
        for lead in sorted(set(leads), reverse=True)
        if timedelta() < left <= lead <= granted
    )


def _prospect(
    trigger: Trigger,
    connection: Connection,
    now: datetime,
    successor: Connection | None,
    head: Connection | None,
) -> Prospect:
    # The call itself takes what the values have seen for now, where `now` is behind it.
    at = recorded_at(connection, now)
    if trigger is RECONNECT and successor is not None:
        at = recorded_at(successor, at)
    stands = standing_at(connection, at)
    rows: list[Row[object]] = [TRIGGERS[trigger, stands]]
    if trigger is AUTHORIZE:
        chain = AUTHORIZATION[successor_kind(successor, at)]
        rows = rows if isinstance(chain.outcome, Proceed) else [chain]
    if isinstance(rows[-1].outcome, RecordExpiry):
        rows.append(EXPIRY_RECORD[connection.status])
    if isinstance(rows[-1].outcome, Recover):
        rows.append(RECOVERY[stands, successor_kind(successor, at)])
    rules = tuple(row.rule for row in rows)
    match rows[-1].outcome:
        case RefuseWith() as refuse:
            problem = problem_of(refuse, connection, at, successor, head)
            return Prospect(trigger, Expected.REFUSED, Refused(problem, rules), rules)
        case Ignore():
            return Prospect(trigger, Expected.IGNORED, None, rules)
        case _:
            return Prospect(trigger, Expected.DONE, None, rules)
