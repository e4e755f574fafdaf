"""The one family of exceptions: a programmer's mistake, or an outside value that no rule can read.

The law of this module: **an exception names what was wrong and what is allowed**, carries the
facts as attributes, and survives pickle and copy. An action that a rule forbids raises no
exception: its result is a `Refused`.
"""

from __future__ import annotations


class LifecycleError(Exception):
    """The base of every exception that the package raises.

    `args` holds the constructor's arguments, so that pickle and copy can rebuild the exception.
    """


class ArgumentError(LifecycleError, ValueError):
    """A caller's mistake: an argument that no correct program passes.

    The message names the argument and the allowed values, and never repeats the given value.

    Attributes:
        argument: The name of the argument.
        allowed: The values that are allowed, in words.
    """

    def __init__(self, argument: str, allowed: str) -> None:
        super().__init__(argument, allowed)
        self.argument = argument
        self.allowed = allowed

    def __str__(self) -> str:
        return f"{self.argument}: must be {self.allowed}"
