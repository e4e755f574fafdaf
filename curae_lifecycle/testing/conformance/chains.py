"""Checks of long chains: of many links, and of links that ended in every way.

The law of this module: **a chain may be as long as a life with the platform**, and each of its ids
means what it meant when it was short.
"""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.connection import Actor, Standing
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, happens, require, same
from curae_lifecycle.testing.conformance.recovery import successor_of, superseded_by
from curae_lifecycle.testing.conformance.revocation import revoked_together
from curae_lifecycle.testing.conformance.standings import expect_readable
from curae_lifecycle.testing.conformance.steps import Steps, later, use

CHECKS: Final = Checks()

LONG: Final = 20
"""As many connections as a patient makes in some years."""

_MIXED: Final = (Standing.ACTION_REQUIRED, Standing.EXPIRED, Standing.REVOKED)
_NEEDED: Final = ("authorize", "require_action", "expire")


def _chain(app: App, user: str, count: int) -> Steps[list[str]]:
    # A chain whose links ended in every way, the head pending; the ids in order.
    ids = [client.id_of((yield from app.created(user)))]
    while len(ids) < count:
        standing = _MIXED[len(ids) % len(_MIXED)]
        yield from connections.move(
            app, connection_id=ids[-1], standing=standing, lapse=connections.HALF_AN_HOUR
        )
        ids.append((yield from client.made(app.reconnect(ids[-1]))))
    return ids


@CHECKS.add("law-06.chain-of-every-end", laws=(6, 7), hooks=_NEEDED)
def _of_every_end(app: App) -> Steps[None]:
    """A chain whose links ended in every way has one head, which alone is recovered and reissued."""
    for count in (5, LONG):
        ids = yield from _chain(app, "user", count)
        require(len(set(ids)) == count, "an id stands twice")
        for place in (0, count // 2, count - 3):
            yield from superseded_by(
                app, connection_id=ids[place], successor=ids[place + 1], head=ids[-1]
            )
        again = yield from app.reconnected(ids[-2])
        same(successor_of(again), ids[-1], "the head, reissued,")
        yield from happens("authorize", ids[-1], None)
        statuses = [client.status_of(each) for each in (yield from app.all_seen(ids))]
        same(statuses.count("ACTIVE"), 1, "the number of ACTIVE connections")


@CHECKS.add(
    "law-06.late-authorization-in-a-chain",
    laws=(1, 6),
    rules=("connection.authorize.action-required",),
    hooks=_NEEDED,
)
def _authorized_in_the_middle(app: App) -> Steps[None]:
    """No link of a chain but its head can be authorized."""
    ids = yield from _chain(app, "user", LONG)
    before = yield from app.all_seen(ids)
    for each in ids[:-1]:
        yield from happens("authorize", each, None, said="CONNECTION_SUPERSEDED")
    same((yield from app.all_seen(ids)), before, "what the chain shows")
    yield from happens("authorize", ids[-1], None)


@CHECKS.add(
    "revocation-reach.from-the-middle",
    laws=(2,),
    rules=("revocation-reach.patient",),
    hooks=(*_NEEDED, "revoke"),
)
def _from_the_middle(app: App) -> Steps[None]:
    """A patient's revocation in the middle of a chain ends all after it and nothing before it."""
    for count in (5, LONG):
        ids = yield from _chain(app, "user", count)
        middle = count // 2
        earlier = yield from app.all_seen(ids[:middle])
        seen = yield from app.all_seen(ids[middle:])
        alive = [client.id_of(each) for each in seen if client.status_of(each) != "REVOKED"]
        yield from later(app.context, connections.MINUTE)
        yield from happens("revoke", ids[middle], Actor.PATIENT)
        same((yield from app.all_seen(ids[:middle])), earlier, "what came before it")
        yield from revoked_together(app, alive)


@CHECKS.add(
    "law-17.long-chain",
    laws=(2, 17),
    rules=("binding.tombstone.limited",),
    hooks=(*_NEEDED, "tombstone"),
)
def _tombstoned(app: App) -> Steps[None]:
    """A tombstone ends every link of a long chain, and moves no revokedAt."""
    yield from app.initiated("user")
    ids = yield from _chain(app, "user", LONG)
    before = yield from app.all_seen(ids)
    alive = [client.id_of(each) for each in before if client.status_of(each) != "REVOKED"]
    left = [each for each in before if client.id_of(each) not in alive]
    yield from later(app.context, connections.MINUTE)
    yield from happens("tombstone", app.coordinate("user"))
    yield from revoked_together(app, alive)
    same((yield from app.all_seen([client.id_of(each) for each in left])), left, "the others")


@CHECKS.add(
    "access.long-chain",
    laws=(5, 6),
    rules=("access.active",),
    hooks=(*_NEEDED, "may_read"),
)
def _read_over_the_head(app: App) -> Steps[None]:
    """Over a long chain the head alone is read, and nobody once an app revokes it."""
    ids = yield from _chain(app, "user", LONG)
    yield from use("authorize", ids[-1], None)
    for each in ids:
        yield from expect_readable(each, each == ids[-1])
    yield from app.revoked(ids[0])
    yield from expect_readable(ids[-1], True)
    yield from app.revoked(ids[-1])
    yield from expect_readable(ids[-1], False)
