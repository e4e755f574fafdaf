"""Tests that the kit judges every member of a problem."""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs
import pytest

from curae_lifecycle.testing.conformance import Response
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.steps import NotConformingError
from curae_lifecycle.testing.conformance.wire import _check_problem
from curae_lifecycle.testing.laws import LawBrokenError
from tests.support.kit import Reference
from tests.testing.conformance.by_hand import ACCOUNT, app

CODE = "NOT_FOUND"


def problem() -> Response:
    """Return a problem of a correct server."""
    reference, one = Reference(), app()
    key = reference.make_key(one.key_request)
    return reference.send(App(key, one.key_request, one.context).get(ACCOUNT))


def judge(changed: Mapping[str, object]) -> None:
    answer = problem()
    body = json.loads(answer.body) | changed
    _check_problem(attrs.evolve(answer, body=json.dumps(body).encode()), body, CODE)


@pytest.mark.parametrize(
    "changed", [{}, {"type": "urn:x:not-found"}, {"title": "t"}, {"detail": "d"}]
)
def test_problem_with_any_title_detail_and_base_uri_passes(changed: Mapping[str, object]) -> None:
    judge(changed)


@pytest.mark.parametrize("kind", [7, "", "not-found", "https://a.example/gone", "x/NOT_FOUND"])
def test_problem_type_not_ending_in_the_code_fails(kind: object) -> None:
    with pytest.raises(NotConformingError) as raised:
        judge({"type": kind})
    assert raised.value.what == (
        f"the type {json.dumps(kind)} is not a base URI followed by not-found"
    )


@pytest.mark.parametrize("name", ["title", "detail"])
@pytest.mark.parametrize("value", ["", 7, None, ["text"]])
def test_text_of_a_problem_must_not_be_empty(name: str, value: object) -> None:
    with pytest.raises(NotConformingError) as raised:
        judge({name: value})
    assert raised.value.what == f"{name} is not a non-empty string"


def test_problem_with_a_wrong_retryable_flag_breaks_a_law() -> None:
    with pytest.raises(LawBrokenError):
        judge({"retryable": True})
