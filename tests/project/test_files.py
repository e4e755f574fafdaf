"""Python files of the repository: their length, their module docstrings and the names of tests."""

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
LONGEST_NAME: Final = 60
"""The most characters in the name of a test."""


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


def long_names(text: str) -> list[str]:
    """Return the names of the tests in a text that are too long."""
    names: list[str] = re.findall(r"^ *(?:async )?def (test_\w+)", text, re.MULTILINE)
    return [name for name in names if len(name) > LONGEST_NAME]


@pytest.mark.slow
def test_no_test_name_is_longer_than_sixty_characters() -> None:
    files = [*(ROOT / "tests").rglob("test_*.py")]
    assert files
    found = {str(file): long_names(file.read_text("utf-8")) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


def test_test_name_of_sixty_one_characters_is_found() -> None:
    allowed, too_long_name = ("test_".ljust(length, "x") for length in (60, 61))
    text = f"def {allowed}(): ...\nclass TestIt:\n    async def {too_long_name}(self): ...\n"
    assert long_names(text) == [too_long_name]
