"""Make the mutants of a module's functions, and activate one of them in this process.

The law of this module: **a mutant is one change in one function**, method or property. It is never
written to a file: the existing function object gets its code, so all callers run it.
"""

from __future__ import annotations
import __future__

import difflib
import importlib
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import _lru_cache_wrapper
from pathlib import Path
from types import FunctionType
from typing import Final, TypeGuard

import attrs
import libcst
from mutmut.configuration import config
from mutmut.mutation.file_mutation import create_mutations

from benchmarks.decorated import plain_function, undecorated

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "curae_lifecycle"
_SQL: Final = re.compile(
    r"\b(SELECT|FROM|WHERE|INSERT|UPDATE|DELETE|ORDER BY|UNION ALL|AND|AS|curae_\w+)\b|= \?"
)
"""A pattern that finds SQL in a text; SQL ignores the case of its words."""
_LITERAL: Final = re.compile("'[^']*'")


@attrs.frozen
class Mutant:
    """One change in one function.

    Attributes:
        module: The module, within the package.
        function: The function's qualified name.
        before: The lines that the mutant changes, as they are in the code.
        after: The same lines after the change.
        source: The source of the changed function.
        place: The number of the mutant among those with the same change in the function, from 1.
    """

    module: str
    function: str
    before: str
    after: str
    source: str = attrs.field(repr=False)
    place: int = 1

    @property
    def key(self) -> tuple[str, str, str]:
        """The key of the mutant in the dictionaries of equivalent mutants."""
        before = self.before if self.place == 1 else f"{self.before} (place {self.place})"
        return f"{self.module}.{self.function}", before, self.after

    def __str__(self) -> str:
        where, before, after = self.key
        return f"{where}\n    - {before}\n    + {after}"


def modules() -> tuple[str, ...]:
    """Return the names of all modules in the package; a folder's name means its `__init__.py`."""
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    names = {".".join(path.parts).removesuffix("__init__").removesuffix(".") for path in paths}
    # The package's own `__init__.py` only names objects that other modules define.
    return tuple(sorted(names - {"", "__main__"}))


def configure() -> None:
    """Load mutmut's settings from a temporary file, since mutmut requires one with this setting."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "setup.cfg").write_text("[mutmut]\nsource_paths = curae_lifecycle\n")
        os.chdir(folder)
        config()
        os.chdir(ROOT)


def path_of(module: str) -> Path:
    """Return the file of a module."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def mutants_of(module: str) -> list[Mutant]:
    """Return all mutants of a module, in the order of its source."""
    path = path_of(module)
    source = undecorated(path.read_text(encoding="utf-8"))
    parsed, mutations, _, _ = create_mutations(str(path), source)
    names: dict[libcst.CSTNode, str] = {}
    for statement in parsed.body:
        if isinstance(statement, libcst.FunctionDef):
            names[statement] = statement.name.value
        elif isinstance(statement, libcst.ClassDef):
            for member in statement.body.body:
                if isinstance(member, libcst.FunctionDef):
                    names[member] = f"{statement.name.value}.{member.name.value}"
    made = list[Mutant]()
    places = Counter[tuple[str, str, str]]()
    for mutation in mutations:
        function = mutation.contained_by_top_level_function
        if not isinstance(function, libcst.FunctionDef) or function not in names:
            continue
        if _only_for_readers(function, mutation.original_node, mutation.mutated_node):
            continue
        bare = function.with_changes(decorators=())
        changed = bare.deep_replace(mutation.original_node, mutation.mutated_node)
        assert isinstance(changed, libcst.FunctionDef)
        old, new = (parsed.code_for_node(each).strip() for each in (bare, changed))
        name, (before, after) = names[function], _difference(old, new)
        # A function may have a line twice, and its mutant may be equivalent in one place only.
        places[name, before, after] += 1
        place = places[name, before, after]
        made.append(
            Mutant(
                module=module, function=name, before=before, after=after, source=new, place=place
            )
        )
    return made


