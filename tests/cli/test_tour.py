"""The tour: its steps as data, and the lines of one step."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs
import pytest

from curae_lifecycle.cli.main import main
from curae_lifecycle.cli.tour import Step, _Platform, lines
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.authorized import Authorized
from tests.support.terminals import terminal_of

STEP = Step(
    title="A step.",
    at=datetime(2026, 1, 5, 9, 0, tzinfo=UTC),
    asked=("GET /x", "key: k"),
    answered=("200", '"a": 1'),
    rules=("permission.granted", "no.such.rule"),
)


WHY = "[S] The key has the scope that the operation needs."


def test_tour_step_with_4xx_or_refused_answer_counts_as_refused() -> None:
    answered = ("200", "201 (replayed)", "409", "429", "done", "refused: NOT_FOUND")
    refused = [attrs.evolve(STEP, answered=(each,)).is_refused for each in answered]
    assert refused == [False, False, True, True, False, True]


def test_tour_step_of_a_refused_fact_shows_its_problem_code() -> None:
    step = _Platform().fact("A step.", Authorized(ConnectionId("none")), "authorize none")
    assert (step.asked, step.answered) == (("authorize none",), ("refused: NOT_FOUND",))
    assert step.is_refused


def test_tour_step_has_title_time_request_answer_and_rule_lines() -> None:
    assert [*lines(3, STEP)] == [
        ("3. A step.", "title"),
        ("   at 2026-01-05T09:00:00Z", "time"),
        ("   > GET /x", "asked"),
        ("   > key: k", "asked"),
        ("   < 200", "answered"),
        ('   < "a": 1', "body"),
        ("", "blank"),
        (f"   rule permission.granted: {WHY} (table permission)", "rule"),
        ("   rule no.such.rule", "rule"),
        ("", "blank"),
    ]
    refused = attrs.evolve(STEP, answered=("refused: NOT_FOUND",), rules=())
    assert ("   < refused: NOT_FOUND", "refused") in [*lines(1, refused)]


def test_tour_on_a_terminal_colours_titles_times_answers_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = terminal_of(monkeypatch, "stdout")
    assert main(["tour"]) == 0
    shown = screen.getvalue().splitlines()
    assert shown[0].startswith("\x1b[1m1. No user is bound: path C")
    assert shown[-1].startswith("\x1b[1mEach rule is a row of a table: ")
    for start in ("\x1b[2m   at ", "\x1b[32m   < 201", "\x1b[31m   < 409", "\x1b[1;33m   rule "):
        assert any(line.startswith(start) for line in shown)
