"""Checks of long chains, whose connections need action, are expired or are revoked.

The law of this module: **a chain may grow for as long as a patient uses the platform**, and its
ids keep their meaning at every length.
"""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.connection import Actor, Standing
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, record_by_hook, require, same
from curae_lifecycle.testing.conformance.recovery import successor_of, superseded_by
from curae_lifecycle.testing.conformance.revocation import check_revoked_together
from curae_lifecycle.testing.conformance.standings import expect_readable
from curae_lifecycle.testing.conformance.steps import Steps, later, use

CHECKS: Final = Checks()

LONG: Final = 20
"""The number of connections in a long chain, about as many as a patient makes in some years."""

_STANDINGS: Final = (Standing.ACTION_REQUIRED, Standing.EXPIRED, Standing.REVOKED)
_HOOKS: Final = ("authorize", "require_action", "expire")


def _build_chain(app: App, count: int) -> Steps[list[str]]:
    # The ids of the chain in order. The head is PENDING.
    ids = [(yield from app.created_id("user"))]
    while len(ids) < count:
        standing = _STANDINGS[len(ids) % len(_STANDINGS)]
        yield from connections.move(app, ids[-1], standing)
        ids.append((yield from client.created_id(app.reconnect(ids[-1]))))
    return ids


@CHECKS.add("law-06.chain-of-every-end", laws=(6, 7), hooks=_HOOKS)
def _one_head(app: App) -> Steps[None]:
    """In a chain of connections in several standings, reconnect reissues the head alone."""
    for count in (5, LONG):
        ids = yield from _build_chain(app, count)
        require(len(set(ids)) == count, "an id occurs twice in the chain")
        for place in (0, count // 2, count - 3):
            yield from superseded_by(
                app, connection_id=ids[place], successor=ids[place + 1], head=ids[-1]
            )
        again = yield from app.reconnected(ids[-2])
        same(successor_of(again), ids[-1], "the id of the reissued head")
        yield from record_by_hook("authorize", ids[-1], None)
        statuses = [client.status_of(each) for each in (yield from app.all_seen(ids))]
        same(statuses.count("ACTIVE"), 1, "the number of ACTIVE connections")


@CHECKS.add(
    "law-06.late-authorization-in-a-chain",
    laws=(1, 6),
    rules=("connection.authorize.action-required",),
    hooks=_HOOKS,
)
def _only_head_is_authorized(app: App) -> Steps[None]:
    """In a long chain, only the head can be authorized."""
    ids = yield from _build_chain(app, LONG)
    before = yield from app.all_seen(ids)
    for each in ids[:-1]:
        yield from record_by_hook("authorize", each, None, expected="CONNECTION_SUPERSEDED")
    same((yield from app.all_seen(ids)), before, "the chain after the refused authorizations")
    yield from record_by_hook("authorize", ids[-1], None)


@CHECKS.add(
    "revocation-reach.from-the-middle",
    laws=(2,),
    rules=("revocation-reach.patient",),
    hooks=(*_HOOKS, "revoke"),
)
def _patient_revokes_the_middle(app: App) -> Steps[None]:
    """Revocations by a patient end that connection and every later one, and no earlier one."""
    for count in (5, LONG):
        ids = yield from _build_chain(app, count)
        middle = count // 2
        earlier = yield from app.all_seen(ids[:middle])
        seen = yield from app.all_seen(ids[middle:])
        alive = [client.id_of(each) for each in seen if client.status_of(each) != "REVOKED"]
        yield from later(app.context, connections.MINUTE)
        yield from record_by_hook("revoke", ids[middle], Actor.PATIENT)
        same((yield from app.all_seen(ids[:middle])), earlier, "the earlier part of the chain")
        yield from check_revoked_together(app, alive)


@CHECKS.add(
    "law-17.long-chain",
    laws=(2, 17),
    rules=("binding.tombstone.limited",),
    hooks=(*_HOOKS, "tombstone"),
)
def _tombstone_ends_the_chain(app: App) -> Steps[None]:
    """Tombstones revoke every connection of a long chain and change no earlier revokedAt."""
    yield from app.initiated("user")
    ids = yield from _build_chain(app, LONG)
    before = yield from app.all_seen(ids)
    alive = [client.id_of(each) for each in before if client.status_of(each) != "REVOKED"]
    revoked = [each for each in before if client.id_of(each) not in alive]
    yield from later(app.context, connections.MINUTE)
    yield from record_by_hook("tombstone", app.coordinate("user"))
    yield from check_revoked_together(app, alive)
    after = yield from app.all_seen([client.id_of(each) for each in revoked])
    same(after, revoked, "the connections that were revoked before")


@CHECKS.add(
    "access.long-chain",
    laws=(5, 6),
    rules=("access.active",),
    hooks=(*_HOOKS, "may_read"),
)
def _head_grants_access(app: App) -> Steps[None]:
    """Access is granted over the head of a long chain alone, until an app revokes the head."""
    ids = yield from _build_chain(app, LONG)
    yield from use("authorize", ids[-1], None)
    for each in ids:
        yield from expect_readable(each, each == ids[-1])
    yield from app.revoked(ids[0])
    yield from expect_readable(ids[-1], True)
    yield from app.revoked(ids[-1])
    yield from expect_readable(ids[-1], False)
