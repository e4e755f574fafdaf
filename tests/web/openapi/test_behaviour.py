"""The OpenAPI document against a server: what it requires, its examples and its links."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, cast
from urllib.parse import urlencode

import attrs
import pytest
from jsonschema import Draft202012Validator

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.triggers import RefusalReason
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations import example_values
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.openapi import openapi
from curae_lifecycle.web.openapi.schemas import EXAMPLE_BUCKET
from curae_lifecycle.web.request import Request
from tests.support.instants import commit_writes, handle_at

Object = dict[str, Json]

DOCUMENT: Final = cast("Object", json.loads(json.dumps(openapi())))
API_KEY: Final = "cae_live_example"


@attrs.frozen
class Described:
    """An operation of the document."""

    method: str
    path: str
    operation: Object

    @property
    def parameters(self) -> list[Object]:
        """The parameters, each with its example."""
        return cast("list[Object]", self.operation["parameters"])

    @property
    def body(self) -> Object | None:
        """The description of the body; None if no body is read."""
        return cast("Object | None", self.operation.get("requestBody"))

    @property
    def example_body(self) -> Object:
        """The example of the body."""
        assert self.body is not None
        content = cast("dict[str, Object]", self.body["content"])
        return cast("Object", content["application/json"]["example"])

    @property
    def body_schema(self) -> Object:
        """The schema of the body."""
        assert self.body is not None
        content = cast("dict[str, dict[str, Object]]", self.body["content"])
        name = str(content["application/json"]["schema"]["$ref"]).rpartition("/")[2]
        schemas = cast("dict[str, dict[str, Object]]", DOCUMENT["components"])["schemas"]
        return schemas[name]

    @property
    def success(self) -> int:
        """The status of a success."""
        return int(next(iter(cast("Object", self.operation["responses"]))))

    def examples(self, status: int) -> dict[str, Object]:
        """Return the example bodies of a status."""
        responses = cast("dict[str, dict[str, Object]]", self.operation["responses"])
        (content,) = cast("list[Object]", list(responses[str(status)]["content"].values()))
        examples = cast("dict[str, Object]", content["examples"])
        return {name: cast("Object", each["value"]) for name, each in examples.items()}

    @property
    def problems(self) -> dict[str, Object]:
        """The example of each problem, by its code."""
        statuses = [int(each) for each in cast("Object", self.operation["responses"])]
        refused = [self.examples(status) for status in statuses if status >= 400]
        return {code: example for examples in refused for code, example in examples.items()}


OPERATIONS: Final = {
    str(operation["operationId"]): Described(method.upper(), path, operation)
    for path, methods in cast("dict[str, dict[str, Object]]", DOCUMENT["paths"]).items()
    for method, operation in methods.items()
}

each_operation: Final = pytest.mark.parametrize("name", OPERATIONS)


# --- A server in which each example request succeeds --------------------------------------------


def example_store(
    settings: Settings = DEFAULT_SETTINGS,
    *,
    connection: Connection = example_values.REVOKED_CONNECTION,
    state: AccountState | None = AccountState.LIMITED,
    scopes: frozenset[str] = example_values.CALLER.scopes,
    environment: Environment = Environment.LIVE,
) -> MemoryStore:
    """Return a store with the connection and the account of the examples."""
    store = MemoryStore(settings, clock=lambda: example_values.NOW)
    caller = attrs.evolve(example_values.CALLER, scopes=scopes, environment=environment)
    store.register(ApiKey(API_KEY), caller)
    assert commit_writes(store, (ConnectionWrite(None, connection),))
    if state is not None:
        binding = example_values.snapshot_in_state(state).binding
        assert binding is not None
        assert commit_writes(store, (BindingWrite(None, binding),))
    return store


NOTHING: Final = object()


def example_request(
    described: Described,
    *,
    changes: dict[tuple[str, str], object] | None = None,
    body: object = None,
) -> Request:
    """Return the example request of an operation.

    Args:
        described: The operation.
        changes: Values in place of examples, by place and name of a parameter; `NOTHING` leaves
            the parameter out.
        body: The body in place of the example; `NOTHING` leaves it out.
    """
    path, query, headers = described.path, {}, [("Content-Type", "application/json")]
    changed: dict[tuple[str, str], object] = {
        ("header", "Authorization"): f"Bearer {API_KEY}",
        **{(str(it["in"]), str(it["name"])): it["example"] for it in needed(described)},
        **(changes or {}),
    }
    for (place, name), value in changed.items():
        if value is NOTHING:
            continue
        if place == "path":
            path = path.replace(f"{{{name}}}", str(value))
        elif place == "query":
            query[name] = str(value)
        else:
            headers.append((name, str(value)))
    sent = described.example_body if body is None and described.body is not None else body
    return Request(
        method=described.method,
        target=path + (f"?{urlencode(query)}" if query else ""),
        headers=tuple(headers),
        body=b"" if sent is NOTHING or sent is None else json.dumps(sent).encode(),
    )


def needed(described: Described) -> list[Object]:
    # An entity tag that the client holds may turn the example into a 304.
    return [each for each in described.parameters if each["name"] != "If-None-Match"]


def answer(
    store: MemoryStore, request: Request, now: datetime = example_values.NOW
) -> tuple[int, Object]:
    """Return the status and the body of the answer to a request."""
    response = handle_at(store, request, now).response
    return response.status, cast("Object", json.loads(response.body or b"{}"))


# --- Examples of requests -----------------------------------------------------------------------


def test_example_requests_succeed_on_one_server() -> None:
    # One server refuses a key that was used for another request.
    store = example_store()
    for described in OPERATIONS.values():
        status, body = answer(store, example_request(described))
        assert status == described.success, body


def test_each_example_request_has_its_own_idempotency_key() -> None:
    keys = [
        each["example"]
        for described in OPERATIONS.values()
        for each in described.parameters
        if each["name"] == "Idempotency-Key"
    ]
    assert len(keys) == 4
    assert len(set(keys)) == 4


# --- Required and optional parts ----------------------------------------------------------------


def parts(described: Described) -> Iterator[tuple[str, bool, Request]]:
    """Yield each part of a request: its name, whether it is required, the request without it."""
    for each in described.parameters:
        place, name = str(each["in"]), str(each["name"])
        if place != "path":
            request = example_request(described, changes={(place, name): NOTHING})
            yield name, each.get("required") is True, request
    if described.body is not None:
        required = described.body["required"] is True
        yield "body", required, example_request(described, body=NOTHING)
        needs = cast("list[str]", described.body_schema["required"])
        for member in cast("Object", described.body_schema["properties"]):
            left = {key: it for key, it in described.example_body.items() if key != member}
            yield member, member in needs, example_request(described, body=left)


PARTS: Final = {
    f"{name} {part}": (name, required, request)
    for name, described in OPERATIONS.items()
    for part, required, request in parts(described)
}


def test_openapi_required_request_parts_equal_hand_written_ones() -> None:
    assert {part: required for part, (_, required, _) in PARTS.items()} == {
        "createConnection Idempotency-Key": True,
        "createConnection body": True,
        "createConnection appUserId": True,
        "createConnection dataPackages": True,
        "reconnect Idempotency-Key": True,
        "reconnect body": False,
        "revoke Idempotency-Key": True,
        "revoke body": False,
        "initiate Idempotency-Key": True,
        "initiate body": True,
        "initiate appUserId": True,
        "initiate preferSignup": False,
        "getAccountState appUserId": True,
        "getAccountState If-None-Match": False,
        "startGraduation body": True,
        "startGraduation appUserId": True,
    }


@pytest.mark.parametrize("part", PARTS)
def test_request_needs_exactly_the_parts_openapi_marks_required(part: str) -> None:
    name, required, request = PARTS[part]
    status, body = answer(example_store(), request)
    assert status == (400 if required else OPERATIONS[name].success), body
    if required:
        assert str(body["code"]) in OPERATIONS[name].examples(400)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, it in OPERATIONS.items()
        if not any(each["name"] == "Idempotency-Key" for each in it.parameters)
    ],
)
def test_undocumented_idempotency_key_is_ignored_or_gets_a_400(name: str) -> None:
    described = OPERATIONS[name]
    request = example_request(described, changes={("header", "Idempotency-Key"): "k-1"})
    status, body = answer(example_store(), request)
    if "IDEMPOTENCY_KEY_NOT_ALLOWED" in described.problems:
        assert body["code"] == "IDEMPOTENCY_KEY_NOT_ALLOWED"
    else:
        assert status == described.success


# --- Links --------------------------------------------------------------------------------------

CONNECTION_LINKS: Final = {
    target: {"connectionId": "$response.body#/connection/id"}
    for target in ("getConnection", "reconnect", "revoke")
}
LINKS: Final = {
    "createConnection": CONNECTION_LINKS,
    "getConnection": CONNECTION_LINKS,
    "reconnect": CONNECTION_LINKS,
    "revoke": CONNECTION_LINKS,
    "initiate": {"getAccountState": {"appUserId": "$request.body#/appUserId"}},
    "getAccountState": {},
    "startGraduation": {},
}


def links(name: str) -> dict[str, dict[str, str]]:
    """Return the parameters of each link of an operation's success, by the linked operation."""
    described = OPERATIONS[name]
    responses = cast("dict[str, Object]", described.operation["responses"])
    found = cast("dict[str, Object]", responses[str(described.success)].get("links", {}))
    return {
        str(link["operationId"]): cast("dict[str, str]", link["parameters"])
        for link in found.values()
    }


