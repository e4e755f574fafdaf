"""The public names of the package and their docstrings, read from the source.

A name is public if no part of it starts with an underscore and its module is on a page of the
reference.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import attrs

import curae_lifecycle
from tests.support.paths import ROOT

PACKAGE: Final = Path(curae_lifecycle.__file__).parent
REFERENCE: Final = ROOT / "docs" / "reference"

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@attrs.frozen
class Named:
    """A public name.

    Attributes:
        name: The module and name, without the package.
        kind: One of function, method, class or constant.
        says: The docstring; for a class also those of its fields.
        parts: The parameters of a function or the fields of a class.
        raises: The errors that a function itself raises.
        outcomes: The transition outcomes that its return type names.
        told_elsewhere: The docstrings of its base classes and of the function that it refers to.
    """

    name: str
    kind: str
    says: str
    parts: tuple[str, ...] = ()
    told_elsewhere: str = ""
    raises: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()

    @property
    def untold(self) -> tuple[str, ...]:
        """The parts that no docstring describes; a single part needs no description."""
        said = f"{self.says}\n{self.told_elsewhere}"
        if len(self.parts) == 1:
            return ()
        return tuple(part for part in self.parts if not tells_of(said, part))

    @property
    def unsaid(self) -> frozenset[str]:
        """The errors and outcomes that the docstring does not name."""
        said = f"{self.says}\n{self.told_elsewhere}"
        errors = frozenset() if "aise" in said else self.raises
        return frozenset(
            word for word in errors | self.outcomes if not re.search(rf"\b{word}\b", said)
        )


def tells_of(said: str, part: str) -> bool:
    """Return whether a text names a part: as spelled in Python, on the wire, or in words."""
    first, *rest = part.split("_")
    wire = first + "".join(word.capitalize() for word in rest)
    if re.search(rf"\b(?:{part}|{wire})\b", said):
        return True
    words = [word.rstrip("s") for word in part.split("_")]
    return all(re.search(rf"\b{re.escape(word)}", said, re.IGNORECASE) for word in words)


def listed_modules() -> list[str]:
    """List the modules on the pages of the reference, without the package."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md")))
    return re.findall(r"^- `curae_lifecycle\.([\w.]+)`", text, re.MULTILINE)


@cache
def tree(module: str) -> ast.Module:
    """Parse the source of a module."""
    path = PACKAGE.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def public_names() -> tuple[Named, ...]:
    """Return every public name of every listed module."""
    return tuple(
        named for module in listed_modules() for named in names_of(module, tree(module).body)
    )


def names_of(module: str, body: list[ast.stmt]) -> Iterator[Named]:
    """Yield the public names of a module's statements."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if _is_public(node.name):
                yield _function(f"{module}.{node.name}", kind="function", node=node, elsewhere="")
            case ast.ClassDef() if _is_public(node.name):
                yield from _class(module, node)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                if _is_public(name) and not _is_short(node):
                    yield Named(f"{module}.{name}", "constant", _text(after))
            case _:
                pass


def _class(module: str, node: ast.ClassDef) -> Iterator[Named]:
    fields = tuple(
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and _is_public(each.target.id)
        and "ClassVar" not in ast.unparse(each.annotation)
    )
    made_by = next((each for each in _methods(node) if each.name == "__init__"), None)
    given = () if made_by is None else _parameters(made_by, method=True)
    said = "\n".join([ast.get_docstring(node) or "", *map(_text, node.body[1:])])
    if made_by is not None:
        said += ast.get_docstring(made_by) or ""
    above = list(_above(node))
    name = f"{module}.{node.name}"
    told = [ast.get_docstring(each) or "" for each in above]
    yield Named(
        name=name,
        kind="class",
        says=said,
        parts=fields + given,
        told_elsewhere="\n".join([*told, *_like(said)]),
    )
    for method in _methods(node):
        if _is_public(method.name):
            same = [each for other in (*above, *_declared()) for each in _methods(other)]
            declared = [ast.get_docstring(each) or "" for each in same if each.name == method.name]
            yield _function(
                f"{name}.{method.name}", kind="method", node=method, elsewhere="\n".join(declared)
            )


def _function(name: str, kind: str, node: _Function, elsewhere: str) -> Named:
    said = ast.get_docstring(node) or ""
    told = "\n".join([elsewhere, *_like(said)])
    parts = _parameters(node, method=kind == "method")
    answers = "" if node.returns is None else ast.unparse(node.returns)
    outcomes = frozenset(re.findall(r"\b(?:Done|Ignored|Refused)\b", answers))
    return Named(
        name=name,
        kind=kind,
        says=said,
        parts=parts,
        told_elsewhere=told,
        raises=frozenset(_raised(node)),
        outcomes=outcomes,
    )


def _raised(node: ast.AST) -> Iterator[str]:
    """Yield the names of the errors that a function itself raises."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.Raise) and inner.exc is not None:
            error = inner.exc.func if isinstance(inner.exc, ast.Call) else inner.exc
            name = ast.unparse(error).rpartition(".")[2]
            if name[:1].isupper():
                yield name
        elif not isinstance(inner, _Function | ast.Lambda):
            yield from _raised(inner)


