"""Search for calls of this repository's functions with over three positional arguments."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

import curae_lifecycle

ALLOWED: Final = 3
"""The most positional arguments in a call."""

ROOTS: Final = ("curae_lifecycle", "tests", "benchmarks", "docs")

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_FACE: Final = {
    name: f"{curae_lifecycle.__name__}/{module.replace('.', '/')}"
    for name, module in curae_lifecycle._HOMES.items()
}
"""The modules of the names that the package exports."""


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
    defined = {name: _Definitions.of(nodes) for name, nodes in files.items()}
    everywhere = _Definitions()
    for each in defined.values():
        everywhere.add(each)
    return [
        each
        for name, nodes in files.items()
        if any(isinstance(node, ast.Call) and len(node.args) > ALLOWED for node in nodes)
        for each in _of_file(name, nodes, _Scope.of(name, nodes, defined, everywhere=everywhere))
    ]


def _of_file(name: str, nodes: list[ast.AST], scope: _Scope) -> Iterator[LongCall]:
    for node, local in _calls(nodes[0], frozenset()):
        if len(node.args) > ALLOWED:
            called, is_variadic = scope.find(node.func, local)
            # A variadic function takes arguments of one kind, so none can be swapped.
            if is_variadic and not any(is_variadic):
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


_Variadic = dict[str, list[bool]]
"""Maps a name to a list that says of each definition of it whether it is variadic."""


@attrs.frozen
class _Definitions:
    """The functions and classes that take many arguments, and the methods, by their names."""

    functions: _Variadic = attrs.field(factory=lambda: defaultdict[str, list[bool]](list))
    methods: _Variadic = attrs.field(factory=lambda: defaultdict[str, list[bool]](list))

    @classmethod
    def of(cls, nodes: list[ast.AST]) -> _Definitions:
        """Find the definitions in the nodes of one file."""
        found = cls()
        bodies = [node.body for node in nodes if isinstance(node, ast.ClassDef)]
        methods = {each for body in bodies for each in body if isinstance(each, _Function)}
        for node in nodes:
            if isinstance(node, _Function):
                if _takes_many(node.args):
                    names = found.methods if node in methods else found.functions
                    names[node.name].append(node.args.vararg is not None)
            elif isinstance(node, ast.ClassDef):
                made = [each for each in node.body if isinstance(each, _Function)]
                by = [each for each in made if each.name in {"__init__", "__call__"}]
                # A class without its own constructor takes the arguments of its base, which
                # are unknown here, so the class is left out.
                if not node.bases or by or node.decorator_list:
                    found.functions[node.name].append(any(each.args.vararg for each in by))
        return found

    def add(self, others: _Definitions) -> None:
        """Add the definitions of another file."""
        for names, more in ((self.functions, others.functions), (self.methods, others.methods)):
            for name, variadic in more.items():
                names[name] += variadic


@attrs.frozen
class _Scope:
    """The definitions that a file can call.

    Attributes:
        own: The definitions of the file.
        imported: The definitions of the module that each name is, or comes from.
        foreign: The names that come from other packages.
        everywhere: The definitions of all files.
    """

    own: _Definitions
    imported: dict[str, _Definitions]
    foreign: frozenset[str]
    everywhere: _Definitions

    @classmethod
    def of(
        cls,
        name: str,
        nodes: list[ast.AST],
        defined: dict[str, _Definitions],
        *,
        everywhere: _Definitions,
    ) -> _Scope:
        """Return the scope of a file."""
        imported: dict[str, _Definitions] = {}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                for each in node.names:
                    home = (node.module or "").replace(".", "/")
                    if home == curae_lifecycle.__name__:
                        home = _FACE.get(each.name, home)
                    found = defined.get(f"{home}/{each.name}.py", defined.get(f"{home}.py"))
                    if found is not None:
                        imported[each.asname or each.name] = found
        return cls(
            own=defined[name],
            imported=imported,
            foreign=_foreign_names(nodes),
            everywhere=everywhere,
        )

    def find(self, function: ast.expr, local: frozenset[str]) -> tuple[str, list[bool]]:
        """Return the name of a called function, and whether each definition of it is variadic.

        Without a definition the list is empty: for a parameter, or a function of another package.
        """
        if isinstance(function, ast.Subscript):
            function = function.value
        match function:
            case ast.Name(id=name):
                if name in self.foreign | local:
                    return name, []
                homes = (self.own, self.imported.get(name), self.everywhere)
                return name, _first([each.functions for each in homes if each], name)
            case ast.Attribute(value=value, attr=name):
                return name, self._find_attribute(value, name)
            case _:
                return "", []

    def _find_attribute(self, value: ast.expr, name: str) -> list[bool]:
        first = value
        while isinstance(first, ast.Attribute):
            first = first.value
        root = first.id if isinstance(first, ast.Name) else ""
        if root in self.foreign:
            return []
        if first is value and root in {"self", "cls"}:
            return _first([self.own.methods, self.everywhere.methods], name)
        module = self.imported.get(root)
        if first is value and module is not None and name in module.functions:
            return module.functions[name]
        return self.everywhere.methods.get(name, [])


def _first(homes: list[_Variadic], name: str) -> list[bool]:
    return next((home[name] for home in homes if name in home), [])


def _takes_many(parameters: ast.arguments) -> bool:
    names = [each.arg for each in (*parameters.posonlyargs, *parameters.args)]
    taken = len(names) - (names[:1] in (["self"], ["cls"]))
    return taken > ALLOWED or parameters.vararg is not None


def _foreign_names(nodes: list[ast.AST]) -> frozenset[str]:
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
