"""Tests of the task pages: their programs, commands and rule changes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import curae_lifecycle
from curae_lifecycle.service.settings import Settings
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
PACKAGE = Path(curae_lifecycle.__file__).parent
BLOCKS = re.compile(r"^```(python|console|diff)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def typed(block: str, folder: Path, package: Path = PACKAGE) -> str:
    """Return the output of a command, run with the interpreter of this test."""
    command = block.removeprefix("$ ").partition("\n")[0]
    program = f'python() {{ "{sys.executable}" "$@"; }}\n{command}'
    ended = subprocess.run(
        ["/bin/sh", "-c", program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(package.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return ended.stdout


def part_of(page: str, begin: str = "", end: str = "") -> str:
    """Return the text of a page between two headings of the second level."""
    text = (DOCS / page).read_text(encoding="utf-8")
    if begin:
        text = text.partition(f"\n## {begin}\n")[2]
    return text.partition(f"\n## {end}\n")[0] if end else text


def walk(text: str, folder: Path, package: Path = PACKAGE) -> int:
    """Run the blocks of a text in order, apply its diffs to the package, and count the blocks."""
    namespace: dict[str, object] = {}
    blocks = BLOCKS.findall(text)
    for kind, block in blocks:
        if kind == "python":
            exec(block, namespace)  # noqa: S102 - the page's own code
        elif kind == "console":
            assert typed(block, folder, package) == block.partition("\n")[2], block
        else:
            old, new = (line[1:] for line in block.splitlines())
            (file,) = (each for each in package.rglob("*.py") if old in each.read_text("utf-8"))
            file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    return len(blocks)


@pytest.mark.parametrize(
    ("page", "section", "count"),
    [
        ("ahead.md", "", 4),
        ("outbox.md", "Merge what arrives in any order", 3),
        # This page starts three processes.
        pytest.param("replay.md", "", 5, marks=pytest.mark.heavy),
    ],
)
def test_task_docs_page_programs_print_the_shown_output(
    page: str, section: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert walk(part_of(page, section), tmp_path) == count


def test_extending_docs_page_lists_every_setting() -> None:
    table = part_of("extending.md", "Settings").partition("```python")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert named == [each.name for each in attrs.fields(Settings)]


@pytest.mark.heavy
def test_extending_docs_page_shows_the_diff_of_a_rule_change(tmp_path: Path) -> None:
    package = tmp_path / "curae_lifecycle"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    changes = part_of("extending.md", "Settings", "An operation")
    assert walk(changes, tmp_path, package) == 4
