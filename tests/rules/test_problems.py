"""The catalogue of problems, against a copy written by hand."""

from __future__ import annotations

import re
from datetime import datetime
from typing import cast

import pytest

from curae_lifecycle import ArgumentError
from curae_lifecycle.rules.binding import BINDING, AccountState, BindingTrigger, UserMatch
from curae_lifecycle.rules.outcomes import RefuseWith
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
from curae_lifecycle.service.problem_details import DETAILS
from curae_lifecycle.service.status import is_kept, status_of
from tests.proof.reference.tables import PROBLEM_STATUS, PROBLEMS, problem_type
from tests.support.strategies import START


@pytest.mark.parametrize("kind", ProblemKind)
def test_problem_kind_decides_status_and_if_response_is_stored(kind: ProblemKind) -> None:
    status, _, kept = PROBLEM_STATUS[kind,].partition(", ")
    for code in ProblemCode:
        if Problem(code).problem_type.kind is kind:
            assert str(status_of(Problem(code))) == status
    assert is_kept(int(status)) is (kept == "kept")


FROM_THE_PLATFORM = {
    "BAD_REQUEST",
    "SCOPE_INSUFFICIENT",
    "WRONG_ENVIRONMENT",
    "NOT_FOUND",
    "RATE_LIMITED",
}
"""The codes that the platform's reference names."""

each_code = pytest.mark.parametrize("code", ProblemCode)


def example(code: ProblemCode) -> Problem:
    """Return a problem with a value for each key of its details: a word, a number, a time."""
    facts: tuple[DetailValue, ...] = ("word", 7, START)
    return Problem(code, facts[: len(problem_type(code)[2])])


def test_catalogue_lists_exactly_the_specified_problem_codes() -> None:
    assert [(str(code),) for code in ProblemCode] == list(PROBLEMS)


@each_code
def test_each_problem_code_has_the_kind_and_details_of_the_table(code: ProblemCode) -> None:
    found = Problem(code).problem_type
    assert (found.kind, found.retryable, [*found.details]) == problem_type(code)
    origin = "P" if code in FROM_THE_PLATFORM else "O"
    assert CATALOGUE[code].why.startswith(f"[{origin}] ")


def test_problem_titles_are_unique() -> None:
    assert len({Problem(code).title for code in ProblemCode}) == len(PROBLEMS)


@each_code
def test_problem_details_have_their_specified_keys_in_order(code: ProblemCode) -> None:
    problem = example(code)
    assert [*problem.details] == problem_type(code)[2]
    assert tuple(problem.details.values()) == problem.detail_values


@each_code
def test_extra_or_missing_problem_detail_raises(code: ProblemCode) -> None:
    names = ", ".join(problem_type(code)[2]) or "no detail"
    expected = rf"^detail_values: must be a tuple with the values of {names} for {code}$"
    for facts in {(*example(code).detail_values, "extra"), example(code).detail_values[:-1]} - {
        example(code).detail_values
    }:
        with pytest.raises(ArgumentError, match=expected):
            _ = Problem(code, facts).details


@pytest.mark.parametrize("given", [{"scope": "s"}, ["s"], "s"])
def test_problem_details_that_are_no_tuple_raise(given: object) -> None:
    problem = Problem(ProblemCode.SCOPE_INSUFFICIENT, cast("tuple[DetailValue, ...]", given))
    with pytest.raises(ArgumentError, match=r"^detail_values: must be a tuple with"):
        _ = problem.details


@each_code
def test_problem_detail_is_one_sentence_built_from_the_details(code: ProblemCode) -> None:
    problem = example(code)
    names = re.findall(r"{(.*?)}", WORDING[code].sentence)
    assert set(names) <= set(problem_type(code)[2])
    assert re.fullmatch(r"[A-Z][^{}]*\.", problem.detail)
    for name in names:
        fact = problem.details[name]
        # A time is formatted as on the wire.
        assert (format_time(fact) if isinstance(fact, datetime) else str(fact)) in problem.detail


def test_bad_request_detail_without_a_member_names_the_body() -> None:
    problem = Problem(ProblemCode.BAD_REQUEST, (None, "NOT_JSON"))
    assert problem.detail == "The request cannot be read: the body is at fault (NOT_JSON)."


@pytest.mark.parametrize("fact", ["{member}", "{0}", "%s", "}{", "\\"])
def test_detail_value_with_braces_or_percent_is_printed_as_is(fact: str) -> None:
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
def test_problem_type_uri_is_base_plus_code_in_kebab_case(code: ProblemCode, name: str) -> None:
    assert type_uri(code) == f"https://curaeai.com/problems/{name}"
    assert type_uri(code, "https://problems.example/") == f"https://problems.example/{name}"


def test_problem_type_uris_are_unique() -> None:
    uris = {type_uri(code) for code in ProblemCode}
    assert len(uris) == len(PROBLEMS)
    assert all(re.fullmatch(r"https://[a-z./]+/[a-z]+(-[a-z]+)*", uri) for uri in uris)


def test_str_of_a_problem_type_lists_kind_and_details() -> None:
    assert str(Problem(ProblemCode.RATE_LIMITED).problem_type) == (
        "limited, retryable, details: policy, retryAfter"
    )
    assert str(Problem(ProblemCode.NOT_FOUND).problem_type) == "absent, final, details: none"


def test_final_and_retryable_functions_set_the_retryable_member() -> None:
    kind, details = ProblemKind.CONFLICT, ("connectionId", "reason")
    assert final(kind, *details) == ProblemType(kind, retryable=False, details=details)
    assert retryable(kind, *details) == ProblemType(kind, retryable=True, details=details)


def test_example_lifecycle_state_can_lead_to_binding_conflict() -> None:
    state = DETAILS["lifecycleState"].example
    assert isinstance(state, AccountState)
    outcome = BINDING[BindingTrigger.GRADUATE, state, UserMatch.OTHER].outcome
    assert outcome == RefuseWith(ProblemCode.BINDING_CONFLICT)


def test_binding_conflict_on_a_tombstoned_account_says_so() -> None:
    # A session that landed for one user can be completed for another after a tombstone.
    problem = Problem(ProblemCode.BINDING_CONFLICT, (AccountState.TOMBSTONED,))
    assert problem.detail == "Another user was bound here; the account is TOMBSTONED now."
