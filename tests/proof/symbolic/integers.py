"""Symbolic integers and instants, and a walk of every path through a function.

The production functions run unchanged, on `Number` and `Instant` in place of `int` and `datetime`.
If they branch, the run is repeated once for each possible branch; a property is then proven on
every path.
"""

# z3 types every result as one of its many kinds.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import attrs
import z3

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)
FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _TICK
LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _TICK
"""The first and the last instant that a datetime can hold, in microseconds since 1970."""

TIMEOUT: Final = 20_000
"""The time limit of one question, in milliseconds."""


class UndecidedError(Exception):
    """The solver ran out of time."""


class Refuted(Exception):  # noqa: N818 - it is an answer, not a mistake
    """The property does not hold; the message has a counterexample."""


class Condition:
    """A comparison of numbers; its truth value takes a branch."""

    def __init__(self, formula: z3.BoolRef) -> None:
        self.formula = formula

    def __bool__(self) -> bool:
        return _RUN.get().branch(self.formula)


class Number:
    """An integer that represents all values that the assumptions allow."""

    def __init__(self, term: z3.ArithRef) -> None:
        self.term = term

    def __add__(self, other: Number | int) -> Number:
        return Number(self.term + _term(other))

    def __radd__(self, other: int) -> Number:
        return Number(other + self.term)

    def __sub__(self, other: Number | int) -> Number:
        return Number(self.term - _term(other))

    def __rsub__(self, other: int) -> Number:
        return Number(other - self.term)

    def __mul__(self, other: Number | int) -> Number:
        return Number(self.term * _term(other))

    def __rmul__(self, other: int) -> Number:
        return Number(other * self.term)

    def __neg__(self) -> Number:
        return Number(-self.term)

    def __floordiv__(self, other: Number | int) -> Number:
        return Number(_RUN.get().divided(self.term, _term(other))[0])

    def __mod__(self, other: Number | int) -> Number:
        return Number(_RUN.get().divided(self.term, _term(other))[1])

    def __lt__(self, other: Number | int) -> Condition:
        return Condition(self.term < _term(other))

    def __le__(self, other: Number | int) -> Condition:
        return Condition(self.term <= _term(other))

    def __gt__(self, other: Number | int) -> Condition:
        return Condition(self.term > _term(other))

    def __ge__(self, other: Number | int) -> Condition:
        return Condition(self.term >= _term(other))

    def __eq__(self, other: object) -> Condition:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride] # a branch like the others
        return Condition(self.term == _term(other))

    __hash__ = None  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] # what it stands for is many values


