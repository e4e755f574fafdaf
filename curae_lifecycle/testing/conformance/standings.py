"""Checks of standings: what a connection is at an instant, and whether data may be read then."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from curae_lifecycle.rules.access import ACCESS, Grant, PackageGrant
from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Check, Checks, row_check
from curae_lifecycle.testing.conformance.client import App, require, same, success
from curae_lifecycle.testing.conformance.steps import Steps, call_bool_hook, use, wait

ALMOST: Final = timedelta(seconds=5)
"""How close a check comes to a deadline; also the tolerance for a measured span."""


CHECKS: Final = Checks()


@CHECKS.add("standing.pending", rules=("standing.pending", "wire-status.pending"))
def _pending(app: App) -> Steps[None]:
    """New connections are PENDING, without authorizedAt, expiresAt, revokedAt and reason."""
    connection_id, made = yield from connections.create_pending(app, "user")
    seen = yield from app.seen(connection_id)
    same(client.member(made, "connection"), seen, "the connection in the response of the create")
    for name in ("authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"):
        same(client.member(seen, name), None, name)
    same(client.member(seen, "updatedAt"), client.member(seen, "createdAt"), "updatedAt")
    same(client.status_of(seen), "PENDING", "the status")


@CHECKS.add(
    "standing.lapsed",
    laws=(4,),
    rules=("deadline.pending", "standing.pending", "standing.lapsed", "wire-status.lapsed"),
    hooks=("pass_time",),
    time_needed=connections.HALF_AN_HOUR,
)
def _pending_until_it_lapses(app: App) -> Steps[None]:
    """Pending connections show EXPIRED at the deadline of their hand-off, and not earlier."""
    connection_id, made = yield from connections.create_pending(app, "user")
    yield from _ends_after(
        app, connection_id=connection_id, span=client.lifetime(made), live=Standing.PENDING
    )


@CHECKS.add(
    "standing.active", rules=("standing.active", "wire-status.active"), hooks=("authorize",)
)
def _authorized_connection(app: App) -> Steps[None]:
    """Authorized connections are ACTIVE and show authorizedAt and expiresAt."""
    connection_id = yield from app.created_id()
    yield from use("authorize", connection_id, connections.HOUR)
    seen = yield from app.seen(connection_id)
    same(client.status_of(seen), "ACTIVE", "the status")
    span = client.instant(seen, "expiresAt") - client.instant(seen, "authorizedAt")
    require(
        abs(span - connections.HOUR) <= ALMOST,
        f"the authorization lasts {span} instead of {connections.HOUR}",
    )
    made, authorized = (client.instant(seen, name) for name in ("createdAt", "authorizedAt"))
    require(authorized >= made, "authorizedAt is before createdAt")
    unending = yield from app.created_id()
    yield from use("authorize", unending, None)
    seen = yield from app.seen(unending)
    same(client.status_of(seen), "ACTIVE", "the status")
    same(client.member(seen, "expiresAt"), None, "expiresAt")


def _for_an_hour(app: App, live: Standing) -> Steps[str]:
    connection_id = yield from app.created_id()
    yield from use("authorize", connection_id, connections.HOUR)
    if live is Standing.ACTION_REQUIRED:
        yield from use("require_action", connection_id, connections.REASON)
    return connection_id


def _ends_after(app: App, connection_id: str, span: timedelta, live: Standing) -> Steps[None]:
    yield from wait(span - ALMOST)
    before = yield from app.seen(connection_id)
    same(client.status_of(before), live, "the status")
    yield from wait(ALMOST)
    after = yield from app.seen(connection_id)
    same(client.status_of(after), "EXPIRED", "the status")
    same(connections.changed(before, after), {"status"}, "the set of changed members")


def _expires(live: Standing, app: App) -> Steps[None]:
    connection_id = yield from _for_an_hour(app, live)
    yield from _ends_after(app, connection_id=connection_id, span=connections.HOUR, live=live)
    yield from success(app.reconnect(connection_id), client.CREATED)


@CHECKS.add(
    "standing.action-required",
    rules=("standing.action-required", "wire-status.action-required"),
    hooks=connections.BRINGS[Standing.ACTION_REQUIRED],
)
def _action_required(app: App) -> Steps[None]:
    """Connections on which the patient must act show ACTION_REQUIRED with the reason."""
    connection_id = yield from connections.create_in_standing(app, Standing.ACTION_REQUIRED)
    seen = yield from app.seen(connection_id)
    same(client.member(seen, "actionRequiredReason"), connections.REASON, "actionRequiredReason")
    client.instant(seen, "authorizedAt")


def _does_not_change(standing: Standing, app: App) -> Steps[None]:
    connection_id = yield from connections.create_in_standing(app, standing)
    before = yield from app.seen(connection_id)
    yield from wait(connections.HOUR)
    yield from connections.stays(app, before)


@CHECKS.add("wire-status.revoked", rules=("standing.revoked-at", "wire-status.revoked"))
def _revoke_response(app: App) -> Steps[None]:
    """Revocations return the connection as later reads show it."""
    connection_id = yield from app.created_id()
    answer = yield from app.revoked(connection_id)
    shown = client.as_document(client.member(answer, "connection"))
    same(client.status_of(shown), "REVOKED", "the status")
    client.instant(shown, "revokedAt")
    same((yield from app.seen(connection_id)), shown, "the connection as read after the revocation")


def _expiry_recorded(live: Standing, app: App) -> Steps[None]:
    connection_id = yield from _for_an_hour(app, live)
    yield from wait(connections.HOUR + connections.MOMENT)
    before = yield from app.seen(connection_id)
    yield from client.record_by_hook("expire", connection_id)
    after = yield from app.seen(connection_id)
    same(connections.changed(before, after), {"updatedAt"}, "the set of changed members")
    yield from wait(connections.MOMENT)
    yield from client.record_by_hook("expire", connection_id, expected="ignored")
    yield from connections.stays(app, after)


@CHECKS.add(
    "authorization.no-successor",
    rules=("authorization.no-successor", "connection.authorize.pending"),
    hooks=("authorize_late", "pass_time"),
    time_needed=connections.HALF_AN_HOUR + connections.MOMENT,
)
def _authorized_late(app: App) -> Steps[None]:
    """Authorizing in time makes a lapsed connection ACTIVE, even if it is recorded late."""
    connection_id, made = yield from connections.create_pending(app, "user")
    span = client.lifetime(made)
    yield from connections.move(app, connection_id, Standing.LAPSED, lapse=span)
    ago = min(5 * connections.MINUTE, span / 2 + connections.MOMENT)
    yield from client.record_by_hook("authorize_late", connection_id, ago)
    seen = yield from app.seen(connection_id)
    same(client.status_of(seen), "ACTIVE", "the status")
    gap = client.instant(seen, "updatedAt") - client.instant(seen, "authorizedAt")
    late = abs(gap - ago)
    require(late <= ALMOST, f"authorizedAt is {gap} before updatedAt instead of {ago}")


def _authorized_too_late(standing: Standing, app: App) -> Steps[None]:
    connection_id, made = yield from connections.create_pending(app, "user")
    span = min(10 * connections.MINUTE, client.lifetime(made) / 2)
    yield from wait(span)
    yield from connections.move(app, connection_id, standing)
    before = yield from app.seen(connection_id)
    yield from client.record_by_hook(
        "authorize_late", connection_id, span / 2, expected="CONNECTION_NOT_PENDING"
    )
    yield from connections.stays(app, before)


def _authorize_superseded(revoked: bool, app: App) -> Steps[None]:  # noqa: FBT001 - the row
    connection_id = yield from connections.create_in_standing(app, Standing.LAPSED)
    successor = yield from client.created_id(app.reconnect(connection_id))
    if revoked:
        yield from app.revoked(successor)
    before = yield from app.seen(connection_id)
    yield from client.record_by_hook(
        "authorize_late", connection_id, 5 * connections.MINUTE, expected="CONNECTION_SUPERSEDED"
    )
    yield from connections.stays(app, before)


_LATE_HOOKS: Final = ("authorize_late", "pass_time")
_LAPSED: Final = connections.HALF_AN_HOUR + connections.MOMENT

CHECKS.extend(
    [
        Check(
            name="standing.active-over",
            shows="ACTIVE connections become EXPIRED exactly at expiresAt, recorded or not.",
            steps=partial(_expires, Standing.ACTIVE),
            laws=(4,),
            rules=(
                "deadline.active",
                "standing.active",
                "standing.active-over",
                "wire-status.expired",
            ),
            hooks=("authorize", "pass_time"),
            time_needed=connections.HOUR,
        ),
        Check(
            name="standing.action-required-over",
            shows="ACTION_REQUIRED connections become EXPIRED exactly at expiresAt.",
            steps=partial(_expires, Standing.ACTION_REQUIRED),
            laws=(4,),
            rules=(
                "deadline.action-required",
                "standing.action-required",
                "standing.action-required-over",
            ),
            hooks=("authorize", "require_action", "pass_time"),
            time_needed=connections.HOUR,
        ),
        Check(
            name="standing.expired",
            shows="A connection whose expiry was recorded does not change as time passes.",
            steps=partial(_does_not_change, Standing.EXPIRED),
            laws=(4,),
            rules=("deadline.expired", "standing.expired", "wire-status.expired"),
            hooks=("authorize", "expire", "pass_time"),
            time_needed=connections.HOUR,
        ),
        Check(
            name="standing.revoked-at",
            shows="A revoked connection does not change as time passes.",
            steps=partial(_does_not_change, Standing.REVOKED),
            laws=(4,),
            rules=("deadline.revoked-at", "standing.revoked-at"),
            hooks=("pass_time",),
            time_needed=connections.HOUR,
        ),
        Check(
            name="expiry-record.active",
            shows="Recording the expiry of an ACTIVE connection changes only updatedAt, once.",
            steps=partial(_expiry_recorded, Standing.ACTIVE),
            rules=("expiry-record.active", "expiry-record.expired", "connection.expire.expired"),
            hooks=("authorize", "expire", "pass_time"),
            time_needed=connections.HOUR + 2 * connections.MOMENT,
        ),
        Check(
            name="expiry-record.action-required",
            shows="Recording the expiry of an ACTION_REQUIRED connection changes only updatedAt.",
            steps=partial(_expiry_recorded, Standing.ACTION_REQUIRED),
            rules=("expiry-record.action-required", "expiry-record.expired"),
            hooks=("authorize", "require_action", "expire", "pass_time"),
            time_needed=connections.HOUR + 2 * connections.MOMENT,
        ),
        Check(
            name="authorization.late-after-revoke",
            shows="An authorization recorded after a revocation is refused and changes nothing.",
            steps=partial(_authorized_too_late, Standing.REVOKED),
            laws=(1,),
            rules=("connection.authorize.revoked",),
            hooks=_LATE_HOOKS,
            time_needed=10 * connections.MINUTE,
        ),
        Check(
            name="authorization.late-after-action-required",
            shows="A late authorization of an ACTION_REQUIRED connection is refused.",
            steps=partial(_authorized_too_late, Standing.ACTION_REQUIRED),
            laws=(1,),
            rules=("connection.authorize.action-required",),
            hooks=("authorize", "authorize_late", "require_action", "pass_time"),
            time_needed=10 * connections.MINUTE,
        ),
        Check(
            name="authorization.successor-pending",
            shows="A connection with a pending successor cannot be authorized.",
            steps=partial(_authorize_superseded, False),
            laws=(6,),
            rules=("authorization.successor-pending",),
            hooks=_LATE_HOOKS,
            time_needed=_LAPSED,
        ),
        Check(
            name="authorization.successor-other",
            shows="A connection with a successor in any status cannot be authorized.",
            steps=partial(_authorize_superseded, True),
            laws=(6,),
            rules=("authorization.successor-other",),
            hooks=_LATE_HOOKS,
            time_needed=_LAPSED,
        ),
    ]
)


def expect_readable(
    connection_id: str,
    allowed: bool,  # noqa: FBT001 - what is expected
    package: str = client.PACKAGES[0],
) -> Steps[None]:
    """Raise unless the server's function `may_read` now grants or denies access as `allowed` says.

    Args:
        connection_id: The id of the connection.
        allowed: Whether the server must grant access now.
        package: The data package to read.
    """
    same(
        (yield from call_bool_hook("may_read", connection_id, package)),
        allowed,
        f"may_read({connection_id}, {package})",
    )


def _may_read(standing: Standing, granted: PackageGrant, app: App) -> Steps[None]:
    connection_id = yield from connections.create_in_standing(app, standing)
    package = client.PACKAGES[0] if granted is PackageGrant.GRANTED else "genomics"
    allowed = isinstance(ACCESS[standing, granted].outcome, Grant)
    yield from expect_readable(connection_id, allowed, package)


@CHECKS.add(
    "access.until-expires-at",
    laws=(5,),
    rules=("access.active", "access.expired"),
    hooks=("may_read", "authorize", "pass_time"),
    time_needed=connections.HOUR,
)
def _access_ends(app: App) -> Steps[None]:
    """Access ends at expiresAt, whether or not the expiry was recorded."""
    connection_id = yield from app.created_id()
    yield from use("authorize", connection_id, connections.HOUR)
    for end, expected in ((connections.HOUR - ALMOST, True), (ALMOST, False)):
        yield from wait(end)
        yield from expect_readable(connection_id, expected)


CHECKS.extend(
    row_check(
        ACCESS[standing, granted],
        f"Read over a connection that is {standing}, {granted}",
        partial(_may_read, standing, granted),
        laws=(5,),
        hooks=("may_read", *connections.BRINGS[standing]),
        time_needed=connections.time_needed(standing),
    )
    for standing, granted in (
        *[(standing, PackageGrant.GRANTED) for standing in Standing],
        (Standing.ACTIVE, PackageGrant.NOT_GRANTED),
    )
)
