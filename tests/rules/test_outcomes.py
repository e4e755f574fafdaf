"""Outcome types, and the text of verdicts and reasons."""

from __future__ import annotations

import json
import pickle
from copy import deepcopy

import pytest

from curae_lifecycle.rules import outcomes
from curae_lifecycle.rules.access import DenialReason
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.outcomes import Done, Ignored, MoveTo, Reason, Refused, RefuseWith
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.triggers import RefusalReason


def test_done_ignored_and_refused_of_the_same_value_are_unequal() -> None:
    problem = Problem(ProblemCode.NOT_FOUND)
    rules = ("request.ownership",)
    answers = {Done(problem, rules), Ignored(problem, rules), Refused(problem, rules)}
    assert len(answers) == 3
    assert Done(problem, rules) == Done(problem, rules) != Done(problem, ())


VERDICTS = {
    "ACTIVE": MoveTo(Status.ACTIVE),
    "REVOKED": outcomes.Value(Status.REVOKED),
    "ignore": outcomes.IGNORE,
    "proceed": outcomes.PROCEED,
    "refuse NOT_FOUND": RefuseWith(ProblemCode.NOT_FOUND),
    "refuse NOT_FOUND (ALREADY_ACTIVE)": RefuseWith(
        ProblemCode.NOT_FOUND, RefusalReason.ALREADY_ACTIVE
    ),
}


@pytest.mark.parametrize(("words", "verdict"), VERDICTS.items())
def test_str_of_a_table_outcome_is_its_text_in_the_tables(words: str, verdict: object) -> None:
    assert str(verdict) == words
    assert deepcopy(verdict) == verdict
    assert [other for other in VERDICTS.values() if other == verdict] == [verdict]


def test_outcome_move_to_active_is_not_outcome_value_active() -> None:
    assert len({MoveTo(Status.ACTIVE), outcomes.Value(Status.ACTIVE)}) == 2


@pytest.mark.parametrize("reason", [*RefusalReason, *DenialReason])
def test_each_reason_serializes_to_its_token_and_back(reason: Reason) -> None:
    assert reason == str(reason) == reason.value == reason.name
    assert json.dumps({"reason": reason}) == f'{{"reason": "{reason.value}"}}'
    assert pickle.loads(pickle.dumps(reason)) is reason  # noqa: S301 - the bytes are from this test
    assert deepcopy(reason) is reason
    assert reason.advice.endswith(".")


def test_unknown_reason_token_raises_key_error() -> None:
    assert RefusalReason["ALREADY_ACTIVE"] is RefusalReason.ALREADY_ACTIVE
    with pytest.raises(KeyError):
        _ = RefusalReason["ALREADY_REVOKED"]
