"""The three answers that a transition can give, and the verdicts that table cells hold.

The law of this module: **done, ignored and refused are different types**. Done carries a new
value, ignored the very same object it was given, refused a problem and no value. A caller who
forgets one fails type checking; an exception means a programmer's mistake and nothing else.
Each answer carries the names of the rules that made it, in order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Generic, TypeVar

import attrs

from curae_lifecycle.rules.problems import Problem, ProblemCode

ValueT = TypeVar("ValueT", covariant=True)
To = TypeVar("To", bound=StrEnum, covariant=True)


@attrs.frozen
class Done(Generic[ValueT]):
    """The rule applied: its value is new."""

    value: ValueT
    rules: tuple[str, ...]


@attrs.frozen
class Ignored(Generic[ValueT]):
    """The rule applied and there was nothing to change: its value is the one passed in."""

    value: ValueT
    rules: tuple[str, ...]


@attrs.frozen
class Refused:
    """The rule forbids it: nothing changed, and a problem of the catalogue says why."""

    problem: Problem
    rules: tuple[str, ...]


@attrs.frozen
class Value(Generic[To]):
    """A cell's verdict: that is what it is."""

    value: To

    def __str__(self) -> str:
        return str(self.value)


@attrs.frozen
class MoveTo(Generic[To]):
    """A cell's verdict: move to a state."""

    to: To

    def __str__(self) -> str:
        return str(self.to)


@attrs.frozen
class Ignore:
    """A cell's verdict: ignore, since there is nothing to change."""

    def __str__(self) -> str:
        return "ignore"


IGNORE: Final = Ignore()


@attrs.frozen
class Proceed:
    """A cell's verdict: nothing stands in the way; the next rule decides."""

    def __str__(self) -> str:
        return "proceed"


PROCEED: Final = Proceed()


@attrs.frozen
class RefuseWith:
    """A cell's verdict: refuse with a problem of the catalogue.

    Attributes:
        code: The problem's code.
        reason: A token that tells cells with the same code apart, where there are several.
    """

    code: ProblemCode
    reason: str | None = None

    def __str__(self) -> str:
        return f"refuse {self.code}" + (f" ({self.reason})" if self.reason else "")
