"""Vectors of clocks that disagree, and of instants that are reported late.

The law of this module: **a stored instant is never undone by a clock**. A clock that is behind a
connection is raised to its last write; a reported instant is kept within its bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    HOUR,
    LAST_INSTANT,
    MINUTE,
    add_microseconds,
)
from docs.generate.vectors.access import access_case
from docs.generate.vectors.cases import BOUNDARY, START, Case
from docs.generate.vectors.connections import (
    AUTHORIZED,
    END,
    LATER,
    NOW,
    PACKAGES,
    drive,
    make,
    standing_case,
)

_BEHIND: Final = "The clock is behind the last write, so it is raised to it."
_AFTER_END: Final = add_microseconds(END, MINUTE)


def _moved(connection: Connection, updated_at: datetime) -> Connection:
    return attrs.evolve(connection, updated_at=updated_at)


def standings() -> Iterator[Case]:
    """Yield standings by a clock that is behind the last write; a read is not raised to it."""
    for status, name in _NAMES.items():
        yield standing_case(
            f"standing/clock-behind/{status}",
            connection=_moved(make(status), _AFTER_END),
            now=NOW,
            rule=f"standing.{name}",
            comment="A read asks at its own clock.",
        )


_NAMES: Final = {
    Status.PENDING: "pending",
    Status.ACTIVE: "active",
    Status.ACTION_REQUIRED: "action-required",
}


def accesses() -> Iterator[Case]:
    """Yield access decisions by a clock that is behind the last write."""
    yield access_case(
        "access/clock-behind",
        connection=_moved(make(Status.ACTIVE), _AFTER_END),
        package=PACKAGES[0],
        now=NOW,
    )
    yield access_case(
        "access/contradiction",
        connection=attrs.evolve(make(Status.ACTIVE), revoked_at=AUTHORIZED),
        package=PACKAGES[0],
        now=NOW,
    )


def triggers() -> Iterator[Case]:
    """Yield triggers whose instants are late, ahead or before the last write."""
    for trigger in Trigger:
        yield drive(
            f"connection/clocks/{trigger}/behind-its-deadline",
            trigger=trigger,
            connection=_moved(make(Status.ACTIVE), _AFTER_END),
            now=NOW,
            comment=_BEHIND,
        )
    for trigger in (Trigger.AUTHORIZE, Trigger.REQUIRE_ACTION, Trigger.EXPIRE, Trigger.REVOKE):
        status = Status.PENDING if trigger is Trigger.AUTHORIZE else Status.ACTIVE
        written = _moved(make(status), NOW)
        behind = add_microseconds(NOW, -MINUTE)
        for name, happened in (
            ("before-the-last-write", add_microseconds(NOW, -10 * MINUTE)),
            ("at-the-last-write", NOW),
            ("five-minutes-after-the-last-write", add_microseconds(NOW, CLOCK_TOLERANCE)),
            ("too-long-after-the-last-write", add_microseconds(NOW, CLOCK_TOLERANCE + 1)),
            ("before-its-making", add_microseconds(START, -HOUR)),
        ):
            yield drive(
                f"connection/clocks/{trigger}/behind/{name}",
                trigger=trigger,
                connection=written,
                now=behind,
                happened=happened,
                comment="The bounds of a reported instant count from the raised clock.",
            )
    for word, ticks in BOUNDARY.items():
        yield drive(
            f"connection/expires-at/late/{word}",
            trigger=Trigger.AUTHORIZE,
            connection=make(Status.PENDING),
            now=LATER,
            happened=NOW,
            expires=add_microseconds(NOW, ticks),
            comment="The end is compared with the authorization, not with its recording.",
        )
    for status in Status:
        yield drive(
            f"connection/expires-at/mistake/{status}",
            trigger=Trigger.AUTHORIZE,
            connection=make(status),
            now=NOW,
            expires=NOW,
            comment="It is a caller's mistake, whatever the connection is.",
        )
    yield drive(
        "connection/expires-at/none",
        trigger=Trigger.AUTHORIZE,
        connection=make(Status.PENDING),
        now=NOW,
        expires=None,
    )
    yield drive(
        "connection/authorize/two-mistakes",
        trigger=Trigger.AUTHORIZE,
        connection=make(Status.PENDING),
        now=NOW,
        happened=add_microseconds(NOW, CLOCK_TOLERANCE + 1),
        expires=START,
    )
    for trigger in Trigger:
        for status in Status:
            if status is not Status.REVOKED:
                yield drive(
                    f"connection/contradiction/{trigger}/{status}",
                    trigger=trigger,
                    connection=attrs.evolve(make(status), revoked_at=AUTHORIZED),
                    now=NOW,
                    comment="A contradiction fails closed: what carries a `revokedAt` is REVOKED.",
                )


def recoveries() -> Iterator[Case]:
    """Yield reconnects whose connection or successor was written by a clock that was ahead."""
    ahead = add_microseconds(NOW, MINUTE)
    expired = make(Status.EXPIRED)
    pending = make(Status.PENDING, number=2, after=1)
    for name, connection, successor in (
        ("predecessor-ahead", _moved(expired, ahead), pending),
        ("successor-ahead", expired, _moved(pending, ahead)),
        ("both-ahead", _moved(expired, add_microseconds(ahead, MINUTE)), _moved(pending, ahead)),
        ("successor-ahead-of-its-deadline", expired, _moved(pending, _AFTER_END)),
        ("predecessor-ahead-of-the-successor-deadline", _moved(expired, _AFTER_END), pending),
    ):
        yield drive(
            f"recovery/clocks/{name}",
            trigger=Trigger.RECONNECT,
            connection=connection,
            now=NOW,
            successor=successor,
            head=successor,
            comment="The predecessor's last write does not count for its successor.",
        )
    a_year = 365 * 24 * HOUR
    yield drive(
        "recovery/clocks/successor-ahead-of-its-next-action",
        trigger=Trigger.RECONNECT,
        connection=expired,
        now=NOW,
        successor=attrs.evolve(
            _moved(pending, add_microseconds(NOW, a_year)),
            handoff_deadline=add_microseconds(NOW, a_year + 1),
        ),
        comment="The deadline moves by as much as the clock is raised.",
    )
    yield drive(
        "recovery/clocks/predecessor-ahead-at-the-last-instant",
        trigger=Trigger.RECONNECT,
        connection=_moved(expired, LAST_INSTANT),
        now=NOW,
        comment="The deadline moves at most to the last instant.",
    )
    yield drive(
        "recovery/clocks/predecessor-ahead-alone",
        trigger=Trigger.RECONNECT,
        connection=_moved(expired, ahead),
        now=NOW,
        comment=_BEHIND,
    )
    yield drive(
        "recovery/clocks/predecessor-ahead-of-its-own-deadline",
        trigger=Trigger.RECONNECT,
        connection=_moved(make(Status.ACTIVE), _AFTER_END),
        now=NOW,
        comment=_BEHIND,
    )


def authorizations() -> Iterator[Case]:
    """Yield late authorizations of a connection with a successor, by its state when recorded."""
    pending = make(Status.PENDING, END, number=2, after=1)
    for name, now, successor in (
        ("successor-that-lapsed-since", LATER, pending),
        ("successor-ahead-of-its-deadline", NOW, _moved(pending, _AFTER_END)),
        ("successor-still-pending", NOW, pending),
    ):
        yield drive(
            f"authorization/late/{name}",
            trigger=Trigger.AUTHORIZE,
            connection=make(Status.PENDING),
            now=now,
            happened=add_microseconds(START, MINUTE),
            successor=successor,
            comment="The successor is looked at when the authorization is recorded.",
        )
    yield drive(
        "authorization/another-era",
        trigger=Trigger.AUTHORIZE,
        connection=make(Status.PENDING),
        now=NOW,
        successor=pending,
        head=pending,
        era=START,
    )
