"""Random traffic stores no state that the explorer calls unreachable."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import product
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.reconnect import Reconnect
from docs.explorer import reachable, states
from docs.explorer.reachable import USERS, World

MINUTE: Final = timedelta(minutes=1)
PRESENT: Final = states.CHOICES["era"][0]


def step(world: World, draw: random.Random) -> World:
    """Return the world after a random request, fact, sweep or time."""
    # Times differ from those that the explorer tries, and meet deadlines exactly now and then.
    later = draw.choice((0, 0, 1, 7, 30)) * MINUTE
    world = attrs.evolve(world, now=world.now + later)
    open_for = draw.choice((0, 1, 7, 30)) * MINUTE
    known = [each for each in (world.connection, world.successor) if each is not None]
    match draw.randrange(8):
        case 0 if not known:
            create = CreateConnection(states.USER, (states.PACKAGE,))
            return world.decided(create, open_for=open_for)
        case 1 if known:
            again = Reconnect(states.CONNECTION)
            return world.decided(again, on=world.connection, open_for=open_for)
        case 2 if draw.random() < 0.3:
            return world.recorded(Tombstoned(states.COORDINATE))
        case 3:
            return world.swept
        case 4:
            prefers = draw.random() < 0.7
            return world.decided(Initiate(states.USER, prefers), open_for=open_for)
        case 5 if world.session is not None:
            happened_at = max(world.now - 30 * MINUTE, world.session.created_at)
            return world.recorded(HandoffCompleted(states.SESSION, draw.choice(USERS), happened_at))
        case 6 if draw.random() < 0.3:
            return world.recorded(Graduated(states.COORDINATE, draw.choice(USERS)))
        case _ if known:
            connection = draw.choice(known)
            return world.recorded(fact_of(connection, world, draw), on=connection)
        case _:
            return world


def fact_of(connection: Connection, world: World, draw: random.Random) -> Fact:
    happened_at = max(world.now - draw.choice((0, 1, 30)) * MINUTE, connection.identity.created_at)
    expires_at = draw.choice((None, happened_at + draw.choice((1, 7, 300)) * MINUTE))
    return draw.choice(
        (
            Authorized(connection.id, expires_at, happened_at),
            Authorized(connection.id, expires_at, happened_at),
            ActionRequired(connection.id, "portal_login", happened_at),
            Expired(connection.id, happened_at),
            Revoked(connection.id, draw.choice([*Actor]), happened_at),
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", range(2))
def test_random_traffic_stays_in_the_reachable_states(start: int) -> None:
    draw = random.Random(start)  # noqa: S311 - the same traffic in every run
    connections, sessions = set[reachable.Seen](), set[reachable.Seen]()
    for _ in range(600):
        world = World()
        for _ in range(25):
            world = step(world, draw)
            connections |= {seen for seen in [reachable.connection_seen(world)] if seen}
            sessions |= {seen for seen in [reachable.session_seen(world)] if seen}
    assert connections <= reachable.connections()
    assert sessions <= reachable.sessions()
    # The traffic is worth something: it meets many states.
    assert len(connections) > len(reachable.connections()) // 3
    assert len(sessions) > len(reachable.sessions()) // 3


@pytest.mark.slow
def test_active_connection_before_expiry_never_has_a_successor() -> None:
    seen = {each for each in reachable.connections() if each[:2] == ("ACTIVE", "no revokedAt")}
    open_ones = {each[4] for each in seen if each[2:4] == (PRESENT, "before the deadline")}
    assert open_ones == {states.ALONE}
    after = {each[4] for each in seen if each[2:4] == (PRESENT, "after the deadline")}
    assert after == set(states.CHOICES["successor"])


@pytest.mark.slow
def test_traffic_sets_revoked_at_if_and_only_if_status_revoked() -> None:
    pairs = {each[:2] for each in reachable.connections()}
    every = product(states.CHOICES["stored status"], states.CHOICES["revocation"])
    assert set(every) - pairs == {
        ("REVOKED", "no revokedAt"),
        *((status, "a revokedAt") for status in states.CHOICES["stored status"][:-1]),
    }
