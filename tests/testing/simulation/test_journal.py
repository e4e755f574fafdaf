"""Tests of the log of a simulated app user: which requests it holds, and its lines of text."""

from __future__ import annotations

import json
from datetime import datetime

import attrs
import pytest

from curae_lifecycle.rules.idempotency import IDEMPOTENCY
from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.values import AppId, AppUserId, ConnectionId, format_time
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.gates import REQUEST_GATES
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.web.respond import Answer
from tests.support.server import API_KEY, CALLER, request
from tests.support.strategies import COORDINATE, START, apply_trigger, at, pending, uuid

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
def test_simulation_log_omits_only_the_refusals_of_listed_rules(rule: str) -> None:
    journal, user = Journal(), COORDINATE.app_user
    answer = Answer(Response(409, (), b"{}"), NO_CHANGES, (rule,), replayed=False, decided_at=START)
    journal.add_answer(user, at=START, request=request("create"), answer=answer)
    lines = [json.loads(line) for line in journal.lines(user)]
    assert len(lines) == (rule not in LEFT_OUT)


def test_simulation_log_omits_only_rules_that_refuse() -> None:
    assert {*REFUSING} > LEFT_OUT


def test_get_that_records_a_handoff_is_logged_as_fact_and_get() -> None:
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


def test_simulation_log_lines_are_compact_json_in_ascii() -> None:
    journal = Journal()
    journal.add_api_key(START, API_KEY, attrs.evolve(CALLER, app_id=AppId("app-é")))
    (line,) = journal.lines(None)
    assert line == (
        f'{{"at":"{format_time(START)}","register":{{"apiKey":"cae_live_k1",'
        f'"appId":"app-\\u00e9","customerAccountId":"{CALLER.customer_account_id}",'
        '"scopes":["connection:write"],"environment":"live"}}'
    )


def test_logged_request_without_a_body_has_no_body_member() -> None:
    journal, user = Journal(), COORDINATE.app_user
    journal.add(user, START, request("get"))
    journal.add(user, START, request("initiate"))
    without, with_body = [json.loads(line)["request"] for line in journal.lines(user)]
    assert "body" not in without
    assert json.loads(with_body["body"]) == {"appUserId": "user-1"}


def test_dropping_an_unlogged_user_keeps_other_users_log_lines() -> None:
    journal, user = Journal(), COORDINATE.app_user
    other = attrs.evolve(user, app_user_id=AppUserId("user-2"))
    journal.add(user, START, request("get"))
    journal.drop(other)
    assert len([*journal.lines(user)]) == 1


@pytest.mark.parametrize(
    ("decided_at", "expires_at"),
    [
        # Clocks that differ by the tolerance only disagree.
        (at(15), at(75)),
        # The clocks were put back, so the authorization begins at the line's instant.
        (at(14), at(80)),
        (at(-400), at(80)),
    ],
)
def test_logged_authorization_lasts_as_long_if_clocks_go_back(
    decided_at: datetime, expires_at: datetime
) -> None:
    journal, user = Journal(), COORDINATE.app_user
    length = at(60) - START
    fact = Authorized(ConnectionId(uuid(1)), decided_at + length, decided_at)
    journal.add(user, at(20), request("get"))
    journal.add(user, decided_at, fact)
    line = json.loads([*journal.lines(user)][-1])
    assert line == {
        "at": format_time(at(20)),
        "fact": {
            "type": "connection.authorize",
            "connectionId": uuid(1),
            "happenedAt": format_time(decided_at),
            "expiresAt": format_time(expires_at),
        },
    }


def test_log_line_repeats_the_last_time_if_a_clock_goes_back() -> None:
    journal, user = Journal(), COORDINATE.app_user
    journal.add(user, at(20), request("get"))
    journal.add(user, at(10), request("get"))
    journal.add(user, at(30), request("get"))
    first, second, third = [json.loads(line) for line in journal.lines(user)]
    assert [line["at"] for line in (first, second, third)] == [
        *map(format_time, (at(20), at(20), at(30)))
    ]
    assert first["request"] == second["request"] == third["request"]
