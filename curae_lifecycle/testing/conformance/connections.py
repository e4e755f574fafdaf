"""Checks of what each trigger does to a connection in each standing.

The law of this module: **each check shows one table row**. The check expects the outcome that the
table states, and this module says what that outcome means on the wire.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.outcomes import Ignore, MoveTo, RefuseWith
from curae_lifecycle.rules.problems import CATALOGUE, Problem
from curae_lifecycle.rules.triggers import TRIGGERS, RecordExpiry, Recover, Trigger
from curae_lifecycle.service.operations.registry import OPERATION_BY_TRIGGER
from curae_lifecycle.service.status import status_of
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check, row_check
from curae_lifecycle.testing.conformance.client import App, Document, require, same, success
from curae_lifecycle.testing.conformance.operation_requests import build_request, member_values
from curae_lifecycle.testing.conformance.steps import NotConformingError, Steps, send, wait
from curae_lifecycle.testing.conformance.triggers import fire, hook_of, settable_members

REASON: Final = "portal_login"
NOTHING: Final = frozenset[str]()
NO_TIME: Final = timedelta(0)
HALF_AN_HOUR: Final = timedelta(minutes=30)
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
MOMENT: Final = timedelta(seconds=1)

WIRE: Final = {
    Standing.PENDING: "PENDING",
    Standing.LAPSED: "EXPIRED",
    Standing.ACTIVE: "ACTIVE",
    Standing.ACTION_REQUIRED: "ACTION_REQUIRED",
    Standing.EXPIRED: "EXPIRED",
    Standing.REVOKED: "REVOKED",
}
"""The status that a response shows for a connection in each standing.

