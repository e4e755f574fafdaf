"""The assertions of the tools for testers, and a way to disable one of them.

The law of this module: **only one assertion is disabled at a time**, and it is enabled again afterwards.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Final, cast

import attrs
import pytest

import curae_lifecycle
from curae_lifecycle.rules.errors import LifecycleError

_PACKAGE: Final = Path(curae_lifecycle.__file__).parent

_ERRORS: Final = frozenset({"LawBrokenError", "NotConformingError", "RuleBrokenError"})
"""The errors with which an assertion fails."""

_ASSERTING: Final = frozenset(
    {"move", "refusal", "require", "same", "shows", "stays", "success", "superseded_by"}
)
"""Functions that raise such an error, in addition to those named `check_…` and `expect_…`."""

_EXCLUDED_FOLDERS: Final = ("testing/conformance/", "testing/strategies/")
"""The folders of the kit and of the strategies, which only draw values."""

_ASSERTING_PREFIXES: Final = ("check_", "expect_")


@attrs.frozen(order=True)
class Assertion:
    """One assertion: a `raise`, or a call of a function that raises.

    Attributes:
        module: The module's file, within the package.
        function: The outermost function or method around it.
        text: Its source on one line, with a number if the function has several that are alike.
        lines: Its first and last line.
    """

    module: str
    function: str
    text: str
    lines: tuple[int, int] = attrs.field(order=False, repr=False)

    @property
    def name(self) -> str:
        """The key of the assertion in a list."""
        return f"{self.module} {self.function}: {self.text}"


def assertions(folder: str, *, excluded: tuple[str, ...] = ()) -> Iterator[Assertion]:
    """Yield the assertions of all modules in a folder of the package, in the order of the source.

    Args:
        folder: The folder.
        excluded: Folders in it whose modules are left out.
    """
    for path in sorted((_PACKAGE / folder).rglob("*.py")):
        module = path.relative_to(_PACKAGE).as_posix()
        if module.startswith(excluded):
            continue
        source = path.read_bytes()
        lines_of_source = source.split(b"\n")
        for name, function in _functions(ast.parse(source)):
            seen: Counter[str] = Counter()
            for node in _within(function):
                text = _on_one_line(_text(lines_of_source, node))
                seen[text] += 1
                if seen[text] > 1:
                    text = f"{text} ({seen[text]})"
                lines = (node.lineno, node.end_lineno or 0)
                yield Assertion(module=module, function=name, text=text, lines=lines)


def kit_assertions() -> list[Assertion]:
    """Return the assertions of the conformance kit, without those of the laws that it calls."""
    return list(assertions("testing/conformance"))


def other_assertions() -> list[Assertion]:
    """Return the assertions of the laws, the watch, the store's invariants and the simulation."""
    return list(assertions("testing", excluded=_EXCLUDED_FOLDERS))


def by_line(watched: Iterable[Assertion]) -> dict[tuple[str, int], Assertion]:
    """Return assertions by the file and each of the lines that hold them."""
    return {
        (str(_PACKAGE / each.module), line): each
        for each in watched
        for line in range(each.lines[0], each.lines[1] + 1)
    }


@contextmanager
def disabled(assertion: Assertion) -> Iterator[None]:
    """Disable an assertion within a `with` block."""
    function = _function_object(assertion)
    before = function.__code__
    function.__code__ = _code_without(assertion)
    try:
        yield
    finally:
        function.__code__ = before


@contextmanager
def noted_failures(watched: Iterable[Assertion]) -> Iterator[set[Assertion]]:
    """Collect the assertions that fail within a `with` block, wherever the error is caught."""
    lines = by_line(watched)
    failed: set[Assertion] = set()

    def note(error: LifecycleError, *arguments: object) -> None:
        Exception.__init__(error, *arguments)
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            each = lines.get((frame.f_code.co_filename, frame.f_lineno))
            if each is not None:
                failed.add(each)
            frame = frame.f_back

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LifecycleError, "__init__", note)
        yield failed


def _text(lines: Sequence[bytes], node: ast.stmt) -> str:
    # `ast.get_source_segment` splits the whole source for each node.
    *before, last = lines[node.lineno - 1 : node.end_lineno]
    text = b"\n".join([*before, last[: node.end_col_offset]])
    return text[node.col_offset :].decode()


def _on_one_line(source: str) -> str:
    text = re.sub(r"([(\[{]) ", r"\1", " ".join(source.split()))
    return re.sub(r",? ([)\]}])", r"\1", text)


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(tree: ast.Module) -> Iterator[tuple[str, _Function]]:
    for node in tree.body:
        if isinstance(node, _Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, _Function):
                    yield f"{node.name}.{inner.name}", inner


def _within(function: _Function) -> list[ast.stmt]:
    nodes = [node for node in _statements(function) if _asserts(node)]
    return sorted(nodes, key=lambda each: (each.lineno, each.col_offset))


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        # An expression holds no statement, and most nodes are expressions.
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, ast.expr):
            yield from _statements(child)


def _asserts(node: ast.stmt) -> bool:
    match node:
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name))):
            return name in _ERRORS
        case (
            ast.Expr(value=ast.Call(func=called))
            | ast.Expr(value=ast.YieldFrom(value=ast.Call(func=called)))
        ):
            name = called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)
            return name in _ASSERTING or name.lstrip("_").startswith(_ASSERTING_PREFIXES)
        case _:
            return False


@attrs.define
class _Disabling(ast.NodeTransformer):
    lines: tuple[int, int]

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.stmt) and _asserts(node):
            return self._without(node) if (node.lineno, node.end_lineno) == self.lines else node
        return self.generic_visit(node)

    def _without(self, node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.Raise):
            return ast.copy_location(ast.Pass(), node)
        # The call stays, since it may also send a request.
        handler = ast.ExceptHandler(ast.Name("AssertionError", ast.Load()), None, [ast.Pass()])
        made = ast.Try(body=[node], handlers=[handler], orelse=[], finalbody=[])
        return ast.fix_missing_locations(ast.copy_location(made, node))


def _code_without(assertion: Assertion) -> CodeType:
    path = _PACKAGE / assertion.module
    tree = ast.parse(path.read_text(encoding="utf-8"))
    _Disabling(assertion.lines).visit(tree)
    code = compile(tree, str(path), "exec", dont_inherit=True)
    for name in assertion.function.split("."):
        code = _code_of(name, code.co_consts)
    return code


def _code_of(name: str, constants: Sequence[object]) -> CodeType:
    (found,) = [each for each in constants if isinstance(each, CodeType) and each.co_name == name]
    return found


def _function_object(assertion: Assertion) -> FunctionType:
    module = assertion.module.removesuffix(".py").removesuffix("/__init__")
    found: object = import_module(f"curae_lifecycle.{module.replace('/', '.')}")
    for name in assertion.function.split("."):
        found = getattr(found, name)
    # The function of a class method, and the one within a decorator such as `contextmanager`.
    function: object = inspect.unwrap(
        cast("Callable[[], object]", getattr(found, "__func__", found))
    )
    assert isinstance(function, FunctionType)
    return function
