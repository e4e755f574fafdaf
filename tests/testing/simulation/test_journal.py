"""Tests of which refused requests the log of a simulated app user holds."""

from __future__ import annotations

import json

import pytest

from curae_lifecycle.rules.idempotency import IDEMPOTENCY
from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.gates import REQUEST_GATES
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.web.respond import Answer
from tests.support.server import request
from tests.support.strategies import COORDINATE, START, apply_trigger, at, pending

LEFT_OUT = {
    "request.buckets",
    *(f"idempotency.in-flight.{request}" for request in ("same", "other")),
    *(f"idempotency.unknown.{request}" for request in ("same", "other")),
    *(f"idempotency.forgotten.{request}" for request in ("same", "other")),
    *(f"idempotency.{state}.other" for state in ("released", "lease-over")),
}
"""The rules that refuse for a lease, an erasure or another user, of which the log says nothing."""

REFUSING = [
    row.rule
    for table in (REQUEST_GATES, IDEMPOTENCY)
    for row in table.rows
    if isinstance(row.outcome, RefuseWith)
]


@pytest.mark.parametrize("rule", REFUSING)
def test_simulation_log_omits_only_refusals_it_cannot_explain(rule: str) -> None:
    journal, user = Journal(), COORDINATE.app_user
    answer = Answer(Response(409, (), b"{}"), NO_CHANGES, (rule,), replayed=False, decided_at=START)
    journal.add_answer(user, at=START, request=request("create"), answer=answer)
    lines = [json.loads(line) for line in journal.lines(user)]
    assert len(lines) == (rule not in LEFT_OUT)


def test_every_rule_omitted_from_the_simulation_log_is_a_refusal() -> None:
    assert {*REFUSING} > LEFT_OUT


def test_simulation_log_tells_when_a_get_recorded_a_landing() -> None:
    journal, user = Journal(), COORDINATE.app_user
    write = ConnectionWrite(pending(), apply_trigger(pending(), "authorize", at(1)))
    answer = Answer(
        Response(200, (), b"{}"),
        Changes((write,)),
        ("operation.get-connection",),
        replayed=False,
        decided_at=at(5),
    )
    journal.add_answer(user, at=at(5), request=request("get"), answer=answer)
    told, asked = [json.loads(line) for line in journal.lines(user)]
    assert told["fact"] == {
        "type": "connection.authorize",
        "connectionId": write.after.id,
        "happenedAt": format_time(at(1)),
        "expiresAt": format_time(at(60)),
    }
    assert (told["at"], asked["request"]["method"]) == (format_time(at(5)), "GET")
