"""Logs of traffic, written by hand: sections 9 and 10 of the rules, clause by clause."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import count
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.replay.log import _Log, replay
from curae_lifecycle.replay.recorded import Comparison, Divergence, Recorded
from curae_lifecycle.rules.values import Environment, format_time
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.web.json import Json
from tests.strategies import TICK, at, uuid

API: Final = "/api/sdk/v1/"
ACCOUNT: Final = "d8c60791-7301-441c-98e8-5bea9a162d9b"
OTHER_ACCOUNT: Final = "0b8e4a2c-90f5-4d4e-a1f3-6f2d0d4b7c11"
UNKNOWN: Final = "ffffffff-ffff-4fff-8fff-ffffffffffff"


# How the logs below are written -------------------------------------------------------------


def time(minutes: float) -> str:
    return format_time(at(minutes))


def written(minutes: float, **members: Json) -> bytes:
    return json.dumps({"at": time(minutes), **members}).encode()


def registered(
    api_key: str = "cae_live_k1", minutes: float = 0, scope: str = "connection:write", **other: Json
) -> bytes:
    owner: dict[str, Json] = {"appId": "app-1", "customerAccountId": ACCOUNT, "scopes": [scope]}
    return written(minutes, register={"apiKey": api_key, **owner, **other})


K1: Final = registered()


def sent(
    minutes: float,
    method: str,
    path: str,
    body: Json = None,
    *,
    name: str | None = None,
    key: str | None = None,
    api_key: str = "cae_live_k1",
    headers: dict[str, Json] | None = None,
    response: Json = None,
) -> bytes:
    """A request, with an idempotency key of its own where it needs one and none is told."""
    told: dict[str, Json] = {"Authorization": f"Bearer {api_key}"}
    if method == "POST" and "graduation" not in path:
        told["Idempotency-Key"] = f"k-{minutes}-{path}-{name}" if key is None else key
    told |= headers or {}
    request: Json = {"method": method, "path": API + path, "headers": told, "body": body}
    members: dict[str, Json] = {"as": name, "request": request, "response": response}
    return written(minutes, **{each: value for each, value in members.items() if value is not None})


def created(
    minutes: float = 1,
    name: str | None = "c1",
    *,
    user: str = "user-1",
    key: str | None = None,
    api_key: str = "cae_live_k1",
    response: Json = None,
) -> bytes:
    body: Json = {"appUserId": user, "dataPackages": ["labs"]}
    return sent(
        minutes,
        "POST",
        "connections",
        body,
        name=name,
        key=key,
        api_key=api_key,
        response=response,
    )


def initiated(
    minutes: float,
    name: str | None = "s1",
    *,
    user: str = "user-1",
    signup: bool = False,
    key: str | None = None,
    api_key: str = "cae_live_k1",
    response: Json = None,
) -> bytes:
    body: Json = {"appUserId": user, "preferSignup": signup}
    return sent(
        minutes,
        "POST",
        "curae-connect/initiate",
        body,
        name=name,
        key=key,
        api_key=api_key,
        response=response,
    )


def got(minutes: float, connection: str = "{c1.connection.id}", *, response: Json = None) -> bytes:
    return sent(minutes, "GET", f"connections/{connection}", response=response)


def account(
    minutes: float, user: str = "user-1", *, unless: Json = None, response: Json = None
) -> bytes:
    """An account state, unless the client's entity tag is its."""
    path = f"curae-connect/account-state?appUserId={user}"
    headers: dict[str, Json] = {} if unless is None else {"If-None-Match": unless}
    return sent(minutes, "GET", path, name="a1", headers=headers, response=response)


def fact(minutes: float, kind: str, **members: Json) -> bytes:
    """A fact about `c1`, unless it is about a session or a binding."""
    if kind.startswith("connection."):
        members = {"connectionId": "{c1.connection.id}", **members}
    elif kind == "handoff.complete":
        members = {"sessionId": "{s1.session.id}", "userId": "u-1", **members}
    else:
        owner = {"customerAccountId": ACCOUNT, "appId": "app-1", "appUserId": "user-1"}
        members = {**owner, **members}
    return written(minutes, fact={"type": kind, **members})


def asked(
    minutes: float, package: str = "labs", connection: str = "{c1.connection.id}", **other: Json
) -> bytes:
    return written(
        minutes,
        ask={"type": "access", "connectionId": connection, "dataPackage": package, **other},
    )


def answers(*lines: bytes, environment: Environment | None = None) -> list[dict[str, Json]]:
    return [each.answer for each in replay(lines, environment=environment)]


def last(*lines: bytes) -> dict[str, Json]:
    """What the last line answers, after the key `k1` was registered."""
    return answers(K1, *lines)[-1]


def member(answer: dict[str, Json], path: str) -> Json:
    """A member of the body of an answer."""
    value: Json = json.loads(str(answer["body"]))
    for name in path.split("."):
        assert isinstance(value, dict)
        value = value[name]
    return value


def told(answer: dict[str, Json]) -> tuple[Json, Json]:
    """The status and the problem's code, if there is one; or the outcome and the code of a fact."""
    if "outcome" in answer:
        return answer["outcome"], answer["code"]
    body: Json = json.loads(str(answer["body"])) if answer["body"] else None
    return answer["status"], body.get("code") if isinstance(body, dict) else None


def is_broken(answer: dict[str, Json]) -> bool:
    return answer.keys() == {"line", "error"}


# Section 9: the kinds of lines and what each answers ------------------------------------------


def test_every_kind_of_line_answers_with_its_own_members() -> None:
    buckets: Json = [{"name": "platform", "capacity": 100, "refill": 50, "seconds": 1}]
    lines = [
        K1,
        written(0, buckets=buckets),
        created(1),
        fact(2, "connection.authorize", expiresAt=time(60)),
        asked(3),
        asked(4, "vitals"),
        b"{}",
    ]
    request = {"line", "as", "status", "headers", "body", "replayed", "rules"}
    found = answers(*lines)
    assert found[:2] == [{"line": 1, "outcome": "done"}, {"line": 2, "outcome": "done"}]
    assert found[2].keys() == request
    assert (found[2]["line"], found[2]["as"], found[2]["status"]) == (3, "c1", 201)
    assert found[3] == {"line": 4, "outcome": "done", "code": None, "rules": found[3]["rules"]}
    assert found[3]["rules"] == ["connection.authorize.pending"]
    granted = {"line": 5, "granted": True, "reason": None, "validUntil": time(60)}
    denied = {"line": 6, "granted": False, "reason": "PACKAGE_NOT_GRANTED", "validUntil": None}
    assert found[4:6] == [granted, denied]
    assert is_broken(found[6])
    assert found[6]["line"] == 7


def test_a_request_without_a_name_answers_a_null_name() -> None:
    assert last(created(1, None))["as"] is None


def test_an_answer_is_read_as_a_whole_response() -> None:
    assert last(created(1)) | {"rules": []} == {
        "line": 2,
        "as": "c1",
        "status": 201,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
        "body": '{"connection":{"id":"00000000-0000-4000-8000-000000000002",'
        f'"customerAccountId":"{ACCOUNT}","appUserId":"user-1","status":"PENDING",'
        '"dataPackages":["labs"],"authorizedAt":null,"expiresAt":null,"revokedAt":null,'
        '"actionRequiredReason":null,"createdAt":"2026-01-01T00:01:00Z",'
        '"updatedAt":"2026-01-01T00:01:00Z"},"nextAction":{"type":"open_webview",'
        '"url":"https://connect.example/1","expiresAt":"2026-01-01T00:31:00Z"}}',
        "replayed": False,
        "rules": [],
    }


