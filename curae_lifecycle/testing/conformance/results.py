"""What comes of checks: one by one, of a whole run, and while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import attrs


@attrs.frozen
class Failure:
    """A check that failed: its name; what was seen, where, and which laws and rules say otherwise."""

    check: str
    message: str


@attrs.frozen
class NotRun:
    """A check that could not be run: its name, and the name of what is missing."""

    check: str
    reason: str


Result = Failure | NotRun | None
"""What came of one check; `None` where it passed."""


class CheckOutcome(StrEnum):
    """What came of a check, in a word."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@attrs.frozen
class Progress:
    """A check that has ended.

    Attributes:
        check: Its name.
        outcome: What came of it.
        seconds: How long it took.
        number: Which it was, counted from 1.
        total: Of how many.
    """

    check: str
    outcome: CheckOutcome
    seconds: float
    number: int
    total: int


ProgressCallback = Callable[[Progress], object]


@attrs.frozen
class Report:
    """What came of a run: the names of the checks that passed, and the others, each with why.

    The same `seed` sends the same requests.
    """

    passed: tuple[str, ...]
    failed: tuple[Failure, ...]
    not_run: tuple[NotRun, ...]
    seed: str

    def __str__(self) -> str:
        counts = (len(self.passed), len(self.failed), len(self.not_run))
        lines = ["{} passed, {} failed, {} not run (seed {})".format(*counts, self.seed)]
        lines += [f"failed: {failure.check}\n  {failure.message}" for failure in self.failed]
        lines += [f"not run: {left.check}: {left.reason}" for left in self.not_run]
        return "\n".join(lines)


def outcome_of(result: Result) -> CheckOutcome:
    """What came of a check, in a word."""
    match result:
        case None:
            return CheckOutcome.PASSED
        case Failure():
            return CheckOutcome.FAILED
        case NotRun():
            return CheckOutcome.NOT_RUN
