"""The decorators under which mutmut finds a function to mutate.

The law of this module: **a mutant reaches the function that runs**, so a decorator goes only if it
returns the function itself, or an object that calls it.
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
"""mutmut leaves decorated functions alone; under these there is a plain function."""

_ADDS_A_CHECK: Final = re.compile(
    r"^@(CHECKS\.add|_race)\(.*?\)\n(?=def )", re.MULTILINE | re.DOTALL
)
"""The decorators that return the check's function itself, so that a mutant reaches it."""


def undecorated(source: str) -> str:
    """Return the source of a module without the decorators that leave a plain function to mutate."""
    return _ADDS_A_CHECK.sub("", _PLAIN_UNDERNEATH.sub("", source))


def plain_function(found: object, file: str) -> FunctionType | None:
    """Return the function of a file that an object is or calls, under any decorators; or None.

    Args:
        found: The object that the function's name has in its module or class.
        file: The file of the module.
    """
    found = getattr(found, "__func__", getattr(found, "fget", found))
    if isinstance(found, FunctionType) and found.__code__.co_filename == file:
        return found
    cells = found.__closure__ or () if isinstance(found, FunctionType) else ()
    # Hypothesis keeps the function that draws only in a closure.
    for each in (getattr(found, "__wrapped__", None), *[cell.cell_contents for cell in cells]):
        if callable(each):
            function = plain_function(each, file)
            if function is not None:
                return function
    return None
