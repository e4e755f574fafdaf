"""The engine: a breadth-first search over everything that can happen.

The law of this module: **the engine decides nothing**. A model says where it starts, what can
happen next and what must hold; the engine visits every state once, nearest first, so the trace of
a violation is a shortest one. It checks safety (a law, wherever a model checks one) and liveness
(from every state, once faults stop, a settled state can be reached).
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import attrs

from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.testing.laws import LawBrokenError

State = TypeVar("State", bound=Hashable)

Label = tuple[str, str]
"""The actor and the action."""

Line = Mapping[str, Json]
"""A line of a log, as `curae_lifecycle.replay.log` reads it."""


RULES: Final[Mapping[str, str]] = {
    "binding": "LIMITED, then ACTIVE, then TOMBSTONED for one user; a new user is a new "
    "generation, after a tombstone.",
    "landing": "Landing writes the session and the binding together or not at all.",
    "chain-revocation": "No connection outlives the revocation of its chain by its patient.",
    "version": "Every write of a row moves its version by one.",
    "clock": "No instant that was recorded goes back, whatever a clock says.",
    "fact": "What was told in time is recorded, whatever a clock says.",
    "half-open": "One tick before its end an interval still runs; at its end it is over.",
}
"""Rules without a law, by the name that errors give them."""


class RuleBrokenError(AssertionError):
    """A rule that is not one of the laws is broken.

    Attributes:
        rule: Its name in `RULES`.
        what: The observation.
        where: The values.
    """

    def __init__(self, rule: str, what: str, where: str) -> None:
        """Build the message from the rule, the observation and the values."""
        words = RULES[rule]
        super().__init__(f"rule {rule} is broken: {what}\n  where: {where}\n  rule: {words}")
        self.rule = rule
        self.what = what
        self.where = where


Broken = LawBrokenError | RuleBrokenError


class StepBrokenError(Exception):
    """A step broke a law or a rule; the engine adds the path to it.

    Attributes:
        label: The actor and the action.
        broken: The broken law or rule.
    """

    def __init__(self, label: Label, broken: Broken) -> None:
        """Build the message from the step and what it broke."""
        super().__init__(f"{' '.join(label)}: {broken}")
        self.label = label
        self.broken = broken


class Model(Protocol[State]):
    """The model that the engine explores.

    Attributes:
        promise: The promise of liveness, in words.
    """

    @property
    def promise(self) -> str:
        """The promise of liveness, in words."""
        ...

    def starts(self) -> Iterable[State]:
        """Yield the start states, each once, in reduced form."""
        ...

    def steps(self, state: State, /) -> Iterable[tuple[Label, bool, State]]:
        """Yield the next steps: the label, whether it is a fault, and the next state.

        Raises:
            StepBrokenError: If a step breaks a law or a rule.
        """
        ...

    def settled(self, state: State, /) -> bool:
        """Return whether the promise is fulfilled."""
        ...

    def run(
        self, states: Sequence[State], last: Label | None
    ) -> Sequence[tuple[Label, Line | None]]:
        """Print a path step by step, with the log line of each step that a log can express.

        Args:
            states: The states of the path, first to last.
            last: The step after the last state that broke a law, or None.
        """
        ...


class ViolationError(AssertionError):
    """A violation that can happen.

    Attributes:
        broken: The law or the rule; None if liveness is broken.
        what: The observation.
        trace: A shortest path to it, in words.
        log: The steps of it that a log can express, as lines that `replay` accepts.
    """

    def __init__(
        self, broken: Broken | None, what: str, trace: tuple[str, ...], log: tuple[bytes, ...]
    ) -> None:
        """Build the message from the observation and the path."""
        steps = "".join(f"\n  {number}. {step}" for number, step in enumerate(trace, 1))
        lines = "".join(f"\n  {line.decode()}" for line in log)
        super().__init__(f"{what}\nshortest trace:{steps}\nas a log:{lines}")
        self.broken = broken
        self.what = what
        self.trace = trace
        self.log = log


@attrs.frozen
class Exploration(Generic[State]):
    """The result of an exploration without a violation.

    Attributes:
        states: The number of distinct states.
        transitions: The number of steps between them.
        depth: The distance of the farthest state.
        order: The states, nearest first.
        parents: The place of each state's predecessor on a shortest path.
    """

    states: int
    transitions: int
    depth: int
    order: list[State] = attrs.field(repr=False)
    parents: array[int] = attrs.field(repr=False, eq=False)

    def path(self, place: int) -> list[State]:
        """Return the states on a shortest path to the state at a place of the order."""
        return _path(self.order, self.parents, place)


_NO_PARENT: Final = 2**32 - 1


def explore(  # noqa: C901 - one loop, as fast as it can be
    model: Model[State],
    *,
    depth: int | None = None,
    most: int | None = None,
    liveness: bool = True,
) -> Exploration[State]:
    """Visit every state that a model can reach, nearest first.

    Args:
        model: The model.
        depth: The most steps to take; None for no limit.
        most: The approximate number of states to visit; None for all.
        liveness: Whether to look for states from which nothing settled can be reached. A
            state at the edge of a bounded exploration counts as settled.

    Returns:
        The explored states.

    Raises:
        ViolationError: If a law or a rule is broken or a state is stuck; with a shortest trace.
    """
    # One index for all: the number of a state is its place in `order`.
    numbers: dict[State, int] = {}
    order: list[State] = []
    parents = array("L")
    for start in model.starts():
        numbers[start] = len(order)
        order.append(start)
        parents.append(_NO_PARENT)
    # The steps that are no faults, for liveness: `ends` has the end of each state's steps in
    # `calm`.
    calm, ends = array("L"), array("Q")
    transitions = level = 0
    level_end = len(order)
    for number, state in enumerate(order):
        if number == level_end:
            level, level_end = level + 1, len(order)
        if level == depth or (most is not None and len(order) > most):
            break
        try:
            for _, fault, after in model.steps(state):
                transitions += 1
                known = numbers.get(after)
                if known is None:
                    known = numbers[after] = len(order)
                    order.append(after)
                    parents.append(number)
                if liveness and not fault:
                    calm.append(known)
        except StepBrokenError as error:
            broken = error.broken
            path = _path(order, parents, number)
            raise _violation(
                model, broken=broken, what=str(broken), path=path, last=error.label
            ) from error
        ends.append(len(calm))
    if liveness:
        stuck = _first_stuck(model, order=order, calm=calm, ends=ends)
        if stuck is not None:
            what = f"liveness is broken: once faults stop, {model.promise}, but not from here"
            raise _violation(
                model, broken=None, what=what, path=_path(order, parents, stuck), last=None
            )
    return Exploration(
        states=len(order), transitions=transitions, depth=level, order=order, parents=parents
    )


def _first_stuck(
    model: Model[State], order: list[State], calm: array[int], ends: array[int]
) -> int | None:
    # The steps of states at the edge are unknown, so they are not judged.
    expanded = len(ends)
    good = bytearray(len(order))
    for number, state in enumerate(order):
        good[number] = number >= expanded or model.settled(state)
    changed = True
    while changed:
        changed = False
        # Most steps lead to later states, so a few backward rounds are enough.
        for number in range(expanded - 1, -1, -1):
            if not good[number]:
                first = ends[number - 1] if number else 0
                for at in range(first, ends[number]):
                    if good[calm[at]]:
                        good[number] = changed = True
                        break
    stuck = good.find(0)
    return None if stuck < 0 else stuck


def _path(order: list[State], parents: array[int], number: int) -> list[State]:
    path = [order[number]]
    while parents[number] != _NO_PARENT:
        number = parents[number]
        path.append(order[number])
    return path[::-1]


def _violation(
    model: Model[State], broken: Broken | None, what: str, path: list[State], last: Label | None
) -> ViolationError:
    trace = model.run(path, last)
    return ViolationError(
        broken=broken,
        what=what,
        trace=tuple(": ".join(label) for label, _ in trace),
        log=tuple(json.dumps(dict(line)).encode() for _, line in trace if line is not None),
    )


def count_sequences(model: Model[State], length: int) -> int:
    """Count the sequences of an exact length from the start states of a model.

    States that sequences share are visited once per length, so the count may be huge.

    Raises:
        StepBrokenError: If a step breaks a law or a rule.
    """
    level: dict[State, int] = dict.fromkeys(model.starts(), 1)
    for _ in range(length):
        following: dict[State, int] = {}
        for state, ways in level.items():
            for _, _, after in model.steps(state):
                following[after] = following.get(after, 0) + ways
        level = following
    return sum(level.values())