def test_a_lines_number_counts_broken_lines_too() -> None:
    assert [each["line"] for each in answers(b"", K1, b"x", created(1))] == [1, 2, 3, 4]


def test_registering_again_replaces() -> None:
    lines = [
        registered(scope="other:read"),
        created(1),
        registered(minutes=2),
        created(2),
        registered(minutes=3, customerAccountId=OTHER_ACCOUNT),
        got(3),
        created(4),
        account(4),
    ]
    assert [told(each) for each in answers(*lines) if "status" in each] == [
        (403, "SCOPE_INSUFFICIENT"),
        (201, None),
        (404, "NOT_FOUND"),
        (201, None),
        (200, None),
    ]


@pytest.mark.parametrize(
    ("again", "replayed"),
    [
        (registered(minutes=2), True),
        (registered(minutes=2, customerAccountId=OTHER_ACCOUNT), False),
        (registered(minutes=2, appId="app-2"), False),
        (registered(minutes=2, environment="test"), False),
    ],
)
def test_an_api_key_with_another_owner_replays_nothing_of_the_old_one(
    again: bytes, *, replayed: bool
) -> None:
    answer = last(created(1, key="k"), again, created(3, key="k"))
    assert (answer["status"], answer["replayed"]) == (201, replayed)


def test_an_environment_is_live_unless_it_is_told() -> None:
    lines = [
        registered("cae_live_k1"),
        registered("cae_test_k2", environment="test"),
        initiated(1, None, api_key="cae_test_k2"),
        fact(2, "binding.graduate"),
        fact(2, "binding.graduate", environment="test"),
    ]
    assert list(map(told, answers(*lines)[-2:])) == [("refused", "BINDING_CHANGED"), ("done", None)]


@pytest.mark.parametrize(
    ("served", "live", "test"),
    [
        (None, (201, None), (201, None)),
        (Environment.LIVE, (201, None), (403, "WRONG_ENVIRONMENT")),
        (Environment.TEST, (403, "WRONG_ENVIRONMENT"), (201, None)),
    ],
)
def test_a_server_of_one_environment_refuses_keys_of_the_other(
    served: Environment | None, live: tuple[int, str], test: tuple[int, str]
) -> None:
    lines = [
        registered("cae_live_k1"),
        registered("cae_test_k2", environment="test"),
        created(1, api_key="cae_live_k1"),
        created(1, api_key="cae_test_k2"),
    ]
    assert list(map(told, answers(*lines, environment=served)[2:])) == [live, test]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"appUserId": "user-1", "dataPackages": ["labs"]}, 201),
        ('{"appUserId": "user-1", "dataPackages": ["labs"]}', 201),
        ('{"appUserId": "user-1", "dataPackages": ["labs"', 400),
        ('{"appUserId": "user-1", "appUserId": "user-1", "dataPackages": ["labs"]}', 400),
        ('{"appUserId": "\ud800", "dataPackages": ["labs"]}', 400),
        ("", 400),
        (None, 400),
        (False, 400),
        (7, 400),
        (["appUserId"], 400),
    ],
)
def test_a_body_is_a_json_value_or_raw_text(body: Json, status: int) -> None:
    assert last(sent(1, "POST", "connections", body))["status"] == status


def test_a_member_that_is_repeated_in_a_body_is_the_requests_fault_not_the_lines() -> None:
    line = created(1).replace(b'"appUserId"', b'"appUserId": "user-1", "appUserId"')
    assert told(last(created(0), line)) == (400, "BAD_REQUEST")


def test_an_answer_without_a_body_has_a_null_body() -> None:
    answer = last(account(1), account(2, unless="{a1.headers.etag}"))
    assert (answer["status"], answer["body"]) == (304, None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": '"x"'}, 200),
        ({"If-None-Match": ["{a1.headers.etag}"]}, 304),
        ({"If-None-Match": ['"x"', "W/{a1.headers.etag}"]}, 304),
        ({"IF-NONE-MATCH": "{a1.headers.etag}"}, 304),
        ({"if-none-match": '"x", {a1.headers.etag}'}, 304),
        ({"If-None-Match": '"x"', "if-none-match": "{a1.headers.etag}"}, 304),
        ({"If-None-Match": []}, 200),
    ],
)
def test_a_header_may_be_a_list_and_its_name_ignores_case(
    headers: dict[str, Json], status: int
) -> None:
    path = "curae-connect/account-state?appUserId=user-1"
    assert last(account(1), sent(2, "GET", path, headers=headers))["status"] == status


def test_a_header_that_is_repeated_in_the_line_is_sent_twice() -> None:
    line = created(1).replace(b'"Idempotency-Key"', b'"Idempotency-Key": "k", "Idempotency-Key"')
    assert told(last(line)) == (400, "IDEMPOTENCY_KEY_INVALID")


def test_headers_may_be_absent() -> None:
    line = written(1, request={"method": "GET", "path": API})
    assert told(last(line)) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "connections", {"appUserId": "user-1", "dataPackages": ["labs"]}, 201),
        ("GET", "connections/{c1.connection.id}", None, 200),
        ("POST", "connections/{c1.connection.id}:reconnect", {}, 201),
        ("POST", "connections/{c1.connection.id}:revoke", {}, 200),
        ("POST", "curae-connect/initiate", {"appUserId": "user-1"}, 201),
        ("GET", "curae-connect/account-state?appUserId=user-1", None, 200),
        ("POST", "curae-connect/graduation-handoff", {"appUserId": "user-1"}, 201),
    ],
)
def test_the_seven_paths_and_their_statuses(
    method: str, path: str, body: Json, status: int
) -> None:
    answer = last(created(0), initiated(0), sent(31, method, path, body))
    assert told(answer) == (status, None)


def test_a_replay_is_told_beside_the_response() -> None:
    first, again, other = answers(
        K1, created(1, key="k"), created(2, key="k"), created(3, user="user-2", key="k")
    )[1:]
    assert (first["replayed"], again["replayed"], other["replayed"]) == (False, True, False)
    same = {"as", "status", "headers", "body"}
    assert {each: first[each] for each in same} == {each: again[each] for each in same}
    assert told(other) == (422, "IDEMPOTENCY_KEY_REUSED")


# Section 9: names of answers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("{c1.connection.id}", "00000000-0000-4000-8000-000000000002"),
        ("{c1.nextAction.url}", "https://connect.example/1"),
        ("{c1.headers.content-type}", "application/json"),
        ("{c1.headers.Content-Type}", "application/json"),
        ("a{c1.connection.status}b{c1.connection.status}c", "aPENDINGbPENDINGc"),
        ("\\u007bc1.connection.status\\u007d", "PENDING"),
        # No earlier answer has these names: plain text.
        ("{c2.connection.id}", "{c2.connection.id}"),
        ("{C1.connection.id}", "{C1.connection.id}"),
        ("{c2}", "{c2}"),
        ("{}", "{}"),
        ("{", "{"),
        ("}c1.connection.id{", "}c1.connection.id{"),
        ("{ c1.connection.id}", "{ c1.connection.id}"),
        ("{{c1.connection.status}}", "{PENDING}"),
    ],
)
def test_a_later_string_may_name_a_value_of_an_answer(name: str, value: str) -> None:
    line = created(2, "c3", user="NAME").replace(b"NAME", name.encode())
    assert member(last(created(1), line), "connection.appUserId") == value


