"""The three answers of a transition, and the verdicts that table cells hold.

The law of this module: **done, ignored and refused are different types**. `Done` holds a new value,
`Ignored` the value that was passed in (no changes, in the answer to a fact), `Refused` a problem and
no value. A caller that forgets one fails type checking; an exception always means a mistake in the
program. Each answer names the rules that made it, in order.
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
    """The outcome of a transition that made a new `value`.

    `rules` holds the names of the rules that decided, in order.
    """

    value: ValueT
    rules: tuple[str, ...]


@attrs.frozen
class Ignored(Generic[ValueT]):
    """The outcome of a transition that had nothing to change.

    Attributes:
        value: The value that was passed in; in the answer to a fact it is `NO_CHANGES`: no writes,
            effects or events.
        rules: The names of the rules that decided, in order.
    """

    value: ValueT
    rules: tuple[str, ...]


@attrs.frozen
class Refused:
    """The outcome of a transition that a rule forbids: nothing changes.

    `problem` says why. `rules` holds the names of the rules that decided, in order.
    """

    problem: Problem
    rules: tuple[str, ...]


@attrs.frozen
class Value(Generic[To]):
    """The outcome of a table's cell: just a `value` of an enumeration, such as a standing."""

    value: To

    def __str__(self) -> str:
        return str(self.value)


@attrs.frozen
class MoveTo(Generic[To]):
    """The outcome of a table's cell: a record, binding or connection moves to the state `to`."""

    to: To

    def __str__(self) -> str:
        return str(self.to)


@attrs.frozen
class Ignore:
    """The outcome of a table's cell: nothing changes, and the transition returns `Ignored`."""

    def __str__(self) -> str:
        return "ignore"


IGNORE: Final = Ignore()


@attrs.frozen
class Proceed:
    """The outcome of a table's cell: this table forbids nothing, and the next rule decides."""

    def __str__(self) -> str:
        return "proceed"


PROCEED: Final = Proceed()


class Reason(StrEnum):
    """The base class of enumerations of reasons, for problem codes with more than one reason.

    Declare each reason with its text and its `advice`, which tells a client what to do:
    `STILL_PENDING = "STILL_PENDING", "Show the patient the page."`
    """

    advice: str

    def __new__(cls, token: str, advice: str) -> Self:
        """Make the member with the text `token`, and set its `advice`."""
        reason = str.__new__(cls, token)
        reason._value_ = token
        reason.advice = advice
        return reason


@attrs.frozen
class RefuseWith:
    """The outcome of a table's cell: the transition is refused with a problem.

    Attributes:
        code: The problem's code.
        reason: The reason of the refusal; `None` if `code` alone says why.
    """

    code: ProblemCode
    reason: Reason | None = None

    def __str__(self) -> str:
        return f"refuse {self.code}" + (f" ({self.reason})" if self.reason else "")
