"""Remove decorators that hide functions from mutmut, and find the functions underneath.

The law of this module: **a mutant reaches the function that runs**. So a decorator is removed only
if it returns the function itself, or an object that calls it.
"""

from __future__ import annotations

import re
from types import FunctionType
from typing import Final

_PLAIN_UNDERNEATH: Final = re.compile(
    r"^ *@(property|classmethod|contextmanager|asynccontextmanager|cache|lru_cache(\(.*\))?"
    r"|st\.composite)\n",
    re.MULTILINE,
)
"""The decorators with a plain function underneath; mutmut does not mutate decorated functions."""

_ADDS_A_CHECK: Final = re.compile(
    r"^@(CHECKS\.add|_race)\(.*?\)\n(?=def )", re.MULTILINE | re.DOTALL
)
"""The decorators that return the check's function itself, so that a mutant reaches it."""


def undecorated(source: str) -> str:
    """Return a module's source without the decorators that hide a plain function from mutmut."""
    return _ADDS_A_CHECK.sub("", _PLAIN_UNDERNEATH.sub("", source))


def plain_function(found: object, file: str) -> FunctionType | None:
    """Return the function of a file that an object is or calls through its decorators, or None.

    Args:
        found: The object that is bound to the function's name in its module or class.
        file: The file of the module.
    """
    found = getattr(found, "__func__", getattr(found, "fget", found))
    if isinstance(found, FunctionType) and found.__code__.co_filename == file:
        return found
    cells = found.__closure__ or () if isinstance(found, FunctionType) else ()
    # Hypothesis holds the function that draws only in a closure.
    for each in (getattr(found, "__wrapped__", None), *[cell.cell_contents for cell in cells]):
        if callable(each):
            function = plain_function(each, file)
            if function is not None:
                return function
    return None
