"""Checks of recoveries: what a reconnect makes, reissues, and chains."""

from __future__ import annotations

from functools import partial
from typing import Final

from curae_lifecycle.rules.chain import RECOVERY
from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.triggers import Successor
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Checks, row_check
from curae_lifecycle.testing.conformance.client import App, Document, refusal, require, same
from curae_lifecycle.testing.conformance.steps import MANY, Steps, later, together, use, wait
from curae_lifecycle.testing.laws import check_one_pending_successor

CHECKS: Final = Checks()


def successor_of(answer: Document) -> str:
    """The id of the recovery that a reconnect answered."""
    return client.text(answer, "connection.id", "the answer to a reconnect")


def _minted(standing: Standing, app: App) -> Steps[None]:
    connection_id = yield from connections.bring(app, standing, "user")
    before = yield from app.seen(connection_id)
    answer = yield from app.reconnected(connection_id)
    where = f"reconnect the connection {connection_id}, which is {standing}"
    made = client.as_document(client.member(answer, "connection", where), where)
    for name in ("customerAccountId", "appUserId", "dataPackages"):
        same(made.get(name), before.get(name), name, where)
    for name in ("authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"):
        same(made.get(name), None, name, where)
    same(client.status_of(made, where), "PENDING", "the new status", where)
    same(client.member(answer, "previousConnectionId", where), connection_id, "previous", where)
    same((yield from app.seen(client.id_of(made))), made, "the recovery, read again", where)
    yield from connections.changes(
        app, before, connections.NOTHING, "what changed of the predecessor", where
    )


def _reissued(standing: Standing, app: App) -> Steps[None]:
    connection_id = yield from connections.bring(app, standing)
    first = yield from app.reconnected(connection_id)
    yield from later(app.kit, connections.MINUTE)
    again = yield from app.reconnected(connection_id)
    where = f"reconnect the connection {connection_id} again while its successor is pending"
    check_one_pending_successor(
        [(connection_id, successor_of(first)), (connection_id, successor_of(again))]
    )
    same(client.member(again, "previousConnectionId", where), connection_id, "previous", where)
    require(
        client.text(again, "nextAction.url", where) != client.text(first, "nextAction.url", where),
        "the next action is not a fresh one",
        where,
    )
    for name in ("connection.updatedAt", "nextAction.expiresAt"):
        moved = client.instant(again, name, where) - client.instant(first, name, where)
        least = connections.MINUTE if "pass_time" in app.kit.hooks else connections.NO_TIME
        require(moved >= least, f"{name} moved by {moved}", where)
    same(
        connections.changed(
            client.as_document(first["connection"], where),
            client.as_document(again["connection"], where),
        )
        - {"updatedAt"},
        connections.NOTHING,
        "what else changed",
        where,
    )


def _superseded(standing: Standing, app: App) -> Steps[None]:
    connection_id = yield from connections.bring(app, standing)
    successor = successor_of((yield from app.reconnected(connection_id)))
    yield from app.revoked(successor)
    yield from _superseded_by(app, connection_id, successor, successor)
    last = successor_of((yield from app.reconnected(successor)))
    yield from _superseded_by(app, connection_id, successor, last)
    yield from app.shows(last, "PENDING", "the head's status", "a chain of three")


def _superseded_by(app: App, connection_id: str, successor: str, head: str) -> Steps[None]:
    where = f"reconnect the connection {connection_id}, whose successor {successor} is not pending"
    details = yield from refusal(app.reconnect(connection_id), 409, "CONNECTION_SUPERSEDED", where)
    ids = ("connectionId", "nextConnectionId", "headConnectionId")
    same(details, dict(zip(ids, (connection_id, successor, head), strict=True)), "details", where)


CHECKS.extend(
    row_check(
        RECOVERY[standing, successor],
        f"Reconnect a connection that is {standing}, {successor}",
        partial(steps, standing),
        laws=laws,
        hooks=connections.BRINGS[standing],
        passes=connections.passes(standing) + connections.MINUTE,
    )
    for standing in (Standing.LAPSED, Standing.ACTION_REQUIRED, Standing.EXPIRED, Standing.REVOKED)
    for successor, steps, laws in (
        (Successor.NONE, _minted, (6,)),
        (Successor.PENDING, _reissued, (7,)),
        (Successor.OTHER, _superseded, (6,)),
    )
)


@CHECKS.add(
    "recovery.successor-active", laws=(6,), rules=("recovery.revoked.other",), hooks=("authorize",)
)
def _successor_active(app: App) -> Steps[None]:
    """A connection whose successor is ACTIVE is recovered no more, and the successor lives on."""
    connection_id = yield from connections.bring(app, Standing.REVOKED)
    successor = successor_of((yield from app.reconnected(connection_id)))
    yield from use("authorize", successor, connections.HOUR)
    yield from _superseded_by(app, connection_id, successor, successor)
    yield from app.shows(successor, "ACTIVE", "the successor's status", "after a reconnect")


