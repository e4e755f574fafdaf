"""Settings of the test suite: printing of failures, and warnings as errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FAILING = """
import warnings

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st


@attrs.frozen
class Link:
    id: int
    name: str


@settings(deadline=None)
@given(chain=st.lists(st.builds(Link, st.integers(), st.just("x")), min_size=2))
def test_generated_chain_has_fewer_than_two_links(chain):
    assert len(chain) < 2


def test_that_emits_a_deprecation_warning():
    warnings.warn("old", DeprecationWarning)
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run failing tests with the settings of this repository and return the output."""
    directory = tmp_path_factory.mktemp("failing")
    (directory / "test_failing.py").write_text(FAILING)
    settings = f"--config-file={ROOT / 'pyproject.toml'}"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", settings, "-n0", "-p", "no:cacheprovider", "."],
        check=False,
        capture_output=True,
        text=True,
        cwd=directory,
        timeout=120,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "2 failed" in ended.stdout
    return ended.stdout


@pytest.mark.heavy
def test_failing_hypothesis_example_is_printed_in_full(printed: str) -> None:
    assert "chain=[Link(0, 'x'), Link(0, 'x')]," in printed


@pytest.mark.heavy
def test_warning_in_a_test_makes_it_fail(printed: str) -> None:
    assert "DeprecationWarning: old" in printed


SLOW = """
import pytest


@pytest.mark.slow
def test_with_the_slow_marker_passes(): ...


def test_without_a_marker_passes(): ...
"""


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["0", "2"])
@pytest.mark.parametrize(("named", "passed"), [((), "1 passed"), (("tests",), "2 passed")])
def test_slow_tests_run_only_if_their_folder_is_named(
    tmp_path: Path, processes: str, named: tuple[str, ...], passed: str
) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (folder / "test_both.py").write_text(SLOW)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", processes, "-p", "no:cacheprovider", *named],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert passed in ended.stdout, ended.stdout + ended.stderr
