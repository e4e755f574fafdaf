"""Checks of revocations: that they are final, and which connections of a chain they reach."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final

from curae_lifecycle.rules.chain import REVOCATION_REACH, Reach
from curae_lifecycle.rules.connection import Actor, Standing
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, require, same
from curae_lifecycle.testing.conformance.recovery import (
    create_long_chain,
    create_recovered,
    successor_of,
)
from curae_lifecycle.testing.conformance.steps import (
    CONCURRENT_REQUESTS,
    Steps,
    later,
    send_concurrently,
    use,
    wait,
)
from curae_lifecycle.testing.conformance.triggers import OWN_HOOK_NAMES, fire, triggers_of
from curae_lifecycle.testing.laws import RevocationAnswer, check_revocation

CHECKS: Final = Checks()


@CHECKS.add(
    "law-02.revoked-once",
    laws=(2,),
    rules=("connection.revoke.pending", "connection.revoke.revoked"),
)
def _revoked_once(app: App) -> Steps[None]:
    """Revoking repeatedly reports `revokedNow` once, and `revokedAt` never changes."""
    connection_id = yield from app.created_id()
    seen: list[RevocationAnswer] = []
    for _ in range(3):
        response = yield from client.expect_answer(app.revoke(connection_id), client.OK)
        seen.append(RevocationAnswer.read(response))
        yield from later(app.context, connections.MINUTE)
    check_revocation(seen)


@CHECKS.add("law-02.at-once", laws=(2,))
def _concurrent_revocations(app: App) -> Steps[None]:
    """Exactly one of many concurrent revocations reports `revokedNow`."""
    connection_id = yield from app.created_id()
    requests = tuple([app.revoke(connection_id) for _ in range(CONCURRENT_REQUESTS)])
    answers = yield from send_concurrently(requests)
    for answer in answers:
        client.expect(answer, client.OK)
    seen = [RevocationAnswer.read(answer) for answer in answers]
    # Concurrent responses have no order: the one that reports `revokedNow` counts as the first.
    seen.sort(key=lambda each: not each.revoked_now)
    check_revocation(seen)


@CHECKS.add(
    "law-02.revocation-survives",
    laws=(1, 2, 11),
    hooks=OWN_HOOK_NAMES,
)
def _revocation_survives(app: App) -> Steps[None]:
    """Facts that arrive after a revocation change nothing."""
    connection_id = yield from app.created_id()
    yield from app.revoked(connection_id)
    before = yield from app.seen(connection_id)
    yield from later(app.context, connections.MINUTE)
    for trigger in triggers_of(app.context.hooks):
        yield from fire(trigger, connection_id)
    yield from app.reconnected(connection_id)
    yield from connections.stays(app, before)


@CHECKS.add("law-01.rank-never-falls", laws=(1,), hooks=OWN_HOOK_NAMES)
def _rank_never_falls(app: App) -> Steps[None]:
    """Statuses of one id never fall in rank, in whatever order facts arrive."""
    connection_id = yield from app.created_id()
    ranks = ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")
    highest = 0
    earlier = (Trigger.AUTHORIZE, Trigger.REQUIRE_ACTION)
    triggers = triggers_of(app.context.hooks)
    for trigger in [each for first in triggers for each in (first, *earlier)]:
        yield from fire(trigger, connection_id)
        status = client.status_of((yield from app.seen(connection_id)))
        rank = ranks.index(status) if status in ranks else -1
        require(rank >= highest, f"the status {ranks[highest]} became {status}")
        highest = rank
    same(ranks[highest], "REVOKED", "the status after all facts")


def _reach(actor: Actor, app: App) -> Steps[None]:
    connection_id = yield from connections.create_in_standing(app, Standing.ACTION_REQUIRED)
    successor = yield from client.created_id(app.reconnect(connection_id))
    if actor is Actor.APP:
        answer = yield from app.revoked(connection_id)
        same(client.member(answer, "revokedNow"), True, "revokedNow")
    else:
        yield from client.record_by_hook("revoke", connection_id, actor)
    yield from app.shows(connection_id, "REVOKED")
    whole_chain = REVOCATION_REACH[actor].outcome.value is Reach.CHAIN
    yield from app.shows(successor, "REVOKED" if whole_chain else "PENDING")
    if whole_chain:
        yield from check_revoked_together(app, [connection_id, successor])
    before = yield from app.seen(connection_id)
    again = yield from app.revoked(connection_id)
    same(client.member(again, "revokedNow"), False, "revokedNow of a second revocation")
    same(client.member(again, "connection"), before, "the connection in that response")


def check_revoked_together(app: App, ids: Collection[str]) -> Steps[None]:
    """Read connections and raise unless all are REVOKED with the same `revokedAt`.

    Args:
        app: The SDK app that sends the requests.
        ids: The ids of the connections.
    """
    seen = yield from app.all_seen(ids)
    for each in seen:
        same(client.status_of(each), "REVOKED", f"the status of {client.id_of(each)}")
    instants = {client.instant(each, "revokedAt") for each in seen}
    same(len(instants), 1, "the number of different revokedAt")


@CHECKS.add(
    "revocation-reach.patient-after-app", rules=("revocation-reach.patient",), hooks=("revoke",)
)
def _patient_after_app(app: App) -> Steps[None]:
    """Revocations by a patient reach later connections even if the app revoked the first one."""
    connection_id = yield from connections.create_in_standing(app, Standing.REVOKED)
    before = yield from app.seen(connection_id)
    successor = yield from client.created_id(app.reconnect(connection_id))
    yield from later(app.context, connections.MINUTE)
    yield from client.record_by_hook("revoke", connection_id, Actor.PATIENT)
    yield from app.shows(successor, "REVOKED")
    same((yield from app.seen(connection_id)), before, "the connection that the app revoked")


@CHECKS.add(
    "revocation-reach.over-lapsed-links",
    laws=(2,),
    rules=("revocation-reach.patient", "connection.revoke.lapsed"),
    hooks=("revoke", "pass_time"),
    time_needed=connections.time_needed(Standing.LAPSED, Standing.LAPSED),
)
def _over_lapsed_links(app: App) -> Steps[None]:
    """Revocations by a patient reach the head of a chain across lapsed connections."""
    ids = [(yield from connections.create_in_standing(app, Standing.LAPSED))]
    for _ in range(2):
        answer = yield from app.reconnected(ids[-1])
        ids.append(successor_of(answer))
        if len(ids) == 2:  # noqa: PLR2004 - the one in the middle lapses too
            yield from wait(client.lifetime(answer) + connections.MOMENT)
    yield from client.record_by_hook("revoke", ids[0], Actor.PATIENT)
    yield from check_revoked_together(app, ids)


@CHECKS.add(
    "revocation-reach.long-chain",
    laws=(2,),
    rules=("revocation-reach.patient", "connection.revoke.revoked"),
    hooks=("revoke",),
)
def _over_a_long_chain(app: App) -> Steps[None]:
    """Revocations by a patient reach the head of a chain of 60 and change no earlier revokedAt."""
    *ids, head = yield from create_long_chain(app)
    before = yield from app.all_seen(ids)
    yield from later(app.context, connections.MINUTE)
    yield from client.record_by_hook("revoke", ids[0], Actor.PATIENT)
    yield from app.shows(head, "REVOKED")
    same((yield from app.all_seen(ids)), before, "the list of earlier revoked connections")


@CHECKS.add("revocation-reach.old-id", rules=("revocation-reach.app", "connection.revoke.revoked"))
def _old_id_is_revoked_again(app: App) -> Steps[None]:
    """Revoking an old id again as an app does not affect its successor."""
    connection_id, successor = yield from create_recovered(app)
    before = yield from app.seen(successor)
    answer = yield from app.revoked(connection_id)
    same(client.member(answer, "revokedNow"), False, "revokedNow")
    yield from connections.stays(app, before)


@CHECKS.add(
    "connection.failed-refresh",
    rules=("connection.require-action.active",),
    hooks=("authorize", "require_action"),
)
def _refresh_is_no_revocation(app: App) -> Steps[None]:
    """Failed refreshes lead to ACTION_REQUIRED and never to REVOKED."""
    connection_id = yield from connections.create_in_standing(app, Standing.ACTIVE)
    yield from use("require_action", connection_id, connections.REASON)
    seen = yield from app.seen(connection_id)
    same(client.status_of(seen), "ACTION_REQUIRED", "the status")
    same(client.member(seen, "revokedAt"), None, "revokedAt")
    same(client.member(seen, "actionRequiredReason"), connections.REASON, "actionRequiredReason")


CHECKS.extend(
    Check(
        row.rule,
        f"A revocation by {actor} reaches {row.outcome}.",
        partial(_reach, actor),
        rules=(row.rule,),
        hooks=(
            *connections.BRINGS[Standing.ACTION_REQUIRED],
            *(() if actor is Actor.APP else ("revoke",)),
        ),
    )
    for actor, row in REVOCATION_REACH.items()
)