@pytest.mark.parametrize(
    "name",
    [
        "{c1}",
        "{c1.connection}",
        "{c1.connection.revokedAt}",
        "{c1.connection.dataPackages}",
        "{c1.connection.dataPackages.0}",
        "{c1.connection.id.id}",
        "{c1.connection.colour}",
        "{c1.headers}",
        "{c1.headers.etag}",
        "{c1.header.content-type}",
    ],
)
def test_a_name_whose_path_is_missing_or_no_string_breaks_the_line(name: str) -> None:
    assert is_broken(last(created(1), created(2, "c2", user=name)))


def test_an_answer_without_a_body_has_headers_to_name_and_nothing_else() -> None:
    lines = [K1, account(1), account(2, unless="*")]
    by_header = account(3, unless="{a1.headers.etag}")
    by_body = account(3, user="{a1.lifecycleState}")
    assert answers(*lines, by_header)[-1]["status"] == 304
    assert is_broken(answers(*lines, by_body)[-1])


def test_a_name_may_stand_wherever_a_string_does() -> None:
    lines = [
        created(1),
        fact(2, "connection.authorize", expiresAt="{c1.nextAction.expiresAt}"),
        asked(2, package="labs"),
    ]
    assert last(*lines)["validUntil"] == time(31)
    again = created(3, "c2").replace(time(3).encode(), b"{c1.connection.createdAt}")
    assert member(last(created(1), again), "connection.createdAt") == time(1)
    packages: Json = ["{c1.connection.status}"]
    body: Json = {"appUserId": "user-1", "dataPackages": packages}
    assert last(created(1), sent(2, "POST", "connections", body))["status"] == 400
    twice = created(2, "c2", user="{c1.connection.id}").replace(
        b'"appUserId"', b'"appUserId": "{c1}", "appUserId"'
    )
    assert is_broken(last(created(1), twice))


def test_a_members_name_and_the_name_of_the_answer_are_no_strings_to_be_replaced() -> None:
    assert last(created(1), created(2, "{c1.connection.id}"))["as"] == "{c1.connection.id}"
    body: Json = {"{c1}": 1}
    assert told(last(created(1), sent(2, "POST", "connections", body))) == (400, "BAD_REQUEST")


def test_a_value_is_not_read_for_names_again() -> None:
    lines = [
        created(1, user="{c1.connection.id}"),
        created(2, "c2", user="{c1.connection.appUserId}"),
    ]
    assert member(last(*lines), "connection.appUserId") == "{c1.connection.id}"


def test_names_cannot_make_a_text_grow_without_end() -> None:
    def page(url: str) -> Json:
        return {"body": {"nextAction": {"url": url, "expiresAt": time(60)}}}

    urls = ["u" * 16_384, *["{c1.nextAction.url}" * 2] * 3]
    doubled = [created(n, key=f"k-{n}", response=page(url)) for n, url in enumerate(urls, 1)]
    *fine, broken = answers(K1, *doubled)[1:]
    assert [answer["status"] for answer in fine] == [201, 201, 201]
    assert broken["error"] == "names: must make no text longer than 65536"
    # What was long before a name was put in may stay so.
    assert last(created(1), created(2, "c2", response=page("u" * 70_000 + "{c1}")))["error"]
    assert last(created(1, response=page("u" * 70_000)))["status"] == 201


def test_a_name_that_is_given_again_names_the_later_answer() -> None:
    lines = [
        created(1, user="one"),
        created(2, user="two"),
        created(3, user="{c1.connection.appUserId}"),
    ]
    assert member(last(*lines), "connection.appUserId") == "two"


def test_a_refusal_can_be_named() -> None:
    line = created(2, "c2", user="{c1.code}")
    assert member(last(created(1, user=""), line), "connection.appUserId") == "BAD_REQUEST"


# Section 9: what is adopted from a recorded response ------------------------------------------


def recorded(number: int | str, url: Json = "https://own.example/x", ends: Json = None) -> Json:
    """A recorded answer of a create or an initiate."""
    id_ = uuid(number) if isinstance(number, int) else number
    action: Json = {"type": "open_webview", "url": url, "expiresAt": ends or time(10)}
    body: Json = {"connection": {"id": id_}, "session": {"id": id_}, "nextAction": action}
    return {"status": 201, "body": body}


@pytest.mark.parametrize("spell", [lambda body: body, json.dumps])
def test_ids_url_and_end_are_adopted_from_a_recorded_response(
    spell: Callable[[Json], Json],
) -> None:
    response = recorded(77)
    assert isinstance(response, dict)
    response["body"] = spell(response["body"])
    connection = last(created(1, response=response))
    assert member(connection, "connection.id") == uuid(77)
    assert member(connection, "nextAction.url") == "https://own.example/x"
    assert member(connection, "nextAction.expiresAt") == time(10)
    session = last(initiated(1, response=response))
    assert member(session, "session.id") == uuid(77)
    assert member(session, "session.expiresAt") == time(10)


def test_an_adopted_end_is_the_connections_deadline() -> None:
    lines = [created(1, response=recorded(77)), asked(9.99), asked(10)]
    assert [each["reason"] for each in answers(K1, *lines)[2:]] == ["PENDING", "LAPSED"]


def test_a_next_action_lives_thirty_minutes_where_nothing_is_recorded() -> None:
    lines = [created(1), asked(30.99), asked(31)]
    assert [each["reason"] for each in answers(K1, *lines)[2:]] == ["PENDING", "LAPSED"]


@pytest.mark.parametrize(
    "response",
    [
        {"status": 201},
        {"status": 201, "body": None},
        {"status": 201, "body": ""},
        {"status": 201, "body": "{"},
        {"status": 201, "body": []},
        {"status": 201, "body": {"connection": uuid(77), "nextAction": "https://own.example/x"}},
        {"status": 201, "body": {"connection": {}, "nextAction": {}}},
        recorded("77", url=7, ends="soon"),
        recorded(uuid(77).replace("-", ""), url="\ud800", ends=time(1)),
        recorded("", url=None, ends=time(0.5)),
    ],
)
def test_what_cannot_be_adopted_is_numbered(response: Json) -> None:
    assert last(created(1, response=response))["body"] == last(created(1))["body"]


def test_a_recorded_id_is_read_in_any_case() -> None:
    answer = last(created(1, response=recorded(uuid(0xABC).upper())))
    assert member(answer, "connection.id") == uuid(0xABC)


@pytest.mark.parametrize("first", ["connection", "session"])
@pytest.mark.parametrize("second", ["connection", "session"])
def test_only_an_id_that_is_not_in_use_is_adopted(first: str, second: str) -> None:
    write: dict[str, Callable[[float], bytes]] = {
        "connection": lambda minutes: created(minutes, response=recorded(77)),
        "session": lambda minutes: initiated(minutes, response=recorded(77)),
    }
    one, two = answers(K1, write[first](1), write[second](2))[1:]
    assert member(one, f"{first}.id") == uuid(77)
    assert member(two, f"{second}.id") != uuid(77)


