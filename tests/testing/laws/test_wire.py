"""Tests of the laws about the members and the media types of responses."""

from __future__ import annotations

import json
from typing import ClassVar

import attrs
import pytest

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws import LawBrokenError, check_documented, check_wire_members
from curae_lifecycle.web.wire_format import format_problem
from tests.support.server import ID
from tests.support.strategies import COORDINATE
from tests.testing.watched import broken

SUCCESS = Response(200, (("content-type", "application/json"),), b'{"lifecycleState":"ACTIVE"}')
PROBLEM = Response(
    404,
    (("content-type", "application/problem+json"),),
    json.dumps(format_problem(Problem(ProblemCode.NOT_FOUND))).encode(),
)


def typed(response: Response, *kinds: str) -> Response:
    return attrs.evolve(response, headers=tuple([("Content-Type", kind) for kind in kinds]))


@pytest.mark.parametrize("response", [SUCCESS, PROBLEM])
def test_law_16_check_accepts_parameters_of_a_media_type(response: Response) -> None:
    kind = response.headers[0][1]
    check_documented(typed(response, f"{kind}; charset=utf-8"))
    check_documented(typed(response, f"{kind.title()} ;charset=UTF-8"))


@pytest.mark.parametrize("response", [SUCCESS, PROBLEM])
@pytest.mark.parametrize("kinds", [(), ("text/html",), ("application/json-seq",)])
def test_law_16_check_raises_on_a_wrong_or_missing_media_type(
    response: Response, kinds: tuple[str, ...]
) -> None:
    with pytest.raises(LawBrokenError, match="law 16 is broken: the media type must be"):
        check_documented(typed(response, *kinds))


def test_law_16_check_reports_a_repeated_content_type_header() -> None:
    with pytest.raises(LawBrokenError, match="law 16 is broken"):
        check_documented(typed(SUCCESS, "application/json", "application/json"))


@pytest.mark.parametrize("body", [b"", ""])
def test_law_13_check_accepts_an_empty_body(body: bytes | str) -> None:
    check_wire_members(body)


@pytest.mark.parametrize("body", [b"{}", "{}", {}])
def test_law_13_check_rejects_an_empty_object_as_response_body(
    body: bytes | str | dict[str, object],
) -> None:
    with pytest.raises(LawBrokenError, match="law 13 is broken: no response has these members"):
        check_wire_members(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"lifecycleState": {"userId": "u-1"}}, "must hold no object"),
        ({"lifecycleState": [{"userId": "u-1"}]}, "must hold no object"),
        ({"nextAction": {"type": {"a": 1}, "url": "u", "expiresAt": "t"}}, "must hold no object"),
        ('{"lifecycleState": {"userId": "u-1"}, "lifecycleState": "ACTIVE"}', "is repeated"),
        ('{"nextAction": {"url": "u", "url": "v"}}', "is repeated"),
    ],
)
def test_law_13_check_reports_nested_or_repeated_members(
    body: str | dict[str, object], said: str
) -> None:
    with pytest.raises(LawBrokenError, match=f"law 13 is broken: .*{said}"):
        check_wire_members(body)


PROBLEM_BODY: dict[str, object] = json.loads(PROBLEM.body)
BAD_REQUEST = {
    **PROBLEM_BODY,
    "code": "BAD_REQUEST",
    "status": 400,
    "details": {"member": "appUserId", "fault": "missing"},
}
CONNECTION = {
    "id": ID,
    "customerAccountId": COORDINATE.customer_account_id,
    "appUserId": "user-1",
    "status": "PENDING",
    "dataPackages": ["clinical_summary", "labs"],
    "actionRequiredReason": None,
    "authorizedAt": None,
    "expiresAt": None,
    "revokedAt": None,
    "createdAt": "2026-01-01T00:00:00Z",
    "updatedAt": "2026-01-01T00:00:00Z",
}


@attrs.frozen
class Listed:
    """A reply with a list of connections."""

    connections: tuple[Connection, ...]


class ListConnections(GetConnection):
    """An operation that a server adds."""

    rule: ClassVar = attrs.evolve(GetConnection.rule, name="list-connections", status=203)
    reply = Listed  # type: ignore[assignment]  # another reply


ADDED: tuple[type[Operation], ...] = (*OPERATIONS, ListConnections)


def problem(body: dict[str, object], status: int) -> Response:
    kinds = (("content-type", "application/problem+json"),)
    return Response(status, kinds, json.dumps(body).encode())


def test_law_13_check_allows_member_instance_in_400_but_not_404() -> None:
    check_wire_members({**BAD_REQUEST, "instance": "urn:1"})
    with broken(13, "not listed: instance", where="problem"):
        check_wire_members({**PROBLEM_BODY, "instance": "urn:1"})


