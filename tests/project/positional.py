"""Search for calls of this repository's functions with over three positional arguments."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import attrs

import curae_lifecycle

ALLOWED: Final = 3
"""The most positional arguments in a call."""

ROOTS: Final = ("curae_lifecycle", "tests", "benchmarks", "docs", ".ci")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@attrs.frozen
class LongCall:
    """A call with too many positional arguments.

    Attributes:
        file: The file that holds it.
        line: Its line.
        called: The name of the function or class.
        given: The number of positional arguments.
    """

    file: str
    line: int
    called: str
    given: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.called} gets {self.given} arguments by position"


def python_files(root: Path) -> dict[str, str]:
    """Return the repository's Python sources by their paths.

    The package is read where it is imported from, which may be an installed wheel.
    """
    package = Path(curae_lifecycle.__file__).parent
    folders = {each: root / each for each in ROOTS} | {package.name: package}
    return {
        str(Path(name) / path.relative_to(folder)): path.read_text(encoding="utf-8")
        for name, folder in folders.items()
        for path in sorted(folder.rglob("*.py"))
    }


def long_calls(sources: dict[str, str]) -> list[LongCall]:
    """Return every call with too many positional arguments in these sources."""
    # Each tree is walked once: a walk takes longer than parsing the file.
    files = {name: [*ast.walk(ast.parse(source))] for name, source in sources.items()}
    variadic = _variadic(chain.from_iterable(files.values()))
    return [
        each
        for name, nodes in files.items()
        if any(isinstance(node, ast.Call) and len(node.args) > ALLOWED for node in nodes)
        for each in _of_file(name, nodes=nodes, own=variadic)
    ]


def _of_file(name: str, *, nodes: list[ast.AST], own: dict[str, bool]) -> Iterator[LongCall]:
    foreign = _foreign_names(nodes)
    for node, local in _calls(nodes[0], frozenset()):
        if len(node.args) <= ALLOWED:
            continue
        called = _called(node.func, foreign | local)
        # A variadic function takes arguments of one kind, so none can be swapped.
        if called in own and not own[called]:
            yield LongCall(name, line=node.lineno, called=called, given=len(node.args))


def _calls(node: ast.AST, local: frozenset[str]) -> Iterator[tuple[ast.Call, frozenset[str]]]:
    """Yield the calls within a node, each with the parameters of the functions around it."""
    for each in ast.iter_child_nodes(node):
        inner = local
        if isinstance(each, _Function):
            given = each.args
            held = (*given.posonlyargs, *given.args, *given.kwonlyargs)
            inner = local | {parameter.arg for parameter in held}
        if isinstance(each, ast.Call):
            yield each, inner
        yield from _calls(each, inner)


def _called(function: ast.expr, foreign: frozenset[str]) -> str:
    """Return a function's name; empty if it is a parameter or comes from another package."""
    if isinstance(function, ast.Subscript):
        function = function.value
    if isinstance(function, ast.Name):
        return "" if function.id in foreign else function.id
    if isinstance(function, ast.Attribute):
        first = function.value
        while isinstance(first, ast.Attribute):
            first = first.value
        is_foreign = isinstance(first, ast.Name) and first.id in foreign
        return "" if is_foreign else function.attr
    return ""


def _variadic(nodes: Iterable[ast.AST]) -> dict[str, bool]:
    """Map the names of all functions and classes to whether they are variadic."""
    found: dict[str, list[bool]] = defaultdict(list)
    for node in nodes:
        if isinstance(node, _Function):
            if _takes_many(node.args):
                found[node.name].append(node.args.vararg is not None)
        elif isinstance(node, ast.ClassDef):
            made = [each for each in node.body if isinstance(each, _Function)]
            by = [each for each in made if each.name in {"__init__", "__call__"}]
            # A class without its own constructor takes the arguments of its base, which
            # are unknown here, so the class is left out.
            if not node.bases or by or node.decorator_list:
                found[node.name].append(any(each.args.vararg for each in by))
    return {name: any(each) for name, each in found.items()}


def _takes_many(parameters: ast.arguments) -> bool:
    names = [each.arg for each in (*parameters.posonlyargs, *parameters.args)]
    taken = len(names) - (names[:1] in (["self"], ["cls"]))
    return taken > ALLOWED or parameters.vararg is not None


def _foreign_names(nodes: Iterable[ast.AST]) -> frozenset[str]:
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            if node.level == 0 and (node.module or "").partition(".")[0] not in ROOTS:
                names |= {each.asname or each.name for each in node.names}
        elif isinstance(node, ast.Import):
            for each in node.names:
                if each.name.partition(".")[0] not in ROOTS:
                    names.add(each.asname or each.name.partition(".")[0])
    return frozenset(names)