def test_a_number_that_was_adopted_is_not_given_again() -> None:
    adopted = [initiated(number, response=recorded(number)) for number in range(1, 10)]
    made = [created(number) for number in range(10, 20)]
    found = answers(K1, *adopted, *made)[1:]
    ids = [member(each, "session.id" if n < 9 else "connection.id") for n, each in enumerate(found)]
    assert ids[:9] == [uuid(number) for number in range(1, 10)]
    assert len(set(ids)) == len(ids)


# Section 9: facts -----------------------------------------------------------------------------

A: Final = created(1)
B: Final = initiated(1, signup=True)
C: Final = initiated(1)
AUTHORIZED: Final = fact(2, "connection.authorize", expiresAt=time(60))
REVOKED: Final = fact(2, "connection.revoke", actor="APP")
RECONNECTED: Final = sent(40, "POST", "connections/{c1.connection.id}:reconnect", name="c2")
LANDED: Final = fact(2, "handoff.complete")
GRADUATED: Final = fact(2, "binding.graduate")
TOMBSTONED: Final = fact(2, "binding.tombstone")


@pytest.mark.parametrize(
    ("lines", "outcome", "code"),
    [
        ([A, AUTHORIZED], "done", None),
        ([A, AUTHORIZED, AUTHORIZED], "ignored", None),
        ([A, fact(31, "connection.authorize")], "refused", "HANDOFF_LAPSED"),
        ([A, REVOKED, AUTHORIZED], "refused", "CONNECTION_NOT_PENDING"),
        ([A, RECONNECTED, fact(40, "connection.authorize")], "refused", "CONNECTION_SUPERSEDED"),
        ([A, fact(2, "connection.require_action", reason="portal_login")], "ignored", None),
        ([A, AUTHORIZED, fact(3, "connection.require_action", reason="r")], "done", None),
        ([A, fact(31, "connection.require_action", reason="portal_login")], "ignored", None),
        ([A, fact(2, "connection.expire")], "ignored", None),
        ([A, AUTHORIZED, fact(3, "connection.expire")], "done", None),
        ([A, REVOKED], "done", None),
        ([A, REVOKED, REVOKED], "ignored", None),
        ([B, LANDED], "done", None),
        ([B, LANDED, LANDED], "ignored", None),
        ([B, LANDED, fact(3, "handoff.complete", userId="u-2")], "refused", "BINDING_CONFLICT"),
        ([B, fact(31, "handoff.complete")], "refused", "SESSION_EXPIRED"),
        ([C, LANDED], "refused", "HANDOFF_NOT_REQUIRED"),
        ([B, initiated(1, "s2"), LANDED], "refused", "BINDING_CHANGED"),
        ([GRADUATED], "refused", "BINDING_CHANGED"),
        ([C, GRADUATED], "done", None),
        ([C, GRADUATED, GRADUATED], "ignored", None),
        ([C, fact(2, "binding.graduate", userId="u-9")], "refused", "BINDING_CONFLICT"),
        ([B, LANDED, fact(3, "binding.graduate", userId="u-1")], "ignored", None),
        ([C, TOMBSTONED], "done", None),
        ([C, TOMBSTONED, TOMBSTONED], "ignored", None),
        ([C, fact(2, "binding.tombstone", userId="u-9")], "done", None),
        ([TOMBSTONED], "ignored", None),
        ([C, A, TOMBSTONED, fact(3, "connection.authorize")], "refused", "CONNECTION_NOT_PENDING"),
        ([C, A, TOMBSTONED, fact(3, "connection.revoke", actor="APP")], "ignored", None),
        ([A, TOMBSTONED, fact(3, "connection.authorize")], "done", None),
    ],
)
def test_a_fact_is_done_ignored_or_refused(
    lines: list[bytes], outcome: str, code: str | None
) -> None:
    answer = last(*lines)
    assert answer.keys() == {"line", "outcome", "code", "rules"}
    assert told(answer) == (outcome, code)


@pytest.mark.parametrize("unknown", [UNKNOWN, "no-uuid", "", ACCOUNT.replace("-", "")])
@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("connection.authorize", {}),
        ("connection.require_action", {"reason": "portal_login"}),
        ("connection.expire", {}),
        ("connection.revoke", {"actor": "PATIENT"}),
        ("handoff.complete", {}),
    ],
)
def test_a_fact_about_an_unknown_id_or_no_uuid_is_refused(
    kind: str, members: dict[str, Json], unknown: str
) -> None:
    name = "sessionId" if kind == "handoff.complete" else "connectionId"
    answer = last(created(1), fact(2, kind, **members, **{name: unknown}))
    assert told(answer) == ("refused", "NOT_FOUND")


def test_an_id_in_a_fact_is_read_in_any_case() -> None:
    line = fact(2, "connection.expire", connectionId=uuid(0xABC).upper())
    assert told(last(created(1, response=recorded(0xABC)), line)) == ("ignored", None)


@pytest.mark.parametrize("actor", ["APP", "UPSTREAM", "PATIENT", "PLATFORM"])
def test_a_patient_or_the_platform_ends_the_chain(actor: str) -> None:
    line = fact(41, "connection.revoke", actor=actor)
    answer = last(A, RECONNECTED, line, got(42, "{c2.connection.id}"))
    ends = actor in {"PATIENT", "PLATFORM"}
    assert member(answer, "connection.status") == ("REVOKED" if ends else "PENDING")


# Section 9: questions -------------------------------------------------------------------------

ACTION: Final = fact(2, "connection.require_action", reason="portal_login")


@pytest.mark.parametrize("package", ["labs", "vitals", ""])
@pytest.mark.parametrize(
    ("lines", "minutes", "reason"),
    [
        ([], 30.9, "PENDING"),
        ([], 31, "LAPSED"),
        ([AUTHORIZED], 59.9, None),
        ([AUTHORIZED], 60, "EXPIRED"),
        ([AUTHORIZED, ACTION], 59.9, "ACTION_REQUIRED"),
        ([REVOKED], 2, "REVOKED"),
    ],
)
def test_a_question_asks_for_the_standing_before_the_package(
    lines: list[bytes], minutes: float, reason: str | None, package: str
) -> None:
    answer = last(A, *lines, asked(minutes, package))
    if reason is None and package != "labs":
        reason = "PACKAGE_NOT_GRANTED"
    until = time(60) if reason is None else None
    assert answer == {
        "line": answer["line"],
        "granted": reason is None,
        "reason": reason,
        "validUntil": until,
    }


def test_access_without_an_end_has_no_valid_until() -> None:
    assert last(A, fact(2, "connection.authorize"), asked(3))["validUntil"] is None


# Section 9: broken lines ----------------------------------------------------------------------


def without(line: bytes, *names: str) -> bytes:
    document = json.loads(line)
    for holder in [document, *(each for each in document.values() if isinstance(each, dict))]:
        for name in names:
            holder.pop(name, None)
    return json.dumps(document).encode()


def with_(line: bytes, kind: str = "", **members: Json) -> bytes:
    document = json.loads(line)
    (document[kind] if kind else document).update(members)
    return json.dumps(document).encode()


