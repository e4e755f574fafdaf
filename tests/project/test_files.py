"""Python files of the repository: their length and their module docstrings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

import curae_lifecycle
from tests.support.paths import ROOT

PACKAGE: Final = Path(curae_lifecycle.__file__).resolve().parent
FOLDERS: Final = (PACKAGE, ROOT / "tests", ROOT / "benchmarks", ROOT / "docs")
LONGEST: Final = 500
"""The most lines in a file."""


def too_long(folder: Path) -> list[str]:
    """Return the Python files in a folder, at any depth, that are too long."""
    lengths = {file: len(file.read_text("utf-8").splitlines()) for file in folder.rglob("*.py")}
    assert lengths, f"no Python file in {folder}"
    return [f"{file}: {lines} lines" for file, lines in lengths.items() if lines > LONGEST]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_python_file_has_more_lines_than_the_maximum(folder: Path) -> None:
    assert too_long(folder) == []


def test_file_one_line_over_the_maximum_is_found_at_any_depth(tmp_path: Path) -> None:
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    (deep / "short.py").write_text("x = 1\n" * LONGEST)
    (deep / "long.py").write_text("x = 1\n" * (LONGEST + 1))
    assert too_long(tmp_path) == [f"{deep / 'long.py'}: {LONGEST + 1} lines"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_module_begins_with_a_docstring(folder: Path) -> None:
    texts = {str(file): file.read_text("utf-8") for file in folder.rglob("*.py")}
    # An empty file only makes its folder a package.
    assert [file for file, text in texts.items() if text and not re.match(r'r?"""\S', text)] == []