class Span(Number):
    """A difference of two instants, in microseconds; a `timedelta` to the functions."""

    def __floordiv__(self, other: object) -> Number:
        assert other == _TICK
        return Number(self.term)

    def __ge__(self, other: Number | int | timedelta) -> Condition:
        return super().__ge__(other // _TICK if isinstance(other, timedelta) else other)

    def __gt__(self, other: Number | int | timedelta) -> Condition:
        return super().__gt__(other // _TICK if isinstance(other, timedelta) else other)


class Instant:
    """An instant for all values that the assumptions allow; a `datetime` to the functions."""

    tzinfo = UTC

    def __init__(self, term: z3.ArithRef) -> None:
        self.term = term

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> type[datetime]:
            """The class for `isinstance`, so that the functions' own checks pass."""
            return datetime

    def __sub__(self, other: Instant | datetime) -> Span:
        return Span(self.term - _instant_term(other))

    def __lt__(self, other: Instant | datetime) -> Condition:
        return Condition(self.term < _instant_term(other))

    def __le__(self, other: Instant | datetime) -> Condition:
        return Condition(self.term <= _instant_term(other))

    def __gt__(self, other: Instant | datetime) -> Condition:
        return Condition(self.term > _instant_term(other))

    def __ge__(self, other: Instant | datetime) -> Condition:
        return Condition(self.term >= _instant_term(other))


def number(name: str, least: int | None = None, most: int | None = None) -> Number:
    """Return a new number between two bounds."""
    term = z3.Int(name)
    run = _RUN.get()
    if least is not None:
        run.assume(term >= least)
    if most is not None:
        run.assume(term <= most)
    return Number(term)


def instant(name: str) -> Instant:
    """Return a new instant in the range of a datetime."""
    return Instant(number(name, FIRST, LAST).term)


def assume(condition: Condition) -> None:
    """Assume that a condition holds from here on."""
    _RUN.get().assume(condition.formula)


def require(condition: Condition | bool, what: str) -> None:  # noqa: FBT001 - it is what must hold
    """Require that the condition holds for all values on this path.

    Raises:
        Refuted: If there are values for which it does not.
    """
    formula = z3.BoolVal(condition) if isinstance(condition, bool) else condition.formula
    _RUN.get().require(formula, what)


class _Run:
    """One path: the branches taken so far, then those of the plan, then the first possible."""

    def __init__(self, plan: list[bool]) -> None:
        self.plan = plan
        self.taken: list[tuple[bool, bool]] = []
        self.solver = z3.Solver()
        self.solver.set("timeout", TIMEOUT)
        self.questions = 0
        self.parts: dict[tuple[z3.ArithRef, z3.ArithRef], tuple[z3.ArithRef, z3.ArithRef]] = {}

    def divided(self, term: z3.ArithRef, divisor: z3.ArithRef) -> tuple[z3.ArithRef, z3.ArithRef]:
        # Quotient and remainder by definition: for a symbolic divisor, the solver handles products
        # better than divisions. Python's own definition only for a divisor above zero.
        self.require(divisor > 0)
        if (term, divisor) not in self.parts:
            quotient, rest = z3.FreshInt("quotient"), z3.FreshInt("rest")
            self.assume(z3.And(term == quotient * divisor + rest, rest >= 0, rest < divisor))
            self.parts[term, divisor] = quotient, rest
        return self.parts[term, divisor]

    def assume(self, formula: z3.BoolRef) -> None:
        self.solver.add(formula)

    def possible(self, formula: z3.BoolRef) -> bool:
        self.questions += 1
        answer = self.solver.check(formula)
        if answer == z3.unknown:
            raise UndecidedError(self.solver.reason_unknown())
        return bool(answer == z3.sat)

    def branch(self, formula: z3.BoolRef) -> bool:
        at = len(self.taken)
        if at < len(self.plan):
            way, other = self.plan[at], False
        else:
            way = self.possible(formula)
            other = way and self.possible(z3.Not(formula))
        self.taken.append((way, other))
        self.solver.add(formula if way else z3.Not(formula))
        return way

    def require(self, formula: z3.BoolRef, what: str = "a divisor above zero") -> None:
        if self.possible(z3.Not(formula)):
            raise Refuted(f"{what}: {self.solver.model()}")


_RUN: ContextVar[_Run] = ContextVar("_RUN")


@attrs.frozen
class Proof:
    """The cost of a proof: the paths walked, and the questions solved."""

    paths: int
    questions: int


def prove(claim: Callable[[], object]) -> Proof:
    """Walk every path of a claim, a function that makes numbers, runs code and requires.

    Raises:
        Refuted: If a requirement fails on a path.
        UndecidedError: If the solver gives up.
    """
    plans: list[list[bool]] = [[]]
    paths = questions = 0
    while plans:
        run = _Run(plans.pop())
        token = _RUN.set(run)
        try:
            claim()
        finally:
            _RUN.reset(token)
        paths += 1
        questions += run.questions
        ways = [way for way, _ in run.taken]
        plans += [
            [*ways[:at], not way]
            for at, (way, other) in enumerate(run.taken)
            if at >= len(run.plan) and other
        ]
    return Proof(paths, questions)


def _term(value: object) -> z3.ArithRef:
    return value.term if isinstance(value, Number) else z3.IntVal(value)


def _instant_term(value: Instant | datetime) -> z3.ArithRef:
    return value.term if isinstance(value, Instant) else z3.IntVal((value - _EPOCH) // _TICK)
