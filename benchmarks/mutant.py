"""Mutants of the functions of a module: what one is, and how it is put in place.

The law of this module: **a mutant is one change in one function**, method or property, and is
never written to a file: the function that everybody calls gets its code.
"""

from __future__ import annotations
import __future__

import difflib
import importlib
import sys
from pathlib import Path
from types import FunctionType
from typing import Final

import attrs

import curae_lifecycle

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = Path(curae_lifecycle.__file__).resolve().parent
"""The imported package: of this repository, or of an installed wheel."""

@attrs.frozen
class Mutant:
    """One change in one function.

    Attributes:
        module: The module, within the package.
        function: The function's qualified name.
        before: The changed lines as they are.
        after: The same lines, changed.
        source: The changed function.
    """

    module: str
    function: str
    before: str
    after: str
    source: str = attrs.field(repr=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """What the list of equivalent mutants names."""
        return f"{self.module}.{self.function}", self.before, self.after

    def __str__(self) -> str:
        return f"{self.module}.{self.function}\n    - {self.before}\n    + {self.after}"


def difference(old: str, new: str) -> tuple[str, str]:
    """The lines that differ, without their indentation."""
    removed, added = [], []
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line.startswith("- "):
            removed.append(line[2:].strip())
        elif line.startswith("+ "):
            added.append(line[2:].strip())
    return " ".join(removed), " ".join(added)


def function_of(mutant: Mutant) -> FunctionType:
    """The function object that everybody calls, also those who imported it by name."""
    found: object = importlib.import_module(f"curae_lifecycle.{mutant.module}")
    for part in mutant.function.split("."):
        found = vars(found)[part]
    found = getattr(found, "__func__", getattr(found, "fget", found))
    assert isinstance(found, FunctionType)
    return found


def activate(mutant: Mutant) -> None:
    """Give the function the mutant's code, in this process."""
    function = function_of(mutant)
    module = sys.modules[f"curae_lifecycle.{mutant.module}"]
    *classes, name = mutant.function.split(".")
    source = mutant.source
    for each in classes:
        # Inside a class, so that `super()` finds its cell.
        source = f"class {each}:\n" + "".join(f"    {line}\n" for line in source.splitlines())
    flags = __future__.annotations.compiler_flag
    scratch: dict[str, object] = {}
    code = compile(source, f"<mutant of {mutant.function}>", "exec", flags, dont_inherit=True)
    exec(code, vars(module), scratch)  # noqa: S102 - the mutant is the point
    made: object = next(iter(scratch.values()))
    for part in (*classes[1:], name) if classes else ():
        made = vars(made)[part]
    made = getattr(made, "__func__", made)
    assert isinstance(made, FunctionType)
    function.__code__ = made.__code__
    function.__defaults__ = made.__defaults__
    function.__kwdefaults__ = made.__kwdefaults__
