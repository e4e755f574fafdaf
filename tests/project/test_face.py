"""Exported names of the package: lazy imports, types and help texts."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from types import FunctionType

import pytest
from sqlalchemy import Engine

import curae_lifecycle
from curae_lifecycle import _HOMES

SOURCE = ast.parse(Path(curae_lifecycle.__file__).read_text(encoding="utf-8"))


def test_dunder_all_lists_exactly_the_lazily_loaded_names() -> None:
    (told,) = [
        ast.literal_eval(node.value)
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert told == sorted(_HOMES)
    for name in _HOMES:
        assert getattr(curae_lifecycle, name).__name__ == name
    assert set(_HOMES) <= set(dir(curae_lifecycle))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = curae_lifecycle.Nonsense


def test_imports_for_type_checkers_match_the_lazy_imports() -> None:
    told = {
        alias.name: node.module
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("curae_lifecycle.")
        for alias in node.names
    }
    assert told == {name: f"curae_lifecycle.{home}" for name, home in _HOMES.items()}


@pytest.mark.slow
def test_importing_the_package_loads_subpackages_lazily() -> None:
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


@pytest.mark.parametrize("name", _HOMES)
def test_help_on_each_exported_name_begins_with_a_sentence(name: str) -> None:
    # `ConnectionId` and other NewTypes are names for text and have no help.
    value: object = getattr(curae_lifecycle, name)
    if not isinstance(value, type) and not callable(value):
        return
    text = pydoc.plain(pydoc.render_doc(value))
    assert name in text
    doc = getattr(value, "__doc__", "") or ""
    assert doc.strip().splitlines()[0].rstrip().endswith((".", "[S].", "[O].", "[P]."))


def test_help_on_the_package_fits_120_lines() -> None:
    lines = pydoc.plain(pydoc.render_doc(curae_lifecycle)).splitlines()
    assert len(lines) <= 120
    assert max(len(line) for line in lines if curae_lifecycle.__file__ not in line) <= 80


def test_help_on_the_package_mentions_each_exported_name() -> None:
    doc = curae_lifecycle.__doc__ or ""
    assert [name for name in _HOMES if f"`{name}`" not in doc] == []


@pytest.mark.parametrize("name", _HOMES)
def test_signatures_of_exported_names_show_no_long_default(name: str) -> None:
    value: object = getattr(curae_lifecycle, name)
    if not isinstance(value, type | FunctionType) or name in {"ProblemCode", "Store"}:
        return
    for parameter in inspect.signature(value).parameters.values():
        assert len(repr(parameter.default)) < 100, parameter


@pytest.mark.parametrize("folder", ["stores", "stores.sql", "servers"])
def test_help_on_a_subpackage_names_existing_modules(folder: str) -> None:
    package = import_module(f"curae_lifecycle.{folder}")
    named = re.findall(r"`((?:\w+\.)+\w+)`", package.__doc__ or "")
    assert named
    for path in named:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(f"curae_lifecycle.{folder}.{module}"), name)


def test_code_snippet_in_help_on_the_sql_package_opens_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doc = import_module("curae_lifecycle.stores.sql").__doc__ or ""
    snippet = re.search(r"once:\n\n((?: {4}.*\n|\n)+)", doc)
    assert snippet is not None
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(textwrap.dedent(snippet[1]), names)  # noqa: S102 - the snippet is in the package
    engine = names["engine"]
    assert isinstance(engine, Engine)
    engine.dispose()
    assert (tmp_path / "connections.db").is_file()
