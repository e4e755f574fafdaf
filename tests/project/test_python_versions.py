"""The README names the Python versions that the package's classifiers advertise."""

from __future__ import annotations

import re
import tomllib

from tests.support.paths import ROOT


def test_readme_names_the_advertised_python_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^Python (3[^·]*) ·", readme, re.MULTILINE)
    advertised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert advertised == re.findall(r"3\.\d+", line)
