"""Tests of the requests that an app of the kit sends, and of the functions that read responses."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.testing.conformance import (
    ApiKeyRequest,
    NotSeenError,
    Request,
    Response,
    client,
)
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.server import WRITING
from curae_lifecycle.testing.conformance.steps import HookCall, NotConformingError, Steps
from tests.testing.conformance.by_hand import ACCOUNT, app, context, play

API = "/api/sdk/v1"
BEARER = ("Authorization", "Bearer secret")
KEY = ("Idempotency-Key", "k")
JSON = ("Content-Type", "application/json")
FRESH = "key-"
MORE = ("X-More", "1")


def response(status: int, body: object, *headers: tuple[str, str]) -> Response:
    return Response(status, headers, json.dumps(body).encode())


def message(call: Callable[[], object]) -> str:
    with pytest.raises(NotConformingError) as raised:
        call()
    assert str(raised.value) == raised.value.what
    return raised.value.what


# --- Requests -------------------------------------------------------------------------------


def test_request_of_an_app_has_its_api_key_and_a_json_body() -> None:
    assert app().request("PUT", "/x?a=1", {"a": [1]}, MORE, key="k") == Request(
        "PUT", f"{API}/x?a=1", (BEARER, KEY, JSON, MORE), body=b'{"a": [1]}'
    )


def test_request_of_an_app_sends_bytes_unchanged() -> None:
    sent = app().request("POST", "/x", b"\xff{")
    assert sent == Request("POST", f"{API}/x", (BEARER, JSON), body=b"\xff{")


@pytest.mark.parametrize("body", [b"", {}, []])
def test_request_of_an_app_with_empty_body_has_a_content_type(body: object) -> None:
    assert JSON in app().request("POST", "/x", body).headers


def test_request_without_body_or_idempotency_key_sends_neither() -> None:
    assert app().request("GET", "/x") == Request("GET", f"{API}/x", (BEARER,), body=b"")


REQUESTS: dict[str, tuple[Callable[[App], Request], str, dict[str, object] | None]] = {
    "create": (
        lambda it: it.create("u", key="k"),
        "POST /connections",
        {"appUserId": "u", "dataPackages": ["clinical_summary", "labs"]},
    ),
    "create with packages": (
        lambda it: it.create("u", iter(("a", "b")), key="k"),
        "POST /connections",
        {"appUserId": "u", "dataPackages": ["a", "b"]},
    ),
    "reconnect": (lambda it: it.reconnect("c", key="k"), "POST /connections/c:reconnect", None),
    "revoke": (lambda it: it.revoke("c", key="k"), "POST /connections/c:revoke", None),
    "initiate": (
        lambda it: it.initiate("u", key="k"),
        "POST /curae-connect/initiate",
        {"appUserId": "u"},
    ),
    "initiate without sign-up": (
        lambda it: it.initiate("u", prefer_signup=False, key="k"),
        "POST /curae-connect/initiate",
        {"appUserId": "u", "preferSignup": False},
    ),
}
"""Requests with an idempotency key: how each is built, its line and its body."""


@pytest.mark.parametrize("name", REQUESTS)
def test_mutating_request_has_its_operations_path_and_body(name: str) -> None:
    build, line, body = REQUESTS[name]
    method, path = line.split(" ")
    sent = build(app())
    assert (sent.method, sent.target) == (method, API + path)
    if body is None:
        assert (sent.headers, sent.body) == ((BEARER, KEY), b"")
    else:
        assert isinstance(sent.body, bytes)
        assert (sent.headers, json.loads(sent.body)) == ((BEARER, KEY, JSON), body)


@pytest.mark.parametrize(
    "build",
    [
        lambda it: it.create("u"),
        lambda it: it.reconnect("c"),
        lambda it: it.revoke("c"),
        lambda it: it.initiate("u"),
    ],
)
def test_request_gets_a_fresh_idempotency_key_by_default(build: Callable[[App], Request]) -> None:
    one = app()
    first, second = (dict(build(one).headers)["Idempotency-Key"] for _ in range(2))
    assert first.startswith(FRESH)
    assert second.startswith(FRESH)
    assert first != second


def test_request_that_reads_has_no_idempotency_key() -> None:
    assert app().get("c") == Request("GET", f"{API}/connections/c", (BEARER,), body=b"")


def test_account_state_request_percent_encodes_the_user() -> None:
    path = f"{API}/curae-connect/account-state?appUserId=a%2Fb%20%26"
    sent = app().account_state("a/b &", MORE, KEY)
    assert sent == Request("GET", path, (BEARER, MORE, KEY), body=b"")


def test_graduation_request_includes_the_given_header() -> None:
    sent = app().graduate("u", MORE)
    path = f"{API}/curae-connect/graduation-handoff"
    assert sent == Request("POST", path, (BEARER, JSON, MORE), body=b'{"appUserId": "u"}')


# --- Keys and coordinates -------------------------------------------------------------------


def test_coordinate_of_a_user_has_the_api_keys_app_and_account() -> None:
    seen = app(environment=Environment.TEST).coordinate("u")
    assert (seen.environment, seen.app_id) == (Environment.TEST, "app-1")
    assert (seen.customer_account_id, seen.app_user_id) == (ACCOUNT, "u")


def test_app_moved_to_the_test_environment_gets_a_test_key() -> None:
    one = app()
    played = play(one.in_test(), "other")
    wanted = ApiKeyRequest("app-1", ACCOUNT, Environment.TEST, scopes=one.key_request.scopes)
    assert played.steps == [HookCall("make_key", (wanted,))]
    assert played.result == App("other", wanted, one.context)


def test_app_cannot_get_a_test_key_from_a_one_environment_server() -> None:
    with pytest.raises(NotSeenError, match="serves one environment"):
        play(app(context("environment")).in_test())


@pytest.mark.parametrize("scopes", [WRITING, frozenset[str]()])
def test_second_api_key_is_of_the_same_app_with_given_scopes(scopes: frozenset[str]) -> None:
    one = app(environment=Environment.TEST)
    played = play(one.second_key(scopes) if scopes != WRITING else one.second_key(), "other")
    wanted = ApiKeyRequest("app-1", ACCOUNT, Environment.TEST, scopes=scopes)
    assert played.steps == [HookCall("make_key", (wanted,))]
    assert played.result == App("other", wanted, one.context)


def test_new_app_has_fresh_ids_and_the_checks_environment() -> None:
    kit = context(environment=Environment.TEST)
    made = [play(client.new_app(kit), "text").result for _ in range(2)]
    first, second = (each.key_request for each in made if isinstance(each, App))
    assert first.app_id.startswith("app-")
    assert len({first.app_id, second.app_id}) == 2
    assert len({first.customer_account_id, second.customer_account_id}) == 2
    for each in (first, second):
        assert (each.environment, each.scopes) == (Environment.TEST, WRITING)


def test_new_app_calls_make_key_with_the_given_account_and_app() -> None:
    kit = context()
    steps = client.new_app(kit, account=ACCOUNT, app_id="app-7", environment=Environment.TEST)
    wanted = ApiKeyRequest("app-7", ACCOUNT, Environment.TEST)
    played = play(steps, "text")
    assert played.steps == [HookCall("make_key", (wanted,))]
    assert played.result == App("text", wanted, kit)


# --- Requests that are sent -----------------------------------------------------------------

CONNECTION = {"id": "c", "status": "PENDING"}
MADE = response(201, {"connection": CONNECTION})
READ = response(200, {"connection": CONNECTION})
SESSION = response(201, {"session": {"id": "s"}})


def user_of(request: object) -> object:
    assert isinstance(request, Request)
    assert isinstance(request.body, bytes)
    return json.loads(request.body)["appUserId"]


def test_client_create_sends_the_user_and_returns_a_connection() -> None:
    played = play(app().created("u"), MADE)
    assert played.result == CONNECTION
    assert [user_of(each) for each in played.steps] == ["u"]


def test_client_create_without_a_user_makes_a_fresh_user() -> None:
    one = app()
    users = [user_of(play(one.created(), MADE).steps[0]) for _ in range(2)]
    assert len(set(users)) == 2
    assert all(str(each).startswith("user-") for each in users)


SENDING: dict[str, tuple[Callable[[App], Steps[object]], str, int]] = {
    "created": (lambda it: it.created("u"), "POST /connections", 201),
    "seen": (lambda it: it.seen("c"), "GET /connections/c", 200),
    "revoked": (lambda it: it.revoked("c"), "POST /connections/c:revoke", 200),
    "reconnected": (lambda it: it.reconnected("c"), "POST /connections/c:reconnect", 201),
    "initiated": (lambda it: it.initiated("u"), "POST /curae-connect/initiate", 201),
    "state": (
        lambda it: it.state("u"),
        "GET /curae-connect/account-state?appUserId=u",
        200,
    ),
}
"""Requests that must succeed: how each is sent, its line and its status."""


@pytest.mark.parametrize("name", SENDING)
def test_client_request_raises_on_a_status_other_than_expected(name: str) -> None:
    send, line, status = SENDING[name]
    body = {"connection": CONNECTION, "lifecycleState": "LIMITED"}
    played = play(send(app()), response(status, body))
    expected = {"state": "LIMITED", "created": CONNECTION, "seen": CONNECTION}
    assert played.result == expected.get(name, body)
    (sent,) = played.steps
    assert isinstance(sent, Request)
    assert f"{sent.method} {sent.target.removeprefix(API)}" == line
    for other in {200, 201, 202, 404} - {status}:
        said = message(lambda other=other: play(send(app()), response(other, body)))  # type: ignore[misc]
        assert said == f"the server answered {other} instead of {status}"


def test_client_initiate_sends_prefer_signup() -> None:
    played = play(app().initiated("u", prefer_signup=True), SESSION)
    (sent,) = played.steps
    assert isinstance(sent, Request)
    assert sent.body == b'{"appUserId": "u", "preferSignup": true}'
    assert played.result == {"session": {"id": "s"}}


def test_client_uses_up_a_users_limit_with_ten_initiates() -> None:
    played = play(app().use_up_initiates("u"), *[SESSION] * 10)
    assert [user_of(each) for each in played.steps] == ["u"] * 10
    assert [
        user_of(each) for each in play(app().use_up_initiates("v", 2), SESSION, SESSION).steps
    ] == ["v"] * 2


def test_reading_all_connections_sends_a_get_for_each_in_order() -> None:
    others = [response(200, {"connection": {"id": each}}) for each in "ab"]
    played = play(app().all_seen(iter("ab")), *others)
    assert [each.target for each in played.steps if isinstance(each, Request)] == [
        f"{API}/connections/a",
        f"{API}/connections/b",
    ]
    assert played.result == [{"id": "a"}, {"id": "b"}]


def test_client_raises_if_a_connection_has_an_unexpected_status() -> None:
    assert play(app().shows("c", "PENDING"), READ).result is None
    assert play(app().shows("c", "PENDING"), READ).steps == [app().get("c")]
    said = message(lambda: play(app().shows("c", "ACTIVE"), READ))
    assert said == 'the status of c is "PENDING" instead of "ACTIVE"'


def test_client_returns_the_id_of_a_connection_created_with_201() -> None:
    request = app().create("u")
    played = play(client.created_id(request), MADE)
    assert (played.steps, played.result) == ([request], "c")
    said = message(lambda: play(client.created_id(request), READ))
    assert said == "the server answered 200 instead of 201"


def test_client_returns_a_response_only_of_the_expected_status() -> None:
    request = app().get("c")
    played = play(client.expect_answer(request, 200), READ)
    assert (played.steps, played.result) == ([request], READ)
    said = message(lambda: play(client.expect_answer(request, 201), READ))
    assert said == "the server answered 200 instead of 201"


def test_request_with_the_expected_status_returns_its_json_body() -> None:
    request = app().get("c")
    played = play(client.success(request, 200), READ)
    assert (played.steps, played.result) == ([request], {"connection": CONNECTION})


def test_client_returns_the_details_of_the_expected_problem() -> None:
    request = app().get("c")
    refused = response(404, {"code": "NOT_FOUND", "details": {"a": 1}})
    played = play(client.refusal(request, 404, "NOT_FOUND"), refused)
    assert (played.steps, played.result) == ([request], {"a": 1})
    said = message(lambda: play(client.refusal(request, 403, "NOT_FOUND"), refused))
    assert said == "the server answered 404 NOT_FOUND instead of 403 NOT_FOUND"


# --- Reading responses ----------------------------------------------------------------------


NOT_JSON = ": the body is not JSON in UTF-8, or has a byte order mark, NaN or Infinity"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", ""),
        *((each, NOT_JSON) for each in (b"{", b"\xff", b"[" * 100_000, b"nonsense")),
        *(('{"a":1}'.encode(each), NOT_JSON) for each in ("utf-16", "utf-16-be", "utf-8-sig")),
        *((b'{"a":%s}' % each, NOT_JSON) for each in (b"NaN", b"Infinity", b"-Infinity")),
        (b'{"a":[{"b":1,"b":1}]}', ": a member is repeated"),
    ],
    ids=repr,
)
def test_body_that_is_not_json_is_parsed_to_none(body: bytes, why: str) -> None:
    answer = Response(200, (), body)
    assert client.parsed(answer) is None
    said = message(lambda: client.document(answer))
    assert said == f"the server answered 200 with a body that is not a JSON object{why}"


@pytest.mark.parametrize("body", [[], 7, "text", None])
def test_json_response_that_is_not_an_object_raises(body: object) -> None:
    assert client.parsed(response(200, body)) == body
    assert "not a JSON object" in message(lambda: client.document(response(200, body)))


def test_json_object_of_an_error_response_is_returned() -> None:
    assert client.document(response(404, {"a": 1})) == {"a": 1}


def test_response_is_summarized_as_status_and_problem_code() -> None:
    assert client.in_short(response(404, {"code": "NOT_FOUND"})) == "404 NOT_FOUND"
    assert client.in_short(response(200, {"code": 7})) == "200"
    assert client.in_short(response(200, ["code"])) == "200"
    assert client.in_short(Response(502, (), b"bad gateway")) == "502"


def test_expect_returns_a_json_object_of_the_expected_status() -> None:
    assert client.expect(response(200, {"a": 1}), 200) == {"a": 1}
    said = message(lambda: client.expect(response(409, {"code": "BUSY"}), 200))
    assert said == "the server answered 409 BUSY instead of 200"
    assert "not a JSON object" in message(lambda: client.expect(response(200, []), 200))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, {"code": "NOT_FOUND", "details": {}}, "403 NOT_FOUND instead of 404 NOT_FOUND"),
        (404, {"code": "GONE", "details": {}}, "404 GONE instead of 404 NOT_FOUND"),
        (404, {"details": {}}, "answered 404 instead of 404 NOT_FOUND"),
        (404, {"code": "NOT_FOUND"}, "the details of NOT_FOUND are not a JSON object"),
        (404, {"code": "NOT_FOUND", "details": []}, "the details of NOT_FOUND are not"),
    ],
)
def test_expect_problem_raises_on_other_details_code_or_status(
    status: int, body: object, said: str
) -> None:
    assert said in message(lambda: client.expect_problem(response(status, body), 404, "NOT_FOUND"))


def test_expect_problem_returns_the_details() -> None:
    answer = response(404, {"code": "NOT_FOUND", "details": {"a": 1}})
    assert client.expect_problem(answer, 404, "NOT_FOUND") == {"a": 1}


HOLDER = {"a": {"b": {"c": 7, "none": None}}, "text": "x", "list": []}


@pytest.mark.parametrize(
    ("path", "value"), [("a.b.c", 7), ("a.b", {"c": 7, "none": None}), ("a.b.none", None)]
)
def test_json_member_is_found_by_its_dotted_path(path: str, value: object) -> None:
    assert client.member(HOLDER, path) == value


@pytest.mark.parametrize("path", ["z", "a.z", "a.z.c", "z.b.c", "text.b", "list.b", "a.b.c.d"])
def test_reading_a_missing_json_member_raises_with_its_path(path: str) -> None:
    assert message(lambda: client.member(HOLDER, path)) == f"the member {path} is missing"


def test_reading_a_member_as_text_raises_if_it_is_no_string() -> None:
    assert client.text(HOLDER, "text") == "x"
    assert message(lambda: client.text(HOLDER, "a.b.c")) == "a.b.c is not a string"
    assert message(lambda: client.text(HOLDER, "z")) == "the member z is missing"
    assert client.id_of({"id": "c"}) == "c"


def test_reading_a_null_or_missing_member_as_a_time_raises() -> None:
    holder = {"at": {"made": "2026-01-05T09:00:00Z", "never": None}}
    assert client.instant(holder, "at.made") == datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert message(lambda: client.instant(holder, "at.never")).startswith("at.never is not an RFC")
    assert message(lambda: client.instant(holder, "made")) == "the member made is missing"


def test_comparing_unequal_values_raises_with_both_as_json() -> None:
    client.same([1], [1], "it")
    said = message(lambda: client.same(None, {"a": True}, "it"))
    assert said == 'it is null instead of {"a": true}'


def test_require_raises_its_message_if_the_condition_is_false() -> None:
    client.require(True, "said")
    assert message(lambda: client.require(False, "said")) == "said"


def test_all_values_of_a_header_are_returned_in_order() -> None:
    answer = response(200, {}, ("ETag", "1"), ("x", "2"), ("etag", "3"))
    assert client.headers(answer, "etag") == ["1", "3"]
    assert client.headers(answer, "none") == []


def test_comparable_response_omits_date_and_varying_headers() -> None:
    answer = response(201, {"a": 1}, ("DATE", "x"), ("X-Id", "2"), ("ETag", "3"), ("x-b", "4"))
    kept = client.lasting(answer, frozenset({"x-id"}))
    assert kept == response(201, {"a": 1}, ("etag", "3"), ("x-b", "4"))
    assert client.lasting(answer, frozenset()).headers[0] == ("x-id", "2")


@pytest.mark.parametrize(
    ("status", "read"), [("AUTHORIZED", "ACTIVE"), ("ACTIVE", "ACTIVE"), ("PENDING", "PENDING")]
)
def test_status_authorized_reads_as_active(status: str, read: str) -> None:
    assert client.status_of({"status": status}) == read


def test_as_document_raises_on_a_value_that_is_no_json_object() -> None:
    assert client.as_document({"a": 1}) == {"a": 1}
    said = message(lambda: client.as_document(["a"]))
    assert said == 'the response holds ["a"], not a JSON object'


# --- Hooks ----------------------------------------------------------------------------------


def test_kit_accepts_only_the_expected_hook_outcome_or_none() -> None:
    client.expect_outcome(None, "done")
    client.expect_outcome("done", "done")
    said = message(lambda: client.expect_outcome("ignored", "done"))
    assert said == "the hook returned ignored instead of done"


def test_kit_expects_a_fact_hook_to_return_done_by_default() -> None:
    played = play(client.record_by_hook("revoke", "c", 7), "done")
    assert played.steps == [HookCall("revoke", ("c", 7))]
    play(client.record_by_hook("revoke", "c"), None)
    play(client.record_by_hook("revoke", "c", expected="ignored"), "ignored")
    said = message(lambda: play(client.record_by_hook("revoke", "c"), "ignored"))
    assert said == "the hook returned ignored instead of done"


@pytest.mark.parametrize(("part", "start"), [("session", "createdAt"), ("connection", "updatedAt")])
def test_kit_counts_page_lifetime_from_created_at_or_updated_at(part: str, start: str) -> None:
    answer = {
        "connection": {"updatedAt": "2026-01-05T07:00:00Z"},
        part: {start: "2026-01-05T09:00:00Z"},
        "nextAction": {"expiresAt": "2026-01-05T09:20:00Z"},
    }
    assert client.lifetime(answer) == timedelta(minutes=20)
