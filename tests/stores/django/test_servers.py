"""Tests of races between two servers on Django that share one PostgreSQL database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.web.request import Request
from tests.support.wire.running import Behind, RunningServer, engine_of, running_server

ACCOUNT = "d8c60791-7301-441c-98e8-5bea9a162d9b"


@pytest.mark.heavy
def test_two_django_servers_run_retries_once_and_share_a_limit(pair: Pair) -> None:
    # Twenty initiates: the limit admits ten.
    visits = pair.send(
        "curae-connect/initiate", [f"visit-{number}" for number in range(20)], {"appUserId": "ada"}
    )
    assert sorted(each.status for each in visits) == [201] * 10 + [429] * 10
    assert pair.count("curae_session") == 10

    # One key twenty times: one execution, replayed to all.
    asked: dict[str, object] = {"appUserId": "ada", "dataPackages": ["clinical_summary"]}
    made = pair.send("connections", ["create"] * 20, asked)
    assert {each.status for each in made} == {201}
    assert len({each.body for each in made}) == 1
    assert pair.count("curae_connection") == 1

    # Reconnect under twenty keys: one successor, whose URL each request renews.
    connection_id = json.loads(made[0].body)["connection"]["id"]
    assert pair.behind.revoke(connection_id, Actor.APP) == "done"
    before = pair.count("curae_outbox")
    path = f"connections/{connection_id}:reconnect"
    recovered = pair.send(path, [f"again-{number}" for number in range(20)], {})
    assert {each.status for each in recovered} == {201}
    assert len({json.loads(each.body)["connection"]["id"] for each in recovered}) == 1
    assert pair.count("curae_connection") == 2
    # One event for the creation; an effect and an event for each other request.
    assert pair.count("curae_outbox") - before == 1 + 19 * 2


@attrs.frozen
class Pair:
    """Two servers on one database, and access to that database."""

    servers: tuple[RunningServer, RunningServer]
    behind: Behind
    api_key: str

    def send(self, path: str, keys: list[str], body: dict[str, object]) -> list[Response]:
        """Send a request once with each key, all at once, alternating between the servers."""
        with ThreadPoolExecutor(len(keys)) as pool:
            return list(
                pool.map(
                    self.send_one,
                    range(len(keys)),
                    [path] * len(keys),
                    keys,
                    [body] * len(keys),
                )
            )

    def send_one(self, number: int, path: str, key: str, body: dict[str, object]) -> Response:
        headers = (("authorization", f"Bearer {self.api_key}"), ("idempotency-key", key))
        target = f"/api/sdk/v1/{path}"
        request = Request(
            method="POST", target=target, headers=headers, body=json.dumps(body).encode()
        )
        return self.servers[number % 2].send(request)

    def count(self, table: str) -> int:
        counted = sa.select(sa.func.count()).select_from(sa.table(table))
        with self.behind.engine.connect() as connection:
            return connection.execute(counted).scalar_one()


@pytest.fixture
def pair(postgres_url: str, tmp_path: Path) -> Iterator[Pair]:
    with (
        running_server("django", postgres_url, tmp_path / "one") as one,
        running_server("django", postgres_url, tmp_path / "two") as two,
        engine_of(postgres_url) as engine,
    ):
        behind = Behind(one.control, engine)
        wanted = ApiKeyRequest(
            app_id="app-1",
            customer_account_id=ACCOUNT,
            environment=Environment.TEST,
            scopes=frozenset({CONNECTION_WRITE}),
        )
        yield Pair((one, two), behind, behind.make_key(wanted))
