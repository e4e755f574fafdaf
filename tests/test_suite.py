"""The suite itself: what fails says so, whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FAILING = """
import attrs
from hypothesis import given
from hypothesis import strategies as st


@attrs.frozen
class Link:
    id: int
    name: str


@given(chain=st.lists(st.builds(Link, st.integers(), st.text()), min_size=2))
def test_no_chain_has_two_links(chain):
    assert len(chain) < 2
"""


def failing(directory: Path, program: str, *options: str) -> str:
    """What pytest prints of a test that must fail, with this repository's own settings."""
    (directory / "test_failing.py").write_text(program)
    settings = f"--config-file={ROOT / 'pyproject.toml'}"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", settings, "-n0", "-p", "no:cacheprovider", *options],
        check=False,
        capture_output=True,
        text=True,
        cwd=directory,
        timeout=120,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stdout


def test_a_failing_case_of_hypothesis_is_printed_whole(tmp_path: Path) -> None:
    printed = failing(tmp_path, FAILING, str(tmp_path))
    assert "chain=[Link(0, ''), Link(0, '')]," in printed


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    program = "import warnings\n\ndef test_it():\n    warnings.warn('old', DeprecationWarning)\n"
    assert "DeprecationWarning: old" in failing(tmp_path, program, str(tmp_path))
