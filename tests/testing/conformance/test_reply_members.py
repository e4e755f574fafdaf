"""Tests that the kit judges every member and header of a successful response."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime

import attrs
import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import AppUserId, ConnectionId
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.testing.conformance import Request, Response, replies
from curae_lifecycle.testing.conformance.replies import check_reply, entity_tag
from curae_lifecycle.testing.conformance.steps import NotConformingError
from curae_lifecycle.testing.laws import LawBrokenError
from tests.support.eighth import Relabel
from tests.testing.conformance.by_hand import app, context, play

ID = "c0ffee00-0000-4000-8000-00000000abcd"
TIME = "2026-01-05T09:00:00Z"
JSON = ("content-type", "application/json")


@attrs.frozen
class Everything(operation.Reply):
    """A reply with a member of every kind."""

    connection_id: ConnectionId
    app_user_id: AppUserId
    is_new: bool
    times: int
    word: str
    by: Actor
    made_at: datetime
    ended_at: datetime | None
    actors: tuple[Actor, ...]
    anything: float


@attrs.frozen
class Show(operation.ConnectionOperation):
    """An operation with that reply, and the rule of another."""

    connection_id: ConnectionId

    reply = Everything
    rule = Relabel.rule

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        raise NotImplementedError(context)  # only its reply is read


RIGHT: dict[str, object] = {
    "connectionId": ID,
    "appUserId": "u",
    "isNew": False,
    "times": 0,
    "word": "w",
    "by": "APP",
    "madeAt": TIME,
    "endedAt": None,
    "actors": ["APP", "PATIENT"],
    "anything": 1.5,
}


def shown(members: Mapping[str, object], *headers: tuple[str, str], status: int = 202) -> Response:
    return Response(status, headers or (JSON,), json.dumps(members).encode())


def message(call: Callable[[], object]) -> str:
    with pytest.raises(NotConformingError) as raised:
        call()
    return raised.value.what


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"endedAt": TIME},
        {"isNew": True, "times": -7, "actors": []},
        {"anything": "a word"},
        {"anything": None},
    ],
)
def test_right_reply_with_a_member_of_every_kind_passes(changed: dict[str, object]) -> None:
    check_reply(Show, shown(RIGHT | changed))


NO_TIME = "is not an RFC 3339 time that ends in Z and has at most six fraction digits"


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("connectionId", "c0ffee00", "connectionId is not a UUID in lower case"),
        ("connectionId", f"{ID}0", "connectionId is not a UUID in lower case"),
        ("connectionId", 7, "connectionId is not a UUID in lower case"),
        ("appUserId", "", "appUserId is not a non-empty string"),
        ("appUserId", None, "appUserId is not a non-empty string"),
        ("isNew", 1, "isNew is not a boolean"),
        ("times", True, "times is not an integer"),
        ("times", 1.0, "times is not an integer"),
        ("word", ["w"], "word is not a non-empty string"),
        ("by", "NOBODY", "by is not one of APP, PATIENT, PLATFORM, UPSTREAM"),
        ("madeAt", None, f"madeAt {NO_TIME}"),
        ("endedAt", "never", f"endedAt {NO_TIME}"),
        ("actors", "APP", "actors is not a list"),
        ("actors", {"0": "APP"}, "actors is not a list"),
        (
            "actors",
            ["APP", "NOBODY"],
            "actors[1] is not one of APP, PATIENT, PLATFORM, UPSTREAM",
        ),
    ],
)
def test_reply_with_a_wrong_value_fails_naming_the_member(
    member: str, value: object, said: str
) -> None:
    assert message(lambda: check_reply(Show, shown(RIGHT | {member: value}))) == said


@pytest.mark.parametrize("members", [RIGHT | {"more": 1}, {"word": "w"}])
def test_reply_with_unknown_or_missing_members_fails(members: dict[str, object]) -> None:
    said = message(lambda: check_reply(Show, shown(members)))
    assert said.startswith("the set of members is ")
    assert said.endswith(f" instead of {', '.join(sorted(RIGHT))}")


@pytest.mark.parametrize("status", [200, 201, 404])
def test_reply_with_an_unexpected_status_fails(status: int) -> None:
    said = message(lambda: check_reply(Show, shown(RIGHT, status=status)))
    assert said == f"the server answered {status} instead of 202"


@pytest.mark.parametrize(
    "media",
    ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=utf-8"],
)
def test_json_reply_with_or_without_a_charset_passes(media: str) -> None:
    check_reply(Show, shown(RIGHT, ("Content-Type", media)))


@pytest.mark.parametrize(
    "headers",
    [
        [("x-other", "application/json")],
        [("content-type", "text/html")],
        [("content-type", "application/json; charset=latin-1")],
        [JSON, JSON],
    ],
)
def test_reply_without_exactly_one_json_content_type_fails(headers: list[tuple[str, str]]) -> None:
    said = message(lambda: check_reply(Show, shown(RIGHT, *headers)))
    values = [value for name, value in headers if name == "content-type"]
    assert said == f"Content-Type is {json.dumps(values)} instead of one application/json"


@pytest.mark.parametrize(
    "values",
    [
        *(["public, max-age=60"], ["max-age=60, S-MaxAge=9"], ["max-age=9", "must-revalidate"]),
        ["public"],
    ],
)
def test_reply_that_a_shared_cache_may_keep_fails(values: list[str]) -> None:
    headers = [("Cache-Control", value) for value in values]
    said = message(lambda: check_reply(Show, shown(RIGHT, JSON, *headers)))
    assert said == (
        f"Cache-Control is {json.dumps(values)}, which lets shared caches keep the response"
    )


@pytest.mark.parametrize(
    "value", ["max-age=0", "no-cache, no-store, must-revalidate", "private, must-revalidate", ""]
)
def test_reply_that_no_shared_cache_may_keep_passes(value: str) -> None:
    check_reply(Show, shown(RIGHT, JSON, ("cache-control", value)))


# --- Replies of the library -----------------------------------------------------------------

CONNECTION: dict[str, object] = {
    "id": ID,
    "customerAccountId": ID,
    "appUserId": "u",
    "status": "PENDING",
    "dataPackages": ["labs"],
    "authorizedAt": None,
    "expiresAt": None,
    "revokedAt": None,
    "actionRequiredReason": None,
    "createdAt": TIME,
    "updatedAt": TIME,
}
SESSION: dict[str, object] = {
    "id": ID,
    "customerAccountId": ID,
    "appUserId": "u",
    "path": "SILENT_LIMITED",
    "handoff": "NOT_REQUIRED",
    "createdAt": TIME,
    "expiresAt": TIME,
    "landedAt": None,
}
ACTION: dict[str, object] = {
    "type": "open_webview",
    "url": "https://a.example/1",
    "expiresAt": TIME,
}
NO_STORE = ("cache-control", "no-store")
REVALIDATE = ("cache-control", "private, no-cache")
TAG = ("etag", '"x"')


def created(action: object = ACTION, **changed: object) -> dict[str, object]:
    return {"connection": CONNECTION | changed, "nextAction": action}


def initiated(**changed: object) -> dict[str, object]:
    return {"session": SESSION | changed, "nextAction": ACTION}


def test_correct_replies_of_built_in_operations_pass() -> None:
    check_reply(CreateConnection, shown(created(), JSON, NO_STORE, status=201))
    check_reply(Initiate, shown(initiated(), JSON, NO_STORE, status=201))
    state = shown({"lifecycleState": "LIMITED"}, JSON, REVALIDATE, TAG, status=200)
    check_reply(GetAccountState, state)


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("id", ID.upper(), "a UUID in lower case"),
        ("customerAccountId", "c", "a UUID in lower case"),
        ("authorizedAt", "", "an RFC 3339 time"),
        ("expiresAt", "", "an RFC 3339 time"),
        ("revokedAt", "", "an RFC 3339 time"),
        ("createdAt", None, "an RFC 3339 time"),
        ("updatedAt", None, "an RFC 3339 time"),
        ("actionRequiredReason", "", "a non-empty string"),
    ],
)
def test_connection_with_a_wrong_member_fails_naming_it(
    member: str, value: object, said: str
) -> None:
    answer = shown(created(**{member: value}), JSON, NO_STORE, status=201)
    assert f"connection.{member} is not {said}" in message(
        lambda: check_reply(CreateConnection, answer)
    )


@pytest.mark.parametrize("member", ["id", "customerAccountId", "createdAt", "expiresAt"])
def test_session_with_a_null_member_fails_naming_it(member: str) -> None:
    answer = shown(initiated(**{member: None}), JSON, NO_STORE, status=201)
    said = message(lambda: check_reply(Initiate, answer))
    assert said.startswith(f"session.{member} is not ")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"type": "redirect"}, "nextAction.type is not open_webview"),
        ({"url": ""}, "nextAction.url is not a non-empty string"),
        ({"expiresAt": None}, f"nextAction.expiresAt {NO_TIME}"),
    ],
)
def test_next_action_with_a_wrong_member_fails_naming_it(
    changed: dict[str, object], said: str
) -> None:
    answer = shown(created(ACTION | changed), JSON, NO_STORE, status=201)
    assert message(lambda: check_reply(CreateConnection, answer)) == said


def test_connection_with_an_unlisted_member_breaks_a_law() -> None:
    answer = shown(created(grantId="g"), JSON, NO_STORE, status=201)
    with pytest.raises(LawBrokenError, match="grantId"):
        check_reply(CreateConnection, answer)


def test_reply_whose_connection_is_no_json_object_fails() -> None:
    answer = shown(created(ACTION) | {"connection": []}, JSON, NO_STORE, status=201)
    with pytest.raises((NotConformingError, LawBrokenError)):
        check_reply(CreateConnection, answer)


@pytest.mark.parametrize("headers", [[], [REVALIDATE], [NO_STORE, NO_STORE]])
def test_next_action_reply_needs_one_cache_control_no_store(
    headers: list[tuple[str, str]],
) -> None:
    answer = shown(created(), JSON, *headers, status=201)
    values = json.dumps([value for _, value in headers])
    said = message(lambda: check_reply(CreateConnection, answer))
    assert said == f'Cache-Control is {values} instead of ["no-store"]'


@pytest.mark.parametrize("headers", [[], [NO_STORE], [REVALIDATE, REVALIDATE]])
def test_etag_reply_without_one_private_no_cache_header_fails(
    headers: list[tuple[str, str]],
) -> None:
    answer = shown({"lifecycleState": "LIMITED"}, JSON, *headers, TAG, status=200)
    values = json.dumps([value for _, value in headers])
    said = message(lambda: check_reply(GetAccountState, answer))
    assert said == f'Cache-Control is {values} instead of ["private, no-cache"]'


def test_account_state_without_an_etag_fails() -> None:
    answer = shown({"lifecycleState": "LIMITED"}, JSON, REVALIDATE, status=200)
    said = message(lambda: check_reply(GetAccountState, answer))
    assert said == "ETag is [] instead of one strong entity tag"


@pytest.mark.parametrize("tag", ['"x"', '""', '"!#~"'])
def test_kit_reads_a_strong_entity_tag_from_the_etag_header(tag: str) -> None:
    assert entity_tag(shown({}, ("ETag", tag))) == tag


@pytest.mark.parametrize("tags", [[], ['W/"x"'], ["x"], ['"x y"'], ['"x"', '"x"']])
def test_response_without_exactly_one_strong_etag_fails(tags: list[str]) -> None:
    answer = shown({}, JSON, *[("etag", each) for each in tags])
    said = message(lambda: entity_tag(answer))
    assert said == f"ETag is {json.dumps(tags)} instead of one strong entity tag"


# --- The checks -----------------------------------------------------------------------------


def test_each_operation_has_a_kit_check_of_its_success_reply() -> None:
    made = replies.checks((CreateConnection, Show))
    assert [each.name for each in made] == ["operation.create-connection", "operation.relabel"]
    assert {each.shows for each in made} == {
        f"A successful {name} returns {status} with the members, types and headers of its reply."
        for name, status in (("create-connection", 201), ("relabel", 202))
    }
    assert [each.rules for each in made] == [(each.name,) for each in made]
    assert {each.laws for each in made} == {(13,)}


def test_success_check_tests_the_response_to_its_second_request() -> None:
    check, *_ = replies.checks((CreateConnection,))
    right = shown(created(), JSON, NO_STORE, status=201)

    def judge(answer: Response) -> list[object]:
        return list(play(check.begin(context()), "text", Response(400, (), b""), answer).steps)

    _, first, second = judge(right)
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert first.target == second.target == "/api/sdk/v1/connections"
    assert message(lambda: judge(shown(created(), JSON, status=201))).startswith("Cache-Control")


def test_response_that_holds_the_api_key_or_app_id_fails() -> None:
    one = app()
    replies._require_nothing_internal(
        one, shown({"a": "b"}, ("x-a", "b"), ("x-b", "sec"), ("c", "ret"))
    )
    for answer in (shown({"a": "my secret"}), shown({}, JSON, ("x-debug", "my secret"))):
        said = message(lambda answer=answer: replies._require_nothing_internal(one, answer))  # type: ignore[misc]
        assert said == "the response contains the API key"
    said = message(lambda: replies._require_nothing_internal(one, shown({"a": "app-1"})))
    assert said == "the response contains the app's id"
    replies._require_nothing_internal(one, shown({}, ("x-app", "app-1")))
