"""HTTP as values: requests to calls, decisions to responses, byte for byte."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import Attempt as BegunAttempt
from curae_lifecycle.rules.idempotency import RecordKey, begin, in_flight_record
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import NO_CHANGES, RecordWrite
from curae_lifecycle.service.decide import decide, fingerprint, needs
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.account_state import GetAccountState, etag
from curae_lifecycle.service.operations.operation import Operation, ProblemReply
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.testing import laws
from curae_lifecycle.web.json import Json, parse_json
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import ParsedBody, Request, bearer, header
from curae_lifecycle.web.respond import Answer, respond
from tests.server import (
    API_KEY,
    BASE,
    CALLER,
    ID,
    KEYED,
    LIMITED,
    OPERATIONS,
    STRANGERS,
    call,
    decisions,
    document,
    new_ids,
    request,
    world,
    written,
)
from tests.strategies import (
    COORDINATE,
    START,
    apply_event,
    at,
    connections,
    instants,
    pending,
    uuid,
)

BUCKET = Bucket("platform", 2, 1, 60)
any_text = st.text(st.characters(exclude_categories=()))


def refused(reading: Call | Decision) -> tuple[str, dict[str, object]]:
    """The code and the details of a request that was not read."""
    assert isinstance(reading, Decision)
    assert isinstance(reading.reply, ProblemReply)
    problem = reading.reply.problem
    assert reading.status == problem.type.status
    return problem.code, dict(problem.details)


def ask(asked: Request) -> tuple[str, dict[str, object]] | Operation:
    """What a request by `CALLER` is read as, or why not."""
    reading = read(asked, CALLER, START)
    return reading.operation if isinstance(reading, Call) else refused(reading)


# --- Paths and methods -----------------------------------------------------------------------

PATHS = [
    ("create", "POST", "/api/sdk/v1/connections", 201),
    ("get", "GET", f"/api/sdk/v1/connections/{uuid(1)}", 200),
    ("reconnect", "POST", f"/api/sdk/v1/connections/{uuid(1)}:reconnect", 201),
    ("revoke", "POST", f"/api/sdk/v1/connections/{uuid(1)}:revoke", 200),
    ("initiate", "POST", "/api/sdk/v1/curae-connect/initiate", 201),
    ("account-state", "GET", "/api/sdk/v1/curae-connect/account-state?appUserId=user-1", 200),
    ("graduation", "POST", "/api/sdk/v1/curae-connect/graduation-handoff", 201),
]
"""Section 9."""

NAMES = {
    "create": "CreateConnection",
    "get": "GetConnection",
    "reconnect": "Reconnect",
    "revoke": "Revoke",
    "initiate": "Initiate",
    "account-state": "GetAccountState",
    "graduation": "StartGraduation",
}


@pytest.mark.parametrize(("operation", "method", "target", "status"), PATHS)
def test_each_path_is_its_operation_with_its_status_of_success(
    operation: str, method: str, target: str, status: int
) -> None:
    asked = attrs.evolve(request(operation), method=method, target=target)
    reading = read(asked, CALLER, START)
    assert isinstance(reading, Call)
    assert type(reading.operation).__name__ == NAMES[operation]
    assert reading.key == ("k-1" if operation in KEYED else None)
    connection = apply_event(pending(), "require action", START)
    snapshot = Snapshot(connection=connection, binding=LIMITED)
    assert respond(decide(reading, snapshot, START, new_ids(2))).response.status == status


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/api/sdk/v1/connections"),
        ("post", "/api/sdk/v1/connections"),
        ("POST", "/api/sdk/v1/connections/"),
        ("POST", f"/api/sdk/v1/connections/{uuid(1)}"),
        ("DELETE", f"/api/sdk/v1/connections/{uuid(1)}"),
        ("GET", f"/api/sdk/v1/connections/{uuid(1)}:revoke"),
        ("POST", f"/api/sdk/v1/connections/{uuid(1)}:pause"),
        ("POST", f"/api/sdk/v1/connections/{uuid(1)}:REVOKE"),
        ("POST", f"/api/sdk/v1/connections/{uuid(1)}:revoke/"),
        ("POST", f"/api/sdk/v1/connections/{uuid(1)}/revoke"),
        ("POST", "/api/sdk/v1/connections/:revoke"),
        ("GET", "/api/sdk/v2/connections/1"),
        ("POST", "/API/SDK/V1/connections"),
        ("POST", "/api/sdk/v1/curae-connect"),
        ("GET", "/api/sdk/v1/curae-connect/initiate"),
        ("POST", "/api/sdk/v1/curae-connect/account-state?appUserId=u"),
        ("GET", "/"),
        ("GET", ""),
        ("OPTIONS", "*"),
        ("", ""),
    ],
)
def test_an_unknown_path_or_method_is_not_found(method: str, target: str) -> None:
    assert ask(Request(method, target, request("create").headers, b"{")) == ("NOT_FOUND", {})


@pytest.mark.parametrize("operation", ["get", "reconnect", "revoke"])
def test_an_id_in_a_path_is_a_uuid_in_any_case(operation: str) -> None:
    upper = "ABCDEF00-0000-4000-8000-00000000ABCD"
    assert ask(request(operation, id=upper)) == ask(request(operation, id=upper.lower()))
    assert not isinstance(ask(request(operation, id=upper)), tuple)
    for malformed in ("1", uuid(1).replace("-", ""), f"{{{uuid(1)}}}", "%00", "é", f"{uuid(1)}\n"):
        details = {"member": "connectionId", "fault": "INVALID"}
        asked = request(operation, id=malformed, key=None)
        assert ask(asked) == ("BAD_REQUEST", details), "before the key that is missing"


def test_a_query_where_none_is_expected_is_passed_over() -> None:
    asked = request("revoke")
    assert ask(attrs.evolve(asked, target=f"{asked.target}?a=1")) == ask(asked)


# --- Headers of a request ---------------------------------------------------------------------

AUTHORIZATIONS: list[tuple[list[str], str | None]] = [
    ([f"Bearer {API_KEY}"], API_KEY),
    ([f"bearer   {API_KEY} \t"], API_KEY),
    ([f"BEARER {API_KEY}"], API_KEY),
    (["Bearer a~!/+="], "a~!/+="),
    ([], None),
    ([""], None),
    (["Bearer"], None),
    (["Bearer "], None),
    ([f"Bearer{API_KEY}"], None),
    ([f"Basic {API_KEY}"], None),
    ([f"Bearer {API_KEY} more"], None),
    ([f"Bearer\t{API_KEY}"], None),
    ([f"Bearer {API_KEY}\n"], None),
    (["Bearer é"], None),
    (["Bearer \u212a"], None),
    ([f"Bearer {API_KEY}", f"Bearer {API_KEY}"], None),
]


@pytest.mark.parametrize(("values", "key"), AUTHORIZATIONS)
def test_an_api_key_comes_in_exactly_one_authorization_header(
    values: list[str], key: str | None
) -> None:
    headers = tuple(("AUTHORIZATION", value) for value in values)
    found = bearer(Request("GET", "/", headers))
    assert found == (None if key is None else ApiKey(key))


def test_a_header_ignores_the_case_of_its_name_and_keeps_its_order() -> None:
    asked = Request("GET", "/", (("A-b", "1"), ("x", "2"), ("a-B", "3")))
    assert header(asked, "a-b") == ["1", "3"]


KEYS: list[tuple[list[str], str | None]] = [
    (["k-1"], "k-1"),
    (['"k-1"'], "k-1"),
    ([" \tk-1\t "], "k-1"),
    ([' "k-1" '], "k-1"),
    (['"a\\"b\\\\c"'], 'a"b\\c'),
    (["k" * 255], "k" * 255),
    (['"' + "k" * 255 + '"'], "k" * 255),
    (["!~"], "!~"),
    ([""], None),
    (["  "], None),
    (['""'], None),
    (['"'], None),
    (['"k-1'], None),
    (['"k-1";a=1'], None),
    (['"k-1" "k-2"'], None),
    (['"a"b"'], None),
    (['"a\\b"'], None),
    (['"a\\"'], None),
    (["k 1"], None),
    (['"k 1"'], None),
    (["k\u00e9"], None),
    (["k\x00"], None),
    (["k\x7f"], None),
    (["k\n"], None),
    (["\u2003k"], None),
    (["k" * 256], None),
    (["k-1", "k-1"], None),
]


@pytest.mark.parametrize(("values", "key"), KEYS)
def test_an_idempotency_key_is_one_header_bare_or_quoted(
    values: list[str], key: str | None
) -> None:
    headers = tuple(("idempotency-KEY", value) for value in values)
    reading = read(request("initiate", key=None, headers=headers), CALLER, START)
    if key is None:
        assert refused(reading) == ("IDEMPOTENCY_KEY_INVALID", {})
    else:
        assert isinstance(reading, Call)
        assert reading.key == key


def test_two_spellings_of_the_key_s_header_are_two_headers() -> None:
    headers = (("Idempotency-Key", "k-1"), ("idempotency-key", "k-1"))
    asked = request("initiate", key=None, headers=headers)
    assert ask(asked) == ("IDEMPOTENCY_KEY_INVALID", {})


def test_a_graduation_rejects_any_key_and_a_read_looks_at_none() -> None:
    for value in ("k-1", "", '"'):
        headers = (("Idempotency-Key", value),)
        assert ask(request("graduation", headers=headers)) == ("IDEMPOTENCY_KEY_NOT_ALLOWED", {})
        for operation in ("get", "account-state"):
            reading = read(request(operation, headers=headers), CALLER, START)
            assert isinstance(reading, Call)
            assert reading.key is None


TAG = '"account-limited"'
MATCHES: list[tuple[list[str], bool]] = [
    ([TAG], True),
    ([f"W/{TAG}"], True),
    (["*"], True),
    ([" * "], True),
    ([f'"x", W/"y" ,{TAG}'], True),
    (['"x"', TAG], True),
    ([f", ,{TAG},"], True),
    ([f'"a,b",\t{TAG}'], True),
    ([], False),
    ([""], False),
    (['"account-active"'], False),
    (["account-limited"], False),
    ([f"w/{TAG}"], False),
    ([f"{TAG} x"], False),
    ([f"{TAG}{TAG}"], False),
    ([f"{TAG}\n"], False),
    (["\n"], False),
    ([f'"{TAG}'], False),
]


@pytest.mark.parametrize(("fields", "known"), MATCHES)
def test_if_none_match_is_compared_weakly_in_lists(fields: list[str], *, known: bool) -> None:
    headers = tuple(("If-None-Match", field) for field in fields)
    reading = read(request("account-state", headers=headers), CALLER, START)
    assert isinstance(reading, Call)
    response = respond(decide(reading, Snapshot(binding=LIMITED), START)).response
    assert response.status == (304 if known else 200)
    assert dict(response.headers)["etag"] == TAG


def test_a_large_header_is_read_in_one_pass() -> None:
    # This takes minutes where a scan starts over at every space.
    headers = (("If-None-Match", " " * 200_000 + "x"),)
    assert ask(request("account-state", headers=headers)) == GetAccountState(AppUserId("user-1"))


def test_an_entity_tag_depends_on_the_state_alone() -> None:
    tags = [etag(state) for state in AccountState]
    assert tags == [
        '"account-unlinked"',
        '"account-limited"',
        '"account-active"',
        '"account-tombstoned"',
    ]


# --- Queries and bodies -----------------------------------------------------------------------

QUERIES = [
    ("appUserId=u", "u"),
    ("appUserId=a+b%20c", "a b c"),
    ("appUserId=%C3%A9", "é"),
    ("appUserId=é", "é"),
    ("%61ppUserId=u", "u"),
    ("appUserId=a=b", "a=b"),
    ("x=1&appUserId=u&x=2&&=", "u"),
    ("appUserId=a?b", "a?b"),
    ("", "MISSING"),
    ("appuserid=u", "MISSING"),
    ("appUserId=u&appUserId=u", "REPEATED"),
    ("appUserId=", "INVALID"),
    ("appUserId", "INVALID"),
    ("appUserId=+u", "INVALID"),
    ("appUserId=%00", "INVALID"),
    ("appUserId=%FF", "INVALID"),
    ("appUserId=%ED%A0%80", "INVALID"),
    ("appUserId=\ud800", "INVALID"),
    (f"appUserId={'u' * 257}", "INVALID"),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_an_account_state_is_asked_for_one_app_user(query: str, expected: str) -> None:
    asked = attrs.evolve(
        request("account-state"), target=f"{BASE}/curae-connect/account-state?{query}"
    )
    if expected in {"MISSING", "REPEATED", "INVALID"}:
        assert ask(asked) == ("BAD_REQUEST", {"member": "appUserId", "fault": expected})
    else:
        assert ask(asked) == GetAccountState(AppUserId(expected))


BODIES: list[tuple[str, bytes, dict[str, str | None] | None]] = [
    ("create", b'{"appUserId":"u","dataPackages":["a"]}', None),
    ("create", b"", {"member": None, "fault": "NOT_JSON"}),
    ("create", b'{"appUserId":"u"}', {"member": "dataPackages", "fault": "MISSING"}),
    ("initiate", b'{"appUserId":"u","prefersignup":1}', {"member": None, "fault": "UNKNOWN"}),
    ("initiate", b'{"appUserId":"\\ud800"}', {"member": "appUserId", "fault": "INVALID"}),
    ("graduation", b"[]", {"member": None, "fault": "NOT_AN_OBJECT"}),
    *((each, b"", None) for each in ("reconnect", "revoke")),
    *((each, b" {} ", None) for each in ("reconnect", "revoke")),
    *((each, b"null", {"member": None, "fault": "NOT_AN_OBJECT"}) for each in KEYED),
    ("reconnect", b'{"x":1}', {"member": None, "fault": "UNKNOWN"}),
    ("revoke", b'{"x":1}', {"member": None, "fault": "UNKNOWN"}),
    *((each, b" ", {"member": None, "fault": "NOT_JSON"}) for each in ("reconnect", "revoke")),
]


@pytest.mark.parametrize(("operation", "body", "fault"), BODIES)
def test_a_body_is_read_strictly_from_bytes_and_from_what_a_framework_parsed(
    operation: str, body: bytes, fault: dict[str, str | None] | None
) -> None:
    from_bytes = ask(request(operation, body=body))
    if fault is None:
        assert not isinstance(from_bytes, tuple)
    else:
        assert from_bytes == ("BAD_REQUEST", fault)
    if fault is None or fault["fault"] != "NOT_JSON":
        parsed = ParsedBody({} if body == b"" else parse_json(body))
        assert ask(attrs.evolve(request(operation), body=parsed)) == from_bytes


@given(st.permutations(["appUserId", "preferSignup"]), st.sampled_from(["", " ", "\n\t"]))
def test_one_request_has_one_fingerprint_however_it_is_spelled(
    order: list[str], space: str
) -> None:
    values = {"appUserId": "u", "preferSignup": False}
    text = json.dumps({name: values[name] for name in order}, separators=("," + space, ":" + space))
    prints = {
        fingerprint(reading.operation)
        for body in (text.encode(), b'{"appUserId":"u"}', b'{"appUserId":"\\u0075"}')
        if isinstance(reading := read(request("initiate", body=body), CALLER, START), Call)
    }
    assert len(prints) == 1


# --- Responses --------------------------------------------------------------------------------

LISTED = {
    "CreateConnection": {"connection", "nextAction"},
    "GetConnection": {"connection"},
    "Revoke": {"connection", "revokedNow"},
    "Reconnect": {"connection", "previousConnectionId", "nextAction"},
    "Initiate": {"session", "nextAction"},
    "GetAccountState": {"lifecycleState"},
    "StartGraduation": {"nextAction"},
}
"""Section 6: what each operation answers; the laws know what is inside."""


def check_listed(operation: str, answer: Answer) -> None:
    """Every member is listed for the operation, or for the problem."""
    laws.check_wire_members(answer.response.body)
    laws.check_documented(answer.response)
    if answer.response.status < 300:
        assert document(answer).keys() == LISTED[operation]


@given(decisions())
def test_law_13_nothing_internal_is_on_the_wire(case: tuple[Call, Snapshot, datetime]) -> None:
    asked, snapshot, now = case
    answer = respond(decide(asked, snapshot, now, new_ids(9, now)))
    check_listed(type(asked.operation).__name__, answer)
    everything = repr(answer.response.headers).encode() + answer.response.body
    for internal in (b"app-1", b"key-1", b"u-1", b"limited-9", b"PATIENT", b"PLATFORM", b'"live"'):
        assert internal not in everything
    assert b"user-1" not in repr(answer.response.headers).encode()


JSON = ("content-type", "application/json")
PROBLEM_JSON = ("content-type", "application/problem+json")
NO_STORE = ("cache-control", "no-store")
HEADERS = {
    "create": (JSON, NO_STORE),
    "get": (JSON,),
    "reconnect": (JSON, NO_STORE),
    "revoke": (JSON,),
    "initiate": (JSON, NO_STORE),
    "account-state": (JSON, ("cache-control", "private, no-cache"), ("etag", TAG)),
    "graduation": (JSON, NO_STORE),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_headers_of_each_success(operation: str) -> None:
    reading = read(request(operation), CALLER, START)
    assert isinstance(reading, Call)
    connection = apply_event(pending(), "require action", START)
    answer = respond(
        decide(reading, Snapshot(connection=connection, binding=LIMITED), START, new_ids(2))
    )
    assert answer.response.headers == HEADERS[operation]


def test_a_304_has_its_validators_and_no_body() -> None:
    known = GetAccountState(AppUserId("user-1"), frozenset(AccountState))
    answer = respond(decide(call(known, None), Snapshot(), START))
    validators = (("cache-control", "private, no-cache"), ("etag", '"account-unlinked"'))
    assert answer.response == Response(304, validators, b"")


def test_the_headers_of_each_problem() -> None:
    for refusal in (ProblemCode.NOT_FOUND, ProblemCode.INTERNAL):
        decision = Decision(
            ProblemReply(Problem(refusal)), Problem(refusal).type.status, START, NO_CHANGES, ()
        )
        assert respond(decision).response.headers == (PROBLEM_JSON,)
    unknown = read(request("get"), None, START)
    assert isinstance(unknown, Decision)
    challenge = ("www-authenticate", "Bearer")
    assert respond(unknown).response.headers == (PROBLEM_JSON, challenge)


def test_a_429_says_when_to_come_back_and_by_which_limit() -> None:
    settings = Settings(buckets=(BUCKET,))
    made = world(settings)
    for _ in range(2):
        assert made.handle(request("account-state"), START).response.status == 200
    later = START + timedelta(microseconds=1)
    answer = made.handle(request("account-state"), later)
    assert answer.response.headers == (
        PROBLEM_JSON,
        NO_STORE,
        ("retry-after", "60"),
        ("ratelimit-policy", '"platform";q=2;w=120'),
        ("ratelimit", '"platform";r=0;t=60'),
    )
    assert document(answer)["details"] == {"policy": "platform", "retryAfter": 60}


def test_a_key_in_flight_says_what_is_left_of_the_lease() -> None:
    asked = call(Reconnect(ID))
    assert asked.key is not None
    key = RecordKey(CALLER.api_key_id, asked.key)
    attempt = begin(None, key, fingerprint(asked.operation), START)
    assert isinstance(attempt, BegunAttempt)
    snapshot = Snapshot(record=in_flight_record(attempt, lease=1_500_000))
    answer = respond(decide(asked, snapshot, START, new_ids(2)))
    assert answer.response.headers == (PROBLEM_JSON, ("retry-after", "2"))
    check_listed("Reconnect", answer)


def test_a_problem_is_told_with_the_server_s_own_type_and_instance() -> None:
    settings = Settings(type_base="https://problems.example/")
    forbidden = read(request("create"), attrs.evolve(CALLER, scopes=frozenset()), START)
    assert isinstance(forbidden, Decision)
    answer = respond(forbidden, settings, instance="/logs/1")
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
    unknown = read(Request("GET", "/"), CALLER, START)
    assert isinstance(unknown, Decision)
    assert "instance" not in document(respond(unknown, instance="/logs/1"))


def test_active_is_spelled_as_the_server_asks() -> None:
    active = apply_event(pending(), "authorize", at(1))
    for spelling in ("ACTIVE", "AUTHORIZED"):
        settings = Settings(active_spelling=spelling)
        answer = world(settings, active).handle(request("get"), at(2))
        connection = document(answer)["connection"]
        assert isinstance(connection, dict)
        assert connection["status"] == spelling


# --- What is kept -----------------------------------------------------------------------------


def test_a_response_is_kept_where_the_rule_itself_reached_it() -> None:
    for asked, snapshot, status in [
        (call(Reconnect(ID)), Snapshot(), 404),
        (call(Reconnect(ID)), Snapshot(connection=pending()), 409),
        (call(Reconnect(ID)), Snapshot(connection=apply_event(pending(), "APP", START)), 201),
    ]:
        answer = respond(decide(asked, snapshot, START, new_ids(2)))
        write = answer.changes.writes[-1]
        assert isinstance(write, RecordWrite)
        assert (write.before, write.after.response) == (None, answer.response)
        assert answer.response.status == status
        assert not answer.replayed


@given(st.sampled_from(KEYED), connections(), st.integers(0, 24 * 60 * 60 - 1))
def test_law_09_a_replay_is_the_original_byte_for_byte_and_costs_the_app_user_nothing(
    operation: str, connection: Connection, seconds: int
) -> None:
    made = world(Settings(buckets=(BUCKET,)), connection)
    now, later = at(180), at(180) + timedelta(seconds=seconds)
    first = made.handle(request(operation), now, new_ids(2, now))
    # The world goes on in between, and a replay is not decided again.
    made.record(Revoked(ID, Actor.PATIENT), later)
    made.record(Tombstoned(COORDINATE), later)
    reading = read(request(operation), CALLER, later)
    assert isinstance(reading, Call)
    asked = needs(reading)
    before = made.load(asked)
    again = made.handle(request(operation), later, new_ids(3, later))
    assert (first.replayed, again.replayed) == (False, True)
    laws.check_replay(first.response, again.response, again.changes)
    # It charges its bucket, and nothing that was loaded has moved.
    assert written(again.changes.writes) == ["platform"]
    assert made.load(asked) == before


def test_a_replay_is_answered_at_the_app_user_s_limit() -> None:
    made = world()
    answers = [
        made.handle(request("initiate", key=f"k-{number}"), START, new_ids(number))
        for number in range(11)
    ]
    assert [answer.response.status for answer in answers] == [201] * 10 + [429]
    again = made.handle(request("initiate", key="k-0"), START, new_ids(99))
    assert again.replayed
    assert again.response == answers[0].response


def test_a_response_that_is_kept_elsewhere_is_fetched_for_a_replay() -> None:
    asked = call(Reconnect(ID))
    answer = respond(decide(asked, Snapshot(), START, new_ids(2)))
    write = answer.changes.writes[-1]
    assert isinstance(write, RecordWrite)
    reference = ResponseReference(404, "vault/1")
    record = attrs.evolve(write.after, response=reference)
    replay = decide(asked, Snapshot(record=record), START, new_ids(3))
    assert (replay.replayed, replay.status) == (True, 404)
    fetched = respond(replay, fetch={reference: answer.response}.__getitem__)
    assert fetched.response is answer.response
    with pytest.raises(ArgumentError, match="fetch"):
        respond(replay)


# --- Laws -------------------------------------------------------------------------------------


@given(connections(), instants, st.sampled_from(["get", "reconnect", "revoke"]))
def test_law_15_another_tenant_s_id_and_an_unknown_one_are_answered_byte_for_byte_alike(
    connection: Connection, now: datetime, operation: str
) -> None:
    for stranger in STRANGERS:
        answers = []
        for made in (world(), world(Settings(), connection)):
            made.register(ApiKey(API_KEY), stranger)
            answers.append(made.handle(request(operation), now, new_ids(9, now)))
        theirs, nobodys = answers
        laws.check_indistinguishable(theirs.response, nobodys.response)
        # Nor does anything that stays in the server tell them apart.
        assert theirs == nobodys


targets = any_text | st.sampled_from([path for _, _, path, _ in PATHS]).flatmap(
    lambda path: st.sampled_from([path, path.partition("?")[0]]) | any_text.map(path.__add__)
)
methods = st.sampled_from(["GET", "POST"]) | any_text
names = any_text | st.sampled_from(["Idempotency-Key", "IDEMPOTENCY-KEY", "If-None-Match"])
values = any_text | st.sampled_from(["k-1", '"k-1"', "*", '"a", W/"b"', '"a"\n'])
json_bodies: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(any_text | st.just("appUserId"), inner, max_size=3)
    ),
    max_leaves=5,
)
bodies = (
    st.binary()
    | json_bodies.map(ParsedBody)
    | json_bodies.map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b'{"appUserId":"u"}', b'{"appUserId":"u","dataPackages":["a"]}'])
)


@given(
    method=methods,
    target=targets,
    headers=st.lists(st.tuples(names, values), max_size=3),
    body=bodies,
    known=st.booleans(),
)
def test_law_16_every_request_gets_a_documented_answer(
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    body: bytes | ParsedBody,
    *,
    known: bool,
) -> None:
    key = (("Authorization", f"Bearer {API_KEY}"),) if known else ()
    asked = Request(method, target, (*key, *headers), body)
    made = world(Settings(), pending())
    laws.check_documented(made.handle(asked, START, new_ids(2)).response)


@given(any_text)
def test_law_16_whatever_is_authorized_by_is_a_key_or_none(value: str) -> None:
    found = bearer(Request("GET", "/", (("Authorization", value),)))
    assert found is None or value.lower().startswith("bearer ")
