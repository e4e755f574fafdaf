"""Checks of the rule outcomes that the strategies rely on."""

from __future__ import annotations

from typing import TypeVar, cast

from curae_lifecycle.rules.outcomes import Done

Wanted = TypeVar("Wanted")


def expect_type(kind: type[Wanted], answer: object) -> Wanted:
    """Return `answer`, which must be an instance of `kind`.

    A strategy calls it for an answer that the rules must give in every draw.

    Args:
        kind: The expected class.
        answer: The answer of a rule.

    Raises:
        TypeError: `answer` is of another class, so the strategy cannot build its value.
    """
    if isinstance(answer, kind):
        return answer
    raise TypeError(
        f"this history cannot be played: {answer!r} must be of the type {kind.__name__}"
    )


def expect_done(kind: type[Wanted], answer: object) -> Wanted:
    """Return the value of `answer`, which must be `Done` with an instance of `kind`.

    Args:
        kind: The expected class of the value.
        answer: The answer of a rule.

    Raises:
        TypeError: `answer` is `Ignored` or `Refused`, or its value is of another class.
    """
    value = cast("Done[object]", answer).value if isinstance(answer, Done) else answer
    return expect_type(kind, value)
