"""Tests of how a check is made, how it begins, and how much time it lets pass."""

from __future__ import annotations

from datetime import timedelta

import pytest

from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.conformance import Check, NotSeenError, Response
from curae_lifecycle.testing.conformance.check import Checks, row_check
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.steps import HookCall, Steps, send, use, wait
from tests.testing.conformance.by_hand import context, play

MINUTE = timedelta(minutes=1)
ANSWER = Response(200, (), b"{}")


def waits_twice(app: App) -> Steps[None]:
    """Let two minutes pass."""
    seen = yield from send(app.get("c"))
    assert seen is ANSWER
    yield from wait(MINUTE)
    yield from use("expire", "c")
    yield from wait(MINUTE)


def hooks_called(check: Check, most: timedelta, *outcomes: object) -> list[str]:
    kit = context("pass_time", "expire", max_time_per_check=most)
    made, sent, *rest = play(check.begin(kit), "text", ANSWER, *outcomes).steps
    assert isinstance(made, HookCall)
    assert made.hook == "make_key"
    assert not isinstance(sent, HookCall)
    return [each.hook for each in rest if isinstance(each, HookCall)]


def test_kit_check_may_wait_exactly_max_time_per_check() -> None:
    check = Check("a", "b", waits_twice, hooks=("pass_time",))
    assert hooks_called(check, 2 * MINUTE, 0, 0, 0) == ["pass_time", "expire", "pass_time"]


def test_kit_check_is_not_run_if_it_needs_more_time_than_allowed() -> None:
    check = Check("a", "b", waits_twice, hooks=("expire", "pass_time"))
    with pytest.raises(NotSeenError, match=r"^needs a max_time_per_check of at least 0:02:00$"):
        hooks_called(check, 2 * MINUTE - timedelta(microseconds=1), 0, 0, 0)


def test_kit_check_with_optional_waits_ignores_max_time() -> None:
    check = Check("a", "b", waits_twice, hooks=("expire",))
    assert len(hooks_called(check, MINUTE, 0, 0, 0)) == 3


def test_kit_check_is_described_by_its_functions_docstring() -> None:
    checks = Checks()
    decorate = checks.add(
        "a", laws=(1, 2), rules=("b",), hooks=("c", "d"), time_needed=timedelta(hours=1)
    )
    assert decorate(waits_twice) is waits_twice
    assert checks == [
        Check(
            name="a",
            shows="Let two minutes pass.",
            steps=waits_twice,
            laws=(1, 2),
            rules=("b",),
            hooks=("c", "d"),
            time_needed=timedelta(hours=1),
        )
    ]


def test_kit_check_without_a_docstring_has_no_description() -> None:
    def steps(app: App) -> Steps[None]:
        yield from send(app.get("c"))

    checks = Checks()
    checks.add("a")(steps)
    assert checks == [Check(name="a", shows="", steps=steps)]


def test_kit_check_of_a_table_row_has_the_name_of_its_rule() -> None:
    row = TABLES["connection"].rows[0]
    made = row_check(
        row,
        "doing it",
        waits_twice,
        laws=(3,),
        hooks=iter(("a", "b", "a")),
        time_needed=MINUTE,
    )
    assert made == Check(
        name=row.rule,
        shows=f"doing it: {row.outcome}.",
        steps=waits_twice,
        laws=(3,),
        rules=(row.rule,),
        hooks=("a", "b"),
        time_needed=MINUTE,
    )
    assert row_check(row, "doing it", waits_twice).hooks == ()
