"""The one family of exceptions: a programmer's mistake, or an outside value that no rule can read.

The law of this module: **an exception names what was wrong and what is allowed**, carries the
facts as attributes, and survives pickle and copy. An action that a rule forbids raises no
exception: its result is a `Refused`.
"""

from __future__ import annotations

from collections.abc import Sized
from enum import Enum
from typing import Final


class LifecycleError(Exception):
    """The base class of the package's own exceptions.

    `args` holds the constructor's arguments, so that pickle and copy can rebuild the exception.
    """


class ArgumentError(LifecycleError, ValueError):
    """The error for an argument that no correct program passes.

    The message names the argument, the allowed values and the kind of value that was given. It
    never repeats a given text, which may be a secret.

    Attributes:
        argument: The name of the argument.
        allowed: The values that are allowed, in words.
        given: The kind of value that was given, such as `a str`; empty if the type was right.
    """

    def __init__(self, argument: str, allowed: str, given: str = "") -> None:
        super().__init__(argument, allowed, *([given] if given else []))
        self.argument = argument
        self.allowed = allowed
        self.given = given

    def __str__(self) -> str:
        given = f", not {self.given}" if self.given else ""
        return f"{self.argument}: must be {self.allowed}{given}"


def describe(value: object, text: str = "a str") -> str:
    """Return the kind of a value in words, such as `an int`, for the message of an error.

    The text of the value is never returned, since it may be a secret.

    Args:
        value: The value.
        text: The words to return if the value is a text that is not empty.

    Returns:
        The type of the value, such as `an int` or `an empty str`. For `None`, a boolean or a member
        of an enumeration: that value itself, such as `True`.
    """
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    name = type(value).__name__
    if isinstance(value, Sized) and not len(value):
        return f"an empty {name}"
    if isinstance(value, str):
        return text
    return f"{'an' if name[0] in _VOWELS else 'a'} {name}"


_VOWELS: Final = frozenset("aeioAEIO")