def resolve(expression: str, *, request: Json, response: Json) -> str:
    """Return the value that a runtime expression of a link has."""
    source, _, pointer = expression.partition("#/")
    value = {"$request.body": request, "$response.body": response}[source]
    for name in pointer.split("/"):
        assert isinstance(value, dict), expression
        value = value[name]
    assert isinstance(value, str), expression
    return value


def test_openapi_links_equal_the_hand_written_ones() -> None:
    assert {name: links(name) for name in OPERATIONS} == LINKS


@each_operation
def test_openapi_link_resolves_in_examples_to_a_valid_parameter(name: str) -> None:
    described = OPERATIONS[name]
    for target, parameters in links(name).items():
        schemas = {
            str(each["name"]): cast("Object", each["schema"])
            for each in OPERATIONS[target].parameters
            if each["in"] in {"path", "query"}
        }
        assert parameters.keys() == schemas.keys()
        for example in described.examples(described.success).values():
            sent = described.example_body if described.body is not None else None
            for parameter, expression in parameters.items():
                value = resolve(expression, request=sent, response=example)
                Draft202012Validator(schemas[parameter]).validate(value)


@pytest.mark.parametrize(("name", "target"), [(it, to) for it in OPERATIONS for to in links(it)])
def test_followed_openapi_link_reaches_the_same_connection(name: str, target: str) -> None:
    store, described, linked = example_store(), OPERATIONS[name], OPERATIONS[target]
    _, first = answer(store, example_request(described))
    sent = described.example_body if described.body is not None else None
    places = {str(each["name"]): str(each["in"]) for each in linked.parameters}
    changes: dict[tuple[str, str], object] = {
        (places[parameter], parameter): resolve(expression, request=sent, response=first)
        for parameter, expression in links(name)[target].items()
    }
    if "Idempotency-Key" in places:
        changes["header", "Idempotency-Key"] = "followed"
    status, second = answer(store, example_request(linked, changes=changes))
    if target == "reconnect" and name in {"createConnection", "reconnect"}:
        # The connection is pending, so there is nothing to recover.
        assert second["code"] == "CONNECTION_NOT_RECONNECTABLE"
        assert cast("Object", second["details"])["connectionId"] == connection_id(first)
    else:
        assert status == linked.success, second
    if target in {"getConnection", "revoke"}:
        assert connection_id(second) == connection_id(first)


