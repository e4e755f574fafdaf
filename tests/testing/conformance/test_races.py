"""Tests of the checks of races, whose two steps run one after the other here."""

from __future__ import annotations

import attrs
import pytest

from curae_lifecycle.testing.conformance import races
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.steps import HookCall, Steps, use
from tests.testing.conformance.by_hand import app, context, play
from tests.testing.conformance.scripted import (
    Change,
    at_once,
    failure_of,
    status,
    steps_of,
    written_steps,
)

STEPS = {
    "race.reissue.authorize": """
        POST /connections user
        POST /connections/id-1:revoke
        GET /connections/id-1
        POST /connections/id-1:reconnect
        2 at once: POST /connections/id-1:reconnect, authorize id-2 null
        GET /connections/id-2
        POST /connections user
        POST /connections/id-3:revoke
        GET /connections/id-3
        POST /connections/id-3:reconnect
        2 at once: authorize id-4 null, POST /connections/id-3:reconnect
        GET /connections/id-4
        POST /connections user
        POST /connections/id-5:revoke
        GET /connections/id-5
        POST /connections/id-5:reconnect
        2 at once: POST /connections/id-5:reconnect, authorize id-6 null
        GET /connections/id-6
    """,
}

WRONG: list[tuple[str, int, Change, str]] = [
    (
        "race.reissue.authorize",
        5,
        at_once(status(429, "RATE_LIMITED"), 0),
        "answered 429 RATE_LIMITED instead of 201 or 409",
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


@pytest.mark.parametrize("doc", ["Both win.", None])
def test_race_decorator_makes_a_kit_check_that_runs_each_round(
    doc: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def race_round(app: App, number: int) -> Steps[None]:
        yield from use(f"round {number} of {app.context.rounds}")

    race_round.__doc__ = doc
    monkeypatch.setattr(races, "CHECKS", Checks())
    add = races._race("both", "authorize", "expire", laws=(1,), rules=("access.active",))
    assert add(race_round) is race_round
    (check,) = races.CHECKS
    assert (check.name, check.shows) == ("race.both", doc or "")
    assert (check.laws, check.rules) == ((1,), ("access.active",))
    assert check.hooks == ("race_rounds", "authorize", "expire")
    rounds = play(check.steps(app(attrs.evolve(context(), rounds=2))), None, None).steps
    assert rounds == [HookCall("round 0 of 2", ()), HookCall("round 1 of 2", ())]
