"""Tests of the type errors in users' programs: a forgotten outcome is an error at its line.

A line that must fail is marked once for each error: `# error: [code]`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

import curae_lifecycle

PROGRAMS: Final = sorted((Path(__file__).parent / "programs").glob("*.py"))
WRONG: Final = {"forgetful.py", "mistakes.py"}
MARK: Final = re.compile(r"#\s*error:((?:\s*\[[a-z-]+\])+)\s*$")
CODE: Final = re.compile(r"\[([a-z-]+)\]")
ERROR: Final = re.compile(r"(?P<file>.+\.py):(?P<line>\d+): error: .*\[(?P<code>[a-z-]+)\]")


@pytest.mark.heavy
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_sample_program_has_exactly_the_type_errors_it_marks(program: Path) -> None:
    assert found()[program.name] == marked(program)


def test_only_programs_listed_as_wrong_have_marked_type_errors() -> None:
    assert {program.name for program in PROGRAMS if marked(program)} == WRONG


def marked(program: Path) -> list[tuple[int, str]]:
    """Return the errors that a program marks: line and code."""
    marks = [(n, MARK.search(text)) for n, text in enumerate(program.read_text().splitlines(), 1)]
    return sorted((n, code) for n, mark in marks if mark for code in CODE.findall(mark[1]))


@cache
def found() -> dict[str, list[tuple[int, str]]]:
    """Return mypy's errors in each program, all checked in one run as a user would."""
    # As if installed: found on Python's path, with types from `py.typed`.
    home = str(Path(curae_lifecycle.__file__).parents[1])
    with TemporaryDirectory() as empty:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-pretty"),
                *("--hide-error-context", "--no-error-summary", f"--cache-dir={empty}"),
                *map(str, PROGRAMS),
            ],
            capture_output=True,
            check=False,
            cwd=empty,
            env={**os.environ, "PYTHONPATH": home},
            text=True,
        )
    assert run.stderr == ""
    errors: dict[str, list[tuple[int, str]]] = {program.name: [] for program in PROGRAMS}
    for line in run.stdout.splitlines():
        if ": note: " not in line:
            error = ERROR.fullmatch(line)
            assert error, line
            errors[Path(error["file"]).name].append((int(error["line"]), error["code"]))
    return {name: sorted(each) for name, each in errors.items()}
