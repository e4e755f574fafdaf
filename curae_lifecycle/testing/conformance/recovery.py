"""Checks of recoveries and revocations: chains, reissues, and how far a revocation goes."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from curae_lifecycle.rules.chain import RECOVERY, REVOCATION_REACH, Reach
from curae_lifecycle.rules.connection import Actor, Standing
from curae_lifecycle.rules.triggers import Successor
from curae_lifecycle.testing.conformance.client import (
    CREATED,
    OK,
    App,
    Document,
    as_document,
    create,
    expect,
    expect_problem,
    expect_said,
    get,
    id_of,
    instant,
    lifetime,
    member,
    new_app,
    reconnect,
    revoke,
    same,
    status_of,
    text,
)
from curae_lifecycle.testing.conformance.connections import (
    BRINGS,
    HALF_AN_HOUR,
    HOUR,
    MINUTE,
    MOMENT,
    NOTHING,
    REASON,
    WIRE,
    bring,
    changed,
    passes,
)
from curae_lifecycle.testing.conformance.steps import (
    Check,
    Kit,
    NotConformingError,
    Steps,
    send,
    together,
    use,
    wait,
)
from curae_lifecycle.testing.laws import (
    RevocationSeen,
    check_one_pending_successor,
    check_revocation,
)

MANY: Final = 8
"""How many requests are sent at once."""


def later(kit: Kit, span: timedelta) -> Steps[None]:
    """Let time pass where that is possible, so that a time that moves is seen to move."""
    if "pass_time" in kit.hooks and span <= kit.patience:
        yield from wait(span)


def _successor(answer: Document) -> str:
    return text(answer, "connection.id", "the answer to a reconnect")


# --- Reconnect, by standing and successor ---------------------------------------------------


def _minted(standing: Standing, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, standing, "user")
    before = yield from get(app, connection_id)
    answer = yield from reconnect(app, connection_id)
    where = f"reconnect the connection {connection_id}, which is {standing}"
    made = as_document(member(answer, "connection", where), where)
    for name in ("customerAccountId", "appUserId", "dataPackages"):
        same(made.get(name), before.get(name), name, where)
    for name in ("authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"):
        same(made.get(name), None, name, where)
    same(status_of(made, where), "PENDING", "the new status", where)
    same(member(answer, "previousConnectionId", where), connection_id, "previous", where)
    same((yield from get(app, id_of(made))), made, "the recovery, read again", where)
    after = yield from get(app, connection_id)
    same(changed(before, after), NOTHING, "what changed of the predecessor", where)


def _reissued(standing: Standing, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, standing)
    first = yield from reconnect(app, connection_id)
    yield from later(kit, MINUTE)
    again = yield from reconnect(app, connection_id)
    where = f"reconnect the connection {connection_id} again while its successor is pending"
    check_one_pending_successor(
        [(connection_id, _successor(first)), (connection_id, _successor(again))]
    )
    same(member(again, "previousConnectionId", where), connection_id, "previous", where)
    if text(again, "nextAction.url", where) == text(first, "nextAction.url", where):
        raise NotConformingError("the next action is not a fresh one", where)
    for name in ("connection.updatedAt", "nextAction.expiresAt"):
        moved = instant(again, name, where) - instant(first, name, where)
        if moved < (MINUTE if "pass_time" in kit.hooks else timedelta(0)):
            raise NotConformingError(f"{name} moved by {moved}", where)
    same(
        changed(as_document(first["connection"], where), as_document(again["connection"], where))
        - {"updatedAt"},
        NOTHING,
        "what else changed",
        where,
    )


def _superseded(standing: Standing, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, standing)
    successor = _successor((yield from reconnect(app, connection_id)))
    yield from revoke(app, successor)
    yield from _refused_for_a_successor(app, connection_id, successor)
    last = _successor((yield from reconnect(app, successor)))
    yield from _refused_for_a_successor(app, connection_id, successor)
    seen = yield from get(app, last)
    same(status_of(seen, "its head"), "PENDING", "the head's status", "a chain of three")


def _refused_for_a_successor(app: App, connection_id: str, successor: str) -> Steps[None]:
    where = f"reconnect the connection {connection_id}, whose successor {successor} is not pending"
    response = yield from send(app.reconnect(connection_id))
    details = expect_problem(response, 409, "CONNECTION_SUPERSEDED", where)
    expected = {"connectionId": connection_id, "nextConnectionId": successor}
    same(dict(details), expected, "details", where)


_SUCCESSORS: Final = {
    Successor.NONE: (_minted, (6,)),
    Successor.PENDING: (_reissued, (7,)),
    Successor.OTHER: (_superseded, (6,)),
}
_RECOVERED: Final = (
    Standing.LAPSED,
    Standing.ACTION_REQUIRED,
    Standing.EXPIRED,
    Standing.REVOKED,
)

ROW_CHECKS: Final = tuple(
    [
        Check(
            RECOVERY[standing, successor].rule,
            f"Reconnect a connection that is {standing}, {successor}: "
            f"{RECOVERY[standing, successor].outcome}.",
            partial(steps, standing),
            laws=laws,
            rules=(RECOVERY[standing, successor].rule,),
            hooks=BRINGS[standing],
            passes=passes(standing) + MINUTE,
        )
        for standing in _RECOVERED
        for successor, (steps, laws) in _SUCCESSORS.items()
    ]
)


# --- Chains ---------------------------------------------------------------------------------


def _successor_active(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, Standing.REVOKED)
    successor = _successor((yield from reconnect(app, connection_id)))
    yield from use("authorize", successor, HOUR)
    yield from _refused_for_a_successor(app, connection_id, successor)
    seen = yield from get(app, successor)
    same(status_of(seen, "the successor"), "ACTIVE", "the successor's status", "after a reconnect")


def _successor_lapsed(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, Standing.REVOKED)
    answer = yield from reconnect(app, connection_id)
    successor = _successor(answer)
    yield from wait(lifetime(answer, "reconnect a connection"))
    yield from _refused_for_a_successor(app, connection_id, successor)


def _reissue_moves_the_deadline(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, Standing.REVOKED)
    where = f"reconnect the connection {connection_id}"
    first = yield from reconnect(app, connection_id)
    made = instant(first, "connection.createdAt", where)
    lapse = instant(first, "nextAction.expiresAt", where) - made
    yield from wait(lapse - MINUTE)
    again = yield from reconnect(app, connection_id)
    successor = _successor(again)
    yield from wait(2 * MINUTE)
    seen = yield from get(app, successor)
    same(status_of(seen, where), "PENDING", "the status", "after the first deadline")
    end = instant(again, "nextAction.expiresAt", where)
    yield from wait(end - instant(again, "connection.updatedAt", where) - 2 * MINUTE)
    seen = yield from get(app, successor)
    same(status_of(seen, where), "EXPIRED", "the status", "at the second deadline")


def _chain_of_three(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    first = yield from create(app, "user")
    ids = [id_of(first)]
    for _ in range(2):
        yield from revoke(app, ids[-1])
        answer = yield from reconnect(app, ids[-1])
        where = f"reconnect the connection {ids[-1]}"
        same(member(answer, "previousConnectionId", where), ids[-1], "previous", where)
        ids.append(_successor(answer))
    if len(set(ids)) < len(ids):
        raise NotConformingError(f"an id stands twice: {', '.join(ids)}", "a chain of three")
    expected = ("REVOKED", "REVOKED", "PENDING")
    for each, status in zip(ids, expected, strict=True):
        seen = yield from get(app, each)
        where = f"the connection {each} of a chain of three"
        same(status_of(seen, where), status, "the status", where)
        for name in ("customerAccountId", "appUserId", "dataPackages"):
            same(seen.get(name), first.get(name), name, where)


def _successor_at_once(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, Standing.REVOKED)
    requests = tuple([app.reconnect(connection_id) for _ in range(MANY)])
    answers = yield from together(requests)
    where = f"reconnect the connection {connection_id} {MANY} times at once"
    told = [_successor(expect(answer, CREATED, where)) for answer in answers]
    told.append(_successor((yield from reconnect(app, connection_id))))
    check_one_pending_successor([(connection_id, each) for each in told])


def _reissue_leaves_others(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    other = yield from create(app, "user")
    connection_id = yield from bring(app, Standing.REVOKED, "user")
    yield from reconnect(app, connection_id)
    yield from reconnect(app, connection_id)
    seen = yield from get(app, id_of(other))
    same(changed(other, seen), NOTHING, "what changed", "another connection of the user")


def _two_of_one_user(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    one = yield from create(app, "user")
    two = yield from create(app, "user")
    where = "create a second connection for the same user"
    if id_of(one) == id_of(two):
        raise NotConformingError("the earlier connection came back", where)
    yield from revoke(app, id_of(one))
    seen = yield from get(app, id_of(two))
    same(status_of(seen, where), "PENDING", "the second one's status", "revoke the first")


# --- Revocation -----------------------------------------------------------------------------


def _revoked_once(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    seen: list[RevocationSeen] = []
    for _ in range(3):
        response = yield from send(app.revoke(connection_id))
        expect(response, OK, f"revoke the connection {connection_id}")
        seen.append(RevocationSeen.read(response))
        yield from later(kit, MINUTE)
    check_revocation(seen)


def _revoked_at_once(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    requests = tuple([app.revoke(connection_id) for _ in range(MANY)])
    answers = yield from together(requests)
    for answer in answers:
        expect(answer, OK, f"revoke the connection {connection_id} {MANY} times at once")
    seen = [RevocationSeen.read(answer) for answer in answers]
    # At once there is no order: whichever says that it revoked was the first.
    seen.sort(key=lambda each: not each.revoked_now)
    check_revocation(seen)


def _revocation_survives(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    yield from revoke(app, connection_id)
    before = yield from get(app, connection_id)
    yield from later(kit, MINUTE)
    where = f"everything that can happen to the revoked connection {connection_id}"
    yield from use("authorize", connection_id, HOUR)
    yield from use("require_action", connection_id, REASON)
    yield from use("expire", connection_id)
    yield from use("revoke", connection_id, Actor.PATIENT)
    yield from reconnect(app, connection_id)
    after = yield from get(app, connection_id)
    same(changed(before, after), NOTHING, "what changed", where)


def _rank_never_falls(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    ranks = ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")
    highest = 0
    rising = ("authorize", "require_action", "expire", "revoke")
    for hook in [each for first in rising for each in (first, "authorize", "require_action")]:
        yield from _happens(hook, connection_id)
        where = f"the connection {connection_id}, on {hook}"
        status = status_of((yield from get(app, connection_id)), where)
        rank = ranks.index(status) if status in ranks else -1
        if rank < highest:
            raise NotConformingError(f"{ranks[highest]} became {status}", where)
        highest = rank
    same(ranks[highest], "REVOKED", "the last status", f"the connection {connection_id}")


def _happens(hook: str, connection_id: str) -> Steps[None]:
    match hook:
        case "authorize":
            yield from use(hook, connection_id, HOUR)
        case "require_action":
            yield from use(hook, connection_id, REASON)
        case "revoke":
            yield from use(hook, connection_id, Actor.PLATFORM)
        case _:
            yield from use(hook, connection_id)


def _reach(actor: Actor, kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, Standing.ACTION_REQUIRED)
    successor = _successor((yield from reconnect(app, connection_id)))
    where = f"{actor} revokes the connection {connection_id}, whose successor is {successor}"
    if actor is Actor.APP:
        answer = yield from revoke(app, connection_id)
        same(member(answer, "revokedNow", where), True, "revokedNow", where)
    else:
        expect_said((yield from use("revoke", connection_id, actor)), "done", where)
    seen = yield from get(app, connection_id)
    same(status_of(seen, where), "REVOKED", "its status", where)
    whole = REVOCATION_REACH[actor].outcome.what is Reach.CHAIN
    after = yield from get(app, successor)
    expected = WIRE[Standing.REVOKED if whole else Standing.PENDING]
    same(status_of(after, where), expected, "the successor's status", where)
    if whole:
        same(
            member(after, "revokedAt", where),
            member(seen, "revokedAt", where),
            "the successor's revokedAt",
            where,
        )


def _patient_after_app(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, Standing.REVOKED)
    before = yield from get(app, connection_id)
    successor = _successor((yield from reconnect(app, connection_id)))
    where = f"the patient revokes {connection_id}, which the app had revoked"
    yield from later(kit, MINUTE)
    expect_said((yield from use("revoke", connection_id, Actor.PATIENT)), "done", where)
    seen = yield from get(app, successor)
    same(status_of(seen, where), "REVOKED", "the successor's status", where)
    same((yield from get(app, connection_id)), before, "the first one", where)


def _revoking_an_old_id(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, Standing.REVOKED)
    successor = _successor((yield from reconnect(app, connection_id)))
    before = yield from get(app, successor)
    answer = yield from revoke(app, connection_id)
    where = f"revoke the old connection {connection_id} again"
    same(member(answer, "revokedNow", where), False, "revokedNow", where)
    after = yield from get(app, successor)
    same(changed(before, after), NOTHING, "what changed of its successor", where)


def _refresh_is_no_revocation(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = yield from bring(app, Standing.ACTIVE)
    yield from use("require_action", connection_id, REASON)
    seen = yield from get(app, connection_id)
    where = f"the active connection {connection_id}, whose refresh failed"
    same(status_of(seen, where), "ACTION_REQUIRED", "the status", where)
    same(member(seen, "revokedAt", where), None, "revokedAt", where)
    same(member(seen, "actionRequiredReason", where), REASON, "the reason", where)


CHAIN_CHECKS: Final = (
    Check(
        "recovery.successor-active",
        "A connection whose successor is ACTIVE is recovered no more, and the successor lives on.",
        _successor_active,
        laws=(6,),
        rules=("recovery.revoked.other",),
        hooks=("authorize",),
    ),
    Check(
        "recovery.successor-lapsed",
        "A connection whose successor has lapsed is recovered no more: the chain's end is.",
        _successor_lapsed,
        laws=(6,),
        rules=("recovery.revoked.other",),
        hooks=("pass_time",),
        passes=HALF_AN_HOUR + MOMENT,
    ),
    Check(
        "recovery.reissue-moves-the-deadline",
        "A reissued connection lives as long as its newest next action.",
        _reissue_moves_the_deadline,
        rules=("recovery.revoked.pending",),
        hooks=("pass_time",),
        passes=HOUR,
    ),
    Check(
        "law-06.chain-of-three",
        "Recoveries of recoveries form one line of one user and one set of packages.",
        _chain_of_three,
        laws=(6,),
    ),
    Check(
        "law-07.at-once",
        "Many reconnects at once, each with a key of its own, make one successor.",
        _successor_at_once,
        laws=(7,),
    ),
    Check(
        "recovery.leaves-others-alone",
        "A recovery changes no other connection of the same user.",
        _reissue_leaves_others,
    ),
    Check(
        "create.looks-for-no-earlier-one",
        "A second create for the same user makes a second connection.",
        _two_of_one_user,
        rules=("operation.create-connection",),
    ),
    Check(
        "law-01.rank-never-falls",
        "Whatever happens in whatever order, the status of one id only rises.",
        _rank_never_falls,
        laws=(1,),
        hooks=("authorize", "require_action", "expire", "revoke"),
    ),
    Check(
        "law-02.revoked-once",
        "Of several revocations the first alone says so, and its time stands.",
        _revoked_once,
        laws=(2,),
        rules=("connection.revoke.pending", "connection.revoke.revoked"),
    ),
    Check(
        "law-02.at-once",
        "Of many revocations at once exactly one says that it revoked.",
        _revoked_at_once,
        laws=(2,),
    ),
    Check(
        "law-02.revocation-survives",
        "Nothing that arrives after a revocation changes it.",
        _revocation_survives,
        laws=(1, 2, 11),
        hooks=("authorize", "require_action", "expire", "revoke"),
    ),
    Check(
        "revocation-reach.old-id",
        "An app that revokes an old id again leaves its successor alone.",
        _revoking_an_old_id,
        rules=("revocation-reach.app", "connection.revoke.revoked"),
    ),
    Check(
        "revocation-reach.patient-after-app",
        "A patient who revokes what the app had revoked ends every later connection.",
        _patient_after_app,
        rules=("revocation-reach.patient",),
        hooks=("revoke",),
    ),
    Check(
        "connection.failed-refresh",
        "A failed refresh asks for an action and revokes nothing.",
        _refresh_is_no_revocation,
        rules=("connection.require-action.active",),
        hooks=("authorize", "require_action"),
    ),
    *[
        Check(
            row.rule,
            f"A revocation by {actor} reaches {row.outcome}.",
            partial(_reach, actor),
            rules=(row.rule,),
            hooks=("require_action",) if actor is Actor.APP else ("require_action", "revoke"),
        )
        for (actor,), row in REVOCATION_REACH
    ],
)

CHECKS: Final = (*ROW_CHECKS, *CHAIN_CHECKS)
