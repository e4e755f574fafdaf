"""The one family of exceptions: a programmer's mistake, or a value from outside that no rule reads.

The law of this module: **an exception names what was wrong and what is allowed**, carries the
facts as attributes, and survives pickle and copy. What a rule forbids is no exception: it is a
`Refused`.
"""

from __future__ import annotations


class LifecycleError(Exception):
    """The base of every exception that the package raises.

    Its arguments are the constructor's own, so that a copy is made as the original was.
    """


class ArgumentError(LifecycleError, ValueError):
    """A caller's mistake: an argument that no correct program passes.

    It names the `argument` and what is `allowed`; the value itself is never repeated.
    """

    def __init__(self, argument: str, allowed: str) -> None:
        super().__init__(argument, allowed)
        self.argument = argument
        self.allowed = allowed

    def __str__(self) -> str:
        return f"{self.argument}: must be {self.allowed}"
