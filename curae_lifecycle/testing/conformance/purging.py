"""Checks of a purge: what may be dropped is what is over, and what is gone stays gone.

The law of this module: **nobody who asks for what is alive can tell that a purge ran**.
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
_WHILE: Final = 10 * connections.MINUTE
"""Longer than a store waits before it drops what is over."""

_HOURS: Final = timedelta(hours=23)


@CHECKS.add("purge.live", laws=(9, 10), hooks=("purge",))
def _live(app: App) -> Steps[None]:
    """After a purge everything answers as before: values, kept answers, limits and chains."""
    old = client.id_of((yield from app.created("user")))
    yield from app.revoked(old)
    ids = [old, (yield from client.made(app.reconnect(old)))]
    ids += [client.id_of((yield from app.created("user")))]
    request = app.create("user")
    first = yield from client.answered(request, client.CREATED)
    yield from app.filled("full")
    before = yield from app.all_seen(ids)
    yield from use("purge")
    same((yield from app.all_seen(ids)), before, "what is alive")
    expect_replay(app.context, first, (yield from send(request)))
    yield from limits.expect_initiate_limited(app, "full")
    same((yield from app.state("full")), "LIMITED", "the account state")
    again = yield from client.made(app.reconnect(old))
    same(again, ids[1], "the recovery")


@CHECKS.add(
    "purge.within-a-day",
    laws=(9,),
    rules=("idempotency.completed.same",),
    hooks=("purge", "pass_time"),
    time_needed=_HOURS,
)
def _within_a_day(app: App) -> Steps[None]:
    """A purge drops no answer before its 24 hours are over, whatever has become of its subject."""
    request = app.create("user")
    first = yield from client.answered(request, client.CREATED)
    yield from app.revoked(client.text(client.document(first), "connection.id"))
    yield from wait(_HOURS)
    yield from use("purge")
    expect_replay(app.context, first, (yield from send(request)))


@CHECKS.add(
    "purge.over",
    laws=(1, 2),
    hooks=("purge", "pass_time", "authorize"),
    time_needed=_DAY + _WHILE,
)
def _over(app: App) -> Steps[None]:
    """What is over may be gone after a purge, but never comes back as something else."""
    lapsed = client.id_of((yield from app.created("user")))
    revoked = yield from connections.create_in_standing(app, Standing.REVOKED, "user")
    active = yield from connections.create_in_standing(app, Standing.ACTIVE, "user")
    before = yield from app.all_seen([active, revoked])
    request = app.create("user")
    made = yield from client.made(request)
    yield from wait(_DAY + _WHILE)
    yield from use("purge")
    same((yield from app.all_seen([active])), before[:1], "what is alive")
    for each, status in ((revoked, "REVOKED"), (lapsed, "EXPIRED"), (made, "EXPIRED")):
        answer = yield from send(app.get(each))
        if answer.status == client.OK:
            yield from app.shows(each, status)
        else:
            client.expect_problem(answer, 404, "NOT_FOUND")
    anew = yield from client.made(request)
    require(anew not in {made, lapsed, revoked, active}, "an id was given again")