BUCKET: Final[dict[str, Json]] = {"name": "b", "capacity": 1, "refill": 1, "seconds": 1}
BUCKETS: Final[list[Json]] = [
    None,
    {},
    [7],
    [{}],
    [{**BUCKET, "colour": 1}],
    [BUCKET, BUCKET],
    [{**BUCKET, "name": ""}],
    [{**BUCKET, "name": None}],
    [{**BUCKET, "capacity": 0}],
    [{**BUCKET, "capacity": True}],
    [{**BUCKET, "refill": 1.0}],
    [{**BUCKET, "seconds": -1}],
    [{**BUCKET, "seconds": "1"}],
]
KEY: Final = registered("cae_live_k2", 9)
POST: Final = created(9, "broken", response={"status": 201})
FACT: Final = fact(9, "connection.authorize")
BINDING: Final = fact(9, "binding.graduate")
REVOKE: Final = fact(9, "connection.revoke", actor="APP")
LAND: Final = fact(9, "handoff.complete")
ASK: Final = asked(9)
AHEAD: Final = format_time(at(14) + TICK)
"""Further ahead of minute 9 than clocks may be."""

BROKEN: Final[dict[str, list[bytes]]] = {
    "not JSON": [
        b"",
        b" ",
        b"\n",
        b"x",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf" + ASK,
        ASK + ASK,
        ASK.replace(b'"labs"', b"NaN"),
        ASK.replace(b'"labs"', b"9" * 5000),
        b"[" * 100_000,
    ],
    "no line": [
        b"null",
        b"7",
        b'"x"',
        b"[]",
        b"{}",
        b"[" + ASK + b"]",
        without(ASK, "ask"),
        without(ASK, "at"),
        with_(ASK, colour=1),
        ASK.replace(b'"at"', b'"at": "2026-01-01T00:09:00Z", "at"'),
    ],
    "two kinds": [
        with_(ASK, fact=json.loads(FACT)["fact"]),
        with_(KEY, buckets=[]),
        with_(POST, ask=json.loads(ASK)["ask"]),
    ],
    "a time": [
        with_(ASK, at=None),
        with_(ASK, at=7),
        with_(ASK, at="2026-01-01"),
        with_(ASK, at="2026-01-01T00:09:00"),
        with_(ASK, at="2026-01-01T00:09:00+00:00"),
        with_(ASK, at="2026-02-30T00:09:00Z"),
        with_(ASK, at="2026-01-01T00:09:00.0000000Z"),
        with_(ASK, at=time(1.99)),
    ],
    "a name or a response on another kind": [
        line[:-1] + more
        for line in [ASK, FACT, KEY, written(9, buckets=[])]
        for more in [b', "as": "x"}', b', "response": {"status": 200}}']
    ],
    "a request": [
        with_(POST, request=None),
        without(POST, "method"),
        without(POST, "path"),
        with_(POST, "request", method=None),
        with_(POST, "request", path=7),
        with_(POST, "request", headers=None),
        with_(POST, "request", headers=[]),
        with_(POST, "request", headers={"x": 7}),
        with_(POST, "request", headers={"x": ["y", None]}),
        with_(POST, "request", colour=1),
        POST.replace(b'"as": "broken"', b'"as": 7'),
        with_(POST, response=[]),
        with_(POST, response="201"),
        POST.replace(b'"status"', b'"status": 200, "status"'),
        with_(POST, response={"body": {"x": [{}]}}).replace(b"[{}]", b'[{"y": 1, "y": 2}]'),
    ],
    "a registration": [
        *(without(KEY, each) for each in ["apiKey", "appId", "customerAccountId", "scopes"]),
        with_(KEY, "register", colour=1),
        with_(KEY, "register", apiKey=""),
        with_(KEY, "register", apiKey="two words"),
        with_(KEY, "register", apiKey=7),
        with_(KEY, "register", appId=""),
        with_(KEY, "register", customerAccountId="account-1"),
        with_(KEY, "register", scopes="connection:write"),
        with_(KEY, "register", scopes=[7]),
        with_(KEY, "register", environment="prod"),
        with_(KEY, "register", environment=None),
        with_(KEY, register=[]),
    ],
    "buckets": [written(9, buckets=each) for each in BUCKETS],
    "a fact": [
        with_(FACT, fact=None),
        with_(FACT, fact=[]),
        without(FACT, "type"),
        with_(FACT, "fact", type="connection.create"),
        with_(FACT, "fact", type=["connection.authorize"]),
        with_(FACT, "fact", colour=1),
        with_(FACT, "fact", connectionId=None),
        without(FACT, "connectionId"),
        with_(FACT, "fact", expiresAt=None),
        with_(FACT, "fact", expiresAt="soon"),
        with_(FACT, "fact", happenedAt="before"),
        FACT.replace(b'"type"', b'"type": "connection.authorize", "type"'),
        fact(9, "connection.require_action"),
        fact(9, "connection.require_action", reason=""),
        without(REVOKE, "actor"),
        with_(REVOKE, "fact", actor="DOCTOR"),
        with_(REVOKE, "fact", actor=None),
        without(LAND, "userId"),
        with_(LAND, "fact", userId=""),
        with_(LAND, "fact", sessionId=7),
    ],
    "a coordinate": [
        with_(BINDING, "fact", customerAccountId="account-1"),
        with_(BINDING, "fact", appUserId=" user-1"),
        with_(BINDING, "fact", appUserId=""),
        with_(BINDING, "fact", appId=7),
        with_(BINDING, "fact", environment="prod"),
        with_(BINDING, "fact", userId=None),
        with_(fact(9, "binding.tombstone"), "fact", userId=7),
    ],
    "a question": [
        with_(ASK, ask=None),
        with_(ASK, "ask", type="consent"),
        with_(ASK, "ask", connectionId=UNKNOWN),
        with_(ASK, "ask", connectionId="no-uuid"),
        with_(ASK, "ask", connectionId=None),
        with_(ASK, "ask", dataPackage=None),
        with_(ASK, "ask", colour=1),
        without(ASK, "dataPackage"),
    ],
    "an occurrence": [
        with_(FACT, "fact", happenedAt=AHEAD),
        with_(FACT, "fact", expiresAt=time(9)),
        with_(FACT, "fact", expiresAt=time(9), happenedAt=time(14)),
        with_(FACT, "fact", expiresAt=time(2), happenedAt=time(2)),
        with_(FACT, "fact", expiresAt=time(1), happenedAt=time(0)),
        with_(REVOKE, "fact", happenedAt=AHEAD),
        fact(9, "connection.expire", happenedAt=AHEAD),
        fact(9, "connection.require_action", reason="x", happenedAt=AHEAD),
        with_(LAND, "fact", happenedAt=AHEAD),
        with_(BINDING, "fact", happenedAt=AHEAD),
        fact(9, "binding.tombstone", happenedAt=AHEAD),
    ],
}

STORY: Final = [
    K1,
    A,
    initiated(1, signup=True),
    AUTHORIZED,
]
REST: Final = [
    created(3, "c9", user="{broken.connection.id}"),
    sent(3, "POST", "connections/{c1.connection.id}:reconnect"),
    created(3, None, api_key="cae_live_k2"),
    account(4),
    asked(5),
    fact(6, "handoff.complete"),
    sent(7, "POST", "connections/{c1.connection.id}:revoke"),
    got(8),
]


