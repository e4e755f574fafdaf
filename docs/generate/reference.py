"""Pages of the reference: the modules of each folder of the package, with their first lines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import curae_lifecycle

PACKAGE: Final = Path(curae_lifecycle.__file__).parent
ROOMS: Final = ("rules", "service", "web", "stores", "replay", "testing", "servers")
"""The folders of the package that others import from."""


def files() -> dict[str, str]:
    """Return the page of each folder by its file name."""
    return {f"{room}.md": _page(room) for room in ROOMS}


def _page(room: str) -> str:
    lines = [f"- `{name}`: {first_line}" for name, first_line in _modules(room)]
    return (
        f"# curae_lifecycle.{room}\n\n"
        f"{_first_line(PACKAGE / room / '__init__.py')} Each module is described by its "
        "docstrings: on the site below this list, and by `help`.\n\n" + "\n".join(lines) + "\n"
    )


def _modules(room: str) -> Iterator[tuple[str, str]]:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        is_package, in_room = path.name == "__init__.py", path.parent == PACKAGE / room
        # A suite imports from the packages of `testing`, not from the modules inside them.
        is_internal = room == "testing" and not in_room and not is_package
        is_unlisted = is_package and (in_room or len(_tree(path).body) == 1)
        if not is_internal and not is_unlisted and "migrations" not in parts:
            name = ".".join(part for part in parts if part != "__init__")
            yield f"curae_lifecycle.{name}", _first_line(path)


def _first_line(path: Path) -> str:
    return (ast.get_docstring(_tree(path)) or "").partition("\n")[0]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
