"""Checks of tombstones: they end all access of a user and change nothing else."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, record_by_hook, same
from curae_lifecycle.testing.conformance.revocation import check_revoked_together
from curae_lifecycle.testing.conformance.sessions import USER, expect_state, session_id
from curae_lifecycle.testing.conformance.standings import expect_readable
from curae_lifecycle.testing.conformance.steps import Steps, later

CHECKS: Final = Checks()

_REVOCABLE: Final = (Standing.PENDING, Standing.ACTIVE, Standing.ACTION_REQUIRED, Standing.EXPIRED)


@CHECKS.add(
    "law-17.tombstone", laws=(2, 17), rules=("binding.tombstone.limited",), hooks=("tombstone",)
)
def _ends_every_access(app: App) -> Steps[None]:
    """Tombstones revoke every connection of their user at one instant, and no other connection."""
    yield from app.initiated("user")
    revoked: list[str] = []
    possible = [
        each for each in _REVOCABLE if app.context.hooks.issuperset(connections.BRINGS[each])
    ]
    for standing in possible:
        revoked += [(yield from connections.create_in_standing(app, standing, "user"))]
    old = yield from connections.create_in_standing(app, Standing.REVOKED, "user")
    revoked.append((yield from client.created_id(app.reconnect(old))))
    another = yield from client.success(app.create("another"), client.CREATED)
    unchanged = (old, client.text(another, "connection.id"))
    before = yield from app.all_seen(unchanged)
    yield from later(app.context, min(connections.MINUTE, client.lifetime(another) / 2))
    yield from record_by_hook("tombstone", app.coordinate("user"))
    again = yield from app.revoked(revoked[0])
    same(client.member(again, "revokedNow"), False, "revokedNow after the tombstone")
    yield from check_revoked_together(app, revoked)
    what = "the earlier revoked connection and another user's connection"
    same((yield from app.all_seen(unchanged)), before, what)


@CHECKS.add(
    "law-17.next-user",
    laws=(5, 17),
    rules=("binding.provision.tombstoned", "connection.reconnect.revoked"),
    hooks=("tombstone", "authorize", "may_read"),
)
def _next_user(app: App) -> Steps[None]:
    """Users bound after a tombstone get no earlier access, but can be given new access."""
    yield from app.initiated("user")
    old = yield from connections.create_in_standing(app, Standing.ACTIVE, "user")
    yield from expect_readable(old, True)
    yield from record_by_hook("tombstone", app.coordinate("user"))
    for _ in range(2):
        yield from expect_readable(old, False)
        yield from app.initiated("user")
    new = yield from client.created_id(app.reconnect(old))
    yield from record_by_hook("authorize", new, None)
    for each, expected in ((new, True), (old, False)):
        yield from expect_readable(each, expected)


@CHECKS.add(
    "law-17.nobody-bound",
    laws=(17,),
    rules=("binding.tombstone.unlinked", "binding.tombstone.tombstoned"),
    hooks=("tombstone",),
)
def _nobody_bound(app: App) -> Steps[None]:
    """Tombstones of a coordinate without a living user end what was made before, nothing else."""
    connection_id = ""
    for _ in range(2):
        connection_id = yield from app.created_id("user")
        yield from record_by_hook("tombstone", app.coordinate("user"))
        yield from app.shows(connection_id, "REVOKED")
        yield from expect_state(app, "user", "TOMBSTONED")
    new = yield from app.created_id("user")
    recovered = yield from client.created_id(app.reconnect(connection_id))
    for each in (new, recovered):
        yield from app.shows(each, "PENDING")
    yield from app.initiated("user", prefer_signup=True)
    yield from expect_state(app, "user", "LIMITED")


@CHECKS.add(
    "law-17.waiting-session",
    laws=(17,),
    rules=("completion.other-era",),
    hooks=("tombstone", "complete_handoff", "graduate"),
)
def _waiting_session(app: App) -> Steps[None]:
    """Sessions that waited at a tombstone never complete, also for the next user."""
    user = f"{USER}-before"
    session = session_id((yield from app.initiated("user", prefer_signup=True)))
    yield from record_by_hook("tombstone", app.coordinate("user"))
    yield from record_by_hook("complete_handoff", session, user, expected="BINDING_CHANGED")
    yield from expect_state(app, "user", "TOMBSTONED")
    yield from app.initiated("user")
    yield from record_by_hook("complete_handoff", session, user, expected="BINDING_CHANGED")
    yield from expect_state(app, "user", "LIMITED")
    yield from record_by_hook("graduate", app.coordinate("user"), None)
    yield from record_by_hook("complete_handoff", session, user, expected="BINDING_CHANGED")
    yield from expect_state(app, "user", "ACTIVE")
