"""Tests of the list operation of `docs/extending.md`, on SQLite and in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import cast
from urllib.parse import quote

import attrs
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from curae_lifecycle import ApiKey, Caller, MemoryStore, Request, Response, Settings, serve
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.values import ApiKeyId, AppId, AppUserId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.conformance import run
from curae_lifecycle.testing.conformance.replies import check_reply
from curae_lifecycle.testing.conformance.steps import NotConformingError
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.openapi import openapi
from tests.docs.extending.test_extending import LIST
from tests.stores.sql.conftest import opened
from tests.support import server
from tests.support.instants import handle_at
from tests.support.kit import Reference
from tests.support.strategies import COORDINATE, START, pending, uuid
from tests.support.wire.running import sqlite

NINE = (*OPERATIONS, LIST)
SETTINGS = Settings(operations=NINE)
OTHER_KEY = "cae_live_other"
OTHER_APP: Caller = attrs.evolve(server.CALLER, app_id=AppId("app-2"), api_key_id=ApiKeyId("key-2"))
MINE, OF_ANOTHER_USER, OF_ANOTHER_APP = (1, 3, 5, 7, 9), (2, 6), (4, 8)


@pytest.fixture(params=["memory", "sqlite"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A store with connections of three coordinates."""
    if request.param == "memory":
        made = MemoryStore(SETTINGS, clock=lambda: START)
        register(made)
        yield made
        return
    with opened(sqlite(tmp_path_factory.mktemp("list"))) as database:
        on_file = SqlStore(database, SETTINGS)
        on_file.create_tables()
        register(on_file)
        yield on_file


def register(store: MemoryStore | SqlStore) -> None:
    store.register(ApiKey(server.API_KEY), server.CALLER)
    store.register(ApiKey(OTHER_KEY), OTHER_APP)
    another_user = attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2"))
    another_app = attrs.evolve(COORDINATE, app_id=OTHER_APP.app_id)
    for numbers, coordinate in (
        (MINE, COORDINATE),
        (OF_ANOTHER_USER, another_user),
        (OF_ANOTHER_APP, another_app),
    ):
        made = [pending(number=number) for number in numbers]
        own = [
            attrs.evolve(each, identity=attrs.evolve(each.identity, coordinate=coordinate))
            for each in made
        ]
        writes = tuple(ConnectionWrite(None, each) for each in own)
        assert store.commit(store.load(Needs(binding=coordinate)), Changes(writes))


def get(store: Store, query: str, api_key: str = server.API_KEY) -> Response:
    request = Request(
        method="GET",
        target=f"/api/sdk/v1/connections?{query}",
        headers=(("Authorization", f"Bearer {api_key}"),),
        body=b"",
    )
    return serve(store, request, lambda now: server.new_ids(99, now), settings=SETTINGS).response


def listed(response: Response) -> tuple[list[int], str | None]:
    """Return the numbers of the listed connections, and the id to go on after."""
    assert response.status == 200, response.body
    body = json.loads(response.body)
    numbers = [int(each["id"].rpartition("-")[2], 16) for each in body["connections"]]
    return numbers, body["nextAfter"]


def test_paged_list_operation_returns_all_connections_in_order(store: Store) -> None:
    found: list[int] = []
    query = "appUserId=user-1&limit=2"
    after: str | None = ""
    while after is not None:
        numbers, after = listed(get(store, query))
        assert len(numbers) <= 2
        found += numbers
        query = f"appUserId=user-1&limit=2&after={after}"
    assert found == list(MINE)


@pytest.mark.parametrize(
    ("query", "expected", "next_after"),
    [
        ("appUserId=user-1", list(MINE), None),
        ("appUserId=user-1&limit=5", list(MINE), uuid(9)),
        ("appUserId=user-1&limit=6", list(MINE), None),
        (f"limit=1&after={uuid(3)}&appUserId=user-1", [5], uuid(5)),
        (f"appUserId=user-1&after={uuid(9)}", [], None),
        (f"appUserId=user-1&after={uuid(4).upper()}&limit=3&other=1", [5, 7, 9], uuid(9)),
        ("appUserId=user-2&limit=100", list(OF_ANOTHER_USER), None),
        ("appUserId=nobody", [], None),
    ],
)
def test_list_operation_returns_only_connections_of_its_user(
    store: Store, query: str, expected: list[int], next_after: str | None
) -> None:
    assert listed(get(store, query)) == (expected, next_after)


def test_list_operation_gives_other_app_only_its_own_connections(store: Store) -> None:
    assert listed(get(store, "appUserId=user-1", OTHER_KEY)) == (list(OF_ANOTHER_APP), None)
    assert listed(get(store, "appUserId=user-2", OTHER_KEY)) == ([], None)


