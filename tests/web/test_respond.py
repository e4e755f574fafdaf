"""Responses to decisions: status, headers, body, and the record that stores them."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curae_lifecycle as curae
from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.decide import decide, fingerprint
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.status import status_of
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.testing import laws
from curae_lifecycle.web.read import read
from curae_lifecycle.web.respond import Answer, respond
from curae_lifecycle.web.wire_format import format_connection
from tests.support import server
from tests.support.instants import handle_at, record_at
from tests.support.server import CALLER, ID, KEYED, call, document, new_ids, request, world
from tests.support.strategies import (
    COORDINATE,
    START,
    apply_trigger,
    at,
    connections,
    instants,
    pending,
)
from tests.support.subjects import TOMBSTONED, needing_action

BUCKET = curae.Bucket(name="platform", capacity=2, refill=1, seconds=60)


@given(server.decisions())
def test_law_13_responses_contain_no_internal_id_or_name(
    case: tuple[Call, Snapshot, datetime],
) -> None:
    asked, snapshot, now = case
    answer = respond(decide(asked, snapshot=snapshot, now=now, new_ids=new_ids(9, now)))
    check_listed(type(asked.operation).__name__, answer)
    everything = repr(answer.response.headers).encode() + answer.response.body
    for internal in (b"app-1", b"key-1", b"u-1", b"limited-9", b"PATIENT", b"PLATFORM", b'"live"'):
        assert internal not in everything
    assert b"user-1" not in repr(answer.response.headers).encode()


LISTED = {
    "CreateConnection": {"connection", "nextAction"},
    "GetConnection": {"connection"},
    "Revoke": {"connection", "revokedNow"},
    "Reconnect": {"connection", "previousConnectionId", "nextAction"},
    "Initiate": {"session", "nextAction"},
    "GetAccountState": {"lifecycleState"},
    "StartGraduation": {"nextAction"},
}
"""Members of each operation's body (section 6 of the rules); laws check the inner members."""


def check_listed(operation: str, answer: Answer) -> None:
    """Check that every member is listed for the operation or the problem."""
    laws.check_wire_members(answer.response.body)
    laws.check_documented(answer.response)
    if answer.response.status < 300:
        assert document(answer).keys() == LISTED[operation]


JSON = ("content-type", "application/json")
PROBLEM_JSON = ("content-type", "application/problem+json")
NO_STORE = ("cache-control", "no-store")
HEADERS = {
    "create": (JSON, NO_STORE),
    "get": (JSON,),
    "reconnect": (JSON, NO_STORE),
    "revoke": (JSON,),
    "initiate": (JSON, NO_STORE),
    "account-state": (JSON, ("cache-control", "private, no-cache"), ("etag", '"account-limited"')),
    "graduation": (JSON, NO_STORE),
}


@pytest.mark.parametrize("operation", server.OPERATIONS)
def test_success_response_has_exactly_its_documented_headers(operation: str) -> None:
    reading = read(request(operation), CALLER, START)
    assert isinstance(reading, Call)
    connection = needing_action(pending(), START)
    answer = respond(
        decide(
            reading,
            snapshot=Snapshot(connection=connection, binding=server.LIMITED),
            now=START,
            new_ids=new_ids(2),
        )
    )
    assert answer.response.headers == HEADERS[operation]


def test_response_304_has_etag_and_cache_control_but_no_body() -> None:
    known = GetAccountState(AppUserId("user-1"), frozenset(AccountState))
    answer = respond(decide(call(known, None), Snapshot(), START))
    validators = (("cache-control", "private, no-cache"), ("etag", '"account-unlinked"'))
    assert answer.response == Response(304, validators, b"")


def test_problem_response_has_exactly_its_documented_headers() -> None:
    wait = ("retry-after", "1")
    for refusal, more in ((ProblemCode.NOT_FOUND, ()), (ProblemCode.INTERNAL, (wait,))):
        decision = Decision(
            reply=ProblemReply(Problem(refusal)),
            status=status_of(Problem(refusal)),
            decided_at=START,
            changes=NO_CHANGES,
            rules=(),
        )
        assert respond(decision).response.headers == (PROBLEM_JSON, *more)
    unknown = read(request("get"), None, START)
    assert isinstance(unknown, Decision)
    challenge = ("www-authenticate", "Bearer")
    assert respond(unknown).response.headers == (PROBLEM_JSON, challenge)


