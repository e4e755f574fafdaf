"""Tests of the laws about the members and the media types of responses."""

from __future__ import annotations

import json

import attrs
import pytest

from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws import LawBrokenError, check_documented, check_wire_members
from curae_lifecycle.web.wire_format import format_problem

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
def test_law_16_check_finds_another_media_type(response: Response, kinds: tuple[str, ...]) -> None:
    with pytest.raises(LawBrokenError, match="law 16 is broken: the media type must be"):
        check_documented(typed(response, *kinds))


def test_law_16_check_finds_a_repeated_media_type() -> None:
    with pytest.raises(LawBrokenError, match="law 16 is broken"):
        check_documented(typed(SUCCESS, "application/json", "application/json"))


@pytest.mark.parametrize("body", [b"", ""])
def test_law_13_check_accepts_an_empty_body(body: bytes | str) -> None:
    check_wire_members(body)


@pytest.mark.parametrize("body", [b"{}", "{}", {}])
def test_law_13_check_finds_an_object_without_members(
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
def test_law_13_check_finds_members_below_a_listed_member(
    body: str | dict[str, object], said: str
) -> None:
    with pytest.raises(LawBrokenError, match=f"law 13 is broken: .*{said}"):
        check_wire_members(body)
