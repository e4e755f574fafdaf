"""Checks of answers that a strategy relies on."""

from __future__ import annotations

from typing import TypeVar, cast

from curae_lifecycle.rules.outcomes import Done

Wanted = TypeVar("Wanted")


def expect_type(kind: type[Wanted], answer: object) -> Wanted:
    """Return an answer that must be of a kind.

    Args:
        kind: The kind.
        answer: The answer.

    Raises:
        TypeError: It is of another kind, so the history cannot be played.
    """
    if isinstance(answer, kind):
        return answer
    raise TypeError(f"this past cannot be played: {answer!r} is no {kind.__name__}")


def expect_done(kind: type[Wanted], answer: object) -> Wanted:
    """Return the value of an answer that must be `Done`.

    Args:
        kind: The kind of the value.
        answer: The answer.

    Raises:
        TypeError: It is ignored or refused, or its value is of another kind.
    """
    value = cast("Done[object]", answer).value if isinstance(answer, Done) else answer
    return expect_type(kind, value)