@pytest.mark.parametrize(
    ("body", "what", "where"),
    [
        ({"effects": [], "a": 1}, "no response has these members", "a, effects"),
        ({"code": "NOPE"}, "the code 'NOPE' is not listed", "code"),
        ({"code": []}, r"the code \[\] is not listed", "code"),
        ({**PROBLEM_BODY, "b": 1, "a": 1}, "not listed: a, b", "problem"),
        ({"code": "NOT_FOUND"}, "missing: detail, details, retryable", "problem"),
        ({**BAD_REQUEST, "details": None}, "it is not an object", "details"),
        ({**BAD_REQUEST, "details": {}}, "missing: fault, member", "details of BAD_REQUEST"),
        ({**BAD_REQUEST, "title": {"a": 1}}, "must hold no object", "title"),
        (
            {**BAD_REQUEST, "details": {"member": {"a": 1}, "fault": "missing"}},
            "must hold no object",
            "member",
        ),
        ({"connection": None}, "it is not an object", "connection"),
        ({"connection": {**CONNECTION, "token": 1}}, "not listed: token", "connection"),
        ({"connection": {**CONNECTION, "status": [["A"]]}}, "must hold no object", "status"),
        ("[]", "it is not an object", "body"),
        ('{"effects": 1, "effects": 1}', "a member is repeated", "body"),
        (b"{", "the body is not JSON in UTF-8, or has a byte order mark", "body"),
        ('{"revokedNow":true}'.encode("utf-16"), "the body is not JSON", "body"),
        (b'\xef\xbb\xbf{"revokedNow":true}', "the body is not JSON", "body"),
        (b'{"revokedNow":NaN}', "the body is not JSON", "body"),
    ],
)
def test_law_13_error_names_the_wrong_members_and_their_place(
    body: bytes | str | dict[str, object], what: str, where: str
) -> None:
    with broken(13, what, where=where):
        check_wire_members(body)


@pytest.mark.parametrize("body", [{"connection": CONNECTION}, BAD_REQUEST, PROBLEM_BODY])
def test_law_13_check_accepts_a_body_as_dict_or_as_json_text(body: dict[str, object]) -> None:
    check_wire_members(body)
    check_wire_members(json.dumps(body))


def test_law_13_check_reports_unlisted_member_in_connection_list() -> None:
    check_wire_members({"connections": [CONNECTION, CONNECTION]}, operations=ADDED)
    check_wire_members({"connections": []}, operations=ADDED)
    with broken(13, "not listed: token", where="connections"):
        check_wire_members(
            {"connections": [CONNECTION, {**CONNECTION, "token": 1}]}, operations=ADDED
        )
    with broken(13, "it is not an object", where="connections"):
        check_wire_members({"connections": [None]}, operations=ADDED)


@pytest.mark.parametrize("value", [None, "none", {"a": {"b": 1}}])
def test_law_13_check_accepts_any_value_in_custom_reply_member(value: object) -> None:
    check_wire_members({"connections": value}, operations=ADDED)


def test_law_16_check_accepts_the_status_of_a_custom_operation() -> None:
    listed = Response(203, SUCCESS.headers, b'{"connections":[]}')
    check_documented(listed, operations=ADDED)
    with broken(16, "the status is not one of success", where="status 204"):
        check_documented(attrs.evolve(listed, status=204), operations=ADDED)
    with broken(13, "no response has these members"):
        check_documented(listed)


@pytest.mark.parametrize(
    ("response", "what", "where"),
    [
        (Response(304, (), b"{}"), "a 304 has a body", "status 304"),
        (Response(200, (), b"{}"), "the body is empty", "status 200"),
        (Response(200, (), b"{"), "the body is not JSON", "body"),
        (Response(200, (), b"null"), "it is not an object", "body"),
        (typed(SUCCESS, "text/html"), "must be application/json, not", "status 200"),
        (typed(PROBLEM, "text/html"), r"must be application/problem\+json, not", "status 404"),
        (problem(BAD_REQUEST, 404), "BAD_REQUEST must have the status 400", "status 404"),
        (
            problem({**BAD_REQUEST, "status": 404}, 404),
            "BAD_REQUEST must have the status 400",
            "status 404",
        ),
        (
            problem({**BAD_REQUEST, "retryable": True}, 400),
            "BAD_REQUEST must have retryable False",
            "status 400",
        ),
        (
            problem({**BAD_REQUEST, "retryable": 0}, 400),
            "BAD_REQUEST must have retryable False",
            "status 400",
        ),
    ],
)
def test_law_16_check_says_what_is_undocumented_in_a_response(
    response: Response, what: str, where: str
) -> None:
    with broken(16, what, where=where):
        check_documented(response)


def test_law_13_check_prefers_builtin_operation_of_the_same_name() -> None:
    class Renamed(ListConnections):
        rule: ClassVar = attrs.evolve(ListConnections.rule, name="get-connection")

    check_wire_members({"connection": CONNECTION}, operations=(Renamed,))
    with pytest.raises(LawBrokenError, match="no response has these members"):
        check_wire_members({"connections": []}, operations=(Renamed,))
