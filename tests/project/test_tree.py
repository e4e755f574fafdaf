"""The layout of the tests, which mirrors the package."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import curae_lifecycle
from tests.support.paths import ROOT

TESTS = ROOT / "tests"
BESIDE = {"benchmarks", "docs", "lab", "project", "proof", "support"}
"""Test folders that mirror no subpackage."""


def package_paths() -> set[str]:
    """Return the path of each module, relative to the package and without suffix."""
    found = pkgutil.walk_packages(curae_lifecycle.__path__, "curae_lifecycle.")
    return {each.name.removeprefix("curae_lifecycle.").replace(".", "/") for each in found}


def faults(tests: Path, paths: set[str]) -> list[str]:
    """Return misplaced tests: files at the top, folders without a module, missing __init__.py."""
    flat = [f"{file.name} lies flat" for file in tests.glob("test_*.py")]
    strays: list[str] = []
    bare: list[str] = []
    for folder in sorted({file.parent for file in tests.rglob("*.py")} - {tests}):
        path = folder.relative_to(tests)
        if path.parts[0] not in BESIDE and path.as_posix() not in paths:
            strays.append(f"{path.as_posix()} is no module of the package")
        if any(folder.glob("test_*.py")) and not (folder / "__init__.py").exists():
            bare.append(f"{path.as_posix()} has no __init__.py")
    return flat + strays + bare


def test_every_test_file_mirrors_a_package_path() -> None:
    assert faults(TESTS, package_paths()) == []


def test_every_subpackage_has_a_test_folder() -> None:
    rooms = {path for path in package_paths() if "/" not in path} - {"__main__"}
    assert {path.name for path in TESTS.iterdir() if (path / "__init__.py").exists()} == (
        rooms | BESIDE
    )


def test_misplaced_test_files_and_folders_are_found(tmp_path: Path) -> None:
    for name in ("test_a.py", "rules/test_b.py", "rules/sums/test_c.py", "proof/any/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "rules" / "sums" / "__init__.py").touch()
    assert faults(tmp_path, {"rules", "rules/chain"}) == [
        "test_a.py lies flat",
        "rules/sums is no module of the package",
        "rules has no __init__.py",
    ]
