"""What a rule is sure to answer, checked where a strategy relies on it."""

from __future__ import annotations

from typing import TypeVar, cast

from curae_lifecycle.rules.outcomes import Done

Wanted = TypeVar("Wanted")


def expect_type(kind: type[Wanted], answer: object) -> Wanted:
    """The answer, which is sure to be of the kind.

    Raises:
        TypeError: It is not, so the past that was to be drawn cannot be played.
    """
    if isinstance(answer, kind):
        return answer
    raise TypeError(f"this past cannot be played: {answer!r} is no {kind.__name__}")


def expect_done(kind: type[Wanted], answer: object) -> Wanted:
    """The value of an answer that is sure to be done.

    Raises:
        TypeError: It is ignored or refused, or its value is of another kind.
    """
    value = cast("Done[object]", answer).value if isinstance(answer, Done) else answer
    return expect_type(kind, value)