@pytest.mark.parametrize(
    "line",
    [pytest.param(line, id=f"{why}-{n}") for why in BROKEN for n, line in enumerate(BROKEN[why])],
)
def test_a_broken_line_does_nothing_and_the_rest_goes_on(line: bytes) -> None:
    # It stands at minute 9 where it can, and all that follows before: it moves no clock.
    *before, broken = list(replay([*STORY, line]))
    assert broken.broken
    assert is_broken(broken.answer)
    assert broken.answer["line"] == len(STORY) + 1
    assert isinstance(broken.answer["error"], str)
    assert not any(each.broken for each in before)
    whole = answers(*STORY, line, *REST)
    rest = [{**each, "line": 0} for each in whole[len(STORY) + 1 :]]
    assert rest == [{**each, "line": 0} for each in answers(*STORY, *REST)[len(STORY) :]]


def test_the_lines_that_were_broken_are_good_but_for_their_faults() -> None:
    for line in [KEY, POST, FACT, BINDING, REVOKE, LAND, ASK, written(9, buckets=[BUCKET])]:
        assert not list(replay([*STORY, line]))[-1].broken


@pytest.mark.parametrize("lines", [[], [REVOKED], [A, RECONNECTED]])
def test_an_end_before_the_authorization_breaks_the_line_whatever_the_connection_is(
    lines: list[bytes],
) -> None:
    for connection in ["{c1.connection.id}", UNKNOWN]:
        late = fact(50, "connection.authorize", connectionId=connection, expiresAt=time(50))
        assert is_broken(last(A, *lines, late))


def test_equal_times_are_in_order() -> None:
    assert not any(map(is_broken, answers(K1, created(0), created(0, "c2"))))


def test_a_fault_is_never_repeated_in_an_error() -> None:
    line = with_(KEY, "register", apiKey="cae_live_secret two")
    assert "secret" not in str(last(line)["error"])


@given(st.binary(max_size=80))
def test_law_16_every_line_gives_an_answer(line: bytes) -> None:
    broken, ask = list(replay([K1, A, line, asked(9)]))[2:]
    assert is_broken(broken.answer)
    assert ask.answer["reason"] == "PENDING"


texts = st.text(max_size=8) | st.sampled_from(["{c1.connection.id}", "{c1}", time(2), UNKNOWN])
values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from([KEY, POST, FACT, BINDING, REVOKE, LAND, ASK]),
    st.integers(0, 40),
    values,
)
def test_law_16_every_value_anywhere_in_a_line_gives_an_answer(
    line: bytes, place: int, value: Json
) -> None:
    document: Json = json.loads(line)
    places = list(_places(document))
    holder, name = places[place % len(places)]
    holder[name] = value
    answer = list(replay([*STORY, json.dumps(document).encode()], check=True))[-1].answer
    assert answer["line"] == len(STORY) + 1
    assert is_broken(answer) or {"status", "outcome", "granted"} & answer.keys()


def _places(document: Json) -> Iterator[tuple[dict[str, Json], str]]:
    if isinstance(document, dict):
        for name in list(document):
            yield document, name
            yield from _places(document[name])


# Section 9: check -----------------------------------------------------------------------------


def checked(*lines: bytes) -> list[Divergence]:
    """Every divergence of a log."""
    return [found for each in replay([K1, *lines], check=True) for found in each.divergences]


def answered(*lines: bytes) -> dict[str, Json]:
    """The response that a log would record for its last line."""
    answer = last(*lines)
    return {"status": answer["status"], "body": json.loads(str(answer["body"]))}


def changed(response: dict[str, Json], path: str, value: Json) -> dict[str, Json]:
    response = deepcopy(response)
    *outer, name = path.split(".")
    holder: Json = response
    for each in outer:
        assert isinstance(holder, dict)
        holder = holder[each]
    assert isinstance(holder, dict)
    holder[name] = value
    return response


def test_nothing_is_compared_unless_it_is_asked_for() -> None:
    lines = [K1, created(1, response={"status": 500})]
    assert [each.divergences for each in replay(lines)] == [(), ()]


def test_what_the_rules_say_themselves_does_not_diverge() -> None:
    assert checked(created(1, response=answered(created(1)))) == []
    assert checked(initiated(1, response=answered(initiated(1)))) == []
    problem = answered(created(1, user=""))
    assert checked(created(1, user="", response=problem)) == []
    unmoved: Json = {"status": 304, "body": None}
    assert checked(account(1, unless="*", response=unmoved)) == []
    assert checked(created(1)) == []


def rule_of(*lines: bytes) -> Json:
    """The rule that had the last word on the last line."""
    rules = last(*lines)["rules"]
    assert isinstance(rules, list)
    return rules[-1]


@pytest.mark.parametrize(
    ("path", "value", "at", "decided"),
    [
        ("status", 200, "status", 201),
        ("status", "201", "status", 201),
        ("code", "NOT_FOUND", "code", None),
        ("body.code", "NOT_FOUND", "code", None),
        ("body.connection.status", "ACTIVE", "body.connection.status", "PENDING"),
        ("body.connection.dataPackages", ["a"], "body.connection.dataPackages", ["labs"]),
        ("body.connection.authorizedAt", time(1), "body.connection.authorizedAt", None),
        ("body.connection.createdAt", time(2), "body.connection.createdAt", time(1)),
        ("body.connection.createdAt", "today", "body.connection.createdAt", time(1)),
        ("body.connection.createdAt", 7, "body.connection.createdAt", time(1)),
        ("body.connection.appUserId", "user-2", "body.connection.appUserId", "user-1"),
        ("body.connection.colour", "red", "body.connection.colour", None),
        ("body.connection.id", "no-uuid", None, None),
        ("body.nextAction.url", 7, "body.nextAction.url", "https://connect.example/1"),
        ("body.nextAction.expiresAt", time(1), "body.nextAction.expiresAt", time(31)),
    ],
)
def test_a_divergence_names_the_member_and_the_rule(
    path: str, value: Json, at: str | None, decided: Json
) -> None:
    response = changed(answered(created(1)), path, value)
    expected = [] if at is None else [Divergence(at, value, decided, str(rule_of(created(1))))]
    assert checked(created(1, response=response)) == expected


@pytest.mark.parametrize("body", [None, [], "", "not JSON", '{"connection": {}}', {}])
def test_another_body_diverges(body: Json) -> None:
    found = checked(created(1, response={"status": 201, "body": body}))
    assert found
    assert {each.rule for each in found} == {str(rule_of(created(1)))}
    assert {each.member.partition(".")[0] for each in found} == {"body"}


def test_a_success_recorded_with_a_null_code_is_compared_by_its_body() -> None:
    right = answered(created(1)) | {"code": None}
    assert checked(created(1, response=right)) == []
    wrong = changed(right, "body.connection.appUserId", "user-2")
    [found] = checked(created(1, response=wrong))
    assert found.member == "body.connection.appUserId"


def test_a_member_that_is_missing_diverges() -> None:
    response = answered(created(1))
    body = response["body"]
    assert isinstance(body, dict)
    del body["nextAction"]
    (found,) = checked(created(1, response=response))
    assert (found.member, found.recorded) == ("body.nextAction", None)


