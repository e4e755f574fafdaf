"""Results of single checks, of a whole run, and of a run in progress."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import attrs


@attrs.frozen
class Failure:
    """A check that failed.

    Attributes:
        check: The name of the check.
        message: What the server did, after which steps, and which laws and rules it breaks.
    """

    check: str
    message: str


@attrs.frozen
class NotRun:
    """A check that could not be run.

    Attributes:
        check: The name of the check.
        reason: What is missing: a hook, time, or something that this server does not show.
    """

    check: str
    reason: str


Result = Failure | NotRun | None
"""The result of one check; `None` if it passed."""


class CheckOutcome(StrEnum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@attrs.frozen
class Progress:
    """A check that has ended.

    Attributes:
        check: The name of the check.
        outcome: Its outcome.
        seconds: How long it took.
        number: Its position in the run, counted from 1.
        total: The number of checks in the run.
    """

    check: str
    outcome: CheckOutcome
    seconds: float
    number: int
    total: int


ProgressCallback = Callable[[Progress], object]
"""A function that `run` calls after each check."""


@attrs.frozen
class Report:
    """The results of a run.

    Attributes:
        passed: The names of the checks that passed.
        failed: The checks that failed.
        not_run: The checks that could not be run.
        seed: The seed of the run. A run with the same seed sends the same requests.
    """

    passed: tuple[str, ...]
    failed: tuple[Failure, ...]
    not_run: tuple[NotRun, ...]
    seed: str

    def __str__(self) -> str:
        counts = (len(self.passed), len(self.failed), len(self.not_run))
        lines = ["{} passed, {} failed, {} not run (seed {})".format(*counts, self.seed)]
        lines += [f"failed: {failure.check}\n  {failure.message}" for failure in self.failed]
        lines += [f"not run: {check.check}: {check.reason}" for check in self.not_run]
        return "\n".join(lines)


def outcome_of(result: Result) -> CheckOutcome:
    """Return the outcome of a result."""
    match result:
        case None:
            return CheckOutcome.PASSED
        case Failure():
            return CheckOutcome.FAILED
        case NotRun():
            return CheckOutcome.NOT_RUN