def test_response_429_has_retry_after_and_rate_limit_headers() -> None:
    settings = curae.Settings(buckets=(BUCKET,))
    made = world(settings)
    for _ in range(2):
        assert handle_at(made, request("account-state"), START).response.status == 200
    later = START + timedelta(microseconds=1)
    answer = handle_at(made, request("account-state"), later)
    assert answer.response.headers == (
        PROBLEM_JSON,
        NO_STORE,
        ("retry-after", "60"),
        ("ratelimit-policy", '"platform";q=2;w=120'),
        ("ratelimit", '"platform";r=0;t=60'),
    )
    assert document(answer)["details"] == {"policy": "platform", "retryAfter": 60}


def test_answer_for_key_in_flight_has_retry_after_of_its_lease() -> None:
    asked = call(Reconnect(ID))
    assert asked.key is not None
    key = idempotency.RecordKey(CALLER.key_owner, asked.key)
    attempt = idempotency.begin_attempt(
        None, key=key, fingerprint=fingerprint(asked.operation), now=START
    )
    assert isinstance(attempt, idempotency.Attempt)
    snapshot = Snapshot(record=idempotency.in_flight_record(attempt, lease=1_500_000))
    answer = respond(decide(asked, snapshot=snapshot, now=START, new_ids=new_ids(2)))
    assert answer.response.headers == (PROBLEM_JSON, ("retry-after", "2"))
    check_listed("Reconnect", answer)


def test_problem_body_has_the_servers_type_uri_and_instance() -> None:
    settings = curae.Settings(type_base="https://problems.example/")
    caller = attrs.evolve(CALLER, scopes=frozenset())
    forbidden = read(request("create"), caller=caller, now=START, settings=settings)
    assert isinstance(forbidden, Decision)
    answer = respond(forbidden, instance="/logs/1")
    assert document(answer) == {
        "type": "https://problems.example/scope-insufficient",
        "title": "Scope insufficient",
        "status": 403,
        "detail": "The API key lacks the scope connection:write.",
        "code": "SCOPE_INSUFFICIENT",
        "details": {"scope": "connection:write"},
        "retryable": False,
        "instance": "/logs/1",
    }
    unknown = read(curae.Request("GET", "/"), CALLER, START)
    assert isinstance(unknown, Decision)
    assert "instance" not in document(respond(unknown, instance="/logs/1"))


def test_problem_type_base_of_one_character_is_used_in_the_type() -> None:
    unknown = read(curae.Request("GET", "/"), CALLER, START, settings=curae.Settings(type_base="/"))
    assert isinstance(unknown, Decision)
    assert document(respond(unknown))["type"] == "/not-found"


def test_active_status_is_shown_as_authorized_if_configured() -> None:
    active = apply_trigger(pending(), "authorize", at(1))
    for spelling in ("ACTIVE", "AUTHORIZED"):
        settings = curae.Settings(active_spelling=spelling)
        answer = handle_at(world(settings, active), request("get"), at(2))
        connection = document(answer)["connection"]
        assert isinstance(connection, dict)
        assert connection["status"] == spelling


def test_connection_that_a_tombstone_ended_is_shown_as_revoked() -> None:
    active = apply_trigger(pending(), "authorize", at(1))
    ended = attrs.evolve(TOMBSTONED, era=at(2), tombstoned_at=at(2))
    snapshot = Snapshot(connection=active, binding=ended)
    shown = document(respond(decide(call(GetConnection(ID), None), snapshot, at(3))))["connection"]
    assert isinstance(shown, dict)
    assert shown == format_connection(active, at(3), binding=ended)
    assert (shown["status"], shown["revokedAt"]) == ("REVOKED", "2026-01-01T00:02:00Z")


# --- Stored responses -------------------------------------------------------------------------


def test_201_404_or_409_is_stored_under_its_idempotency_key() -> None:
    for asked, snapshot, status in [
        (call(Reconnect(ID)), Snapshot(), 404),
        (call(Reconnect(ID)), Snapshot(connection=pending()), 409),
        (call(Reconnect(ID)), Snapshot(connection=apply_trigger(pending(), "APP", START)), 201),
    ]:
        answer = respond(decide(asked, snapshot=snapshot, now=START, new_ids=new_ids(2)))
        write = answer.changes.writes[-1]
        assert isinstance(write, RecordWrite)
        assert (write.before, write.after.response) == (None, answer.response)
        assert answer.response.status == status
        assert not answer.replayed


