"""Vectors of access: who may read, until when, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from curae_lifecycle.rules.access import ACCESS, Granted, PackageGrant, decide_access
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.values import add_microseconds, format_time
from docs.generate.vectors.cases import (
    BOUNDARY,
    START,
    Case,
    cell_id,
    make_case,
    stored,
    time_or_null,
)
from docs.generate.vectors.connections import AT, END, LATER, NOW, PACKAGES, make


def accesses() -> Iterator[Case]:
    """Yield access decisions for each standing and package, also around the end."""
    for at, package in ACCESS:
        status, now = AT[at]
        name = PACKAGES[0] if package is PackageGrant.GRANTED else "genome"
        yield access_case(
            cell_id(ACCESS.name, (at, package)), connection=make(status), package=name, now=now
        )
    for word, ticks in BOUNDARY.items():
        yield access_case(
            f"access/boundary/{word}",
            connection=make(Status.ACTIVE),
            package=PACKAGES[0],
            now=add_microseconds(END, ticks),
        )
    yield access_case(
        "access/no-end", connection=make(Status.ACTIVE, None), package=PACKAGES[1], now=LATER
    )
    yield access_case(
        "access/other-era",
        connection=make(Status.ACTIVE),
        package=PACKAGES[0],
        now=NOW,
        era=START,
    )


def access_case(
    id: str,  # noqa: A002 - see `Case`
    connection: Connection,
    package: str,
    now: datetime,
    era: datetime | None = None,
) -> Case:
    """Return the case of one access decision."""
    given = {
        "connection": stored(connection),
        "era": time_or_null(era),
        "dataPackage": package,
        "now": format_time(now),
    }
    decision = decide_access(connection, package, now, era=era)
    rules = (decision.rule,)
    if isinstance(decision, Granted):
        until = time_or_null(decision.valid_until)
        return make_case(id, given, {"outcome": "granted", "validUntil": until, "rules": rules})
    return make_case(id, given, {"outcome": "denied", "reason": decision.reason, "rules": rules})
