"""Replaying logs of traffic (section 9 of the rules): each kind of line, and whole logs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Final

import pytest

from curae_lifecycle.replay import log
from curae_lifecycle.replay.log import _LogRunner, replay
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.memory import MemoryStore
from tests.support.logs import (
    ACCOUNT,
    API,
    BUCKET,
    K1,
    OTHER_ACCOUNT,
    REST,
    STORY,
    UNKNOWN,
    account,
    answers,
    asked,
    created,
    fact,
    got,
    initiated,
    is_broken,
    last,
    member,
    registered,
    sent,
    time,
    told,
    with_,
    written,
)


def test_answer_to_each_kind_of_log_line_has_expected_members() -> None:
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


def test_answer_to_an_unnamed_request_line_has_null_as_name() -> None:
    assert last(created(1, None))["as"] is None


def test_answer_to_request_line_has_http_status_headers_and_body() -> None:
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


def test_line_numbers_of_answers_count_broken_lines_too() -> None:
    assert [each["line"] for each in answers(b"", K1, b"x", created(1))] == [1, 2, 3, 4]


def test_registering_an_api_key_again_replaces_its_caller() -> None:
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
    ("ids", "is_replayed"), [(("a", "a"), True), (("a", "b"), False), ((), False)]
)
def test_only_api_keys_of_the_same_id_share_idempotency_records(
    ids: tuple[str, ...], *, is_replayed: bool
) -> None:
    keys = ("cae_live_k1", "cae_live_k2")
    named = [{"apiKeyId": each} for each in ids] or [{}, {}]
    registrations = [
        with_(registered(key), "register", **each) for key, each in zip(keys, named, strict=True)
    ]
    by_both = [created(1, None, key="k", api_key=each) for each in keys]
    assert answers(*registrations, *by_both)[-1]["replayed"] is is_replayed


def test_environment_of_a_registered_api_key_defaults_to_live() -> None:
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
def test_api_key_of_another_environment_gets_403(
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
def test_request_line_body_may_be_an_object_or_its_json_text(body: Json, status: int) -> None:
    assert last(sent(1, method="POST", path="connections", body=body))["status"] == status


def test_repeated_body_member_in_a_request_line_gets_400() -> None:
    line = created(1).replace(b'"appUserId"', b'"appUserId": "user-1", "appUserId"')
    assert told(last(created(0), line)) == (400, "BAD_REQUEST")


def test_answer_304_in_a_replay_has_a_null_body() -> None:
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
def test_if_none_match_header_may_be_a_list_or_in_upper_case(
    headers: dict[str, Json], status: int
) -> None:
    path = "curae-connect/account-state?appUserId=user-1"
    assert last(account(1), sent(2, "GET", path, headers=headers))["status"] == status


def test_header_named_twice_in_a_log_line_is_sent_twice() -> None:
    line = created(1).replace(b'"Idempotency-Key"', b'"Idempotency-Key": "k", "Idempotency-Key"')
    assert told(last(line)) == (400, "IDEMPOTENCY_KEY_INVALID")


def test_request_line_without_headers_gets_401() -> None:
    line = written(1, request={"method": "GET", "path": API})
    assert told(last(line)) == (401, "UNAUTHENTICATED")


def test_answer_says_replayed_only_for_a_retry_of_the_request() -> None:
    first, again, other = answers(
        K1, created(1, key="k"), created(2, key="k"), created(3, user="user-2", key="k")
    )[1:]
    assert (first["replayed"], again["replayed"], other["replayed"]) == (False, True, False)
    same = {"as", "status", "headers", "body"}
    assert {each: first[each] for each in same} == {each: again[each] for each in same}
    assert told(other) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_every_post_even_if_refused_uses_up_a_url_and_two_ids() -> None:
    refused = sent(2, "POST", "connections", body={"appUserId": "user-1"})
    lines = [K1, created(1), got(2), got(2), refused, created(3)]
    first, *others, second = answers(*lines)[1:]
    assert [told(each)[0] for each in others] == [200, 200, 400]
    # A request takes a number for its URL and one for each of two ids.
    for answer, number in ((first, 1), (second, 7)):
        assert member(answer, "nextAction.url") == f"https://connect.example/{number}"
        assert member(answer, "connection.id") == f"00000000-0000-4000-8000-{number + 1:012x}"


# --- Whole logs -----------------------------------------------------------------------------

WHOLE: Final = [*STORY, *REST]


def test_law_14_one_log_gives_the_same_answers_twice() -> None:
    lines = list(WHOLE)
    assert list(replay(lines, check=True)) == list(replay(lines, check=True))
    assert lines == WHOLE


def test_two_interleaved_replays_of_a_log_give_the_same_answers() -> None:
    one, two = replay(WHOLE), replay(WHOLE)
    assert all(a == b for a, b in zip(one, two, strict=True))


def test_replay_reads_log_lines_lazily_one_for_each_answer() -> None:
    read = count()
    lines = (line for line in WHOLE if next(read) >= 0)
    found = replay(lines)
    assert next(read) == 0
    next(found)
    next(found)
    assert next(read) == 3


def test_replay_store_has_no_capacity_limit_per_account(monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(MemoryStore):
        """A store whose default is the capacity of a server's account, and small."""

        def __init__(
            self, settings: Settings, *, capacity: int = 1, clock: Callable[[], datetime]
        ) -> None:
            super().__init__(settings, capacity=capacity, clock=clock)

    monkeypatch.setattr(log, "MemoryStore", Small)
    found = answers(K1, created(1), created(2, user="user-2"))
    assert [each["status"] for each in found[1:]] == [201, 201]


def test_replay_check_continues_after_a_refused_fact() -> None:
    lines = [K1, created(1), fact(2, "connection.authorize", connectionId=UNKNOWN), got(3)]
    found = list(replay(lines, check=True))
    assert told(found[2].answer)[0] == "refused"
    assert told(found[3].answer)[0] == 200
    assert not any(each.divergences for each in found)


def test_replay_drops_expired_idempotency_and_rate_limit_records() -> None:
    day = 24 * 60
    runner, numbers = _LogRunner(Settings(), FACTS, check=False), count(1)

    def held(*lines: bytes) -> tuple[int, int]:
        assert not any(runner.answer_line(next(numbers), line).broken for line in lines)
        return len(runner._store._records), len(runner._store._rates)

    assert held(K1, written(0, buckets=[BUCKET]), initiated(1)) == (1, 2)
    # Each is dropped five minutes late, because another worker's clock may be behind.
    assert held(account(6.9)) == (1, 2)
    assert held(account(7)) == (1, 1)
    assert held(created(day + 5.9)) == (2, 1)
    assert held(registered(minutes=day + 6)) == (1, 1)
    assert held(registered(minutes=day + 11)) == (1, 0)
