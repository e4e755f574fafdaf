"""Assertions of the tools for testers, each weakened in one way: mutants that report less.

The law of this module: **a weakened tool accepts more and never less**. An assertion is removed, or
one of its conditions is. Arguments that are computed are still computed, so that a check sends the
same requests.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from typing import Final

from benchmarks.mutant import PACKAGE, Mutant

TOOLS: Final = (
    *("testing/conformance", "testing/laws", "testing/races", "testing/simulation"),
    *("testing/store_invariants.py", "testing/watch.py", "testing/watch_answers.py"),
    "testing/watch_limits.py",
)
"""The files and folders, within the package, whose assertions are weakened."""

_RAISED: Final = {"LawBrokenError", "NotConformingError", "RuleBrokenError"}
"""Errors that report a failure."""

_ASSERTING: Final = re.compile(
    r"_?(check|expect)(_.*)?|_judge|require|revoked_together|same|shows|stays|superseded_by"
)
"""Functions and methods that report a failure and that a caller uses for nothing else."""

_SENDING: Final = {"answered", "made", "refusal", "success"}
"""Generators that send a request and report an unexpected response."""

_REPORTING: Final = {"parts.update", "wrong.append"}
"""Calls that collect what is compared or reported later."""

_DIFFERENCES: Final = "tuple[str, ...]"
"""The annotation of functions that return differences; a weakened one returns none."""

_TRANSPARENT: Final = {"CHECKS.add", "classmethod", "property", "staticmethod"}
"""Decorators with a plain function underneath; `CHECKS.add` returns the function itself."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> tuple[str, ...]:
    """Every module of the tools, within the package."""
    paths = [
        path
        for tool in TOOLS
        for path in sorted((PACKAGE / tool).rglob("*.py")) or [PACKAGE / tool]
    ]
    return tuple(
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in paths
        if path.stem != "__init__"
    )


def weakened(module: str) -> list[Mutant]:
    """Every way to weaken an assertion of a module, in the order of its source."""
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    made = []
    for name, function in _functions(ast.parse(path.read_text(encoding="utf-8"))):
        bare = copy.deepcopy(function)
        bare.decorator_list = []
        finds = bare.returns is not None and ast.unparse(bare.returns) == _DIFFERENCES
        for place, node in enumerate(ast.walk(bare)):
            forms = [*_weaker(node)]
            if finds and isinstance(node, ast.Return):
                forms.append(_shown(node, ast.Return(ast.Tuple([], ast.Load()))))
            made += [
                Mutant(
                    module=module,
                    function=name,
                    before=before,
                    after=after,
                    source=_replaced(bare, place, weaker),
                )
                for before, after, weaker in forms
            ]
    return made


def _functions(tree: ast.Module) -> Iterator[tuple[str, _Function]]:
    for statement in tree.body:
        if isinstance(statement, _Function) and _is_plain(statement):
            yield statement.name, statement
        elif isinstance(statement, ast.ClassDef):
            for member in statement.body:
                if isinstance(member, _Function) and _is_plain(member):
                    yield f"{statement.name}.{member.name}", member


def _is_plain(function: _Function) -> bool:
    names = [ast.unparse(each).partition("(")[0] for each in function.decorator_list]
    return all(name in _TRANSPARENT for name in names)


def _replaced(function: _Function, place: int, weaker: ast.stmt) -> str:
    """Return the source of a function with another statement at a place of `ast.walk`."""
    changed = copy.deepcopy(function)
    found = next(node for at, node in enumerate(ast.walk(changed)) if at == place)
    return ast.unparse(_Replace(found, weaker).visit(changed))


class _Replace(ast.NodeTransformer):
    """Replaces one node."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        return self._new if node is self._old else self.generic_visit(node)


def _weaker(node: ast.AST) -> Iterator[tuple[str, str, ast.stmt]]:
    """Yield a statement's form before, its form after, and each weaker statement."""
    match node:
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name))) if name in _RAISED:
            yield _shown(node, ast.Pass())
        case ast.Assert():
            yield _shown(node, ast.Pass())
        case ast.If(test=ast.BoolOp(op=ast.Or()) as test) if _reports(node.body[-1]):
            for fewer in _without_one(test):
                before, after = ast.unparse(test), ast.unparse(fewer)
                changed = ast.If(test=fewer, body=node.body, orelse=node.orelse)
                yield f"if {before}:", f"if {after}:", changed
        case ast.Expr(value=ast.YieldFrom(value=ast.Call() as call)):
            if _called(call) in _SENDING:
                yield _shown(node, ast.Expr(ast.Yield(call.args[0])))
            elif _is_asserting(call):
                yield _shown(node, ast.Pass())
        case ast.Expr(value=ast.Call() as call):
            if ast.unparse(call.func) in _REPORTING:
                yield _shown(node, ast.Pass())
            elif _is_asserting(call):
                given = [*call.args, *[each.value for each in call.keywords]]
                yield _shown(node, ast.Expr(ast.Tuple(given, ast.Load())))
                for fewer in _weaker_arguments(call):
                    yield _shown(node, ast.Expr(fewer))
        case _:
            pass


def _shown(before: ast.stmt, after: ast.stmt) -> tuple[str, str, ast.stmt]:
    return ast.unparse(before), ast.unparse(after), after


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _is_asserting(call: ast.Call) -> bool:
    return _ASSERTING.fullmatch(_called(call)) is not None


def _reports(statement: ast.stmt) -> bool:
    match statement:
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name))):
            return name in _RAISED
        case _:
            return False


def _without_one(test: ast.BoolOp) -> Iterator[ast.expr]:
    """Yield a condition without each of its operands."""
    for place in range(len(test.values)):
        rest = [*test.values[:place], *test.values[place + 1 :]]
        yield ast.BoolOp(test.op, rest) if len(rest) > 1 else rest[0]


def _weaker_arguments(call: ast.Call) -> Iterator[ast.Call]:
    """Yield calls of `require` without each operand, and of `same` without each pair."""
    match call.args:
        case [ast.BoolOp(op=ast.And()) as test, *others] if _called(call) == "require":
            for fewer in _without_one(test):
                yield ast.Call(call.func, [fewer, *others], call.keywords)
        case [ast.Tuple() as seen, ast.Tuple() as wanted, *others] if _called(call) == "same":
            for place in range(min(len(seen.elts), len(wanted.elts))):
                pair = [
                    ast.Tuple([*each.elts[:place], *each.elts[place + 1 :]], ast.Load())
                    for each in (seen, wanted)
                ]
                yield ast.Call(call.func, [*pair, *others], call.keywords)
        case _:
            pass
