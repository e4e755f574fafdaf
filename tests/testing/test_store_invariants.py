"""Tests of the invariants of a whole store: a wrong one is reported with its law."""

from __future__ import annotations

from datetime import datetime

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, SessionId, UserId
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.testing.store_invariants import check_store
from tests.support.instants import record_at
from tests.support.server import ID, LIMITED, request, successor
from tests.support.strategies import COORDINATE, START, at, pending, uuid
from tests.testing.watched import REVOKED, Watched, another, broken, session

TOMBSTONED = AccountState.TOMBSTONED


def test_store_before_and_after_a_handoff_passes_all_invariants() -> None:
    made = Watched(REVOKED, successor())
    given = b'{"appUserId":"user-1","preferSignup":true}'
    made.ask(request("initiate", body=given), START, 1)
    found = made.world.session(SessionId(uuid(1001)))
    assert found is not None
    check_store([REVOKED, successor()], sessions=[found], bindings=[], now=at(1))
    record_at(made.world, HandoffCompleted(found.id, UserId("u-7")), at(1))
    landed, binding = made.world.session(found.id), made.world.binding(COORDINATE)
    assert landed is not None
    assert binding is not None
    check_store([REVOKED, successor()], sessions=[landed], bindings=[binding], now=at(1))
    made.watch.observe_fact(record_at(made.world, Revoked(ID, Actor.PATIENT), at(2)), at(2))


@pytest.mark.parametrize(
    ("law", "connections", "sessions", "bindings"),
    [
        (1, [pending(), pending()], [], []),
        (6, [another(pending(), root_id=ConnectionId(uuid(9)))], [], []),
        (7, [REVOKED, successor(), another(successor(), id=ConnectionId(uuid(3)))], [], []),
        (8, [], [], [LIMITED, LIMITED]),
        (12, [], [session()], []),
        (12, [], [session()], [LIMITED]),
        (12, [], [session(user_id=UserId("u-2"))], [LIMITED]),
        (
            12,
            [],
            [session()],
            [attrs.evolve(LIMITED, user_id=None, state=TOMBSTONED, generation=0)],
        ),
    ],
)
def test_invariant_error_names_the_law_that_the_store_breaks(
    law: int,
    connections: list[Connection],
    sessions: list[CuraeConnectSession],
    bindings: list[LimitedAccountAppBinding],
) -> None:
    with broken(law):
        check_store(connections, sessions=sessions, bindings=bindings, now=at(1))


ACTIVE = attrs.evolve(pending(), status=Status.ACTIVE)
GONE = attrs.evolve(LIMITED, state=TOMBSTONED, era=at(1), tombstoned_at=at(1))


@pytest.mark.parametrize("era", [None, at(1)])
def test_tombstoned_active_connection_does_not_count_as_active(era: datetime | None) -> None:
    newer = attrs.evolve(successor(), status=Status.ACTIVE)
    newer = attrs.evolve(newer, identity=attrs.evolve(newer.identity, era=era))
    older = attrs.evolve(ACTIVE, identity=attrs.evolve(ACTIVE.identity, era=era))
    bindings = [attrs.evolve(GONE, era=era)]
    ended = attrs.evolve(ACTIVE, identity=attrs.evolve(ACTIVE.identity, era=START))
    check_store([ended, newer], sessions=[], bindings=bindings, now=at(2))
    with broken(6, "a second ACTIVE", where=f"connection {newer.id} at {at(2).isoformat()}"):
        check_store([older, newer], sessions=[], bindings=bindings, now=at(2))
