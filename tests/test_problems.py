"""The catalogue of problems, written out a second time by hand."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from curae_lifecycle.rules.problems import (
    CATALOGUE,
    DEFAULT_TYPE_BASE,
    DetailValue,
    Problem,
    ProblemCode,
    type_uri,
)
from curae_lifecycle.rules.values import format_time
from tests.strategies import START

# code: status, retryable, origin, the keys of details
EXPECTED = {
    "BAD_REQUEST": (400, False, "P", ("member", "fault")),
    "IDEMPOTENCY_KEY_REQUIRED": (400, False, "O", ()),
    "IDEMPOTENCY_KEY_INVALID": (400, False, "O", ()),
    "IDEMPOTENCY_KEY_NOT_ALLOWED": (400, False, "O", ()),
    "UNAUTHENTICATED": (401, False, "O", ()),
    "SCOPE_INSUFFICIENT": (403, False, "P", ("scope",)),
    "WRONG_ENVIRONMENT": (403, False, "P", ("environment",)),
    "CONNECTION_ACCESS_DENIED": (403, False, "O", ("connectionId", "dataPackage", "reason")),
    "NOT_FOUND": (404, False, "P", ()),
    "CONNECTION_NOT_RECONNECTABLE": (409, False, "O", ("connectionId", "reason")),
    "CONNECTION_SUPERSEDED": (409, False, "O", ("connectionId", "nextConnectionId")),
    "CONNECTION_NOT_PENDING": (409, False, "O", ("connectionId", "standing")),
    "HANDOFF_LAPSED": (409, False, "O", ("connectionId", "deadline")),
    "SESSION_EXPIRED": (409, False, "O", ("sessionId", "expiresAt")),
    "HANDOFF_NOT_REQUIRED": (409, False, "O", ("sessionId", "path")),
    "BINDING_CHANGED": (409, False, "O", ("lifecycleState",)),
    "BINDING_CONFLICT": (409, False, "O", ("lifecycleState",)),
    "BINDING_NOT_LIMITED": (409, False, "O", ("lifecycleState",)),
    "IDEMPOTENCY_KEY_IN_FLIGHT": (409, True, "O", ("retryAfter",)),
    "IDEMPOTENCY_OUTCOME_UNKNOWN": (409, False, "O", ()),
    "IDEMPOTENCY_KEY_FORGOTTEN": (409, False, "O", ()),
    "IDEMPOTENCY_KEY_REUSED": (422, False, "O", ("differs",)),
    "RATE_LIMITED": (429, True, "P", ("policy", "retryAfter")),
    "INTERNAL": (500, True, "O", ()),
}

each_code = pytest.mark.parametrize("code", ProblemCode)


def example(code: ProblemCode) -> Problem:
    """The code with a fact for each key: a word, a number, a time and nothing in turn."""
    facts: tuple[DetailValue, ...] = ("word", 7, START)
    return Problem(code, facts[: len(EXPECTED[code][3])])


def test_the_catalogue_has_exactly_the_codes_of_the_specification() -> None:
    assert [str(code) for code in ProblemCode] == list(EXPECTED)


@each_code
def test_each_code_has_its_status_retryability_origin_and_details(code: ProblemCode) -> None:
    status, retryable, origin, details = EXPECTED[code]
    kind = Problem(code).type
    assert (kind.status, kind.retryable, kind.details) == (status, retryable, details)
    assert CATALOGUE[code].why.startswith(f"[{origin}] ")


def test_each_title_is_its_own() -> None:
    assert len({Problem(code).type.title for code in ProblemCode}) == len(EXPECTED)


@each_code
def test_details_have_the_fixed_keys_with_the_facts_in_order(code: ProblemCode) -> None:
    problem = example(code)
    assert tuple(problem.details) == EXPECTED[code][3]
    assert tuple(problem.details.values()) == problem.values


@each_code
def test_a_problem_with_a_fact_too_many_or_too_few_is_a_mistake(code: ProblemCode) -> None:
    for facts in {(*example(code).facts, "extra"), example(code).facts[:-1]} - {
        example(code).facts
    }:
        with pytest.raises(ValueError, match="zip"):
            _ = Problem(code, facts).details


@each_code
def test_detail_is_one_sentence_for_people_that_only_uses_the_details(code: ProblemCode) -> None:
    problem = example(code)
    names = re.findall(r"{(.*?)}", problem.type.sentence)
    assert set(names) <= set(EXPECTED[code][3])
    assert re.fullmatch(r"[A-Z][^{}]*\.", problem.detail)
    for name in names:
        fact = problem.details[name]
        # A time reads as it does on the wire.
        assert (format_time(fact) if isinstance(fact, datetime) else str(fact)) in problem.detail


def test_a_fault_of_no_member_is_the_body_s() -> None:
    problem = Problem(ProblemCode.BAD_REQUEST, (None, "NOT_JSON"))
    assert problem.detail == "The request cannot be read: the body is at fault (NOT_JSON)."


@pytest.mark.parametrize("fact", ["{member}", "{0}", "%s", "}{", "\\"])
def test_a_fact_that_looks_like_a_placeholder_stays_text(fact: str) -> None:
    detail = Problem(ProblemCode.BAD_REQUEST, (fact, "UNKNOWN")).detail
    assert detail == f"The request cannot be read: {fact} is at fault (UNKNOWN)."


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (ProblemCode.NOT_FOUND, "not-found"),
        (ProblemCode.INTERNAL, "internal"),
        (ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT, "idempotency-key-in-flight"),
        (ProblemCode.CONNECTION_NOT_RECONNECTABLE, "connection-not-reconnectable"),
    ],
)
def test_the_type_is_a_base_and_the_code_in_kebab_case(code: ProblemCode, name: str) -> None:
    assert type_uri(code) == DEFAULT_TYPE_BASE + name
    assert type_uri(code, "https://problems.example/") == f"https://problems.example/{name}"


def test_no_two_codes_share_a_type() -> None:
    uris = {type_uri(code) for code in ProblemCode}
    assert len(uris) == len(EXPECTED)
    assert all(re.fullmatch(r"https://[a-z./]+/[a-z]+(-[a-z]+)*", uri) for uri in uris)


def test_the_catalogue_prints_what_each_code_means() -> None:
    assert str(Problem(ProblemCode.RATE_LIMITED).type) == (
        "429, retryable, details: policy, retryAfter"
    )
    assert str(Problem(ProblemCode.NOT_FOUND).type) == "404, final, details: none"
