"""Wrong servers that a check of the conformance kit finds by one assertion alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import attrs

from curae_lifecycle.testing.conformance import CHECKS, AsyncServer, run_async
from tests.proof.assertions.wrong_answers import WrongAnswer
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.catalogue import visible
from tests.proof.bugs.kit import server, slow_server
from tests.support.kit import asynchronous

FILE: Final = Path(__file__).with_name("witnesses.json")

COVERED: Final[dict[str, str]] = json.loads(
    Path(__file__).with_name("covered.json").read_text(encoding="utf-8")
)
"""Assertions that others make redundant, as far as the search knows, each with why it stays."""

SEED: Final = "assertions"


@attrs.frozen
class Witness:
    """A wrong server and the check that finds it: a seeded bug, or one wrong answer.

    Attributes:
        check: The check's name.
        bug: The name of the seeded bug; empty for a wrong answer.
        step: The number of the step with the wrong answer.
        change: The name of the wrong answer.
    """

    check: str
    bug: str = ""
    step: int = 0
    change: str = ""

    def exists(self) -> bool:
        """Return whether there still are a check and a bug of these names."""
        checks = {check.name for check in CHECKS}
        return self.check in checks and (not self.bug or self.bug in _bugs())

    def is_found(self) -> bool:
        """Run the check against the server, and return whether it fails."""
        if not self.bug:
            return self.is_found_at(WrongAnswer(self.step, self.change))
        bug = _bugs()[self.bug]
        service = bug.make()
        return _fails(
            slow_server(service) if bug.slowly else asynchronous(server(service)), self.check
        )

    def is_found_at(self, wrong: WrongAnswer) -> bool:
        """Run the check against this server, which records the steps; return whether it fails."""
        return _fails(wrong.server(self.check), self.check)


def _fails(against: AsyncServer, check: str) -> bool:
    report = asyncio.run(run_async(against, only=[check], seed=SEED, timeout=None))
    assert len(report.failed) + len(report.passed) == 1, f"{check} was not run"
    return bool(report.failed)


@cache
def _bugs() -> dict[str, VisibleBug]:
    return {bug.name: bug for bug in visible()}


def bug_witnesses() -> Iterator[Witness]:
    """Yield a witness for each seeded bug and each check that the catalogue names for it."""
    for bug in visible():
        yield from [Witness(check, bug.name) for check in bug.found_by]


def load() -> dict[str, Witness]:
    """Return the witnesses of the file, by the names of their assertions."""
    found: dict[str, dict[str, str | int]] = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Witness(
            str(each["check"]),
            bug=str(each.get("bug", "")),
            step=int(each.get("step", 0)),
            change=str(each.get("change", "")),
        )
        for name, each in found.items()
    }


def save(witnesses: Mapping[str, Witness]) -> None:
    """Write the witnesses to the file, by the names of their assertions."""
    plain = {
        name: attrs.asdict(each, filter=lambda _, value: bool(value))
        for name, each in witnesses.items()
    }
    FILE.write_text(
        json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
