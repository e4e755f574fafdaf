"""Check a copy with the operation of the page: `relabel`."""

from __future__ import annotations

import json
from typing import cast

from hypothesis import strategies as st
from openapi_spec_validator import validate

from curae_lifecycle import Request
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.registry import OPERATION_TABLE, OPERATIONS
from curae_lifecycle.testing import strategies
from curae_lifecycle.web.openapi import openapi
from tests.docs.extending.checks import require_checks_to_pass, require_copy, require_drawn
from tests.support import server
from tests.support.instants import handle_at
from tests.support.strategies import START, uuid

RELABEL = {each.rule.name: each for each in OPERATIONS}["relabel"]
Object = dict[str, Json]


def check_table() -> None:
    assert OPERATION_TABLE["relabel"].rule == "operation.relabel"


def check_server_in_memory() -> None:
    world = server.world()
    handle_at(world, server.request("create"), START, new_ids=server.new_ids())
    request = Request(
        method="POST",
        target=f"/api/sdk/v1/connections/{uuid(1)}:relabel",
        headers=(("Authorization", f"Bearer {server.API_KEY}"), ("Idempotency-Key", "k-2")),
        body=b'{"label": "my clinic"}',
    )
    answer = handle_at(world, request, START, new_ids=server.new_ids())
    assert answer.response.status == 200, answer.response.body
    assert json.loads(answer.response.body)["label"] == "my clinic"
    assert answer.rules[-1] == "operation.relabel"


def check_document() -> None:
    document = cast("Object", json.loads(json.dumps(openapi())))
    validate(document)
    paths = cast("dict[str, dict[str, dict[str, Json]]]", document["paths"])
    described = json.dumps(paths[RELABEL.rule.path]["post"])
    assert '"relabelled": {"value": {"connection": {"id": ' in described
    assert '"example": {"label": "my clinic"}' in described
    assert '"properties": {"label": {"type": "string"}}' in json.dumps(document["components"])


def check_kit() -> None:
    require_checks_to_pass("relabel", "request.body.member-", "law-13.nothing-internal")


def check_strategies() -> None:
    strategies.register()
    require_drawn(strategies.operations(), RELABEL)
    require_drawn(st.from_type(RELABEL.reply), RELABEL.reply)
    asked = strategies.traffic_runs().map(
        lambda run: any(isinstance(each.call.operation, RELABEL) for each in run.exchanges)
    )
    require_drawn(asked, True)


if __name__ == "__main__":
    require_copy()
    check_table()
    check_server_in_memory()
    check_document()
    check_kit()
    check_strategies()
