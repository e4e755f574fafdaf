"""Done, ignored and refused are three types, and verdicts read as their pages print them."""

from __future__ import annotations

from copy import deepcopy

import pytest

from curae_lifecycle.rules import outcomes
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.outcomes import Done, Ignored, MoveTo, Refused, RefuseWith
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.triggers import RefusalReason


def test_the_same_value_done_ignored_and_refused_are_three_outcomes() -> None:
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
def test_a_verdict_reads_as_its_page_prints_it(words: str, verdict: object) -> None:
    assert str(verdict) == words
    assert deepcopy(verdict) == verdict
    assert [other for other in VERDICTS.values() if other == verdict] == [verdict]


def test_what_moves_and_what_is_are_told_apart() -> None:
    assert len({MoveTo(Status.ACTIVE), outcomes.Value(Status.ACTIVE)}) == 2