@CHECKS.add(
    "recovery.successor-lapsed",
    laws=(6,),
    rules=("recovery.revoked.other",),
    hooks=("pass_time",),
    passes=connections.HALF_AN_HOUR + connections.MOMENT,
)
def _successor_lapsed(app: App) -> Steps[None]:
    """A connection whose successor has lapsed is recovered no more: the chain's end is."""
    connection_id = yield from connections.bring(app, Standing.REVOKED)
    answer = yield from app.reconnected(connection_id)
    successor = successor_of(answer)
    yield from wait(client.lifetime(answer, "reconnect a connection"))
    yield from _superseded_by(app, connection_id, successor, successor)


@CHECKS.add(
    "recovery.reissue-moves-the-deadline",
    rules=("recovery.revoked.pending",),
    hooks=("pass_time",),
    passes=connections.HOUR,
)
def _reissue_moves_the_deadline(app: App) -> Steps[None]:
    """A reissued connection lives as long as its newest next action."""
    connection_id = yield from connections.bring(app, Standing.REVOKED)
    where = f"reconnect the connection {connection_id}"
    first = yield from app.reconnected(connection_id)
    made = client.instant(first, "connection.createdAt", where)
    lapse = client.instant(first, "nextAction.expiresAt", where) - made
    yield from wait(lapse - connections.MINUTE)
    again = yield from app.reconnected(connection_id)
    successor = successor_of(again)
    yield from wait(2 * connections.MINUTE)
    yield from app.shows(successor, "PENDING", "the status", "after the first deadline")
    end = client.instant(again, "nextAction.expiresAt", where)
    yield from wait(
        end - client.instant(again, "connection.updatedAt", where) - 2 * connections.MINUTE
    )
    yield from app.shows(successor, "EXPIRED", "the status", "at the second deadline")


@CHECKS.add("law-06.chain-of-three", laws=(6,))
def _chain_of_three(app: App) -> Steps[None]:
    """Recoveries of recoveries form one line of one user and one set of packages."""
    first = yield from app.created("user")
    ids = [client.id_of(first)]
    for _ in range(2):
        yield from app.revoked(ids[-1])
        answer = yield from app.reconnected(ids[-1])
        where = f"reconnect the connection {ids[-1]}"
        same(client.member(answer, "previousConnectionId", where), ids[-1], "previous", where)
        ids.append(successor_of(answer))
    require(len(set(ids)) >= len(ids), f"an id stands twice: {', '.join(ids)}", "a chain of three")
    expected = ("REVOKED", "REVOKED", "PENDING")
    for each, status in zip(ids, expected, strict=True):
        seen = yield from app.seen(each)
        where = f"the connection {each} of a chain of three"
        same(client.status_of(seen, where), status, "the status", where)
        for name in ("customerAccountId", "appUserId", "dataPackages"):
            same(seen.get(name), first.get(name), name, where)


@CHECKS.add("law-07.at-once", laws=(7,))
def _successor_at_once(app: App) -> Steps[None]:
    """Many reconnects at once, each with a key of its own, make one successor."""
    connection_id = yield from connections.bring(app, Standing.REVOKED)
    requests = tuple([app.reconnect(connection_id) for _ in range(MANY)])
    answers = yield from together(requests)
    where = f"reconnect the connection {connection_id} {MANY} times at once"
    seen = [successor_of(client.expect(answer, client.CREATED, where)) for answer in answers]
    seen.append(successor_of((yield from app.reconnected(connection_id))))
    check_one_pending_successor([(connection_id, each) for each in seen])


@CHECKS.add("recovery.leaves-others-alone")
def _reissue_leaves_others(app: App) -> Steps[None]:
    """A recovery changes no other connection of the same user."""
    other = yield from app.created("user")
    connection_id = yield from connections.bring(app, Standing.REVOKED, "user")
    yield from app.reconnected(connection_id)
    yield from app.reconnected(connection_id)
    yield from connections.changes(
        app, other, connections.NOTHING, "what changed", "another connection of the user"
    )


@CHECKS.add("create.looks-for-no-earlier-one", rules=("operation.create-connection",))
def _two_of_one_user(app: App) -> Steps[None]:
    """A second create for the same user makes a second connection."""
    one = yield from app.created("user")
    two = yield from app.created("user")
    where = "create a second connection for the same user"
    require(client.id_of(one) != client.id_of(two), "the earlier connection came back", where)
    yield from app.revoked(client.id_of(one))
    yield from app.shows(
        client.id_of(two), "PENDING", "the second one's status", "revoke the first"
    )
