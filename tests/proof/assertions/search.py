"""The search for wrong servers that only one assertion of the kit detects: its witnesses.

Run it after a change of the kit: `python -m tests.proof.assertions.search`. It takes minutes, writes
`witnesses.json`, and prints the assertions for which it found none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Final

from curae_lifecycle.testing.conformance import CHECKS
from tests.proof.assertions import witnesses
from tests.proof.assertions.sites import (
    Assertion,
    by_line,
    disabled,
    kit_assertions,
    noted_failures,
)
from tests.proof.assertions.witnesses import Witness, bug_witnesses
from tests.proof.assertions.wrong_answers import FROM_THEN_ON, NOT_CALLED, WrongAnswer, changes

if TYPE_CHECKING:
    from _typeshed import TraceFunction

_SIDE_BY_SIDE: Final = "model.side-by-side"
"""This check compares thousands of random responses."""


def search() -> list[str]:
    """Find the witnesses, write them to their file, and return the assertions without one."""
    left = {each.name: each for each in kit_assertions()}
    found: dict[str, Witness] = {}

    def note(each: Assertion, witness: Witness) -> None:
        if each.name in left and _needs(each, witness):
            found[each.name] = witness
            del left[each.name]

    for name, witness in witnesses.load().items():
        if name in left and witness.exists() and witness.is_found():
            note(left[name], witness)
    for witness in bug_witnesses():
        for each in _failing(witness, left):
            note(each, witness)
    for check in sorted({check.name for check in CHECKS} - {_SIDE_BY_SIDE}):
        for witness in _wrong_answers(check, left):
            for each in _failing(witness, left):
                note(each, witness)
        witnesses.save(found)
    return sorted(left.keys() - witnesses.COVERED.keys())


def _needs(assertion: Assertion, witness: Witness) -> bool:
    with disabled(assertion):
        return not witness.is_found()


def _failing(witness: Witness, left: Mapping[str, Assertion]) -> set[Assertion]:
    with noted_failures(left.values()) as noted:
        witness.is_found()
    return noted


def _wrong_answers(check: str, left: Mapping[str, Assertion]) -> Iterator[Witness]:
    right = WrongAnswer()
    met = _steps_before(check, right, left)
    numbers = {near for each in met.values() for number in each for near in _near(number)}
    for number in sorted(numbers & set(range(1, len(right.steps) + 1))):
        for change, _ in changes(right.steps[number - 1], right.steps[: number - 1]):
            if not met.keys() & left.keys():
                return
            yield Witness(check, step=number, change=change)
            if change != NOT_CALLED:
                yield Witness(check, step=number, change=change + FROM_THEN_ON)


def _near(number: int) -> range:
    # Three steps before and after the one at which the assertion runs.
    return range(number - 3, number + 4)


def _steps_before(
    check: str, right: WrongAnswer, left: Mapping[str, Assertion]
) -> dict[str, set[int]]:
    # For each assertion, the number of steps when it runs for the first and for the last time.
    lines = by_line(left.values())
    files = {file for file, _ in lines}
    first: dict[str, int] = {}
    last: dict[str, int] = {}

    def trace(frame: FrameType, _: str, __: object) -> TraceFunction | None:
        if frame.f_code.co_filename not in files:
            return None
        each = lines.get((frame.f_code.co_filename, frame.f_lineno))
        if each is not None:
            first.setdefault(each.name, len(right.steps))
            last[each.name] = len(right.steps)
        return trace

    sys.settrace(trace)
    try:
        assert not Witness(check).is_found_at(right), f"{check} fails a correct server"
    finally:
        sys.settrace(None)
    return {name: {first[name], last[name]} for name in first}


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}\n" for name in search())
