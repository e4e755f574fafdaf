"""Each extra has a program that CI runs in an environment with that extra alone."""

from __future__ import annotations

import tomllib

from tests.support.paths import ROOT


def test_ci_runs_a_program_for_each_extra_installed_by_itself() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    programs = (ROOT / ".ci/extras").glob("try_*.py")
    assert {path.stem.removeprefix("try_") for path in programs} == set(
        project["optional-dependencies"]
    )