def test_respond_adds_the_idempotency_record_to_the_decision() -> None:
    asked = call(Revoke(ID))
    before: idempotency.Record | None = None
    responses: list[Response] = []
    # A record is replayed for 24 hours and then replaced.
    for hours in (0, 25):
        now = at(60 * hours)
        snapshot = Snapshot(connection=pending(), record=before)
        decision = decide(asked, snapshot=snapshot, now=now, new_ids=new_ids(2, now))
        answer = respond(decision)
        attempt, changes = decision.attempt, decision.changes
        assert attempt is not None
        record = idempotency.completed_record(attempt, answer.response)
        write = RecordWrite(attempt.key, before, record)
        assert answer == Answer(
            response=answer.response,
            changes=Changes((*changes.writes, write), changes.effects, changes.events),
            rules=decision.rules,
            replayed=False,
            decided_at=now,
        )
        assert changes.effects
        assert changes.events
        before = record
        responses.append(answer.response)
    again = decide(asked, Snapshot(record=before), at(60 * 26), new_ids=new_ids(3))
    assert respond(again) == Answer(
        response=responses[-1],
        changes=again.changes,
        rules=again.rules,
        replayed=True,
        decided_at=at(60 * 26),
    )


@given(st.sampled_from(KEYED), connections(), st.integers(0, 24 * 60 * 60 - 1))
def test_law_09_replay_is_byte_identical_and_changes_no_data(
    operation: str, connection: Connection, seconds: int
) -> None:
    made = world(curae.Settings(buckets=(BUCKET,)), connection)
    now, later = at(180), at(180) + timedelta(seconds=seconds)
    first = handle_at(made, request(operation), now, new_ids=new_ids(2, now))
    # Time passes and facts are recorded in between; a replay is not decided again.
    record_at(made, curae.Revoked(ID, curae.Actor.PATIENT), later)
    record_at(made, curae.Tombstoned(COORDINATE), later)
    reading = read(request(operation), CALLER, later)
    assert isinstance(reading, Call)
    asked = reading.needs
    before = made.load(asked)
    again = handle_at(made, request(operation), later, new_ids=new_ids(3, later))
    assert (first.replayed, again.replayed) == (False, True)
    laws.check_replay(first.response, again.response, again.changes)
    # The replay charges its bucket and changes nothing that was loaded.
    assert server.written(again.changes.writes) == ["platform"]
    assert made.load(asked) == before


def test_replay_succeeds_at_an_exhausted_app_user_limit() -> None:
    made = world()
    answers = [
        handle_at(made, request("initiate", key=f"k-{number}"), START, new_ids=new_ids(number))
        for number in range(11)
    ]
    assert [answer.response.status for answer in answers] == [201] * 10 + [429]
    again = handle_at(made, request("initiate", key="k-0"), START, new_ids=new_ids(99))
    assert again.replayed
    assert again.response == answers[0].response


def test_replay_fetches_a_response_stored_by_reference() -> None:
    asked = call(Reconnect(ID))
    answer = respond(decide(asked, snapshot=Snapshot(), now=START, new_ids=new_ids(2)))
    write = answer.changes.writes[-1]
    assert isinstance(write, RecordWrite)
    reference = ResponseReference(404, "vault/1")
    record = attrs.evolve(write.after, response=reference)
    replay = decide(asked, snapshot=Snapshot(record=record), now=START, new_ids=new_ids(3))
    assert (replay.replayed, replay.status) == (True, 404)
    fetched = respond(replay, fetch={reference: answer.response}.__getitem__)
    assert fetched.response is answer.response
    with pytest.raises(curae.ArgumentError) as caught:
        respond(replay)
    needed = "fetch: must be given if the server stores references to responses"
    assert str(caught.value) == needed


# --- Laws -------------------------------------------------------------------------------------


@given(connections(), instants, st.sampled_from(["get", "reconnect", "revoke"]))
def test_law_15_another_apps_id_and_unknown_id_get_equal_bytes(
    connection: Connection, now: datetime, operation: str
) -> None:
    for stranger in server.STRANGERS:
        answers = []
        for made in (world(), world(curae.Settings(), connection)):
            made.register(curae.ApiKey(server.API_KEY), stranger)
            answers.append(handle_at(made, request(operation), now, new_ids=new_ids(9, now)))
        foreign, unknown = answers
        laws.check_indistinguishable(foreign.response, unknown.response)
        # Nothing inside the server differs either.
        assert foreign == unknown
