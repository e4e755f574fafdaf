"""References to earlier answers in logs, and values adopted from recorded responses."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest

from curae_lifecycle.service.json_schema import Json
from tests.support.logs import (
    K1,
    account,
    answers,
    asked,
    created,
    fact,
    initiated,
    is_broken,
    last,
    member,
    recorded,
    sent,
    time,
    told,
)
from tests.support.strategies import uuid


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("{c1.connection.id}", "00000000-0000-4000-8000-000000000002"),
        ("{c1.nextAction.url}", "https://connect.example/1"),
        ("{c1.headers.content-type}", "application/json"),
        ("{c1.headers.Content-Type}", "application/json"),
        ("a{c1.connection.status}b{c1.connection.status}c", "aPENDINGbPENDINGc"),
        ("\\u007bc1.connection.status\\u007d", "PENDING"),
        # No earlier answer has these names, so they are plain text.
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
def test_reference_in_a_log_line_becomes_the_value_it_names(name: str, value: str) -> None:
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
def test_reference_to_anything_but_a_string_gives_error_line(name: str) -> None:
    assert is_broken(last(created(1), created(2, "c2", user=name)))


def test_reference_to_a_304_answer_resolves_headers_not_body() -> None:
    lines = [K1, account(1), account(2, unless="*")]
    by_header = account(3, unless="{a1.headers.etag}")
    by_body = account(3, user="{a1.lifecycleState}")
    assert answers(*lines, by_header)[-1]["status"] == 304
    error = "names: {a1.lifecycleState} must lead to a string of an answer"
    assert answers(*lines, by_body)[-1] == {"line": 4, "error": error}


def test_references_are_replaced_in_every_string_of_a_log_line() -> None:
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
    assert last(created(1), sent(2, method="POST", path="connections", body=body))["status"] == 400
    twice = created(2, "c2", user="{c1.connection.id}").replace(
        b'"appUserId"', b'"appUserId": "{c1}", "appUserId"'
    )
    assert is_broken(last(created(1), twice))


def test_references_in_member_names_are_not_replaced() -> None:
    assert last(created(1), created(2, "{c1.connection.id}"))["as"] == "{c1.connection.id}"
    body: Json = {"{c1}": 1}
    assert told(last(created(1), sent(2, method="POST", path="connections", body=body))) == (
        400,
        "BAD_REQUEST",
    )


def test_inserted_text_that_looks_like_a_reference_is_kept() -> None:
    lines = [
        created(1, user="{c1.connection.id}"),
        created(2, "c2", user="{c1.connection.appUserId}"),
    ]
    assert member(last(*lines), "connection.appUserId") == "{c1.connection.id}"


def test_references_inserting_over_65536_chars_give_an_error() -> None:
    def page(url: str) -> Json:
        return {"body": {"nextAction": {"url": url, "expiresAt": time(60)}}}

    urls = ["u" * 16_384, *["{c1.nextAction.url}" * 2] * 3]
    doubled = [created(n, key=f"k-{n}", response=page(url)) for n, url in enumerate(urls, 1)]
    *fine, broken = answers(K1, *doubled)[1:]
    assert [answer["status"] for answer in fine] == [201, 201, 201]
    assert broken["error"] == "names: must make no more than 65536 characters of a line"
    # A text that is long without a reference is accepted.
    assert last(created(1), created(2, "c2", response=page("u" * 70_000 + "{c1}")))["error"]
    assert last(created(1, response=page("u" * 70_000)))["status"] == 201


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False])
def test_references_expanding_to_a_gigabyte_give_an_error(*, together: bool) -> None:
    def page(url: str) -> Json:
        return {"body": {"nextAction": {"url": url, "expiresAt": time(60)}}}

    first = created(1, response=page("u" * 60_000))
    # The line would take over a gigabyte: 521 kB of references, each to a text of 60 kB.
    number = 521_000 // len("{c1.nextAction.url}x")
    reference = "{c1.nextAction.url}x"
    packages: list[Json] = [reference * number] if together else [reference for _ in range(number)]
    body: Json = {"appUserId": "user-1", "dataPackages": packages}
    line = sent(2, method="POST", path="connections", body=body)
    tracemalloc.start()
    try:
        answer = last(first, line)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer["error"] == "names: must make no more than 65536 characters of a line"
    assert peak < 50 * len(line)
    # Each line has the whole limit.
    again = [created(n, key=f"k-{n}", response=page("{c1.nextAction.url}")) for n in range(3, 6)]
    assert [each["status"] for each in answers(K1, first, *again)[2:]] == [201] * 3


def test_reference_to_a_name_given_twice_means_the_later_answer() -> None:
    lines = [
        created(1, user="one"),
        created(2, user="two"),
        created(3, user="{c1.connection.appUserId}"),
    ]
    assert member(last(*lines), "connection.appUserId") == "two"


def test_reference_can_insert_the_problem_code_of_a_refusal() -> None:
    line = created(2, "c2", user="{c1.code}")
    assert member(last(created(1, user=""), line), "connection.appUserId") == "BAD_REQUEST"


# --- Adopted values -------------------------------------------------------------------------


@pytest.mark.parametrize("spell", [lambda body: body, json.dumps])
def test_replay_takes_id_url_and_expiry_from_the_recorded_answer(
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


def test_connection_lapses_at_the_recorded_next_action_expiry() -> None:
    lines = [created(1, response=recorded(77)), asked(9.99), asked(10)]
    assert [each["reason"] for each in answers(K1, *lines)[2:]] == ["PENDING", "LAPSED"]


def test_next_action_without_a_recorded_answer_lasts_30_minutes() -> None:
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
def test_replay_replaces_an_unusable_recorded_id_or_url(response: Json) -> None:
    assert last(created(1, response=response))["body"] == last(created(1))["body"]


def test_recorded_id_in_upper_case_is_used_in_lower_case() -> None:
    answer = last(created(1, response=recorded(uuid(0xABC).upper())))
    assert member(answer, "connection.id") == uuid(0xABC)


@pytest.mark.parametrize("first", ["connection", "session"])
@pytest.mark.parametrize("second", ["connection", "session"])
def test_recorded_id_already_in_use_is_replaced_by_a_new_one(first: str, second: str) -> None:
    write: dict[str, Callable[[float], bytes]] = {
        "connection": lambda minutes: created(minutes, response=recorded(77)),
        "session": lambda minutes: initiated(minutes, response=recorded(77)),
    }
    one, two = answers(K1, write[first](1), write[second](2))[1:]
    assert member(one, f"{first}.id") == uuid(77)
    assert member(two, f"{second}.id") != uuid(77)


def test_replay_never_mints_an_id_that_a_recording_already_used() -> None:
    adopted = [initiated(number, response=recorded(number)) for number in range(1, 10)]
    made = [created(number) for number in range(10, 20)]
    found = answers(K1, *adopted, *made)[1:]
    ids = [member(each, "session.id" if n < 9 else "connection.id") for n, each in enumerate(found)]
    assert ids[:9] == [uuid(number) for number in range(1, 10)]
    assert len(set(ids)) == len(ids)
