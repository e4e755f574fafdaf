"""Checks of recoveries: new successors, reissued successors, and chains."""

from __future__ import annotations

from functools import partial
from typing import Final

from curae_lifecycle.rules.chain import RECOVERY
from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.triggers import SuccessorState
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Checks, row_check
from curae_lifecycle.testing.conformance.client import App, Document, refusal, require, same
from curae_lifecycle.testing.conformance.steps import (
    CONCURRENT_REQUESTS,
    Steps,
    later,
    send_concurrently,
    use,
    wait,
)
from curae_lifecycle.testing.laws import check_one_pending_successor

LONG_CHAIN: Final = 60
"""The number of connections in a long chain, as if a patient reconnects monthly for five years."""

CHECKS: Final = Checks()


def successor_of(answer: Document) -> str:
    """Return the id of the successor from the body of the response to a reconnect.

    Raises:
        NotConformingError: The body has no `connection.id`, or it is not a string.
    """
    return client.text(answer, "connection.id")


def create_recovered(app: App, user: str | None = None) -> Steps[tuple[str, str]]:
    """Create a revoked connection and its pending successor; return their ids in this order.

    Args:
        app: The SDK app that sends the requests.
        user: The app user; a fresh one by default.
    """
    old = yield from connections.create_in_standing(app, Standing.REVOKED, user)
    return old, (yield from client.created_id(app.reconnect(old)))


def _mints(standing: Standing, app: App) -> Steps[None]:
    connection_id = yield from connections.create_in_standing(app, standing, "user")
    before = yield from app.seen(connection_id)
    answer = yield from app.reconnected(connection_id)
    successor = client.as_document(client.member(answer, "connection"))
    for name in ("customerAccountId", "appUserId", "dataPackages"):
        same(successor.get(name), before.get(name), name)
    for name in ("authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"):
        same(successor.get(name), None, name)
    same(client.status_of(successor), "PENDING", "the status of the successor")
    same(client.member(answer, "previousConnectionId"), connection_id, "previousConnectionId")
    same((yield from app.seen(client.id_of(successor))), successor, "the successor, read again,")
    yield from connections.stays(app, before)


def _reissues(standing: Standing, app: App) -> Steps[None]:
    connection_id = yield from connections.create_in_standing(app, standing)
    first = yield from app.reconnected(connection_id)
    span = min(connections.MINUTE, client.lifetime(first) / 2)
    yield from later(app.context, span)
    again = yield from app.reconnected(connection_id)
    check_one_pending_successor(
        [(connection_id, successor_of(first)), (connection_id, successor_of(again))]
    )
    same(client.member(again, "previousConnectionId"), connection_id, "previousConnectionId")
    require(
        client.text(again, "nextAction.url") != client.text(first, "nextAction.url"),
        "the reissue has the same URL as the first response",
    )
    for name in ("connection.updatedAt", "nextAction.expiresAt"):
        moved = client.instant(again, name) - client.instant(first, name)
        least = span if "pass_time" in app.context.hooks else connections.NO_TIME
        require(moved >= least, f"{name} moved by {moved} instead of at least {least}")
    shown = [client.as_document(answer["connection"]) for answer in (first, again)]
    changed = connections.changed(*shown) - {"updatedAt"}
    same(changed, connections.NOTHING, "the set of other changed members")


def _is_superseded(standing: Standing, app: App) -> Steps[None]:
    connection_id = yield from connections.create_in_standing(app, standing)
    successor = yield from client.created_id(app.reconnect(connection_id))
    yield from app.revoked(successor)
    yield from superseded_by(app, connection_id=connection_id, successor=successor, head=successor)
    last = yield from client.created_id(app.reconnect(successor))
    yield from superseded_by(app, connection_id=connection_id, successor=successor, head=last)
    yield from app.shows(last, "PENDING")


def superseded_by(app: App, connection_id: str, successor: str, head: str) -> Steps[None]:
    """Try to reconnect a connection that has a successor, and check that the server refuses.

    The expected refusal is `CONNECTION_SUPERSEDED`.

    Args:
        app: The SDK app that sends the request.
        connection_id: The id of the connection to reconnect.
        successor: The id that the refusal must name as the next connection.
        head: The id that the refusal must name as the head of the chain.

    Raises:
        NotConformingError: The server did not refuse, or the refusal differs.
    """
    details = yield from refusal(app.reconnect(connection_id), 409, "CONNECTION_SUPERSEDED")
    ids = ("connectionId", "nextConnectionId", "headConnectionId")
    same(details, dict(zip(ids, (connection_id, successor, head), strict=True)), "details")


CHECKS.extend(
    row_check(
        RECOVERY[standing, successor],
        f"Reconnect a connection that is {standing}, {successor}",
        partial(steps, standing),
        laws=laws,
        hooks=connections.BRINGS[standing],
        time_needed=connections.time_needed(standing) + connections.MINUTE,
    )
    for standing in (Standing.LAPSED, Standing.ACTION_REQUIRED, Standing.EXPIRED, Standing.REVOKED)
    for successor, steps, laws in (
        (SuccessorState.NONE, _mints, (6,)),
        (SuccessorState.PENDING, _reissues, (7,)),
        (SuccessorState.OTHER, _is_superseded, (6,)),
    )
)


