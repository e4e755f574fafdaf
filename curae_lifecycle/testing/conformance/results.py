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
        message: What the server did, after which steps, and which laws and rules that breaks.
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
"""The result of one check; `None` if the check passed."""


class CheckOutcome(StrEnum):
    """The outcome of a check: passed, failed or not run."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@attrs.frozen
class Progress:
    """The progress of a run after a check, as passed to a `ProgressCallback`.

    Attributes:
        check: The name of the check.
        outcome: Whether the check passed, failed or was not run.
        seconds: How long the check took.
        number: The position of the check in the run, counted from 1.
        total: The number of checks in the run.
    """

    check: str
    outcome: CheckOutcome
    seconds: float
    number: int
    total: int


ProgressCallback = Callable[[Progress], object]
"""A function that `run` and `run_async` call after each check; its result is ignored."""


@attrs.frozen
class Report:
    """The results of a run.

    Attributes:
        passed: The names of the checks that passed.
        failed: The checks that failed.
        not_run: The checks that could not be run.
        seed: The seed of the run. A run with the same seed sends the same random names.
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
    """Return PASSED for `None`, FAILED for a `Failure` and NOT_RUN for a `NotRun`."""
    match result:
        case None:
            return CheckOutcome.PASSED
        case Failure():
            return CheckOutcome.FAILED
        case NotRun():
            return CheckOutcome.NOT_RUN