def _only_for_readers(
    function: libcst.FunctionDef, original: libcst.CSTNode, mutated: libcst.CSTNode
) -> bool:
    """Return True if a mutant changes only text that people or type checkers read.

    There are four kinds:

    - a sentence of an exception, whose words may change; its facts are attributes, which tests pin;
    - the type that `cast` names;
    - a last case that `assert_never` proves empty;
    - the case of letters in an SQL text, if its literals are unchanged.
    """
    if isinstance(original, libcst.SimpleString) and isinstance(mutated, libcst.SimpleString):
        text, other = original.value, mutated.value
        is_other_case = text.lower() == other.lower()
        if (
            _SQL.search(text)
            and is_other_case
            and _LITERAL.findall(text) == _LITERAL.findall(other)
        ):
            return True
    if isinstance(original, libcst.Match) and isinstance(mutated, libcst.Match):
        gone = [case for case in original.cases if case not in mutated.cases]
        return len(gone) == 1 and any(
            _is_call(node, "assert_never") for node in _every_node(gone[0])
        )
    if _is_call(original, "assert_never"):
        return True
    if isinstance(original, libcst.SimpleString) and " " in original.value:
        exceptions = [node for node in _every_node(function) if _raises(node)]
        if any(node is original for each in exceptions for node in _every_node(each)):
            return True
    calls = [node for node in _every_node(function) if _is_call(node, "cast")]
    if any(original is node for call in calls for node in _every_node(call.args[0])):
        return True
    return (
        _is_call(original, "cast")
        and isinstance(mutated, libcst.Call)
        and mutated.args[-1].value is original.args[-1].value
    )


def _raises(node: libcst.CSTNode) -> bool:
    """Return True if a node constructs an exception, or calls the constructor of its base class."""
    if not isinstance(node, libcst.Call):
        return False
    called = node.func.attr if isinstance(node.func, libcst.Attribute) else node.func
    return isinstance(called, libcst.Name) and called.value.endswith(("Error", "__init__"))


def _every_node(node: libcst.CSTNode) -> Iterator[libcst.CSTNode]:
    """Yield a node and all nodes below it."""
    yield node
    for child in node.children:
        yield from _every_node(child)


def _is_call(node: libcst.CSTNode, name: str) -> TypeGuard[libcst.Call]:
    """Return True if a node is a call of the function with this name."""
    return isinstance(node, libcst.Call) and node.func.deep_equals(libcst.Name(name))


def _difference(old: str, new: str) -> tuple[str, str]:
    """Return the removed and the added lines, without their indentation."""
    removed, added = [], []
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line.startswith("- "):
            removed.append(line[2:].strip())
        elif line.startswith("+ "):
            added.append(line[2:].strip())
    return " ".join(removed), " ".join(added)


def object_of(mutant: Mutant) -> object:
    """Return the object with the mutated function's name: the function or a decorator's result."""
    found: object = importlib.import_module(f"curae_lifecycle.{mutant.module}")
    for part in mutant.function.split("."):
        found = vars(found)[part]
    return found


def function_of(mutant: Mutant) -> FunctionType:
    """Return the function object that all callers run, including those that imported it by name."""
    function = plain_function(object_of(mutant), str(path_of(mutant.module)))
    assert function is not None
    return function


def forget_results(mutants: Iterable[Mutant]) -> None:
    """Empty the caches of the mutated functions, so that the next call runs the code."""
    for found in map(object_of, mutants):
        if isinstance(found, _lru_cache_wrapper):
            found.cache_clear()


def activate(mutant: Mutant) -> None:
    """Give the function the mutant's code, in this process."""
    function = function_of(mutant)
    forget_results([mutant])
    module = sys.modules[f"curae_lifecycle.{mutant.module}"]
    *classes, name = mutant.function.split(".")
    source = mutant.source
    if function.__code__.co_freevars and "super" not in source:
        # Otherwise the mutant's code would have one cell fewer, and Python would refuse it.
        source += "\n    __class__"
    for each in classes:
        # A method is compiled inside its class, so that `super()` finds its cell.
        source = f"class {each}:\n" + "".join(f"    {line}\n" for line in source.splitlines())
    flags = __future__.annotations.compiler_flag
    scratch: dict[str, object] = {}
    code = compile(source, f"<mutant of {mutant.function}>", "exec", flags, dont_inherit=True)
    exec(code, vars(module), scratch)  # noqa: S102 - runs a mutant on purpose
    made: object = next(iter(scratch.values()))
    for part in (*classes[1:], name) if classes else ():
        made = vars(made)[part]
    made = getattr(made, "__func__", made)
    assert isinstance(made, FunctionType)
    function.__code__ = made.__code__
    function.__defaults__ = made.__defaults__
    function.__kwdefaults__ = made.__kwdefaults__
