"""Checks of what a connection is at an instant, and of who may read over it then."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from curae_lifecycle.rules.access import ACCESS, Grant, PackageGrant
from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.testing.conformance.check import Check, Checks, row_check
from curae_lifecycle.testing.conformance.client import (
    CREATED,
    PACKAGES,
    App,
    as_document,
    happens,
    id_of,
    instant,
    lifetime,
    member,
    require,
    same,
    status_of,
    success,
)
from curae_lifecycle.testing.conformance.connections import (
    BRINGS,
    HALF_AN_HOUR,
    HOUR,
    MINUTE,
    MOMENT,
    NOTHING,
    REASON,
    bring,
    changed,
    changes,
    move,
    passes,
)
from curae_lifecycle.testing.conformance.steps import Steps, ask, use, wait

ALMOST: Final = timedelta(seconds=5)
"""How far a check keeps from a boundary that it must not cross."""


CHECKS: Final = Checks()


@CHECKS.add("standing.pending", rules=("standing.pending", "wire-status.pending"))
def _pending(app: App) -> Steps[None]:
    """A new connection is PENDING and has nothing set that has not happened."""
    where = "create a connection"
    made = yield from success(app.create("user"), CREATED, where)
    connection_id = str(member(made, "connection.id", where))
    seen = yield from app.seen(connection_id)
    same(member(made, "connection", where), seen, "what was created", "read again")
    for name in ("authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"):
        same(member(seen, name, where), None, name, where)
    same(member(seen, "updatedAt", where), member(seen, "createdAt", where), "updatedAt", where)
    same(status_of(seen, where), "PENDING", "the status", where)


@CHECKS.add(
    "standing.lapsed",
    laws=(4,),
    rules=("deadline.pending", "standing.pending", "standing.lapsed", "wire-status.lapsed"),
    hooks=("pass_time",),
    passes=HALF_AN_HOUR,
)
def _pending_until_it_lapses(app: App) -> Steps[None]:
    """A pending connection is over at its deadline, shows as EXPIRED, and not before."""
    where = "create a connection"
    made = yield from success(app.create("user"), CREATED, where)
    connection_id = str(member(made, "connection.id", where))
    lapse = lifetime(made, where)
    yield from wait(lapse - ALMOST)
    before = yield from app.seen(connection_id)
    same(status_of(before, where), "PENDING", "the status", f"{ALMOST} before its deadline")
    yield from wait(ALMOST)
    after = yield from app.seen(connection_id)
    same(status_of(after, where), "EXPIRED", "the status", "at its deadline")
    same(changed(before, after), {"status"}, "what changed", "at its deadline")


@CHECKS.add(
    "standing.active", rules=("standing.active", "wire-status.active"), hooks=("authorize",)
)
def _authorized(app: App) -> Steps[None]:
    """An authorized connection is ACTIVE and tells since when and until when."""
    connection_id = id_of((yield from app.created()))
    yield from use("authorize", connection_id, HOUR)
    where = f"the connection {connection_id}, authorized for {HOUR}"
    seen = yield from app.seen(connection_id)
    same(status_of(seen, where), "ACTIVE", "the status", where)
    span = instant(seen, "expiresAt", where) - instant(seen, "authorizedAt", where)
    require(HOUR - ALMOST <= span <= HOUR + ALMOST, f"it is authorized for {span}", where)
    require(
        instant(seen, "authorizedAt", where) >= instant(seen, "createdAt", where),
        "it was authorized before it was created",
        where,
    )
    unending = id_of((yield from app.created()))
    yield from use("authorize", unending, None)
    seen = yield from app.seen(unending)
    where = f"the connection {unending}, authorized without an end"
    same(status_of(seen, where), "ACTIVE", "the status", where)
    same(member(seen, "expiresAt", where), None, "expiresAt", where)


def _over(action_required: bool, app: App) -> Steps[None]:  # noqa: FBT001 - which of two rows
    connection_id = id_of((yield from app.created()))
    yield from use("authorize", connection_id, HOUR)
    if action_required:
        yield from use("require_action", connection_id, REASON)
    where = f"the connection {connection_id}, authorized for {HOUR}"
    yield from wait(HOUR - ALMOST)
    before = yield from app.seen(connection_id)
    live = "ACTION_REQUIRED" if action_required else "ACTIVE"
    same(status_of(before, where), live, "the status", f"{ALMOST} before expiresAt")
    yield from wait(ALMOST)
    after = yield from app.seen(connection_id)
    same(status_of(after, where), "EXPIRED", "the status", "at expiresAt")
    same(changed(before, after), {"status"}, "what changed", "at expiresAt")
    yield from success(app.reconnect(connection_id), CREATED, "reconnect it at expiresAt")


@CHECKS.add(
    "standing.action-required",
    rules=("standing.action-required", "wire-status.action-required"),
    hooks=("require_action",),
)
def _acting(app: App) -> Steps[None]:
    """A connection that needs an action says so, with the reason."""
    connection_id = yield from bring(app, Standing.ACTION_REQUIRED)
    where = f"the connection {connection_id}, which needs an action"
    seen = yield from app.seen(connection_id)
    same(member(seen, "actionRequiredReason", where), REASON, "the reason", where)
    same(member(seen, "authorizedAt", where), None, "authorizedAt", where)


def _stays(standing: Standing, app: App) -> Steps[None]:
    connection_id = yield from bring(app, standing)
    before = yield from app.seen(connection_id)
    yield from wait(HOUR)
    yield from changes(app, before, NOTHING, "what an hour changed", f"{standing} stays")


@CHECKS.add("wire-status.revoked", rules=("standing.revoked", "wire-status.revoked"))
def _revoked(app: App) -> Steps[None]:
    """A revocation answers what is read afterwards."""
    connection_id = id_of((yield from app.created()))
    answer = yield from app.revoked(connection_id)
    where = f"revoke the connection {connection_id}"
    shown = as_document(member(answer, "connection", where), where)
    same(status_of(shown, where), "REVOKED", "the status", where)
    instant(shown, "revokedAt", where)
    same((yield from app.seen(connection_id)), shown, "what is read", "after the revocation")


def _expiry_recorded(action_required: bool, app: App) -> Steps[None]:  # noqa: FBT001 - see above
    connection_id = id_of((yield from app.created()))
    yield from use("authorize", connection_id, HOUR)
    if action_required:
        yield from use("require_action", connection_id, REASON)
    yield from wait(HOUR + MOMENT)
    where = f"expire the connection {connection_id}, which time has ended"
    before = yield from app.seen(connection_id)
    yield from happens("expire", connection_id, where=where)
    after = yield from app.seen(connection_id)
    same(changed(before, after), {"updatedAt"}, "what changed", where)
    yield from wait(MOMENT)
    yield from happens("expire", connection_id, said="ignored", where=f"{where}, again")
    yield from changes(app, after, NOTHING, "what changed", f"{where}, again")


@CHECKS.add(
    "authorization.no-successor",
    rules=("authorization.no-successor", "connection.authorize.pending"),
    hooks=("authorize_late", "pass_time"),
    passes=HALF_AN_HOUR + MOMENT,
)
def _heals_late(app: App) -> Steps[None]:
    """A hand-off that landed in time heals a lapsed connection, however late it is recorded."""
    connection_id = yield from bring(app, Standing.LAPSED)
    where = f"the connection {connection_id}, authorized in time and recorded after its deadline"
    yield from happens("authorize_late", connection_id, 5 * MINUTE, where=where)
    seen = yield from app.seen(connection_id)
    same(status_of(seen, where), "ACTIVE", "the status", where)
    gap = instant(seen, "updatedAt", where) - instant(seen, "authorizedAt", where)
    require(
        5 * MINUTE - ALMOST <= gap <= 5 * MINUTE + ALMOST,
        f"it was authorized {gap} before it was recorded",
        where,
    )


def _late_after(standing: Standing, app: App) -> Steps[None]:
    connection_id = id_of((yield from app.created()))
    yield from wait(10 * MINUTE)
    yield from move(app, connection_id, standing, timedelta(0))
    before = yield from app.seen(connection_id)
    where = f"a late authorization of the connection {connection_id}, which is {standing}"
    yield from happens(
        "authorize_late", connection_id, 5 * MINUTE, said="CONNECTION_NOT_PENDING", where=where
    )
    yield from changes(app, before, NOTHING, "what changed", where)


def _superseded(revoked: bool, app: App) -> Steps[None]:  # noqa: FBT001 - which of two rows
    connection_id = yield from bring(app, Standing.LAPSED)
    recovery = yield from app.reconnected(connection_id)
    if revoked:
        yield from app.revoked(str(member(recovery, "connection.id", "reconnect")))
    before = yield from app.seen(connection_id)
    where = f"a late authorization of the connection {connection_id}, which has a successor"
    yield from happens(
        "authorize_late", connection_id, 5 * MINUTE, said="CONNECTION_SUPERSEDED", where=where
    )
    yield from changes(app, before, NOTHING, "what changed", where)


_IN_TIME: Final = ("authorize_late", "pass_time")
_LAPSED: Final = HALF_AN_HOUR + MOMENT

# fmt: off
CHECKS.extend([
    Check("standing.active-over", "An ACTIVE connection is EXPIRED at its expiresAt, recorded or not, and not before.",
          partial(_over, False), (4,),
          ("deadline.active", "standing.active", "standing.active-over", "wire-status.expired"),
          ("authorize", "pass_time"), HOUR),
    Check("standing.action-required-over",
          "A connection that needs an action is EXPIRED at its expiresAt, and not before.",
          partial(_over, True), (4,),
          ("deadline.action-required", "standing.action-required", "standing.action-required-over"),
          ("authorize", "require_action", "pass_time"), HOUR),
    Check("standing.expired", "A recorded expiry stands.",
          partial(_stays, Standing.EXPIRED), (4,), ("deadline.expired", "standing.expired", "wire-status.expired"),
          ("authorize", "expire", "pass_time"), HOUR),
    Check("standing.revoked", "A revocation stands.",
          partial(_stays, Standing.REVOKED), (4,), ("deadline.revoked", "standing.revoked"), ("pass_time",), HOUR),
    Check("expiry-record.active", "An expiry that time brought is written down once and moves updatedAt alone.",
          partial(_expiry_recorded, False), (),
          ("expiry-record.active", "expiry-record.expired", "connection.expire.expired"),
          ("authorize", "expire", "pass_time"), HOUR + 2 * MOMENT),
    Check("expiry-record.action-required", "The same for a connection that waited for the patient.",
          partial(_expiry_recorded, True), (), ("expiry-record.action-required", "expiry-record.expired"),
          ("authorize", "require_action", "expire", "pass_time"), HOUR + 2 * MOMENT),
    Check("authorization.late-after-revoke", "An authorization that arrives after a revocation undoes nothing.",
          partial(_late_after, Standing.REVOKED), (1,), ("connection.authorize.revoked",), _IN_TIME, 10 * MINUTE),
    Check("authorization.late-after-action-required",
          "An authorization that arrives after the patient was asked to act undoes nothing.",
          partial(_late_after, Standing.ACTION_REQUIRED), (1,), ("connection.authorize.action-required",),
          ("authorize_late", "require_action", "pass_time"), 10 * MINUTE),
    Check("authorization.successor-pending", "A connection with a pending successor cannot be authorized any more.",
          partial(_superseded, False), (6,), ("authorization.successor-pending",), _IN_TIME, _LAPSED),
    Check("authorization.successor-other", "A connection with any successor cannot be authorized any more.",
          partial(_superseded, True), (6,), ("authorization.successor-other",), _IN_TIME, _LAPSED),
])
# fmt: on


def _may_read(standing: Standing, granted: PackageGrant, app: App) -> Steps[None]:
    connection_id = yield from bring(app, standing)
    package = PACKAGES[0] if granted is PackageGrant.GRANTED else "genomics"
    allowed = yield from ask("may_read", connection_id, package)
    expected = isinstance(ACCESS[standing, granted].outcome, Grant)
    where = f"read {package} over the connection {connection_id}, which is {standing}"
    same(allowed, expected, "whether it may be read", where)


@CHECKS.add(
    "access.until-expires-at",
    laws=(5,),
    rules=("access.active", "access.expired"),
    hooks=("may_read", "authorize", "pass_time"),
    passes=HOUR,
)
def _access_ends(app: App) -> Steps[None]:
    """Reading ends at expiresAt, recorded or not."""
    connection_id = id_of((yield from app.created()))
    yield from use("authorize", connection_id, HOUR)
    for end, expected in ((HOUR - ALMOST, True), (ALMOST, False)):
        yield from wait(end)
        allowed = yield from ask("may_read", connection_id, PACKAGES[0])
        where = f"the connection {connection_id} around its expiresAt"
        same(allowed, expected, "whether it may be read", where)


CHECKS.extend(
    row_check(
        ACCESS[standing, granted],
        f"Reading over a connection that is {standing}, {granted}",
        partial(_may_read, standing, granted),
        laws=(5,),
        hooks=("may_read", *BRINGS[standing]),
        passes=passes(standing),
    )
    for standing, granted in (
        *[(standing, PackageGrant.GRANTED) for standing in Standing],
        (Standing.ACTIVE, PackageGrant.NOT_GRANTED),
    )
)