@CHECKS.add(
    "recovery.successor-active", laws=(6,), rules=("recovery.revoked.other",), hooks=("authorize",)
)
def _successor_active(app: App) -> Steps[None]:
    """Reconnects are refused if the successor is ACTIVE, and the successor stays ACTIVE."""
    connection_id, successor = yield from create_recovered(app)
    yield from use("authorize", successor, connections.HOUR)
    yield from superseded_by(app, connection_id=connection_id, successor=successor, head=successor)
    yield from app.shows(successor, "ACTIVE")


@CHECKS.add(
    "recovery.successor-lapsed",
    laws=(6,),
    rules=("recovery.revoked.other",),
    hooks=("pass_time",),
    time_needed=connections.HALF_AN_HOUR + connections.MOMENT,
)
def _successor_lapsed(app: App) -> Steps[None]:
    """Reconnects are refused if the successor has lapsed; the refusal names it as the head."""
    connection_id = yield from connections.create_in_standing(app, Standing.REVOKED)
    answer = yield from app.reconnected(connection_id)
    successor = successor_of(answer)
    yield from wait(client.lifetime(answer))
    yield from superseded_by(app, connection_id=connection_id, successor=successor, head=successor)


@CHECKS.add(
    "recovery.reissue-moves-the-deadline",
    rules=("recovery.revoked.pending",),
    hooks=("pass_time",),
    time_needed=connections.HOUR,
)
def _reissue_moves_the_deadline(app: App) -> Steps[None]:
    """Reissued connections lapse when their newest next action expires, not earlier."""
    connection_id = yield from connections.create_in_standing(app, Standing.REVOKED)
    first = yield from app.reconnected(connection_id)
    created = client.instant(first, "connection.createdAt")
    lapse = client.instant(first, "nextAction.expiresAt") - created
    span = min(connections.MINUTE, lapse / 4)
    yield from wait(lapse - span)
    again = yield from app.reconnected(connection_id)
    successor = successor_of(again)
    yield from wait(2 * span)
    yield from app.shows(successor, "PENDING")
    yield from wait(client.lifetime(again) - 2 * span)
    yield from app.shows(successor, "EXPIRED")


@CHECKS.add("law-06.chain-of-three", laws=(6,))
def _chain_of_three(app: App) -> Steps[None]:
    """Recovering repeatedly forms one linear chain of one user and one set of packages."""
    first = yield from app.created("user")
    ids = [client.id_of(first)]
    for _ in range(2):
        yield from app.revoked(ids[-1])
        answer = yield from app.reconnected(ids[-1])
        same(client.member(answer, "previousConnectionId"), ids[-1], "previousConnectionId")
        ids.append(successor_of(answer))
    require(len(set(ids)) >= len(ids), f"an id occurs twice in the chain: {', '.join(ids)}")
    expected = ("REVOKED", "REVOKED", "PENDING")
    for each, status in zip(ids, expected, strict=True):
        seen = yield from app.seen(each)
        same(client.status_of(seen), status, f"the status of {each}")
        for name in ("customerAccountId", "appUserId", "dataPackages"):
            same(seen.get(name), first.get(name), name)


def create_long_chain(app: App) -> Steps[list[str]]:
    """Create a chain of `LONG_CHAIN` connections and return their ids, oldest first.

    The last connection, the head, is pending. The others are revoked.
    """
    ids = [(yield from app.created_id())]
    while len(ids) < LONG_CHAIN:
        yield from app.revoked(ids[-1])
        ids.append((yield from client.created_id(app.reconnect(ids[-1]))))
    return ids


@CHECKS.add("law-06.long-chain", laws=(6,), rules=("recovery.revoked.other",))
def _long_chain(app: App) -> Steps[None]:
    """Refused reconnects in a chain of 60 connections name the next connection and the head."""
    ids = yield from create_long_chain(app)
    for _ in range(2):
        yield from app.revoked(ids[-1])
        for place in (0, 1, len(ids) // 2, len(ids) - 2):
            yield from superseded_by(
                app, connection_id=ids[place], successor=ids[place + 1], head=ids[-1]
            )
        ids.append((yield from client.created_id(app.reconnect(ids[-1]))))


@CHECKS.add("law-07.at-once", laws=(7,))
def _concurrent_reconnects(app: App) -> Steps[None]:
    """Concurrent reconnects with different keys create one successor."""
    connection_id = yield from connections.create_in_standing(app, Standing.REVOKED)
    requests = tuple([app.reconnect(connection_id) for _ in range(CONCURRENT_REQUESTS)])
    answers = yield from send_concurrently(requests)
    seen = [successor_of(client.expect(answer, client.CREATED)) for answer in answers]
    seen.append((yield from client.created_id(app.reconnect(connection_id))))
    check_one_pending_successor([(connection_id, each) for each in seen])


@CHECKS.add("recovery.leaves-others-alone")
def _recovery_leaves_others(app: App) -> Steps[None]:
    """Recovering a connection changes no other connection of the user."""
    other = yield from app.created("user")
    connection_id = yield from connections.create_in_standing(app, Standing.REVOKED, "user")
    yield from app.reconnected(connection_id)
    yield from app.reconnected(connection_id)
    yield from connections.stays(app, other)


@CHECKS.add("create.looks-for-no-earlier-one", rules=("operation.create-connection",))
def _second_create(app: App) -> Steps[None]:
    """Creating twice for the same user makes two connections."""
    one = yield from app.created("user")
    two = yield from app.created("user")
    require(
        client.id_of(one) != client.id_of(two), "the second create returned the first connection"
    )
    yield from app.revoked(client.id_of(one))
    yield from app.shows(client.id_of(two), "PENDING")
