"""The sample reconnect in the platform's reference: the printed request and both answers.

The reference prints no API key, so the tests add one.
"""

from __future__ import annotations

import json
from typing import Final

import attrs
import pytest

from curae_lifecycle import ApiKey, Request, Response
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import parse_time, parse_uuid
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.openapi import openapi
from tests.support.instants import handle_at
from tests.support.server import API_KEY, CALLER, document, new_ids, world
from tests.support.strategies import apply_trigger, at, pending, uuid

PATH: Final = "/api/sdk/v1/connections/{connectionId}:reconnect"
PRINTED: Final = Request(
    method="POST",
    target=PATH.replace("{connectionId}", uuid(1)),
    headers=(("Idempotency-Key", "string"), ("Content-Type", "application/json")),
    body=b"{}",
)
AUTHORIZED: Final = attrs.evolve(
    PRINTED, headers=(("Authorization", f"Bearer {API_KEY}"), *PRINTED.headers)
)
CONNECTION: Final = (
    "id",
    "customerAccountId",
    "appUserId",
    "status",
    "dataPackages",
    "authorizedAt",
    "expiresAt",
    "revokedAt",
    "actionRequiredReason",
    "createdAt",
    "updatedAt",
)
PROBLEM: Final = {
    "type": str,
    "title": str,
    "status": int,
    "detail": str,
    "code": str,
    "details": dict,
    "retryable": bool,
}
"""Types of a problem's members, without `instance`, which the server may add."""


def answer(store: MemoryStore, request: Request) -> Response:
    return handle_at(store, request, at(2), new_ids=new_ids(2, at(2))).response


def store_with(*triggers: str) -> MemoryStore:
    connection = pending()
    for trigger in triggers:
        connection = apply_trigger(connection, trigger, at(1))
    return world(DEFAULT_SETTINGS, connection)


def test_reconnect_request_of_reference_with_an_api_key_gets_201() -> None:
    assert Reconnect.rule.path == PATH
    store = store_with("APP")
    assert answer(store, PRINTED).status == 401
    answered = answer(store, AUTHORIZED)
    assert answered.status == 201
    assert ("content-type", "application/json") in answered.headers
    body = document(answered)
    assert list(body) == ["connection", "previousConnectionId", "nextAction"]
    connection, action = body["connection"], body["nextAction"]
    assert isinstance(connection, dict)
    assert isinstance(action, dict)
    assert tuple(connection) == CONNECTION
    assert connection["status"] == "PENDING"
    assert connection["dataPackages"] == ["clinical_summary", "labs"]
    assert body["previousConnectionId"] == uuid(1) != connection["id"]
    for text in (connection["id"], connection["customerAccountId"], body["previousConnectionId"]):
        assert parse_uuid("id", text) == text
    for text in (connection["createdAt"], connection["updatedAt"]):
        assert parse_time("time", text) == at(2)
    assert action == {
        "type": "open_webview",
        "url": "https://connect.example/1",
        "expiresAt": "2026-01-01T00:32:00Z",
    }


def test_reference_request_sent_twice_gets_the_same_bytes() -> None:
    store = store_with("APP")
    assert answer(store, AUTHORIZED) == answer(store, AUTHORIZED)


def test_reference_request_without_idempotency_key_gets_400() -> None:
    unkeyed = tuple(each for each in AUTHORIZED.headers if each[0] != "Idempotency-Key")
    refused = answer(store_with("APP"), attrs.evolve(AUTHORIZED, headers=unkeyed))
    assert (refused.status, document(refused)["code"]) == (400, "IDEMPOTENCY_KEY_REQUIRED")


@pytest.mark.parametrize("triggers", [(), ("authorize",)])
def test_answer_409_has_the_members_and_types_of_the_reference(
    triggers: tuple[str, ...],
) -> None:
    refused = answer(store_with(*triggers), AUTHORIZED)
    assert refused.status == 409
    assert ("content-type", "application/problem+json") in refused.headers
    body = document(refused)
    assert {name: type(value) for name, value in body.items()} == PROBLEM
    assert body["status"] == 409


def test_api_key_of_any_form_even_a_jwt_is_accepted_unparsed() -> None:
    """Accept a key that looks like a JWT, and a key with any prefix."""
    for text in (API_KEY, "e30.e30.e30", "cae_test_k1", "k"):
        store = MemoryStore()
        caller: Caller = attrs.evolve(CALLER, scopes=frozenset())
        store.register(ApiKey(text), caller)
        headers = (("Authorization", f"Bearer {text}"), *PRINTED.headers)
        assert answer(store, attrs.evolve(PRINTED, headers=headers)).status == 403


def test_security_scheme_is_a_bearer_key_named_as_in_reference() -> None:
    described = json.loads(json.dumps(openapi()))
    (name,) = described["components"]["securitySchemes"]
    scheme = described["components"]["securitySchemes"][name]
    assert (name, scheme["type"], scheme["scheme"]) == ("platformApiKey", "http", "bearer")
    assert described["security"] == [{"platformApiKey": []}]
    assert "bearerFormat" not in scheme, "a key is not a JWT"
