"""The three answers of a transition, and the verdicts that table cells hold.

The law of this module: **done, ignored and refused are different types**. `Done` holds a new value,
`Ignored` the value that was passed in, `Refused` a problem and no value. A caller that forgets one
fails type checking; an exception always means a mistake in the program. Each answer names the rules
that made it, in order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Generic, Self, TypeVar

import attrs

from curae_lifecycle.rules.problems import Problem, ProblemCode

ValueT = TypeVar("ValueT", covariant=True)
To = TypeVar("To", bound=StrEnum, covariant=True)


@attrs.frozen
class Done(Generic[ValueT]):
    """The rule applied and made a new value."""

    value: ValueT
    rules: tuple[str, ...]


@attrs.frozen
class Ignored(Generic[ValueT]):
    """The rule applied and had nothing to change.

    Attributes:
        value: The value that was passed in; of a fact, no changes.
        rules: The names of the rules that decided, in order.
    """

    value: ValueT
    rules: tuple[str, ...]


@attrs.frozen
class Refused:
    """The rule forbids it: nothing changed, and the problem says why."""

    problem: Problem
    rules: tuple[str, ...]


@attrs.frozen
class Value(Generic[To]):
    """A cell's verdict: a value."""

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
    """A cell's verdict: proceed to the next rule, which decides."""

    def __str__(self) -> str:
        return "proceed"


PROCEED: Final = Proceed()


class Reason(StrEnum):
    """The base of enumerations of reasons.

    A reason tells refusals with the same problem code apart. A member is declared with its token and
    its advice to clients: `STILL_PENDING = "STILL_PENDING", "Show the patient the page."`
    """

    advice: str

    def __new__(cls, token: str, advice: str) -> Self:
        """Make a member of a token that carries its advice."""
        reason = str.__new__(cls, token)
        reason._value_ = token
        reason.advice = advice
        return reason


@attrs.frozen
class RefuseWith:
    """A cell's verdict: refuse with a problem of the catalogue.

    Attributes:
        code: The problem's code.
        reason: The reason, if several cells refuse with the same code.
    """

    code: ProblemCode
    reason: Reason | None = None

    def __str__(self) -> str:
        return f"refuse {self.code}" + (f" ({self.reason})" if self.reason else "")
