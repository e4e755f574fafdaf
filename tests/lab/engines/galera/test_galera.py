"""Tests of the Galera run: its violations, its fault plan, and the node that restarts first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import cast

import attrs
import pytest
from sqlalchemy.engine.interfaces import DBAPIConnection

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.codec import dump
from curae_lifecycle.web.request import Request
from tests.lab.crash.enemies import OF_WORKERS
from tests.lab.crash.history import Operation
from tests.lab.crash.lived import CALLER, USER
from tests.lab.crash.world import DONE, IGNORED, Asked, Told, Work
from tests.lab.engines.galera import Galera, Node
from tests.lab.engines.galera.against import enemies
from tests.lab.engines.galera.asking import Asking
from tests.lab.engines.galera.watch import Watch
from tests.lab.engines.hosts import Host, Network
from tests.support.strategies import apply_trigger, at, pending

NOBODY = Network([])
REVOKE = Request(method="POST", target="/api/sdk/v1/connections/c-1:revoke", headers=(), body=b"")
FACT = Revoked(ConnectionId("c-1"), Actor.PATIENT)


def shown(status: str, code: int = 200) -> Response:
    """Return a response that shows a connection."""
    return Response(code, (), json.dumps({"connection": {"id": "c-1", "status": status}}).encode())


@pytest.mark.parametrize(
    ("work", "answer", "is_acknowledged"),
    [
        (Asked(CALLER, REVOKE), shown("REVOKED"), True),
        (Asked(CALLER, REVOKE), shown("ACTIVE"), False),
        (Asked(CALLER, REVOKE), shown("REVOKED", 409), False),
        (Asked(CALLER, REVOKE), None, False),
        (Asked(CALLER, attrs.evolve(REVOKE, target="/connections/c-1")), shown("REVOKED"), False),
        (Told(FACT), DONE, True),
        (Told(FACT), IGNORED, False),
        (Told(FACT), None, False),
    ],
)
def test_galera_test_rereads_only_acknowledged_revocations(
    work: Work, answer: Response | str | None, *, is_acknowledged: bool
) -> None:
    watch = Watch(Galera(NOBODY, []))
    for _ in range(2):
        watch.hear(
            Operation(user=USER.app_user, work=work, invoked=0, returned=None, answer=answer)
        )
    assert [connection for connection, _ in watch.revoked] == ["c-1"] * is_acknowledged


@attrs.frozen
class Answering:
    """A connection to a node with fixed rows."""

    rows: Sequence[Sequence[object]]

    def cursor(self) -> Answering:
        return self

    def execute(self, statement: str, values: Sequence[str]) -> None:
        assert "FROM curae.curae_connection c LEFT JOIN curae.curae_binding b" in statement
        assert values == ("c-1",)

    def fetchall(self) -> Sequence[Sequence[object]]:
        return self.rows


@pytest.mark.parametrize(
    ("rows", "stale"),
    [
        ([(json.dumps(dump(apply_trigger(pending(), "APP", at(1)))), None)], []),
        ([(json.dumps(dump(pending())), None)], ["PENDING"]),
        ([], [None]),
    ],
)
def test_galera_test_reports_a_revocation_that_a_node_lacks(
    rows: Sequence[Sequence[object]], stale: list[str | None]
) -> None:
    watch, node = Watch(Galera(NOBODY, [])), Node(Host("a", "10.0.0.1"), Path(), ())
    watch.hear(Operation(user=USER.app_user, work=Told(FACT), invoked=0, returned=1, answer=DONE))
    asked = Asking(cast("DBAPIConnection", Answering(rows)))
    assert watch._read_next(asked, node=node, sync=1, random=Random(1), seen=0) == 1  # noqa: S311 - no secret
    assert [each.status for each in watch.of(1)] == stale
    assert watch.of(0) == []
    assert watch.reads == {1: 1}


def test_35_planned_galera_faults_have_at_least_5_of_each_kind() -> None:
    wanted = enemies(35)
    of_database = [times for enemy, times in wanted.items() if enemy not in OF_WORKERS]
    assert sum(of_database) == 35
    assert min(of_database) >= 5


class Resting(Node):
    """A stopped node at a given position."""

    def __init__(self, name: str, position: str | None, began: list[str]) -> None:
        super().__init__(Host(name, name), Path(), ())
        self.position, self.began = position, began

    def recovered(self) -> str | None:
        return self.position

    def may_begin(self) -> None:
        self.began.append(f"{self.host.name} may begin")

    def start(self, *, begins: bool = False) -> None:
        self.began.append(f"{self.host.name} begins" if begins else f"{self.host.name} joins")

    def status(self) -> dict[str, str]:
        return {"wsrep_ready": "ON", "wsrep_local_state": "4"}


def test_stopped_cluster_restarts_from_the_most_advanced_node() -> None:
    began: list[str] = []
    history = "8a2c6e0e-0000-0000-0000-000000000000"
    nodes = [
        Resting("a", f"{history}:9", began),
        Resting("b", f"{history}:10", began),
        Resting("c", None, began),
    ]
    said = Galera(NOBODY, nodes)._begin_again()
    assert began == ["b may begin", "b begins"]
    assert said == "formed again from b of {'a': 9, 'b': 10, 'c': -1}"
