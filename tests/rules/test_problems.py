"""The catalogue of problems, against a copy written by hand."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from curae_lifecycle.rules.problems import (
    CATALOGUE,
    WORDING,
    DetailValue,
    Problem,
    ProblemCode,
    ProblemKind,
    ProblemType,
    final,
    retryable,
    type_uri,
)
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.service.status import is_kept, status_of
from tests.support.strategies import START

STATUSES = {
    "invalid": "400, not kept",
    "unknown caller": "401, not kept",
    "forbidden": "403, not kept",
    "absent": "404, kept",
    "conflict": "409, kept",
    "mismatch": "422, not kept",
    "limited": "429, not kept",
    "failed": "500, not kept",
}
"""HTTP status of each kind of problem, and whether its response is kept under the key."""


@pytest.mark.parametrize("kind", ProblemKind)
def test_each_kind_has_its_status_and_is_kept_or_not(kind: ProblemKind) -> None:
    status, _, kept = STATUSES[kind].partition(", ")
    for code in ProblemCode:
        if Problem(code).problem_type.kind is kind:
            assert str(status_of(Problem(code))) == status
    assert is_kept(int(status)) is (kept == "kept")


EXPECTED = {
    # code: kind, retryable, origin, keys of details
    "BAD_REQUEST": ("invalid", False, "P", ("member", "fault")),
    "IDEMPOTENCY_KEY_REQUIRED": ("invalid", False, "O", ()),
    "IDEMPOTENCY_KEY_INVALID": ("invalid", False, "O", ()),
    "IDEMPOTENCY_KEY_NOT_ALLOWED": ("invalid", False, "O", ()),
    "UNAUTHENTICATED": ("unknown caller", False, "O", ()),
    "SCOPE_INSUFFICIENT": ("forbidden", False, "P", ("scope",)),
    "WRONG_ENVIRONMENT": ("forbidden", False, "P", ("environment",)),
    "CONNECTION_ACCESS_DENIED": (
        "forbidden",
        False,
        "O",
        ("connectionId", "dataPackage", "reason"),
    ),
    "NOT_FOUND": ("absent", False, "P", ()),
    "CONNECTION_NOT_RECONNECTABLE": ("conflict", False, "O", ("connectionId", "reason")),
    "CONNECTION_SUPERSEDED": (
        "conflict",
        False,
        "O",
        ("connectionId", "nextConnectionId", "headConnectionId"),
    ),
    "CONNECTION_NOT_PENDING": ("conflict", False, "O", ("connectionId", "standing")),
    "HANDOFF_LAPSED": ("conflict", False, "O", ("connectionId", "deadline")),
    "SESSION_EXPIRED": ("conflict", False, "O", ("sessionId", "expiresAt")),
    "HANDOFF_NOT_REQUIRED": ("conflict", False, "O", ("sessionId", "path")),
    "BINDING_CHANGED": ("conflict", False, "O", ("lifecycleState",)),
    "BINDING_CONFLICT": ("conflict", False, "O", ("lifecycleState",)),
    "BINDING_NOT_LIMITED": ("conflict", False, "O", ("lifecycleState",)),
    "IDEMPOTENCY_KEY_IN_FLIGHT": ("conflict", True, "O", ("retryAfter",)),
    "IDEMPOTENCY_OUTCOME_UNKNOWN": ("conflict", False, "O", ()),
    "IDEMPOTENCY_KEY_FORGOTTEN": ("conflict", False, "O", ()),
    "IDEMPOTENCY_KEY_REUSED": ("mismatch", False, "O", ("differs",)),
    "RATE_LIMITED": ("limited", True, "P", ("policy", "retryAfter")),
    "INTERNAL": ("failed", True, "O", ()),
}

each_code = pytest.mark.parametrize("code", ProblemCode)


def example(code: ProblemCode) -> Problem:
    """Return a problem with a value for each key of its details: a word, a number, a time."""
    facts: tuple[DetailValue, ...] = ("word", 7, START)
    return Problem(code, facts[: len(EXPECTED[code][3])])


def test_the_catalogue_has_exactly_the_codes_of_the_specification() -> None:
    assert [str(code) for code in ProblemCode] == list(EXPECTED)


@each_code
def test_each_code_has_its_kind_retryability_origin_and_details(code: ProblemCode) -> None:
    kind, retryable, origin, details = EXPECTED[code]
    found = Problem(code).problem_type
    assert (found.kind, found.retryable, found.details) == (kind, retryable, details)
    assert CATALOGUE[code].why.startswith(f"[{origin}] ")


def test_each_title_is_its_own() -> None:
    assert len({Problem(code).title for code in ProblemCode}) == len(EXPECTED)


@each_code
def test_details_have_the_fixed_keys_with_the_facts_in_order(code: ProblemCode) -> None:
    problem = example(code)
    assert tuple(problem.details) == EXPECTED[code][3]
    assert tuple(problem.details.values()) == problem.detail_values


@each_code
def test_a_problem_with_a_fact_too_many_or_too_few_is_a_mistake(code: ProblemCode) -> None:
    for facts in {(*example(code).detail_values, "extra"), example(code).detail_values[:-1]} - {
        example(code).detail_values
    }:
        with pytest.raises(ValueError, match="zip"):
            _ = Problem(code, facts).details


@each_code
def test_detail_is_one_sentence_for_people_that_only_uses_the_details(code: ProblemCode) -> None:
    problem = example(code)
    names = re.findall(r"{(.*?)}", WORDING[code].sentence)
    assert set(names) <= set(EXPECTED[code][3])
    assert re.fullmatch(r"[A-Z][^{}]*\.", problem.detail)
    for name in names:
        fact = problem.details[name]
        # A time is formatted as on the wire.
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
    assert type_uri(code) == f"https://curaeai.com/problems/{name}"
    assert type_uri(code, "https://problems.example/") == f"https://problems.example/{name}"


def test_no_two_codes_share_a_type() -> None:
    uris = {type_uri(code) for code in ProblemCode}
    assert len(uris) == len(EXPECTED)
    assert all(re.fullmatch(r"https://[a-z./]+/[a-z]+(-[a-z]+)*", uri) for uri in uris)


def test_the_catalogue_prints_what_each_code_means() -> None:
    assert str(Problem(ProblemCode.RATE_LIMITED).problem_type) == (
        "limited, retryable, details: policy, retryAfter"
    )
    assert str(Problem(ProblemCode.NOT_FOUND).problem_type) == "absent, final, details: none"


def test_a_problem_is_final_or_may_pass() -> None:
    kind, details = ProblemKind.CONFLICT, ("connectionId", "reason")
    assert final(kind, *details) == ProblemType(kind, retryable=False, details=details)
    assert retryable(kind, *details) == ProblemType(kind, retryable=True, details=details)
