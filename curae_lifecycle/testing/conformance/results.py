"""Results of single checks, of a whole run, and of a run in progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import attrs

_NAMES_SHOWN: Final = 8
"""How many names of checks a line of a report holds."""


@attrs.frozen
class Failure:
    """A check that failed.

    Attributes:
        check: The name of the check.
        message: What the server did, after which steps, and which laws and rules that breaks.
        may_be_down: Whether a server that is down could have caused the failure: a function of the
            server raised or took too long, or the last response was a server error.
    """

    check: str
    message: str
    may_be_down: bool = False


@attrs.frozen
class NotRun:
    """A check that could not be run on this server.

    Attributes:
        check: The name of the check.
        reason: What is missing: a function of the server, time, or something that this server does
            not show.
    """

    check: str
    reason: str


Result = Failure | NotRun | None
"""The result of one check; `None` if the check passed."""


class CheckOutcome(StrEnum):
    """The outcome of a check: passed, failed or not run.

    Attributes:
        PASSED: The server kept the rules that the check covers.
        FAILED: The server broke a rule, raised an error or took too long.
        NOT_RUN: The server is down, or lacks a function, time or value that the check needs.
    """

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@attrs.frozen
class Progress:
    """The progress of a run after a check, as `run` passes it to the caller's function `progress`.

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
class FailureGroup:
    """Failures whose messages begin with the same line, so that one cause is printed once.

    Attributes:
        first: The first of the failures, in the order of the run.
        others: The names of the checks of the other failures.
    """

    first: Failure
    others: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.first.check}\n  {self.first.message}"]
        if self.others:
            lines.append(f"  the same in {len(self.others)} more: {list_names(self.others)}")
        return "\n".join(lines)


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
        lines += [f"failed: {group}" for group in self.failure_groups()]
        for reason, names in self.reasons_not_run().items():
            lines.append(f"not run: {list_names(names)}: {reason}")
        return "\n".join(lines)

    def failure_groups(self) -> tuple[FailureGroup, ...]:
        """Return the failed checks in groups, each of messages that begin with the same line."""
        groups: dict[str, list[Failure]] = {}
        for failure in self.failed:
            groups.setdefault(failure.message.partition("\n")[0], []).append(failure)
        return tuple(
            [
                FailureGroup(first, tuple([each.check for each in others]))
                for first, *others in groups.values()
            ]
        )

    def reasons_not_run(self) -> dict[str, tuple[str, ...]]:
        """Return the names of the checks that were not run, by the reason."""
        names: dict[str, list[str]] = {}
        for each in self.not_run:
            names.setdefault(each.reason, []).append(each.check)
        return {reason: tuple(checks) for reason, checks in names.items()}


def list_names(names: Sequence[str]) -> str:
    """Join names with commas; of a long list, join the first ones and count the others."""
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def outcome_of(result: Result) -> CheckOutcome:
    """Return the `CheckOutcome` of a check's result.

    Returns:
        PASSED for `None`, FAILED for a `Failure` and NOT_RUN for a `NotRun`.
    """
    match result:
        case None:
            return CheckOutcome.PASSED
        case Failure():
            return CheckOutcome.FAILED
        case NotRun():
            return CheckOutcome.NOT_RUN
