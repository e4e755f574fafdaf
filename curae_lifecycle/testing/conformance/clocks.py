"""Checks of clocks that disagree: no fact is lost to them, and no instant is recorded wrong."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.client import App, happens, require, same
from curae_lifecycle.testing.conformance.connections import HOUR, MINUTE
from curae_lifecycle.testing.conformance.standings import ALMOST
from curae_lifecycle.testing.conformance.steps import Steps, later, wait

AHEAD: Final = 5 * MINUTE - ALMOST
"""Nearly as far ahead as a clock may be."""

_FACTS: Final = {
    "authorize_late": ("authorizedAt", "connection.authorize.pending", ()),
    "revoke_late": ("revokedAt", "connection.revoke.pending", (Actor.PATIENT,)),
}
"""The hooks that say when a fact happened: the member that tells, the rule, what else they take."""


def _taken_as(hook: str, ago: timedelta, instant: str, app: App) -> Steps[None]:
    member, _, more = _FACTS[hook]
    connection_id = client.id_of((yield from app.created()))
    yield from later(app.context, MINUTE)
    yield from happens(hook, connection_id, *more, ago)
    seen = yield from app.seen(connection_id)
    same(client.instant(seen, member), client.instant(seen, instant), member)


def _recorded_late(app: App) -> Steps[None]:
    connection_id = client.id_of((yield from app.created()))
    yield from wait(10 * MINUTE)
    yield from happens("revoke_late", connection_id, Actor.PATIENT, 5 * MINUTE)
    seen = yield from app.seen(connection_id)
    gap = client.instant(seen, "updatedAt") - client.instant(seen, "revokedAt")
    require(abs(gap - 5 * MINUTE) <= ALMOST, f"it was revoked {gap} before that")


CHECKS: Final = [
    Check(
        f"clock.{name}.{hook.removesuffix('_late')}",
        f"A fact, {hook}, {shows}.",
        partial(_taken_as, hook, ago, instant),
        rules=(rule,),
        hooks=(hook,),
    )
    for hook, (_, rule, _) in _FACTS.items()
    for name, shows, ago, instant in (
        ("ahead", "that a clock ahead reports is taken as of now", -AHEAD, "updatedAt"),
        ("before-the-making", "from before the making is taken as of it", HOUR, "createdAt"),
    )
]
CHECKS.append(
    Check(
        "clock.late.revoke",
        "A revocation that is recorded late says when it happened, and when it was recorded.",
        _recorded_late,
        rules=("connection.revoke.pending",),
        hooks=("revoke_late", "pass_time"),
        time_needed=10 * MINUTE,
    )
)