def test_what_is_not_recorded_is_not_compared() -> None:
    responses: list[Json] = [{}, {"status": 201}, {"headers": {"x": "y"}}]
    for response in responses:
        assert checked(created(1, response=response)) == []


def test_a_problem_is_compared_by_its_code() -> None:
    def found(**response: Json) -> list[tuple[str, Json, Json]]:
        lines = [created(1, user="", response=response)]
        return [(each.member, each.recorded, each.decided) for each in checked(*lines)]

    assert found(status=400, code="BAD_REQUEST") == []
    assert found(status=400, body={"code": "BAD_REQUEST", "title": "Oh"}) == []
    assert found(status=400, body=json.dumps({"code": "BAD_REQUEST"})) == []
    other = ("code", "NOT_FOUND", "BAD_REQUEST")
    assert found(status=404, body={"code": "NOT_FOUND"}) == [("status", 404, 400), other]
    assert found(code="NOT_FOUND") == [other]
    assert found(body={"connection": {}}) == [("code", None, "BAD_REQUEST")]


def test_the_rule_that_is_named_had_the_last_word() -> None:
    wrong: Json = {"status": 500}
    again = [created(1, key="k"), created(2, key="k", response=wrong)]
    refused = [A, sent(2, "POST", "connections/{c1.connection.id}:reconnect", response=wrong)]
    unknown = [got(1, UNKNOWN, response=wrong)]
    assert [each.rule for lines in [again, refused, unknown] for each in checked(*lines)] == [
        "idempotency.completed.same",
        "connection.reconnect.pending",
        "request.ownership",
    ]


def test_a_value_of_another_type_diverges() -> None:
    line = sent(2, "POST", "connections/{c1.connection.id}:revoke")
    response = changed(answered(A, line), "body.revokedNow", 1)
    (found,) = checked(A, with_(line, response=response))
    assert (found.member, found.recorded, found.decided) == ("body.revokedNow", 1, True)


def test_times_are_compared_as_instants_and_ids_in_any_case() -> None:
    response = changed(
        answered(created(1)), "body.connection.createdAt", "2026-01-01T00:01:00.000Z"
    )
    assert checked(created(1, response=response)) == []
    lines = [created(1, response=recorded(0xABC)), got(2, response=answered(A, got(2)))]
    assert {each.member for each in checked(*lines)} >= {"body.connection.id"}
    upper = changed(answered(A, got(2)), "body.connection.id", uuid(0xABC).upper())
    members = [
        each.member
        for each in checked(created(1, response=recorded(0xABC)), got(2, response=upper))
    ]
    assert "body.connection.id" not in members


def test_ids_match_one_to_one() -> None:
    def shown(number: int) -> Json:
        return {"body": {"connection": {"id": uuid(number)}, "previousConnectionId": uuid(number)}}

    def compared(*pairs: tuple[int, int]) -> list[list[str]]:
        comparison = Comparison()
        found = []
        for theirs, ours in pairs:
            response, decided = shown(theirs), shown(ours)
            assert isinstance(response, dict)
            assert isinstance(decided, dict)
            body = json.dumps(decided["body"]).encode()
            divergences = comparison.divergences(
                Recorded.of(response), Response(200, (), body), "rule"
            )
            found.append([each.member for each in divergences])
        return found

    both = ["body.connection.id", "body.previousConnectionId"]
    assert compared((1, 7), (2, 8), (1, 7), (2, 8)) == [[], [], [], []]
    assert compared((1, 7), (1, 8)) == [[], both]
    assert compared((1, 7), (2, 7)) == [[], both]
    assert compared((1, 7), (2, 8), (1, 8), (2, 7)) == [[], [], both, both]
    assert compared((1, 2), (2, 1)) == [[], []]


# Section 9: as a whole ------------------------------------------------------------------------

WHOLE: Final = [*STORY, *REST]


def test_law_14_the_same_log_gives_the_same_answers() -> None:
    lines = list(WHOLE)
    assert list(replay(lines, check=True)) == list(replay(lines, check=True))
    assert lines == WHOLE


def test_two_logs_share_nothing() -> None:
    one, two = replay(WHOLE), replay(WHOLE)
    assert all(a == b for a, b in zip(one, two, strict=True))


def test_lines_are_read_one_by_one() -> None:
    read = count()
    lines = (line for line in WHOLE if next(read) >= 0)
    found = replay(lines)
    assert next(read) == 0
    next(found)
    next(found)
    assert next(read) == 3


def test_what_is_over_is_dropped() -> None:
    day = 24 * 60
    log, numbers = _Log(Settings(), FACTS, check=False), count(1)

    def held(*lines: bytes) -> tuple[int, int]:
        assert not any(log.line(next(numbers), line).broken for line in lines)
        return len(log._world._records), len(log._world._rates)

    assert held(K1, written(0, buckets=[BUCKET]), initiated(1)) == (1, 2)
    # Each five minutes after it is over: another worker's clock may be behind.
    assert held(account(6.9)) == (1, 2)
    assert held(account(7)) == (1, 1)
    assert held(created(day + 5.9)) == (2, 1)
    assert held(registered(minutes=day + 6)) == (1, 1)
    assert held(registered(minutes=day + 11)) == (1, 0)


# Section 10: small print ----------------------------------------------------------------------


def test_a_late_fact_tells_when_it_happened_and_when_it_was_recorded() -> None:
    authorized = fact(40, "connection.authorize", happenedAt=time(5))
    revoked = fact(50, "connection.revoke", actor="PATIENT", happenedAt=time(6))
    first = last(A, authorized, got(41))
    assert member(first, "connection.status") == "ACTIVE"
    assert member(first, "connection.authorizedAt") == time(5)
    assert member(first, "connection.updatedAt") == time(40)
    second = last(A, authorized, revoked, got(51))
    assert member(second, "connection.revokedAt") == time(6)
    assert member(second, "connection.updatedAt") == time(50)


@pytest.mark.parametrize(
    ("said", "recorded"),
    [(time(9), 9), (time(14), 9), (time(0.9), 1), (time(-60 * 24 * 365), 1)],
)
def test_clocks_that_disagree_lose_no_fact(said: str, recorded: float) -> None:
    revoked = last(A, with_(REVOKE, "fact", happenedAt=said), got(10))
    assert member(revoked, "connection.revokedAt") == time(recorded)
    assert member(revoked, "connection.updatedAt") == time(9)
    landed = last(B, with_(LAND, "fact", happenedAt=said))
    assert told(landed) == ("done", None)


def test_a_landing_that_is_recorded_late_is_judged_when_it_happened() -> None:
    assert told(last(B, fact(31, "handoff.complete", happenedAt=time(30)))) == ("done", None)


def test_a_binding_has_no_creation_that_a_fact_could_precede() -> None:
    assert told(last(C, fact(2, "binding.graduate", happenedAt=time(0)))) == ("done", None)


def test_both_403s_apply_and_the_environment_is_told() -> None:
    lines = [registered("cae_test_k2", environment="test", scope="other:read")]
    lines.append(created(1, api_key="cae_test_k2"))
    assert told(answers(*lines, environment=Environment.LIVE)[-1]) == (403, "WRONG_ENVIRONMENT")