def connection_id(body: Object) -> Json:
    return cast("Object", body["connection"])["id"]


# --- Examples of problems -----------------------------------------------------------------------

TO_OTHER: Final = "00000000-0000-4000-8000-000000000009"


CHANGES: Final[dict[str, dict[tuple[str, str], object]]] = {
    "IDEMPOTENCY_KEY_REQUIRED": {("header", "Idempotency-Key"): NOTHING},
    "IDEMPOTENCY_KEY_INVALID": {("header", "Idempotency-Key"): "a b"},
    "IDEMPOTENCY_KEY_NOT_ALLOWED": {("header", "Idempotency-Key"): "k-1"},
    "UNAUTHENTICATED": {("header", "Authorization"): NOTHING},
    "NOT_FOUND": {("path", "connectionId"): TO_OTHER},
}
"""For each problem code, the changes to the example request that make the server refuse it."""

STORES: Final[dict[str, Callable[[], MemoryStore]]] = {
    "SCOPE_INSUFFICIENT": lambda: example_store(scopes=frozenset()),
    "WRONG_ENVIRONMENT": lambda: example_store(
        Settings(environment=Environment.LIVE), environment=Environment.TEST
    ),
    "CONNECTION_NOT_RECONNECTABLE": lambda: example_store(connection=example_values.CONNECTION),
    "BINDING_NOT_LIMITED": lambda: example_store(state=AccountState.ACTIVE),
}
"""The stores that refuse an example request with a code."""

