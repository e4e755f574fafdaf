"""Logs of traffic: section 10 of the rules, clause by clause."""

from __future__ import annotations

from typing import Final

import pytest

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.web.json import Json
from tests.logs import (
    K1,
    LAND,
    REVOKE,
    UNKNOWN,
    A,
    B,
    C,
    account,
    answers,
    created,
    fact,
    got,
    initiated,
    last,
    member,
    registered,
    sent,
    time,
    told,
    with_,
    written,
)


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