def bucket(name: str, capacity: int, refill: int = 1, seconds: int = 60) -> Json:
    return {"name": name, "capacity": capacity, "refill": refill, "seconds": seconds}


def test_an_unknown_path_or_method_charges_no_bucket() -> None:
    lines = [
        written(0, buckets=[bucket("b", 1)]),
        sent(1, "POST", "nowhere"),
        sent(1, "PUT", "connections"),
        created(1, user=""),
        created(1, api_key="other"),
        created(1),
        got(1),
    ]
    assert [told(each)[0] for each in answers(K1, *lines)[2:]] == [404, 404, 400, 401, 201, 429]


def test_a_bucket_that_refuses_answers_alone() -> None:
    lines = [initiated(1, None, key=f"k-{n}") for n in range(11)]
    assert told(last(*lines)) == (429, "RATE_LIMITED")
    at_limit = last(written(0, buckets=[bucket("b", 10)]), *lines)
    headers = at_limit["headers"]
    assert isinstance(headers, dict)
    assert headers["ratelimit"] == '"b";r=0;t=60'
    # The refused one cost the app user nothing: ten are in the log, and no more.
    again = [initiated(2, None, key="l"), initiated(2, None, key="m")]
    assert told(last(written(0, buckets=[bucket("b", 11)]), *lines[:9], *again[:1]))[0] == 201


@pytest.mark.parametrize(
    ("buckets", "name", "quota", "window", "wait"),
    [
        ([bucket("a", 1), bucket("b", 1)], "a", 1, 60, 60),
        ([bucket("b", 1), bucket("a", 1)], "b", 1, 60, 60),
        ([bucket("a", 1), bucket("b", 1, seconds=61)], "b", 1, 61, 61),
        ([bucket("a", 2), bucket("b", 1, 7, 10)], "b", 1, 2, 2),
        ([bucket("a", 1, 3, 2)], "a", 1, 1, 1),
    ],
)
def test_the_bucket_that_makes_one_wait_longest_is_named(
    buckets: Json, name: str, quota: int, window: int, wait: int
) -> None:
    lines = [written(0, buckets=buckets), created(1), created(1, "c2")]
    headers = last(*lines)["headers"]
    assert isinstance(headers, dict)
    assert headers["ratelimit-policy"] == f'"{name}";q={quota};w={window}'
    assert headers["ratelimit"] == f'"{name}";r=0;t={wait}'
    assert headers["retry-after"] == str(wait)


def test_a_new_buckets_line_replaces_all_of_them_full() -> None:
    full = written(1, buckets=[bucket("b", 1)])
    assert told(last(full, created(1), got(1)))[0] == 429
    assert told(last(full, created(1), full, got(1)))[0] == 200
    assert told(last(full, created(1), written(1, buckets=[]), got(1)))[0] == 200


def test_an_account_states_tag_depends_on_the_state_alone() -> None:
    lines = [registered("cae_live_k2", appId="app-2"), account(1, "user-1"), account(1, "user-2")]
    by_other = sent(1, "GET", "curae-connect/account-state?appUserId=user-3", api_key="cae_live_k2")
    headers = [each["headers"] for each in answers(K1, *lines, by_other)[2:]]
    assert headers[0] == headers[1] == headers[2]
    assert last(initiated(1), account(1))["headers"] != headers[0]


IDEMPOTENCY_KEY_INVALID: Final = (400, "IDEMPOTENCY_KEY_INVALID")
BAD_REQUEST: Final = (400, "BAD_REQUEST")
TOKENS: Final[list[Json]] = [f"p{n:02}" for n in range(64)]


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (TOKENS, (201, None)),
        ([*TOKENS, *TOKENS], (201, None)),
        ([*TOKENS, "p64"], BAD_REQUEST),
        (["a" * 64], (201, None)),
        (["a" * 65], BAD_REQUEST),
        ([], BAD_REQUEST),
    ],
)
def test_64_packages_are_64_different_tokens_of_at_most_64_characters(
    packages: list[Json], expected: tuple[int, str | None]
) -> None:
    body: Json = {"appUserId": "user-1", "dataPackages": packages}
    assert told(last(sent(1, "POST", "connections", body))) == expected


@pytest.mark.parametrize("operation", ["reconnect", "revoke"])
@pytest.mark.parametrize(
    ("body", "is_good"),
    [(None, True), ("", True), ({}, True), ("{}", True), ("null", False), ({"x": 1}, False)],
)
def test_for_reconnect_and_revoke_an_absent_or_empty_body_is_an_empty_object(
    operation: str, body: Json, *, is_good: bool
) -> None:
    answer = last(A, sent(31, "POST", f"connections/{{c1.connection.id}}:{operation}", body))
    assert (told(answer) == BAD_REQUEST) is not is_good


@pytest.mark.parametrize("id_", ["x", UNKNOWN.replace("-", ""), f"{UNKNOWN}0"])
def test_a_malformed_id_in_a_path_is_a_fault_of_the_body_before_the_key(id_: str) -> None:
    line = sent(1, "POST", f"connections/{id_}:revoke", key="")
    assert told(last(line)) == BAD_REQUEST
    assert (
        told(last(sent(1, "POST", f"connections/{UNKNOWN}:revoke", key="")))
        == IDEMPOTENCY_KEY_INVALID
    )


@pytest.mark.parametrize("key", ["k", '"k"', " k\t", '\t"k" '])
def test_one_key_in_other_spellings(key: str) -> None:
    assert last(created(1, key="k"), created(2, key=key))["replayed"] is True


@pytest.mark.parametrize(("one", "other"), [(r'"a\"b"', 'a"b'), (r'"a\\b"', r"a\b")])
def test_quotes_and_backslashes_are_escaped_inside_quotes(one: str, other: str) -> None:
    assert last(created(1, key=one), created(2, key=other))["replayed"] is True


@pytest.mark.parametrize("key", ["", '""', '"k', '"k";a=1', r'"a\b"', "a b", "k" * 256, "k\u00e9"])
def test_a_key_that_could_be_read_in_two_ways_is_invalid(key: str) -> None:
    assert told(last(created(1, key=key))) == IDEMPOTENCY_KEY_INVALID


def test_two_spellings_of_the_header_are_two_headers() -> None:
    body: Json = {"appUserId": "user-1", "dataPackages": ["labs"]}
    line = sent(1, "POST", "connections", body, key="k", headers={"idempotency-key": "k"})
    assert told(last(line)) == IDEMPOTENCY_KEY_INVALID


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("appUserId=user+1", (200, None)),
        ("appUserId=user%201&x=1&x=2", (200, None)),
        ("appUserId=user-1&appUserId=user-1", BAD_REQUEST),
        ("appUserId=", BAD_REQUEST),
        ("appUserId=+user", BAD_REQUEST),
        ("", BAD_REQUEST),
    ],
)
def test_the_query_of_an_account_state(query: str, expected: tuple[int, str | None]) -> None:
    assert told(last(sent(1, "GET", f"curae-connect/account-state?{query}"))) == expected


def test_a_plus_in_a_query_is_a_space() -> None:
    lines = [initiated(1, user="user 1"), account(2, "user+1")]
    assert member(last(*lines), "lifecycleState") == "LIMITED"
