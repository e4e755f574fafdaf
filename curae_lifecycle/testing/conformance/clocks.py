"""Checks of clock skew: no fact is lost when clocks disagree, and recorded instants are right."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.client import App, record_by_hook, require, same
from curae_lifecycle.testing.conformance.connections import HOUR, MINUTE, create_pending
from curae_lifecycle.testing.conformance.recovery import create_recovered
from curae_lifecycle.testing.conformance.standings import ALMOST
from curae_lifecycle.testing.conformance.steps import Steps, later, wait

AHEAD: Final = 5 * MINUTE - ALMOST
"""How far ahead of the server's clock the checks date a fact: nearly the allowed 5 minutes."""

_FACTS: Final = {
    "authorize_late": ("authorizedAt", "connection.authorize.pending", ()),
    "revoke_late": ("revokedAt", "connection.revoke.pending", (Actor.PATIENT,)),
}
"""The hooks that take the time of a fact.

Each has the member that shows this time, the rule, and the hook's other arguments.
"""


def _is_clamped(hook: str, ago: timedelta, instant: str, app: App) -> Steps[None]:
    member, _, more = _FACTS[hook]
    connection_id, made = yield from create_pending(app, "user")
    yield from later(app.context, min(MINUTE, client.lifetime(made) / 2))
    yield from record_by_hook(hook, connection_id, *more, ago)
    seen = yield from app.seen(connection_id)
    same(client.instant(seen, member), client.instant(seen, instant), member)


def _recorded_late(app: App) -> Steps[None]:
    old, connection_id = yield from create_recovered(app)
    yield from wait(10 * MINUTE)
    yield from record_by_hook("revoke_late", old, Actor.PATIENT, 5 * MINUTE)
    seen = yield from app.seen(connection_id)
    same(client.status_of(seen), "REVOKED", "the status of the successor")
    gap = client.instant(seen, "updatedAt") - client.instant(seen, "revokedAt")
    require(
        abs(gap - 5 * MINUTE) <= ALMOST,
        f"revokedAt is {gap} before updatedAt instead of {5 * MINUTE}",
    )


CHECKS: Final = [
    Check(
        f"clock.{name}.{hook.removesuffix('_late')}",
        f"`{hook}` with a time {shows}.",
        partial(_is_clamped, hook, ago, instant),
        rules=(rule,),
        hooks=(hook,),
    )
    for hook, (_, rule, _) in _FACTS.items()
    for name, shows, ago, instant in (
        ("ahead", "up to 5 minutes ahead is recorded as now", -AHEAD, "updatedAt"),
        (
            "before-the-making",
            "before the connection was made is recorded as the time it was made",
            HOUR,
            "createdAt",
        ),
    )
]
CHECKS.append(
    Check(
        "clock.late.revoke",
        "Revocations that are recorded late show when they happened and when they were recorded.",
        _recorded_late,
        rules=("connection.revoke.pending",),
        hooks=("revoke_late", "pass_time"),
        time_needed=10 * MINUTE,
    )
)