LIMITS: Final = {"initiate": 10, "graduation": 10}
"""The limits of an app user, in requests a minute."""


def refusal(name: str, code: str) -> Object:
    """Return the problem that a server answers in the case of the example."""
    described = OPERATIONS[name]
    details = cast("Object", described.problems[code]["details"])
    request = example_request(described, changes=CHANGES.get(code))
    store = STORES.get(code, example_store)()
    if code == "BAD_REQUEST":
        request = faulty(described, member=str(details["member"]), fault=str(details["fault"]))
    elif code == "IDEMPOTENCY_KEY_REUSED":
        answer(store, request)
        request = other_values(described)
    elif code == "RATE_LIMITED":
        return rate_limited(described, policy=str(details["policy"]))
    return answer(store, request)[1]


def rate_limited(described: Described, *, policy: str) -> Object:
    """Return the answer to an example request after the limit is used up."""
    if policy in LIMITS:
        store, later = example_store(), timedelta(seconds=48)
        exhaust(store, described, LIMITS[policy])
    else:
        store, later = example_store(Settings(buckets=(EXAMPLE_BUCKET,))), timedelta()
        exhaust(store, described, EXAMPLE_BUCKET.capacity)
    return answer(store, example_request(described), example_values.NOW + later)[1]


def faulty(described: Described, *, member: str, fault: str) -> Request:
    """Return the example request with a fault in one member."""
    if fault == Fault.INVALID:
        return example_request(described, changes={("path", member): "x"})
    assert fault == Fault.MISSING
    if described.body is None:
        return example_request(described, changes={("query", member): NOTHING})
    left = {key: value for key, value in described.example_body.items() if key != member}
    return example_request(described, body=left)


def other_values(described: Described) -> Request:
    """Return the example request with the same key and other values."""
    if described.example_body:
        return example_request(described, body=described.example_body | {"appUserId": "user-2"})
    return example_request(described, changes={("path", "connectionId"): TO_OTHER})


def exhaust(store: MemoryStore, described: Described, count: int) -> None:
    """Send the example request until its limit is used up."""
    keyed = any(each["name"] == "Idempotency-Key" for each in described.parameters)
    for number in range(count):
        key: dict[tuple[str, str], object] = {("header", "Idempotency-Key"): f"used-{number}"}
        status, body = answer(store, example_request(described, changes=key if keyed else None))
        assert status != 429, body


UNTRIED: Final = {
    "CONNECTION_SUPERSEDED",
    "IDEMPOTENCY_KEY_IN_FLIGHT",
    "IDEMPOTENCY_OUTCOME_UNKNOWN",
    "IDEMPOTENCY_KEY_FORGOTTEN",
    "INTERNAL",
}
"""Problems whose examples have made-up ids or waits, or that need a crash or an erasure."""

PROBLEMS: Final = [(name, code) for name, it in OPERATIONS.items() for code in it.problems]


each_problem: Final = pytest.mark.parametrize(
    ("name", "code"), PROBLEMS, ids=[" ".join(each) for each in PROBLEMS]
)


@pytest.mark.parametrize(
    ("name", "code"), [(name, code) for name, code in PROBLEMS if code not in UNTRIED]
)
def test_openapi_problem_example_equals_the_real_answer(name: str, code: str) -> None:
    refused = refusal(name, code)
    assert {**refused, "instance": ""} == {**OPERATIONS[name].problems[code], "instance": ""}


WORDS: Final[dict[str, set[str]]] = {
    "fault": set(Fault),
    "scope": {"connection:write"},
    "environment": {"live", "test"},
    "reason": set(RefusalReason),
    "lifecycleState": set(AccountState),
    "differs": {"operation", "values"},
    "policy": {"initiate", "graduation", "platform"},
}
IDS: Final = {"connectionId", "nextConnectionId", "headConnectionId"}


@each_problem
def test_problem_example_details_have_values_from_rule_tables(name: str, code: str) -> None:
    described = OPERATIONS[name]
    for detail, value in cast("Object", described.problems[code]["details"]).items():
        if detail == "member":
            body = described.body_schema["properties"] if described.body is not None else {}
            parameters = {str(each["name"]) for each in described.parameters}
            assert value in parameters | set(cast("Object", body))
        elif detail == "scope":
            assert value == described.operation["x-scope"]
        elif detail not in IDS | {"retryAfter"}:
            assert value in WORDS[detail]
