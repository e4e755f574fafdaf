"""Parsing requests into calls: paths, keys, queries and bodies."""

from __future__ import annotations

import json
from typing import ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle import Decision, Request, Settings, Snapshot, decide, read, respond
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.values import AppUserId, Environment
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import APP_USER_ID, Member, parse_lenient_id
from curae_lifecycle.service.operations.account_state import GetAccountState, etag
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation, ProblemReply
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.status import status_of
from curae_lifecycle.testing import laws
from curae_lifecycle.web.json import parse_json
from curae_lifecycle.web.read import operation_name
from curae_lifecycle.web.request import BODY_MAX, ParsedBody
from tests.support.instants import handle_at
from tests.support.malformed import any_text, leaves
from tests.support.server import (
    API_KEY,
    BASE,
    CALLER,
    ID,
    KEYED,
    LIMITED,
    new_ids,
    request,
    world,
)
from tests.support.strategies import START, pending, uuid
from tests.support.subjects import needing_action

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
"""Method, target and success status of each operation (section 9 of the rules)."""


@pytest.mark.parametrize("operation", [each[0] for each in PATHS])
def test_every_path_of_a_server_without_operations_is_not_found(operation: str) -> None:
    decision = read(request(operation), CALLER, START, settings=Settings(operations=()))
    assert isinstance(decision, Decision)
    assert respond(decision).response.status == 404


@pytest.mark.parametrize(("operation", "method", "target", "status"), PATHS)
def test_each_path_maps_to_its_operation_and_success_http_status(
    operation: str, method: str, target: str, status: int
) -> None:
    asked = attrs.evolve(request(operation), method=method, target=target)
    reading = read(asked, CALLER, START)
    assert isinstance(reading, Call)
    assert type(reading.operation).__name__ == NAMES[operation]
    assert reading.key == ("k-1" if operation in KEYED else None)
    connection = needing_action(pending(), START)
    snapshot = Snapshot(connection=connection, binding=LIMITED)
    assert (
        respond(decide(reading, snapshot=snapshot, now=START, new_ids=new_ids(2))).response.status
        == status
    )


NAMES = {
    "create": "CreateConnection",
    "get": "GetConnection",
    "reconnect": "Reconnect",
    "revoke": "Revoke",
    "initiate": "Initiate",
    "account-state": "GetAccountState",
    "graduation": "StartGraduation",
}


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
def test_unknown_path_or_method_gets_404(method: str, target: str) -> None:
    assert ask(
        Request(method=method, target=target, headers=request("create").headers, body=b"{")
    ) == ("NOT_FOUND", {})


@pytest.mark.parametrize("operation", ["get", "reconnect", "revoke"])
def test_path_id_is_a_uuid_in_either_letter_case_else_400(operation: str) -> None:
    upper = "ABCDEF00-0000-4000-8000-00000000ABCD"
    assert ask(request(operation, id=upper)) == ask(request(operation, id=upper.lower()))
    assert not isinstance(ask(request(operation, id=upper)), tuple)
    for malformed in ("1", uuid(1).replace("-", ""), f"{{{uuid(1)}}}", "%00", "é", f"{uuid(1)}\n"):
        details = {"member": "connectionId", "fault": "INVALID"}
        asked = request(operation, id=malformed, key=None)
        assert ask(asked) == ("BAD_REQUEST", details), "before the key that is missing"


@pytest.mark.parametrize("operation", NAMES)
def test_operation_name_of_a_request_is_none_unless_it_is_served(operation: str) -> None:
    (kind,) = [each for each in OPERATIONS if each.__name__ == NAMES[operation]]
    assert operation_name(request(operation)) == kind.rule.name
    assert operation_name(request(operation), Settings(operations=(kind,))) == kind.rule.name
    assert operation_name(request(operation), Settings(operations=())) is None


@attrs.frozen
class Relabel(GetConnection):
    """An operation with members in its path, its query and its body."""

    label: str | None
    app_user_id: AppUserId

    rule: ClassVar = attrs.evolve(
        GetConnection.rule,
        method="PUT",
        query=(Member("label", lambda value: parse_lenient_id("label", value), optional=True),),
        body=(APP_USER_ID,),
    )


def test_custom_operation_is_read_from_path_query_and_body() -> None:
    asked = attrs.evolve(request("get"), method="PUT", body=b'{"appUserId":"u"}')
    for query, label in (("", None), ("?label=x", "x"), ("?other=x", None)):
        sent = attrs.evolve(asked, target=asked.target + query)
        reading = read(sent, CALLER, START, settings=Settings(operations=(Relabel,)))
        assert isinstance(reading, Call)
        assert reading.operation == Relabel(ID, label, AppUserId("u"))


def test_api_key_of_another_environment_gets_wrong_environment() -> None:
    reading = read(request("get"), CALLER, START, settings=Settings(environment=Environment.TEST))
    assert refused(reading) == ("WRONG_ENVIRONMENT", {"environment": "live"})


def test_unexpected_query_parameter_is_ignored() -> None:
    asked = request("revoke")
    assert ask(attrs.evolve(asked, target=f"{asked.target}?a=1")) == ask(asked)


def refused(reading: Call | Decision) -> tuple[str, dict[str, object]]:
    """Return the problem code and details of a request that could not be read."""
    assert isinstance(reading, Decision)
    assert isinstance(reading.reply, ProblemReply)
    problem = reading.reply.problem
    assert (reading.status, reading.decided_at) == (status_of(problem), START)
    return problem.code, dict(problem.details)


