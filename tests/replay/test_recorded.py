"""Recorded responses in logs of traffic, compared with the rules."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.replay.recorded import ABSENT, Absent, Comparison, Divergence, Recorded
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from tests.support.logs import (
    K1,
    UNKNOWN,
    A,
    account,
    created,
    fact,
    got,
    initiated,
    last,
    recorded,
    registered,
    sent,
    time,
    with_,
)
from tests.support.strategies import uuid


def checked(*lines: bytes) -> list[Divergence]:
    """Return every divergence of a log."""
    return [found for each in replay([K1, *lines], check=True) for found in each.divergences]


def answered(*lines: bytes) -> dict[str, Json]:
    """Return the response that a log would record for its last line."""
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


def test_replay_without_the_check_option_reports_no_divergence() -> None:
    lines = [K1, created(1, response={"status": 500})]
    assert [each.divergences for each in replay(lines)] == [(), ()]


def test_recorded_answers_that_follow_the_rules_do_not_diverge() -> None:
    assert checked(created(1, response=answered(created(1)))) == []
    assert checked(initiated(1, response=answered(initiated(1)))) == []
    problem = answered(created(1, user=""))
    assert checked(created(1, user="", response=problem)) == []
    unmoved: Json = {"status": 304, "body": None}
    assert checked(account(1, unless="*", response=unmoved)) == []
    assert checked(created(1)) == []


def rule_of(*lines: bytes) -> Json:
    """Return the last rule of the answer to the last line."""
    rules = last(*lines)["rules"]
    assert isinstance(rules, list)
    return rules[-1]


@pytest.mark.parametrize(
    ("path", "value", "at", "decided"),
    [
        ("status", 200, "status", 201),
        ("status", "201", "status", 201),
        ("code", "NOT_FOUND", "code", ABSENT),
        ("body.code", "NOT_FOUND", "code", ABSENT),
        ("body.connection.status", "ACTIVE", "body.connection.status", "PENDING"),
        ("body.connection.dataPackages", ["a"], "body.connection.dataPackages", ["labs"]),
        ("body.connection.authorizedAt", time(1), "body.connection.authorizedAt", None),
        ("body.connection.createdAt", time(2), "body.connection.createdAt", time(1)),
        ("body.connection.createdAt", "today", "body.connection.createdAt", time(1)),
        ("body.connection.createdAt", 7, "body.connection.createdAt", time(1)),
        ("body.connection.appUserId", "user-2", "body.connection.appUserId", "user-1"),
        ("body.connection.colour", "red", "body.connection.colour", ABSENT),
        ("body.connection.id", "no-uuid", None, None),
        ("body.nextAction.url", 7, "body.nextAction.url", "https://connect.example/1"),
        ("body.nextAction.expiresAt", time(1), "body.nextAction.expiresAt", time(31)),
    ],
)
def test_divergence_has_member_both_values_and_deciding_rule(
    path: str, value: Json, at: str | None, decided: Json | Absent
) -> None:
    response = changed(answered(created(1)), path, value)
    expected = (
        []
        if at is None
        else [Divergence(member=at, recorded=value, decided=decided, rule=str(rule_of(created(1))))]
    )
    assert checked(created(1, response=response)) == expected


@pytest.mark.parametrize("body", [None, [], "", "not JSON", '{"connection": {}}', {}])
def test_malformed_recorded_body_diverges_in_body_members_only(body: Json) -> None:
    found = checked(created(1, response={"status": 201, "body": body}))
    assert found
    assert {each.rule for each in found} == {str(rule_of(created(1)))}
    assert {each.member.partition(".")[0] for each in found} == {"body"}


def test_recorded_body_that_is_not_json_is_kept_as_text() -> None:
    assert Recorded.of({"body": "{"}).body == "{"
    assert Recorded.of({"body": ""}).body is None
    assert Recorded.of({"body": "{}"}).body == {}


def test_divergence_document_has_recorded_and_decided_value() -> None:
    found = Divergence(member="status", recorded=[500], decided=201, rule="operation.any")
    assert found.document() == {
        "member": "status",
        "recorded": [500],
        "decided": 201,
        "rule": "operation.any",
    }


def test_recorded_answer_with_a_null_code_has_its_body_compared() -> None:
    right = answered(created(1)) | {"code": None}
    assert checked(created(1, response=right)) == []
    wrong = changed(right, "body.connection.appUserId", "user-2")
    [found] = checked(created(1, response=wrong))
    assert found.member == "body.connection.appUserId"


def test_recorded_body_without_a_member_diverges() -> None:
    response = answered(created(1))
    body = response["body"]
    assert isinstance(body, dict)
    del body["nextAction"]
    (found,) = checked(created(1, response=response))
    assert (found.member, found.recorded) == ("body.nextAction", ABSENT)


@pytest.mark.parametrize(("spelling", "diverges"), [("AUTHORIZED", False), ("EXPIRED", True)])
def test_recorded_status_authorized_equals_a_decided_active(
    spelling: str, *, diverges: bool
) -> None:
    lines = [A, fact(2, "connection.authorize")]
    response = changed(answered(*lines, got(3)), "body.connection.status", spelling)
    found = [each.member for each in checked(*lines, got(3, response=response))]
    assert found == ["body.connection.status"] * diverges


def test_recorded_304_with_text_that_is_not_json_diverges() -> None:
    response: Json = {"status": 304, "body": "<html>"}
    (found,) = checked(account(1, unless="*", response=response))
    assert (found.member, found.recorded, found.decided) == ("body", "<html>", None)


def tagged(status: int, tag: Json, state: str | None = None) -> Json:
    """Return a recorded response with an entity tag that the server chose."""
    body: Json = None if state is None else {"lifecycleState": state}
    return {"status": status, "headers": {"ETag": tag}, "body": body}


def changed_statuses(*lines: bytes) -> list[tuple[Json | Absent, Json | Absent]]:
    """Return the recorded and the decided status of each response whose status diverges."""
    found = checked(*lines)
    return [(each.recorded, each.decided) for each in found if each.member == "status"]


@pytest.mark.parametrize("sent_tags", ['"u-1"', 'W/"u-1"', '"x", "u-1"', ['"x"', '"u-1"']])
@pytest.mark.parametrize("tag", ['"u-1"', 'W/"u-1"'])
def test_recorded_etag_of_the_unchanged_state_gives_a_304(tag: str, sent_tags: Json) -> None:
    lines = [
        account(1, response=tagged(200, tag, "UNLINKED")),
        account(2, unless=sent_tags, response=tagged(304, tag)),
    ]
    assert checked(*lines) == []


def test_recorded_304_for_the_etag_of_an_earlier_state_diverges() -> None:
    found = changed_statuses(
        account(1, response=tagged(200, '"u-1"', "UNLINKED")),
        initiated(2),
        account(3, unless='"u-1"', response=tagged(304, '"u-1"')),
    )
    assert found == [(304, 200)]


def test_etag_recorded_for_two_states_means_only_the_later_state() -> None:
    found = changed_statuses(
        account(1, response=tagged(200, '"s"', "UNLINKED")),
        initiated(2),
        account(3, response=tagged(200, '"s"', "LIMITED")),
        account(4, unless='"s"', response=tagged(304, '"s"')),
        account(5, "user-2", unless='"s"', response=tagged(304, '"s"')),
    )
    assert found == [(304, 200)]


def test_every_recorded_etag_of_an_unchanged_state_gives_a_304() -> None:
    lines = [
        account(1, response=tagged(200, '"old"', "UNLINKED")),
        account(2, response=tagged(200, '"new"', "UNLINKED")),
        account(3, unless='"old"', response=tagged(304, '"new"')),
        account(4, unless='"new"', response=tagged(304, '"new"')),
    ]
    assert checked(*lines) == []


def test_etag_recorded_for_two_users_matches_the_state_of_each() -> None:
    found = changed_statuses(
        initiated(1),
        account(2, response=tagged(200, '"1"', "LIMITED")),
        account(3, "user-2", response=tagged(200, '"1"', "UNLINKED")),
        account(4, unless='"1"', response=tagged(304, '"1"')),
        fact(5, "binding.graduate"),
        account(6, "user-2", unless='"1"', response=tagged(304, '"1"')),
        account(7, unless='"1"', response=tagged(304, '"1"')),
    )
    assert found == [(304, 200)]


@pytest.mark.parametrize(("other_app", "diverges"), [("app-1", False), ("app-2", True)])
def test_recorded_etag_gives_a_304_to_every_api_key_of_its_app(
    other_app: str, *, diverges: bool
) -> None:
    by_other = account(3, unless='"1"', response=tagged(304, '"1"'))
    found = changed_statuses(
        account(1, response=tagged(200, '"1"', "UNLINKED")),
        registered("cae_live_k2", 2, appId=other_app),
        by_other.replace(b"cae_live_k1", b"cae_live_k2"),
    )
    assert found == [(304, 200)] * diverges


@pytest.mark.parametrize("tag", ["u-1", 7, None, '"u-1'])
def test_malformed_recorded_etag_never_gives_a_304(tag: Json) -> None:
    found = changed_statuses(
        account(1, response=tagged(200, tag, "UNLINKED")),
        account(2, unless='"u-1"', response=tagged(304, '"u-1"')),
    )
    assert found == [(304, 200)]


def test_parts_of_an_answer_that_were_not_recorded_never_diverge() -> None:
    responses: list[Json] = [{}, {"status": 201}, {"headers": {"x": "y"}}]
    for response in responses:
        assert checked(created(1, response=response)) == []


def test_only_status_and_code_of_a_recorded_problem_are_compared() -> None:
    def found(**response: Json) -> list[tuple[str, Json | Absent, Json | Absent]]:
        lines = [created(1, user="", response=response)]
        return [(each.member, each.recorded, each.decided) for each in checked(*lines)]

    assert found(status=400, code="BAD_REQUEST") == []
    assert found(status=400, body={"code": "BAD_REQUEST", "title": "Oh"}) == []
    assert found(status=400, body=json.dumps({"code": "BAD_REQUEST"})) == []
    other = ("code", "NOT_FOUND", "BAD_REQUEST")
    assert found(status=404, body={"code": "NOT_FOUND"}) == [("status", 404, 400), other]
    assert found(code="NOT_FOUND") == [other]
    assert found(body={"connection": {}}) == [("code", ABSENT, "BAD_REQUEST")]


def test_http_status_divergence_names_the_last_rule() -> None:
    wrong: Json = {"status": 500}
    again = [created(1, key="k"), created(2, key="k", response=wrong)]
    refused = [A, sent(2, "POST", "connections/{c1.connection.id}:reconnect", response=wrong)]
    unknown = [got(1, UNKNOWN, response=wrong)]
    assert [each.rule for lines in [again, refused, unknown] for each in checked(*lines)] == [
        "idempotency.completed.same",
        "connection.reconnect.pending",
        "request.ownership",
    ]


def test_number_1_recorded_where_true_was_decided_diverges() -> None:
    line = sent(2, "POST", "connections/{c1.connection.id}:revoke")
    response = changed(answered(A, line), "body.revokedNow", 1)
    (found,) = checked(A, with_(line, response=response))
    assert (found.member, found.recorded, found.decided) == ("body.revokedNow", 1, True)


def test_times_compare_as_instants_and_ids_without_letter_case() -> None:
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


def test_recorded_ids_diverge_unless_each_maps_to_one_decided_id() -> None:
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
                Recorded.of(response), Response(200, (), body), lambda _: "rule"
            )
            found.append([each.member for each in divergences])
        return found

    both = ["body.connection.id", "body.previousConnectionId"]
    assert compared((1, 7), (2, 8), (1, 7), (2, 8)) == [[], [], [], []]
    assert compared((1, 7), (1, 8)) == [[], both]
    assert compared((1, 7), (2, 7)) == [[], both]
    assert compared((1, 7), (2, 8), (1, 8), (2, 7)) == [[], [], both, both]
    assert compared((1, 2), (2, 1)) == [[], []]


def test_recorded_ids_that_case_folding_equates_stay_distinct() -> None:
    comparison = Comparison()
    for theirs, ours in (("s", uuid(7)), ("\u017f", uuid(8))):
        response: dict[str, Json] = {"body": {"id": theirs}}
        decided = Response(200, (), json.dumps({"id": ours}).encode())
        found = Recorded.of(response)
        assert comparison.divergences(found, decided, lambda _: "rule") == ()
