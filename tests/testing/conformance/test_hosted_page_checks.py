"""Tests of the checks of hosted pages."""

from __future__ import annotations

import pytest

from tests.testing.conformance.scripted import (
    Change,
    failure_of,
    gives,
    steps_of,
    written_steps,
)

STEPS = {
    "page.finish": """
        POST /connections user-1
        finish page-1
        GET /connections/id-1 (2 times)
        pass_time 0:00:01
        finish page-1
        GET /connections/id-1
    """,
    "page.finish.over": """
        POST /connections user-1
        pass_time 0:30:00
        finish page-1
        GET /connections/id-1
    """,
    "page.finish.graduation-replaced": """
        POST /initiate user
        POST /graduation-handoff user (2 times)
        finish page-1
        GET /account-state?appUserId=user
        finish page-2
        GET /account-state?appUserId=user
    """,
}

WRONG: list[tuple[str, int, Change, str]] = [
    (
        "page.finish.over",
        3,
        gives("done"),
        "finish returned done although the page must have no effect",
    ),
]
"""Wrong answers, each with its check, the number of its step, and the message of the check."""


@pytest.mark.parametrize("check", STEPS)
def test_kit_check_takes_exactly_the_steps_that_this_file_lists(check: str) -> None:
    assert steps_of(check) == written_steps(STEPS[check])


@pytest.mark.parametrize(("check", "step", "change", "message"), WRONG)
def test_kit_check_fails_on_each_wrong_answer_with_a_message(
    check: str, step: int, change: Change, message: str
) -> None:
    assert failure_of(check, {step: change}) == message