def ask(asked: Request) -> tuple[str, dict[str, object]] | Operation:
    """Return the operation that a request by `CALLER` is read as, or its problem."""
    reading = read(asked, CALLER, START)
    return reading.operation if isinstance(reading, Call) else refused(reading)


# --- Keys and entity tags ---------------------------------------------------------------------

KEYS: list[tuple[list[str], str | None]] = [
    (["k-1"], "k-1"),
    (['"k-1"'], "k-1"),
    ([" \tk-1\t "], "k-1"),
    ([' "k-1" '], "k-1"),
    (['"a\\"b\\\\c"'], 'a"b\\c'),
    (["k" * 255], "k" * 255),
    (['"' + "k" * 255 + '"'], "k" * 255),
    (["!~"], "!~"),
    (["XkX"], "XkX"),
    (['k"'], 'k"'),
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
def test_idempotency_key_must_be_one_header_bare_or_quoted(
    values: list[str], key: str | None
) -> None:
    headers = tuple(("idempotency-KEY", value) for value in values)
    reading = read(request("initiate", key=None, headers=headers), CALLER, START)
    if key is None:
        assert refused(reading) == ("IDEMPOTENCY_KEY_INVALID", {})
    else:
        assert isinstance(reading, Call)
        assert reading.key == key


@pytest.mark.parametrize("operation", KEYED)
def test_request_without_its_idempotency_key_gets_400(operation: str) -> None:
    assert ask(request(operation, key=None)) == ("IDEMPOTENCY_KEY_REQUIRED", {})


def test_idempotency_key_header_sent_twice_gets_400() -> None:
    headers = (("Idempotency-Key", "k-1"), ("idempotency-key", "k-1"))
    asked = request("initiate", key=None, headers=headers)
    assert ask(asked) == ("IDEMPOTENCY_KEY_INVALID", {})


def test_get_ignores_idempotency_key_but_graduation_refuses_it() -> None:
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
def test_if_none_match_with_weak_or_several_tags_gives_304(
    fields: list[str], *, known: bool
) -> None:
    headers = tuple(("If-None-Match", field) for field in fields)
    reading = read(request("account-state", headers=headers), CALLER, START)
    assert isinstance(reading, Call)
    response = respond(decide(reading, Snapshot(binding=LIMITED), START)).response
    assert response.status == (304 if known else 200)
    assert dict(response.headers)["etag"] == TAG


class Unconditional(GetAccountState):
    """An operation that reads no entity tags."""

    rule: ClassVar = attrs.evolve(GetAccountState.rule, tags=False)


def test_if_none_match_is_ignored_if_the_operation_has_no_etag() -> None:
    asked = request("account-state", headers=(("If-None-Match", "*"),))
    states = frozenset(AccountState)
    for kind, known in ((GetAccountState, states), (Unconditional, frozenset[AccountState]())):
        reading = read(asked, CALLER, START, settings=Settings(operations=(kind,)))
        assert isinstance(reading, Call)
        assert reading.operation == kind(AppUserId("user-1"), known)


def test_header_of_200_000_spaces_is_parsed_in_one_pass() -> None:
    # This takes minutes if a scan restarts at every space.
    headers = (("If-None-Match", " " * 200_000 + "x"),)
    assert ask(request("account-state", headers=headers)) == GetAccountState(AppUserId("user-1"))


def test_account_state_etag_changes_only_with_the_state() -> None:
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
    ("appUserId=é", "INVALID"),
    ("appUserId=\xc3\xa9", "INVALID"),
    ("appUserId=u&é=é", "u"),
    ("appUserId=%ED%A0%80", "INVALID"),
    ("appUserId=\ud800", "INVALID"),
    (f"appUserId={'u' * 257}", "INVALID"),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_account_state_query_needs_one_valid_app_user_id(query: str, expected: str) -> None:
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
def test_body_as_bytes_or_as_parsed_json_gives_the_same_result(
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


def test_body_above_the_maximum_size_is_refused_as_not_json() -> None:
    body = b'{"appUserId":"u"}'.ljust(BODY_MAX)
    assert ask(request("initiate", body=body)) == Initiate(AppUserId("u"))
    refused = ("BAD_REQUEST", {"member": None, "fault": "NOT_JSON"})
    assert ask(request("initiate", body=body + b" ")) == refused
    unread = ask(attrs.evolve(request("get"), body=body + b" "))
    assert unread == ask(request("get"))


@given(st.permutations(["appUserId", "preferSignup"]), st.sampled_from(["", " ", "\n\t"]))
def test_fingerprint_ignores_order_and_spacing_of_json_members(
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


# --- Arbitrary requests -----------------------------------------------------------------------

targets = any_text | st.sampled_from([path for _, _, path, _ in PATHS]).flatmap(
    lambda path: st.sampled_from([path, path.partition("?")[0]]) | any_text.map(path.__add__)
)
methods = st.sampled_from(["GET", "POST"]) | any_text
names = any_text | st.sampled_from(["Idempotency-Key", "IDEMPOTENCY-KEY", "If-None-Match"])
values = any_text | st.sampled_from(["k-1", '"k-1"', "*", '"a", W/"b"', '"a"\n'])
json_bodies: st.SearchStrategy[Json] = st.recursive(
    leaves,
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
    asked = Request(method=method, target=target, headers=(*key, *headers), body=body)
    made = world(Settings(), pending())
    laws.check_documented(handle_at(made, asked, START, new_ids=new_ids(2)).response)