@pytest.mark.parametrize(
    ("query", "member", "fault"),
    [
        ("", "appUserId", "MISSING"),
        ("limit=2", "appUserId", "MISSING"),
        ("appUserId=user-1&appUserId=user-1", "appUserId", "REPEATED"),
        ("appUserId=user-1&limit=2&limit=2", "limit", "REPEATED"),
        ("appUserId=user-1&limit=", "limit", "INVALID"),
        ("appUserId=user-1&limit=0", "limit", "INVALID"),
        ("appUserId=user-1&limit=101", "limit", "INVALID"),
        ("appUserId=user-1&limit=2.0", "limit", "INVALID"),
        ("appUserId=user-1&limit=%D9%A2", "limit", "INVALID"),
        ("appUserId=user-1&limit=%FF", "limit", "INVALID"),
        ("appUserId=user-1&after=nonsense", "after", "INVALID"),
        ("appUserId=user-1&after", "after", "INVALID"),
        (f"appUserId=user-1&after={uuid(1)}&after={uuid(1)}", "after", "REPEATED"),
    ],
)
def test_list_operation_gives_400_for_query_faults(query: str, member: str, fault: str) -> None:
    store = MemoryStore(SETTINGS, clock=lambda: START)
    register(store)
    response = get(store, query)
    assert response.status == 400
    assert json.loads(response.body)["details"] == {"member": member, "fault": fault}


@cache
def document() -> dict[str, Json]:
    return cast("dict[str, Json]", json.loads(json.dumps(openapi(SETTINGS))))


@pytest.mark.slow
def test_openapi_document_describes_list_query_and_response(store: Store) -> None:
    validate(document())
    paths = cast("dict[str, dict[str, dict[str, Json]]]", document()["paths"])
    described = paths["/api/sdk/v1/connections"]["get"]
    parameters = cast("list[dict[str, Json]]", described["parameters"])
    assert [(each["name"], each["required"]) for each in parameters] == [
        ("appUserId", True),
        ("after", False),
        ("limit", False),
    ]
    assert parameters[2]["example"] == 20
    schema = {
        "$ref": "#/components/schemas/ConnectionsListed",
        "components": document()["components"],
    }
    validator = Draft202012Validator(schema)
    for query in ("appUserId=user-1&limit=1", "appUserId=nobody"):
        validator.validate(json.loads(get(store, query).body))
    assert not validator.is_valid({"connections": [{}], "nextAfter": None})
    assert not validator.is_valid({"connections": [], "nextAfter": 1})


@pytest.mark.slow
def test_conformance_passes_a_server_with_a_list_operation() -> None:
    report = run(Reference(SETTINGS).server(), seed="1", operations=NINE)
    assert not report.failed, str(report)
    assert "operation.list-connections" in report.passed


def spoilt(body: dict[str, Json]) -> str:
    """Return the kit's message about a server whose list has another body."""
    reference = Reference(SETTINGS)

    def send(request: Request) -> Response:
        answer = reference.send(request)
        if request.method != "GET" or "/connections?" not in request.target:
            return answer
        return attrs.evolve(answer, body=json.dumps(json.loads(answer.body) | body).encode())

    served = attrs.evolve(reference.server(), send=send)
    report = run(served, only=["operation.list-connections"], seed="1", operations=NINE)
    return "" if report.passed else report.failed[0].message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, ""),
        ({"connections": {}}, "connections is not a list"),
        ({"connections": [1]}, "is not an object"),
        ({"connections": [{"id": "1"}]}, "missing: "),
        ({"nextAfter": "1"}, "nextAfter is not a UUID in lower case"),
    ],
)
def test_conformance_fails_a_server_with_an_incorrect_list(
    body: dict[str, Json], message: str
) -> None:
    found = spoilt(body)
    assert message in found
    assert bool(message) == bool(found)


def test_conformance_fails_a_list_with_one_malformed_connection(store: Store) -> None:
    response = get(store, "appUserId=user-1&limit=2")
    check_reply(LIST, response)
    wrong = attrs.evolve(response, body=response.body.replace(uuid(3).encode(), b"x"))
    with pytest.raises(NotConformingError, match=r"connections\[1\]\.id is not a UUID"):
        check_reply(LIST, wrong)


def test_conformance_fails_a_list_accepting_a_repeated_parameter() -> None:
    reference = Reference(SETTINGS)

    def send(request: Request) -> Response:
        first, _, rest = request.target.partition("&limit=")
        lenient = first + (f"&limit={rest.partition('&')[0]}" if rest else "")
        return reference.send(attrs.evolve(request, target=lenient))

    served = attrs.evolve(reference.server(), send=send)
    (failure,) = run(served, only=["request.body.query"], seed="1", operations=NINE).failed
    assert "limit=20&limit=20" in str(failure)


def test_law_checks_and_replay_accept_the_custom_list_operation() -> None:
    world = MemoryStore(SETTINGS, clock=lambda: START)
    register(world)
    watch = Watch(operations=NINE)
    request = Request(
        method="GET",
        target=f"/api/sdk/v1/connections?appUserId={quote('user-1')}",
        headers=(("Authorization", f"Bearer {server.API_KEY}"),),
        body=b"",
    )
    watch.observe_response(handle_at(world, request, START), START, caller=server.CALLER)
    line = {
        "at": "2026-01-05T09:00:00Z",
        "request": {
            "method": "GET",
            "path": request.target,
            "headers": {"Authorization": "Bearer cae_live_k1"},
        },
    }
    setup = {
        "at": "2026-01-05T09:00:00Z",
        "register": {
            "apiKey": "cae_live_k1",
            "appId": "app-1",
            "customerAccountId": COORDINATE.customer_account_id,
            "scopes": [],
        },
    }
    lines = [json.dumps(each).encode() for each in (setup, line)]
    answers = [each.answer for each in replay(lines, operations=NINE)]
    assert json.loads(str(answers[1]["body"])) == {"connections": [], "nextAfter": None}
