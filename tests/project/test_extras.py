"""Each pip extra has a program that runs with that extra alone."""

from __future__ import annotations

import tomllib

from tests.project.extras import PROGRAMS
from tests.support.paths import ROOT


def test_each_pip_extra_of_the_package_has_a_program() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert PROGRAMS.keys() == project["optional-dependencies"].keys()
