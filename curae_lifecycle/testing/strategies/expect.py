"""Checks of the rule outcomes that the strategies rely on."""

from __future__ import annotations

from typing import TypeVar, cast

from curae_lifecycle.rules.outcomes import Done

Wanted = TypeVar("Wanted")


def expect_type(kind: type[Wanted], answer: object) -> Wanted:
    """Return an answer that must be of one class.

    Args:
        kind: The class.
        answer: The answer of a rule.

    Raises:
        TypeError: The answer is of another class, so the strategy cannot build its history.
    """
    if isinstance(answer, kind):
        return answer
    raise TypeError(
        f"this history cannot be played: {answer!r} must be of the type {kind.__name__}"
    )


def expect_done(kind: type[Wanted], answer: object) -> Wanted:
    """Return the value of an answer that must be `Done`.

    Args:
        kind: The class of the value.
        answer: The answer of a rule.

    Raises:
        TypeError: The answer is ignored or refused, or its value is of another class.
    """
    value = cast("Done[object]", answer).value if isinstance(answer, Done) else answer
    return expect_type(kind, value)
