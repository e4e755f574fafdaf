"""The names that a server starts with: lazy, typed, readable."""

from __future__ import annotations

import ast
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import curae_lifecycle
from curae_lifecycle import _HOMES

SOURCE = ast.parse(Path(curae_lifecycle.__file__).read_text(encoding="utf-8"))


def test_every_name_is_there_and_nothing_else() -> None:
    assert sorted(_HOMES) == sorted(curae_lifecycle.__all__)
    for name in curae_lifecycle.__all__:
        assert getattr(curae_lifecycle, name).__name__ == name
    assert set(curae_lifecycle.__all__) <= set(dir(curae_lifecycle))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = curae_lifecycle.Nonsense


def test_type_checkers_are_told_the_same_homes() -> None:
    told = {
        alias.name: node.module
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("curae_lifecycle.")
        for alias in node.names
    }
    assert told == {name: f"curae_lifecycle.{home}" for name, home in _HOMES.items()}


def test_an_import_loads_no_room_until_a_name_is_used() -> None:
    program = (
        "import sys, curae_lifecycle\n"
        "rooms = lambda: {m for m in sys.modules if m.startswith('curae_lifecycle.')}\n"
        "assert rooms() == set(), rooms()\n"
        "curae_lifecycle.decide\n"
        "assert not {m for m in rooms() if '.web' in m or '.stores' in m}, rooms()\n"
        "curae_lifecycle.respond\n"
        "assert not {m for m in rooms() if '.stores' in m}, rooms()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("name", curae_lifecycle.__all__)
def test_help_on_a_name_is_readable(name: str) -> None:
    # `ConnectionId` and its like are names for text, and have no help of their own.
    value: object = getattr(curae_lifecycle, name)
    if not isinstance(value, type) and not callable(value):
        return
    text = pydoc.plain(pydoc.render_doc(value))
    assert name in text
    doc = getattr(value, "__doc__", "") or ""
    assert doc.strip().splitlines()[0].rstrip().endswith((".", "[S].", "[O].", "[P]."))