A standing is the state of a connection at an instant. The checks read AUTHORIZED as ACTIVE.
"""

BRINGS: Final[dict[Standing, tuple[str, ...]]] = {
    Standing.PENDING: (),
    Standing.LAPSED: ("pass_time",),
    Standing.ACTIVE: ("authorize",),
    Standing.ACTION_REQUIRED: ("authorize", "require_action"),
    Standing.EXPIRED: ("authorize", "expire"),
    Standing.REVOKED: (),
}
"""The hooks (functions of the server) that bring a pending connection into each standing."""


def create_in_standing(
    app: App, standing: Standing = Standing.PENDING, user: str | None = None
) -> Steps[str]:
    """Create a connection, bring it into a standing, such as EXPIRED, and return its id.

    Args:
        app: The app that creates the connection.
        standing: The standing to reach.
        user: The app user of the connection; a fresh one by default.
    """
    connection_id, made = yield from create_pending(app, user)
    yield from move(app, connection_id, standing, lapse=client.lifetime(made))
    return connection_id


def create_pending(app: App, user: str | None = None) -> Steps[tuple[str, Document]]:
    """Create a connection, raise unless that succeeds, and return its id and the response's body.

    Args:
        app: The app that creates the connection.
        user: The app user of the connection; a fresh one by default.
    """
    made = yield from success(app.create(user or app.names.word("user")), client.CREATED)
    return client.text(made, "connection.id"), made


def move(
    app: App, connection_id: str, standing: Standing, *, lapse: timedelta = HALF_AN_HOUR
) -> Steps[None]:
    """Bring a pending connection into a standing, such as EXPIRED, by facts, requests or waiting.

    Raises `NotConformingError` if the server then shows another status than that of the standing.

    Args:
        app: The app of the connection.
        connection_id: The id of the connection.
        standing: The standing to reach. For PENDING nothing is done.
        lapse: How long the hand-off of the connection is valid; used for LAPSED only.
    """
    match standing:
        case Standing.PENDING:
            return
        case Standing.LAPSED:
            yield from wait(lapse + MOMENT)
        case Standing.ACTIVE:
            yield from client.record_by_hook("authorize", connection_id, None)
        case Standing.ACTION_REQUIRED:
            yield from client.record_by_hook("authorize", connection_id, None)
            yield from client.record_by_hook("require_action", connection_id, REASON)
        case Standing.EXPIRED:
            yield from client.record_by_hook("authorize", connection_id, None)
            yield from client.record_by_hook("expire", connection_id)
        case Standing.REVOKED:
            yield from app.revoked(connection_id)
    yield from app.shows(connection_id, WIRE[standing])


def time_needed(*standings: Standing) -> timedelta:
    """Estimate how much time must pass to bring one connection into each of `standings`.

    A standing is the state of a connection at an instant. Each LAPSED in `standings` counts as half
    an hour and a second: the kit assumes that a hosted page of any server is valid for half an
    hour. The others take no time.
    """
    return (HALF_AN_HOUR + MOMENT) * standings.count(Standing.LAPSED)


def expected_outcome(outcome: object) -> str:
    """Convert the outcome in a table row to the text that a hook must report for it.

    The hook is the function of the server that records the row's fact.

    Returns:
        `done`, `ignored` or a problem code.
    """
    if isinstance(outcome, RefuseWith):
        return outcome.code
    return "ignored" if isinstance(outcome, Ignore | RecordExpiry) else "done"


def changed(before: Document, after: Document) -> frozenset[str]:
    """Return the names of the members that differ between two JSON objects of a connection."""
    names = before.keys() | after.keys()
    return frozenset([name for name in names if before.get(name) != after.get(name)])


def stays(app: App, before: Document) -> Steps[None]:
    """Read a connection again, and raise if a member differs from those in `before`.

    `before` is the connection's earlier JSON object.
    """
    what = f"the set of changed members of connection {client.id_of(before)}"
    same(changed(before, (yield from app.seen(client.id_of(before)))), NOTHING, what)


def _trigger(trigger: Trigger, standing: Standing, app: App) -> Steps[None]:
    connection_id = yield from create_in_standing(app, standing)
    before = yield from app.seen(connection_id)
    outcome = TRIGGERS[trigger, standing].outcome
    if trigger in OPERATION_BY_TRIGGER:
        yield from _ask(trigger, connection_id, outcome, app=app)
    else:
        client.expect_outcome((yield from fire(trigger, connection_id)), expected_outcome(outcome))
    after = yield from app.seen(connection_id)
    if isinstance(outcome, MoveTo):
        same(client.status_of(after), outcome.to, "the status")
        beyond = changed(before, after) - settable_members(trigger) - {"status", "updatedAt"}
        if beyond:
            names = ", ".join(sorted(beyond))
            raise NotConformingError(f"{trigger} changed members that it may not change: {names}")
    elif changed(before, after):
        names = ", ".join(sorted(changed(before, after)))
        raise NotConformingError(f"{trigger} changed {names} although it must change nothing")


def _ask(trigger: Trigger, connection_id: str, outcome: object, *, app: App) -> Steps[None]:
    """Send the request that fires a trigger, and compare its response with the outcome."""
    kind = OPERATION_BY_TRIGGER[trigger]
    response = yield from send(build_request(app, kind, member_values(connection_id)))
    if isinstance(outcome, RefuseWith):
        status = status_of(Problem(outcome.code))
        details = client.expect_problem(response, status, outcome.code)
        known: Document = {"connectionId": connection_id, "reason": outcome.reason}
        keys = CATALOGUE[outcome.code].outcome.details
        same(dict(details), {key: known.get(key, details.get(key)) for key in keys}, "details")
        return
    answer = client.expect(response, kind.rule.status)
    if trigger is Trigger.REVOKE:
        same(client.member(answer, "revokedNow"), outcome != Ignore(), "revokedNow")
    if isinstance(outcome, Recover):
        _check_recovery(answer, connection_id)


def _check_recovery(answer: Document, connection_id: str) -> None:
    same(client.member(answer, "connection.status"), "PENDING", "the status of the recovery")
    same(client.member(answer, "previousConnectionId"), connection_id, "previousConnectionId")
    require(client.member(answer, "connection.id") != connection_id, "the recovery has the old id")


_TRIGGER_LAWS: Final = {
    MoveTo: (1,),
    Ignore: (11,),
    RefuseWith: (11,),
    Recover: (6,),
    RecordExpiry: (1,),
}


def checks() -> list[Check]:
    """Return one check for each row of the table `connection`.

    Each row says what a trigger, such as revoke, does to a connection in one standing, such as
    EXPIRED.
    """
    return [
        row_check(
            row,
            f"{trigger} on a connection that is {standing}",
            partial(_trigger, trigger, standing),
            laws=(2,) if trigger is Trigger.REVOKE else _TRIGGER_LAWS[type(row.outcome)],
            hooks=(
                *BRINGS[standing],
                *(() if trigger in OPERATION_BY_TRIGGER else (hook_of(trigger),)),
            ),
            time_needed=time_needed(standing),
        )
        for (trigger, standing), row in TRIGGERS.items()
    ]


CHECKS: Final = checks()