def _like(said: str) -> list[str]:
    """Return the docstrings that a text refers to, as in "as `serve` does"."""
    return [_saying().get(each, "") for each in re.findall(r"\b[Aa]s `(?:\w+\.)*(\w+)`", said)]


@cache
def _saying() -> dict[str, str]:
    """Map each function, method and class to its docstring, by its name."""
    said: dict[str, str] = {}
    for module in listed_modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, _Function | ast.ClassDef):
                said[node.name] = f"{said.get(node.name, '')}\n{ast.get_docstring(node) or ''}"
    return said


def _methods(node: ast.ClassDef) -> list[_Function]:
    return [each for each in node.body if isinstance(each, _Function)]


def _parameters(node: _Function, *, method: bool) -> tuple[str, ...]:
    given = node.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [each.arg for each in (given.vararg, given.kwarg) if each is not None]
    own = names[1:] if method and names[:1] in (["self"], ["cls"]) else names
    return tuple(name for name in own if _is_public(name))


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _text(node: ast.stmt | None) -> str:
    """Return the string that documents the statement before it."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return node.value.value if isinstance(node.value.value, str) else ""
    return ""


_VERDICTS: Final = frozenset(
    {"Value", "MoveTo", "RefuseWith", "ReadAs", "Enter", "Grant", "Lose", "Mint", "Reissue"}
    | {"Execute", "Repeat", "Recover", "RecordExpiry", "Ignore", "Proceed", "partial"}
)
_KINDS: Final = frozenset({"TypeVar", "_rows_on"})


def _is_short(node: ast.stmt) -> bool:
    """Return whether a statement names only a table value, a word or a type variable."""
    value = getattr(node, "value", None)
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in _VERDICTS | _KINDS
    return isinstance(value, ast.Name)


@cache
def _classes() -> dict[str, ast.ClassDef]:
    return {
        node.name: node
        for module in listed_modules()
        for node in tree(module).body
        if isinstance(node, ast.ClassDef)
    }


def _above(node: ast.ClassDef) -> Iterator[ast.ClassDef]:
    """Yield the base classes that the package defines."""
    for base in node.bases:
        name = ast.unparse(base).partition("[")[0].rpartition(".")[2]
        if name in _classes() and name != node.name:
            yield _classes()[name]
            yield from _above(_classes()[name])


@cache
def _declared() -> tuple[ast.ClassDef, ...]:
    """Return the protocols of the package, whose methods document their implementations."""
    return tuple(
        node
        for node in _classes().values()
        if any(ast.unparse(base).partition("[")[0] == "Protocol" for base in node.bases)
    )
