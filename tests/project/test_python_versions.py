"""CI tests every Python version that the wheel advertises, if the machine has it."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.paths import ROOT


def advertised() -> list[str]:
    """Return the versions that `.ci/run` asks for."""
    command = [sys.executable, str(ROOT / ".ci/project.py"), "versions"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()


def test_ci_python_versions_are_exactly_those_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^Python (3[^·]*) ·", readme, re.MULTILINE)
    assert advertised() == re.findall(r"3\.\d+", line)


def test_tests_named_in_the_ci_script_exist() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    (part,) = re.findall(r"^part_of_the_suite=\((.*?)^\)", script, re.MULTILINE | re.DOTALL)
    named = re.findall(r"tests/\S+", part)
    assert {"tests/rules", "tests/service", "tests/web"} < set(named)
    assert [each for each in named if not (ROOT / each).exists()] == []
