"""Each extra has a program that CI runs in an environment with that extra alone."""

from __future__ import annotations

import tomllib

from tests.support.paths import ROOT


def test_ci_has_a_program_for_each_pip_extra_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    programs = (ROOT / ".ci/extras").glob("try_*.py")
    assert {path.stem.removeprefix("try_") for path in programs} == set(
        project["optional-dependencies"]
    )
