"""Checks of connections: how one gets into a standing, and what each trigger does to it.

The law of this module: **one check shows one row**, and expects what the published table says;
what a row's outcome means on the wire is written here.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from functools import partial
from typing import Final

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.outcomes import Ignore, MoveTo, RefuseWith
from curae_lifecycle.rules.triggers import TRIGGERS, RecordExpiry, Recover, Trigger
from curae_lifecycle.testing.conformance.client import (
    CREATED,
    App,
    Document,
    expect,
    expect_problem,
    expect_said,
    id_of,
    lifetime,
    member,
    new_app,
    require,
    same,
    status_of,
    success,
)
from curae_lifecycle.testing.conformance.steps import (
    Check,
    Kit,
    NotConformingError,
    Steps,
    send,
    use,
    wait,
)

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
"""How each standing is spelled; ACTIVE in either spelling is read as ACTIVE."""

BRINGS: Final[dict[Standing, tuple[str, ...]]] = {
    Standing.PENDING: (),
    Standing.LAPSED: ("pass_time",),
    Standing.ACTIVE: ("authorize",),
    Standing.ACTION_REQUIRED: ("require_action",),
    Standing.EXPIRED: ("authorize", "expire"),
    Standing.REVOKED: (),
}
"""The hooks that bring a connection into a standing."""


def bring(app: App, standing: Standing, user: str | None = None) -> Steps[str]:
    """A new connection in a standing; its id comes back."""
    where = f"create a connection that is to be {standing}"
    made = yield from success(app.create(user or app.names.word("user")), CREATED, where)
    connection_id = str(member(made, "connection.id", where))
    yield from move(app, connection_id, standing, lifetime(made, where))
    return connection_id


def new_connection(kit: Kit, standing: Standing = Standing.PENDING) -> Steps[tuple[App, str]]:
    """A new app with a connection in a standing; the app and the id come back."""
    app = yield from new_app(kit)
    return app, (yield from bring(app, standing))


def move(app: App, connection_id: str, standing: Standing, lapse: timedelta) -> Steps[None]:
    """Bring a pending connection into a standing; its hand-off lives for `lapse`."""
    where = f"the connection {connection_id}, which is to be {standing}"
    match standing:
        case Standing.PENDING:
            return
        case Standing.LAPSED:
            yield from wait(lapse + MOMENT)
        case Standing.ACTIVE:
            expect_said((yield from use("authorize", connection_id, None)), "done", where)
        case Standing.ACTION_REQUIRED:
            expect_said((yield from use("require_action", connection_id, REASON)), "done", where)
        case Standing.EXPIRED:
            expect_said((yield from use("authorize", connection_id, None)), "done", where)
            expect_said((yield from use("expire", connection_id)), "done", where)
        case Standing.REVOKED:
            yield from app.revoked(connection_id)
    yield from app.shows(connection_id, WIRE[standing], "the status", where)


def passes(*standings: Standing) -> timedelta:
    """How much time it takes to bring connections into these standings."""
    return (HALF_AN_HOUR + MOMENT) * standings.count(Standing.LAPSED)


NAMED: Final = {
    Trigger.AUTHORIZE: frozenset({"authorizedAt", "expiresAt"}),
    Trigger.REQUIRE_ACTION: frozenset({"actionRequiredReason"}),
    Trigger.EXPIRE: frozenset[str](),
    Trigger.REVOKE: frozenset({"revokedAt"}),
}
"""The members that an trigger may set, beside the status and `updatedAt`."""


def changed(before: Document, after: Document) -> frozenset[str]:
    """The members that differ."""
    names = before.keys() | after.keys()
    return frozenset([name for name in names if before.get(name) != after.get(name)])


def changes(
    app: App, before: Document, names: Collection[str], what: str, where: str
) -> Steps[None]:
    """Read a connection again and raise unless these members alone differ."""
    same(changed(before, (yield from app.seen(id_of(before)))), names, what, where)


def _trigger(trigger: Trigger, standing: Standing, kit: Kit) -> Steps[None]:
    app, connection_id = yield from new_connection(kit, standing)
    where = f"{trigger} on the connection {connection_id}, which is {standing}"
    before = yield from app.seen(connection_id)
    outcome = TRIGGERS[trigger, standing].outcome
    if trigger is Trigger.REVOKE:
        answer = yield from app.revoked(connection_id)
        same(member(answer, "revokedNow", where), outcome != Ignore(), "revokedNow", where)
    elif trigger is Trigger.RECONNECT:
        yield from _reconnects(app, connection_id, outcome, where)
    else:
        said = yield from _report(trigger, connection_id)
        expected = outcome.code if isinstance(outcome, RefuseWith) else "done"
        quiet = isinstance(outcome, Ignore | RecordExpiry)
        expect_said(said, "ignored" if quiet else expected, where)
    after = yield from app.seen(connection_id)
    if isinstance(outcome, MoveTo):
        same(status_of(after, where), outcome.to, "the status", where)
        beyond = changed(before, after) - NAMED[trigger] - {"status", "updatedAt"}
        if beyond:
            names = ", ".join(sorted(beyond))
            raise NotConformingError(f"it changed members that it does not name: {names}", where)
    elif changed(before, after):
        names = ", ".join(sorted(changed(before, after)))
        raise NotConformingError(f"it changed {names} although nothing was to change", where)


def _report(trigger: Trigger, connection_id: str) -> Steps[str | None]:
    if trigger is Trigger.AUTHORIZE:
        return (yield from use("authorize", connection_id, HOUR))
    if trigger is Trigger.REQUIRE_ACTION:
        return (yield from use("require_action", connection_id, "another_reason"))
    return (yield from use("expire", connection_id))


def _reconnects(app: App, connection_id: str, outcome: object, where: str) -> Steps[None]:
    response = yield from send(app.reconnect(connection_id))
    if isinstance(outcome, RefuseWith):
        details = expect_problem(response, 409, outcome.code, where)
        expected = {"connectionId": connection_id, "reason": outcome.reason}
        same(dict(details), expected, "details", where)
        return
    answer = expect(response, CREATED, where)
    same(member(answer, "connection.status", where), "PENDING", "the new status", where)
    same(member(answer, "previousConnectionId", where), connection_id, "previous", where)
    require(
        member(answer, "connection.id", where) != connection_id,
        "the recovery has the old id",
        where,
    )


_REPORTS: Final = {
    Trigger.AUTHORIZE: ("authorize",),
    Trigger.REQUIRE_ACTION: ("require_action",),
    Trigger.EXPIRE: ("expire",),
    Trigger.REVOKE: (),
    Trigger.RECONNECT: (),
}

_TRIGGER_LAWS: Final = {
    MoveTo: (1,),
    Ignore: (11,),
    RefuseWith: (11,),
    Recover: (6,),
    RecordExpiry: (1,),
}


CHECKS: Final = [
    Check(
        row.rule,
        f"{trigger} on a connection that is {standing}: {row.outcome}.",
        partial(_trigger, trigger, standing),
        laws=(2,) if trigger is Trigger.REVOKE else _TRIGGER_LAWS[type(row.outcome)],
        rules=(row.rule,),
        hooks=tuple(dict.fromkeys((*BRINGS[standing], *_REPORTS[trigger]))),
        passes=passes(standing),
    )
    for (trigger, standing), row in TRIGGERS.items()
]
