"""Tests of the custom operations and the custom fact that `docs/extending.md` defines.

The Python blocks of the page run here as one program, without a change of the package.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import cast

import pytest

from curae_lifecycle import ApiKey, Authorized, Expired, MemoryStore, Request, Response, Settings
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.idempotency import Fingerprint
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS, operation_table
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.testing.factories import build
from curae_lifecycle.testing.races import RaceTenant, commit_with_retries, fact_action
from curae_lifecycle.testing.races import scenarios as races
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.openapi import openapi, problem_codes
from tests.docs.extending import page
from tests.support import server
from tests.support.instants import handle_at
from tests.support.strategies import START, uuid


def program() -> dict[str, object]:
    """Run the page's Python blocks one after the other, and return what they define."""
    module = ModuleType("the_page")
    sys.modules[module.__name__] = module
    for block in page.program():
        code = compile(block, str(page.PAGE), "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 - the page is ours
    return vars(module)


NAMES = program()
RELABEL = cast("type[Operation]", NAMES["Relabel"])
LIST = cast("type[Operation]", NAMES["ListConnections"])
WITHDRAWN = cast("type[Fact]", NAMES["ConsentWithdrawn"])
EIGHT = (*OPERATIONS, RELABEL)


def store() -> MemoryStore:
    return server.world(Settings(operations=EIGHT))


def post(
    world: MemoryStore, target: str, key: str | None, body: Mapping[str, Json]
) -> tuple[Response, tuple[str, ...], bool]:
    headers = [("Authorization", f"Bearer {server.API_KEY}")]
    if key is not None:
        headers.append(("Idempotency-Key", key))
    request = Request(
        method="POST", target=target, headers=tuple(headers), body=json.dumps(body).encode()
    )
    answer = handle_at(world, request, START, new_ids=server.new_ids())
    return answer.response, answer.rules, answer.replayed


def created(world: MemoryStore) -> str:
    body: dict[str, Json] = {"appUserId": "user-1", "dataPackages": ["labs"]}
    response, _, _ = post(world, target="/api/sdk/v1/connections", key="k-0", body=body)
    return str(json.loads(response.body)["connection"]["id"])


def test_custom_relabel_operation_is_served_and_replayed() -> None:
    world = store()
    target = f"/api/sdk/v1/connections/{created(world)}:relabel"
    first, rules, _ = post(world, target=target, key="k-1", body={"label": "my clinic"})
    assert first.status == 200
    assert json.loads(first.body)["label"] == "my clinic"
    assert json.loads(first.body).keys() == {"connection", "label"}
    assert rules == ("idempotency.absent", "operation.relabel")
    again, rules, replayed = post(world, target=target, key="k-1", body={"label": "my clinic"})
    assert (again, rules, replayed) == (first, ("idempotency.completed.same",), True)
    other, _, _ = post(world, target=target, key="k-1", body={"label": "another clinic"})
    assert (other.status, json.loads(other.body)["details"]) == (422, {"differs": "values"})


@pytest.mark.parametrize(
    ("body", "member", "fault"),
    [
        ({}, "label", "MISSING"),
        ({"label": None}, "label", "NULL"),
        ({"label": ""}, "label", "INVALID"),
        ({"label": "x", "color": "red"}, None, "UNKNOWN"),
    ],
)
def test_custom_relabel_operation_gives_400_for_body_faults(
    body: dict[str, Json], member: str | None, fault: str
) -> None:
    world = store()
    target = f"/api/sdk/v1/connections/{created(world)}:relabel"
    response, _, _ = post(world, target=target, key="k-1", body=body)
    assert response.status == 400
    assert json.loads(response.body)["details"] == {"member": member, "fault": fault}


def test_custom_relabel_needs_an_idempotency_key_and_a_known_id() -> None:
    world = store()
    target = f"/api/sdk/v1/connections/{created(world)}:relabel"
    without_key, _, _ = post(world, target=target, key=None, body={"label": "x"})
    assert json.loads(without_key.body)["code"] == "IDEMPOTENCY_KEY_REQUIRED"
    nobody_s = f"/api/sdk/v1/connections/{uuid(999)}:relabel"
    unknown, _, _ = post(world, target=nobody_s, key="k-2", body={"label": "x"})
    assert unknown.status == 404
    seven, _, _ = post(server.world(Settings()), target=target, key="k-3", body={"label": "x"})
    assert seven.status == 404, "a server that does not serve it does not know its path"


def test_request_fingerprint_of_relabel_covers_its_id_and_label() -> None:
    relabel = build(RELABEL, {"connection_id": ConnectionId(uuid(1))})
    assert fingerprint(relabel) == Fingerprint.of("relabel", [uuid(1), "my clinic"])


def test_openapi_document_describes_the_custom_relabel_operation() -> None:
    document = openapi(Settings(operations=EIGHT))
    paths = cast("dict[str, dict[str, dict[str, Json]]]", document["paths"])
    described = paths["/api/sdk/v1/connections/{connectionId}:relabel"]["post"]
    assert described["operationId"] == "relabel"
    assert cast("dict[str, Json]", described["responses"]).keys() >= {"200", "400", "404", "422"}
    components = cast("dict[str, dict[str, dict[str, dict[str, Json]]]]", document["components"])
    schemas = components["schemas"]
    assert schemas["Relabel"]["properties"] == {"label": {"type": "string"}}
    assert '"example": {"label": "my clinic"}' in json.dumps(described["requestBody"])
    assert '"relabelled": {"value": {"connection"' in json.dumps(described["responses"])
    assert schemas["ConnectionRelabelled"]["properties"].keys() == {"connection", "label"}
    assert "IDEMPOTENCY_KEY_REUSED" in problem_codes(RELABEL)


def test_operation_table_lists_the_custom_relabel_operation() -> None:
    table = operation_table(EIGHT)
    assert table["relabel"].rule == "operation.relabel"
    assert len(table) == 8


LOG: list[dict[str, Json]] = [
    {
        "register": {
            "apiKey": "cae_live_k1",
            "appId": "app-1",
            "customerAccountId": uuid(7),
            "scopes": ["connection:write"],
        }
    },
    {
        "as": "c1",
        "request": {
            "method": "POST",
            "path": "/api/sdk/v1/connections",
            "headers": {"Authorization": "Bearer cae_live_k1", "Idempotency-Key": "k-1"},
            "body": {"appUserId": "user-1", "dataPackages": ["labs"]},
        },
    },
    {
        "request": {
            "method": "POST",
            "path": "/api/sdk/v1/connections/{c1.connection.id}:relabel",
            "headers": {"Authorization": "Bearer cae_live_k1", "Idempotency-Key": "k-2"},
            "body": {"label": "my clinic"},
        }
    },
    {
        "fact": {
            "type": "connection.withdraw_consent",
            "connectionId": "{c1.connection.id}",
            "formNumber": "F-17",
        }
    },
    {
        "fact": {
            "type": "connection.withdraw_consent",
            "connectionId": "{c1.connection.id}",
            "formNumber": "F-17",
        }
    },
    {"fact": {"type": "connection.withdraw_consent", "connectionId": uuid(1)}},
]


def test_replay_command_runs_the_custom_operation_and_fact() -> None:
    lines = [json.dumps({"at": "2026-01-05T09:00:00Z"} | line).encode() for line in LOG]
    answers = [each.answer for each in replay(lines, operations=EIGHT, facts=(*FACTS, WITHDRAWN))]
    assert answers[2]["status"] == 200
    assert [each.get("outcome") for each in answers[3:5]] == ["done", "ignored"]
    assert answers[3]["rules"] == ["revocation-reach.patient", "connection.revoke.pending"]
    assert "formNumber" in str(answers[5]["error"])
    without = [each.answer for each in replay(lines[:5])]
    assert without[2]["status"] == 404
    assert "must be one of" in str(without[3]["error"])


def test_custom_patient_fact_revokes_the_whole_chain() -> None:
    store, watch = SimulatedClockStore(MemoryStore(), races.START), Watch()
    tenant = RaceTenant.of(1, Settings())
    store.register(ApiKey(tenant.api_key), tenant.caller)
    withdrawn = build(WITHDRAWN, {"connection_id": tenant.first})
    story = (
        tenant.create_action(1),
        fact_action(Authorized(tenant.first)),
        fact_action(Expired(tenant.first)),
        tenant.request_action(Reconnect(tenant.first), 2),
        fact_action(Authorized(tenant.second)),
        fact_action(withdrawn),
    )
    for minute, action in enumerate(story):
        store.now = races.at(minute)
        (decided,) = commit_with_retries(store, action)
        watch.observe_commit(decided.changes.writes, store.now)
    for each in (tenant.first, tenant.second):
        found = store.load(Needs(connection=each)).snapshot.connection
        assert found is not None
        assert found.status == "REVOKED"
