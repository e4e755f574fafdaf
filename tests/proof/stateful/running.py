"""The runner of the stateful tests: machines of rules with compared results and counted cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import ClassVar, Final, ParamSpec

import attrs
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import Problem
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.cells import Cell, cells_of, count_cell_lookups
from curae_lifecycle.web.wire_format import format_problem

START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)

ticks: Final = st.sampled_from([0, -1, 1, 0, -1])
"""Microseconds beside a deadline."""

Given = ParamSpec("Given")
Said = tuple[str, str | None]
"""The outcome (done, ignored, refused or mistake), and the problem's code."""


class CountedMachine(RuleBasedStateMachine):
    """A machine that is steered towards many different cells."""

    counts: ClassVar[Counter[Cell]] = Counter()
    """The cells that all runs reached."""
    seen: ClassVar[Counter[str]] = Counter()
    """Situations without a table cell, by name."""

    def __init__(self) -> None:
        super().__init__()
        self._before = self.counts.copy(), self.seen.copy()

    def teardown(self) -> None:
        cells, seen = self._before
        reached = sum(count > cells[cell] for cell, count in self.counts.items())
        reached += sum(count > seen[name] for name, count in self.seen.items())
        target(float(reached), label="different cells and situations in one run")


def agree(what: str, model: object, rules: object) -> None:
    """Check that the independent model and the package agree."""
    assert rules == model, f"{what}\n  the model says: {model!r}\n  the rules say:  {rules!r}"


def heard(answer: Done[object] | Ignored[object] | Refused) -> Said:
    """Return an outcome in the model's words."""
    match answer:
        case Done():
            return "done", None
        case Ignored():
            return "ignored", None
        case Refused(problem):
            return "refused", code_and_details(problem)[0]


def code_and_details(problem: Problem) -> tuple[str, dict[str, Json]]:
    """Return the code and details of a problem, as on the wire."""
    document = format_problem(problem)
    code, details = document["code"], document["details"]
    assert isinstance(code, str)
    assert isinstance(details, dict)
    expected = "IN_FLIGHT" in code, 403 if "ACCESS" in code else 422 if "REUSED" in code else 409
    agree(f"problem {code}", expected, (document["retryable"], document["status"]))
    return code, details


def is_mistake(
    function: Callable[Given, object], /, *args: Given.args, **kwargs: Given.kwargs
) -> bool:
    """Return whether the package rejects the arguments as a caller's mistake."""
    try:
        function(*args, **kwargs)
    except ArgumentError:
        return True
    return False


@attrs.frozen
class Size:
    """The size of a run: batches with one seed each, so that they are independent."""

    batches: int
    runs: int
    steps: int


@attrs.frozen
class Reached:
    """The cells and situations that all runs of a machine reached."""

    cells: Counter[Cell]
    seen: Counter[str]


def run(machine: type[CountedMachine], size: Size, *, shrinks: bool = True) -> Reached:
    """Run a machine from fixed seeds and count."""
    as_they_come = (Phase.generate, Phase.target, Phase.shrink)
    chosen = settings(
        max_examples=size.runs,
        stateful_step_count=size.steps,
        database=None,
        deadline=None,
        # Runs are long on purpose, and these checks complain only about time.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=as_they_come if shrinks else (Phase.generate, Phase.target),
        print_blob=False,
        verbosity=Verbosity.normal if shrinks else Verbosity.quiet,
    )
    with count_cell_lookups() as counts:
        machine.counts, machine.seen = counts, Counter()
        for batch in range(size.batches):
            run_state_machine_as_test(seed(batch)(machine), settings=chosen)
    return Reached(counts, machine.seen)


run_once: Final = cache(run)
"""Several tests look at the same run."""


def cells_in(*tables: str) -> list[Cell]:
    """Return every cell of these tables."""
    return cells_of(TABLES[name] for name in tables)
