"""Checks of purges: a purge drops only expired values, and dropped ids are not reused.

The law of this module: **no request about a live value shows that a purge ran**.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.testing.conformance import client, connections, limits
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, require, same
from curae_lifecycle.testing.conformance.idempotency import expect_replay
from curae_lifecycle.testing.conformance.steps import Steps, send, use, wait

CHECKS: Final = Checks()

_DAY: Final = timedelta(days=1)
_GRACE: Final = 10 * connections.MINUTE
"""Longer than the 5 minutes for which a store still keeps an expired value."""

_ALMOST_A_DAY: Final = timedelta(hours=23)


@CHECKS.add("purge.live", laws=(9, 10), hooks=("purge",))
def _live_values(app: App) -> Steps[None]:
    """Connections, stored responses, limits and chains are the same after a purge."""
    old = yield from app.created_id("user")
    yield from app.revoked(old)
    ids = [old, (yield from client.created_id(app.reconnect(old)))]
    ids += [(yield from app.created_id("user"))]
    request = app.create("user")
    first = yield from client.expect_answer(request, client.CREATED)
    yield from app.use_up_initiates("full")
    before = yield from app.all_seen(ids)
    yield from use("purge")
    same((yield from app.all_seen(ids)), before, "the list of connections after the purge")
    yield from expect_replay(app, request, first)
    yield from limits.expect_initiate_limited(app, "full")
    same((yield from app.state("full")), "LIMITED", "the account state")
    again = yield from client.created_id(app.reconnect(old))
    same(again, ids[1], "the id of the successor")


@CHECKS.add(
    "purge.within-a-day",
    laws=(9,),
    rules=("idempotency.completed.same",),
    hooks=("purge", "pass_time"),
    time_needed=_DAY,
)
def _within_a_day(app: App) -> Steps[None]:
    """Purges keep a stored response for 24 hours by any clock, even if its connection is revoked."""
    request = app.create("user")
    first = yield from client.expect_answer(request, client.CREATED)
    yield from app.revoked(client.text(client.document(first), "connection.id"))
    can_turn_back = "turn_clock_back" in app.context.hooks
    yield from wait(_DAY if can_turn_back else _ALMOST_A_DAY)
    yield from use("purge")
    if can_turn_back:
        # The purge must keep what has just expired, since a clock may be up to five minutes behind.
        yield from use("turn_clock_back", connections.MINUTE)
    yield from expect_replay(app, request, first)


@CHECKS.add(
    "purge.over",
    laws=(1, 2),
    hooks=("purge", "pass_time", "authorize"),
    time_needed=_DAY + _GRACE,
)
def _expired_values(app: App) -> Steps[None]:
    """Purges may drop expired values, but the ids of dropped values are never used again."""
    lapsed = yield from app.created_id("user")
    revoked = yield from connections.create_in_standing(app, Standing.REVOKED, "user")
    active = yield from connections.create_in_standing(app, Standing.ACTIVE, "user")
    before = yield from app.all_seen([active, revoked])
    request = app.create("user")
    created = yield from client.success(request, client.CREATED)
    made = client.text(created, "connection.id")
    yield from wait(max(_DAY, client.lifetime(created)) + _GRACE)
    yield from use("purge")
    same((yield from app.all_seen([active])), before[:1], "the ACTIVE connection after the purge")
    for each, status in ((revoked, "REVOKED"), (lapsed, "EXPIRED"), (made, "EXPIRED")):
        answer = yield from send(app.get(each))
        if answer.status == client.OK:
            yield from app.shows(each, status)
        else:
            client.expect_problem(answer, 404, "NOT_FOUND")
    new = yield from client.created_id(request)
    require(new not in {made, lapsed, revoked, active}, "a new connection got an earlier id")
