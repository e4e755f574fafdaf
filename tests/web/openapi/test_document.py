"""The OpenAPI document, against its specification and against real traffic."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import ClassVar, cast

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.problems import DEFAULT_TYPE_BASE, Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import APP_USER_ID, Member, parse_lenient_id
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.status import status_of
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.web.openapi import openapi, problem_codes
from curae_lifecycle.web.request import Request
from tests.proof.reference.traffic import traffic
from tests.support import server
from tests.support.instants import handle_at
from tests.support.paths import ROOT
from tests.support.strategies import START

COMMITTED = ROOT / "docs" / "openapi.json"
DOCUMENT = cast("dict[str, Json]", json.loads(json.dumps(openapi())))

Object = dict[str, Json]


def at(*names: str, document: Json = DOCUMENT) -> Object:
    """Return the object at a path of the document."""
    value = document
    for name in names:
        assert isinstance(value, dict), names
        value = value[name]
    assert isinstance(value, dict), names
    return value


@cache
def validator(*names: str) -> Draft202012Validator:
    """Return a validator for the schema at a path of the document."""
    pointer = "/".join(name.replace("~", "~0").replace("/", "~1") for name in names)
    schema = {"$ref": f"#/{pointer}", "components": DOCUMENT["components"]}
    return Draft202012Validator(
        schema | {"paths": DOCUMENT["paths"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def by_schema(schema: Json) -> Draft202012Validator:
    """Return a validator for a schema without references."""
    assert isinstance(schema, dict)
    return Draft202012Validator(schema)


def where(kind: type[Operation]) -> tuple[str, str, str]:
    return ("paths", kind.rule.path, kind.rule.method.lower())


@pytest.mark.slow
def test_openapi_document_is_valid_by_its_specification() -> None:
    validate(DOCUMENT)


def test_committed_openapi_document_matches_the_generated_one() -> None:
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == json.loads(json.dumps(openapi()))


def test_openapi_document_lists_each_operation_once() -> None:
    listed = {("paths", path, method) for path in at("paths") for method in at("paths", path)}
    assert listed == {where(kind) for kind in OPERATIONS}
    ids = [at(*where(kind))["operationId"] for kind in OPERATIONS]
    assert ids == [
        "createConnection",
        "getConnection",
        "reconnect",
        "revoke",
        "initiate",
        "getAccountState",
        "startGraduation",
    ]


def test_openapi_document_names_the_given_server_url() -> None:
    (server_of_document,) = cast("list[Object]", DOCUMENT["servers"])
    assert server_of_document["url"] == "/"
    other = openapi(server_url="https://api.health.example")
    assert other["servers"] == [{"url": "https://api.health.example"}]
    assert {**other, "servers": None} == {**openapi(), "servers": None}


def test_openapi_schema_names_are_short_and_in_camel_case() -> None:
    assert at("info")["title"] == "Curae API"
    names = list(at("components", "schemas"))
    assert all(re.fullmatch(r"(?:[A-Z][a-z]+)+", name) for name in names)
    assert {"IdempotencyKeyInFlight", "BadRequest", "EmptyBody", "CreateConnection"} <= {*names}
    for name, schema in at("components", "schemas").items():
        members = at("properties", document=schema)
        if "code" in members:
            code = str(at("code", document=members)["const"])
            assert name == "".join(word.capitalize() for word in code.split("_"))


def test_every_openapi_component_is_used() -> None:
    text = json.dumps(DOCUMENT)
    for kind in ("schemas", "headers"):
        for name in at("components", kind):
            assert f'"#/components/{kind}/{name}"' in text


def test_no_openapi_pattern_has_a_surrogate_range() -> None:
    # An engine that matches code points, such as that of Rust, refuses a surrogate in a pattern.
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(DOCUMENT))
    assert patterns
    for pattern in patterns:
        assert not re.search(r"\\u[dD][89a-fA-F]", pattern)


def test_every_problem_code_is_documented_under_its_http_status() -> None:
    shown: set[ProblemCode] = set()
    for kind in OPERATIONS:
        codes = problem_codes(kind)
        responses = at(*where(kind), "responses")
        for status in responses.keys() - {"200", "201", "304"}:
            content = at(*where(kind), "responses", status, "content", "application/problem+json")
            examples = content["examples"]
            assert isinstance(examples, dict)
            of_status = [code for code in codes if status_of(Problem(code)) == int(status)]
            assert list(examples) == of_status
            shown.update(of_status)
        assert {str(status_of(Problem(code))) for code in codes} <= responses.keys()
    # These answer facts and access checks, which have no path.
    assert set(ProblemCode) - shown == {
        ProblemCode.CONNECTION_ACCESS_DENIED,
        ProblemCode.CONNECTION_NOT_PENDING,
        ProblemCode.HANDOFF_LAPSED,
        ProblemCode.SESSION_EXPIRED,
        ProblemCode.HANDOFF_NOT_REQUIRED,
        ProblemCode.BINDING_CHANGED,
        ProblemCode.BINDING_CONFLICT,
    }


def contents() -> list[tuple[str, ...]]:
    """Return every path of the document that has a schema with examples."""
    found: list[tuple[str, ...]] = []
    for kind in OPERATIONS:
        place = where(kind)
        for status, response in at(*place, "responses").items():
            kinds = at("content", document=response) if status != "304" else ()
            found += [(*place, "responses", status, "content", kind) for kind in kinds]
        if "requestBody" in at(*place):
            found.append((*place, "requestBody", "content", "application/json"))
    return found


@pytest.mark.parametrize("place", contents(), ids=" ".join)
def test_every_body_example_is_valid_by_its_schema(place: tuple[str, ...]) -> None:
    content = at(*place)
    examples = cast("dict[str, Object]", content.get("examples", {}))
    values = [each["value"] for each in examples.values()] or [content["example"]]
    for value in values:
        validator(*place, "schema").validate(value)


def test_parameter_and_header_examples_are_valid() -> None:
    for kind in OPERATIONS:
        parameters = at(*where(kind))["parameters"]
        assert isinstance(parameters, list)
        for parameter in parameters:
            assert isinstance(parameter, dict)
            by_schema(parameter["schema"]).validate(parameter["example"])
    for header in at("components", "headers").values():
        assert isinstance(header, dict)
        if "example" in header:
            by_schema(header["schema"]).validate(header["example"])


SORT = Member("sort", lambda value: parse_lenient_id("sort", value), optional=True)


class Sorted(GetAccountState):
    """An operation with an optional parameter in its query."""

    rule: ClassVar = attrs.evolve(GetAccountState.rule, query=(APP_USER_ID, SORT))


REQUIRED: dict[type[Operation], dict[str, bool]] = {
    CreateConnection: {"Idempotency-Key": True},
    GetConnection: {"connectionId": True},
    Reconnect: {"connectionId": True, "Idempotency-Key": True},
    Revoke: {"connectionId": True, "Idempotency-Key": True},
    Initiate: {"Idempotency-Key": True},
    GetAccountState: {"appUserId": True, "If-None-Match": False},
    StartGraduation: {},
    Sorted: {"appUserId": True, "sort": False, "If-None-Match": False},
}
"""The parameters of each operation, and whether a request must have them."""


@pytest.mark.parametrize("kind", [*OPERATIONS, Sorted])
def test_openapi_marks_exactly_the_needed_parameters_required(kind: type[Operation]) -> None:
    document = openapi(Settings(operations=(kind,)))
    described = at(*where(kind), document=document)["parameters"]
    assert isinstance(described, list)
    parameters = [each for each in described if isinstance(each, dict)]
    required = {str(each["name"]): each.get("required", False) for each in parameters}
    assert required == REQUIRED[kind]


def test_parameter_without_an_example_omits_the_example_member() -> None:
    document = openapi(Settings(operations=(Sorted,)))
    described = at(*where(Sorted), document=document)["parameters"]
    assert isinstance(described, list)
    assert described[1] == {"name": "sort", "in": "query", "required": False, "schema": {}}


SEEDS = range(24)
UNREACHED = {"INTERNAL", "IDEMPOTENCY_KEY_IN_FLIGHT"} | {
    "IDEMPOTENCY_OUTCOME_UNKNOWN",
    "IDEMPOTENCY_KEY_FORGOTTEN",
}
"""Codes that no log can produce: they need a full store, a dead worker or an erasure."""


def route(method: str, path: str) -> type[Operation] | None:
    for kind in OPERATIONS:
        rule = kind.rule
        pattern = re.escape(rule.path).replace(r"\{connectionId\}", "[^/:]+")
        if method == rule.method and re.fullmatch(pattern, path.partition("?")[0]):
            return kind
    return None


Exchange = tuple[str, str, int, dict[str, str], str | None]
"""Method and target of a request; status, headers and body of its response."""


def replayed_traffic() -> Iterator[Exchange]:
    for seed in SEEDS:
        lines = traffic(seed, 250)
        environment = {6: Environment.LIVE, 7: Environment.TEST}.get(seed % 8)
        for raw, replayed in zip(lines, replay(lines, environment=environment), strict=True):
            answer = cast("Object", json.loads(json.dumps(replayed.answer)))
            if "status" in answer:
                request = cast("dict[str, Object]", json.loads(raw))["request"]
                headers = cast("dict[str, str]", answer["headers"])
                body = None if answer["body"] is None else str(answer["body"])
                method, path = str(request["method"]), str(request["path"])
                yield method, path, int(str(answer["status"])), headers, body


def without(request: Request, name: str) -> Request:
    kept = tuple(pair for pair in request.headers if pair[0] != name)
    return Request(method=request.method, target=request.target, headers=kept, body=request.body)


def requests_without_a_header() -> Iterator[Exchange]:
    for operation in server.OPERATIONS:
        asked = server.request(operation)
        unclosed = server.request(operation, key='"k')
        for each in (without(asked, "Authorization"), without(asked, "Idempotency-Key"), unclosed):
            answer = handle_at(server.world(), each, START, new_ids=server.new_ids()).response
            yield (
                each.method,
                each.target,
                answer.status,
                dict(answer.headers),
                answer.body.decode(),
            )


@pytest.mark.slow
def test_real_traffic_gets_exactly_the_documented_answers() -> None:
    seen: Counter[tuple[type[Operation], str]] = Counter()
    for method, target, status, headers, body in chain(
        replayed_traffic(), requests_without_a_header()
    ):
        kind = route(method, target)
        if kind is None:
            assert status in {401, 404}
        else:
            seen[kind, validate_answer(kind, status=str(status), headers=headers, body=body)] += 1
    described = {(kind, str(kind.rule.status)) for kind in OPERATIONS}
    described.add((GetAccountState, "304"))
    described |= {(kind, code) for kind in OPERATIONS for code in problem_codes(kind)}
    reachable = {(kind, code) for kind, code in described if code not in UNREACHED}
    assert seen.keys() == reachable


def validate_answer(
    kind: type[Operation], status: str, headers: dict[str, str], body: str | None
) -> str:
    """Validate an answer by the document; return its code, or the status of a success."""
    response = at(*where(kind), "responses", status)
    told = {header.lower() for header in cast("Object", response.get("headers", {}))}
    assert headers.keys() - {"content-type"} <= told
    if not body:
        assert "content" not in response
        return status
    document = cast("Object", json.loads(body))
    place = (*where(kind), "responses", status, "content", headers["content-type"], "schema")
    validator(*place).validate(document)
    return str(document.get("code", status))


def is_valid(place: tuple[str, ...], request: Request) -> bool:
    body = request.body
    assert isinstance(body, bytes)
    try:
        value: Json = json.loads(body or b"{}")
    except ValueError:
        return False
    return validator(*place, "requestBody", "content", "application/json", "schema").is_valid(value)


@pytest.mark.slow
@given(draw.requests())
def test_well_formed_request_bodies_are_valid_by_their_schema(request: Request) -> None:
    kind = route(request.method, request.target)
    assert kind is not None
    assert "requestBody" not in at(*where(kind)) or is_valid(where(kind), request)


@pytest.mark.slow
@given(draw.broken_requests())
def test_broken_request_bodies_are_invalid_by_their_schema(broken: draw.BrokenRequest) -> None:
    kind = route(broken.request.method, broken.request.target)
    schema_can_tell = {"no JSON", "no object", "unknown member", "null member", "missing member"}
    if kind is not None and broken.defect in schema_can_tell:
        assert not is_valid(where(kind), broken.request)


@given(st.text(max_size=300))
def test_app_user_id_pattern_accepts_exactly_what_the_code_does(text: str) -> None:
    # `$` in Python also matches before a final line feed; in JSON Schema it does not.
    assume(not text.endswith("\n"))
    schema = by_schema(at("components", "schemas", "StartGraduation", "properties")["appUserId"])
    assert schema.is_valid(text) is is_app_user_id(text)


def is_app_user_id(text: str) -> bool:
    controls = any(ord(each) < 32 or 127 <= ord(each) < 160 for each in text)
    return 0 < len(text) <= 256 and text == text.strip() and not controls


@pytest.mark.parametrize(
    ("key", "valid"),
    [
        ("k", True),
        ("k" * 255, True),
        ("k" * 256, False),
        ("", False),
        ("a b", False),
        ("ключ", False),
        ('"k"', True),
        (f'"{"k" * 255}"', True),
        (f'"{"k" * 256}"', False),
        ('""', False),
        ('"k', False),
        (r'"a\"b\\"', True),
        (r'"a\b"', False),
        ('a"b', True),
    ],
)
def test_idempotency_key_pattern_accepts_what_the_code_accepts(key: str, *, valid: bool) -> None:
    parameters = cast("list[Object]", at(*where(Initiate))["parameters"])
    assert by_schema(parameters[0]["schema"]).is_valid(key) is valid


@pytest.mark.slow
def test_type_base_setting_changes_problem_types_in_the_document() -> None:
    document = openapi(Settings(type_base="https://health.example/problems/"))
    kind = at("components", "schemas", "NotFound", "properties", "type", document=document)
    assert kind == {"const": "https://health.example/problems/not-found"}
    text = json.dumps(document)
    assert DEFAULT_TYPE_BASE not in text


def test_openapi_429_example_names_the_bucket_of_the_server() -> None:
    bucket = Bucket(name="own", capacity=2, refill=1, seconds=4)
    document = openapi(Settings(buckets=(bucket,)))
    problem = ("responses", "429", "content", "application/problem+json", "examples")
    for kind in OPERATIONS:
        limited = at(*where(kind), *problem, "RATE_LIMITED", "value", document=document)
        limit = kind.rule.limit
        name, seconds = ("own", 4) if limit is None else (limit.name, 12)
        assert limited["details"] == {"policy": name, "retryAfter": seconds}
    usual = at("components", document=openapi())
    assert at("components", document=document) == usual


def test_openapi_links_lead_only_to_operations_of_the_server() -> None:
    document = openapi(Settings(operations=(CreateConnection, GetConnection)))
    responses = at(*where(CreateConnection), "responses", document=document)
    assert list(at("201", "links", document=responses)) == ["getConnection"]
