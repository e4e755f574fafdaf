"""The edits that `docs/extending.md` shows, and copies of the package to apply them to."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

import curae_lifecycle
from tests.support.paths import ROOT

PAGE: Final = ROOT / "docs" / "extending.md"
PACKAGE: Final = "curae_lifecycle"

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEW_FILE: Final = re.compile(rf"# ({PACKAGE}/[\w/]+\.py)\n")


@attrs.frozen
class Block:
    """A block of code of the page.

    Attributes:
        language: Its language.
        text: Its text.
    """

    language: str
    text: str

    @property
    def new_file(self) -> str | None:
        """The path in the first line of a block that is a file, or None."""
        named = _NEW_FILE.match(self.text) if self.language == "python" else None
        return None if named is None else named[1]


def blocks(section: str | None = None) -> list[Block]:
    """Return the blocks of a section, or of the whole page."""
    text = PAGE.read_text(encoding="utf-8")
    if section is not None:
        parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
        text = dict(zip(parts[1::2], parts[2::2], strict=True))[section]
    return [Block(*found) for found in _BLOCK.findall(text)]


def program() -> list[str]:
    """Return the Python blocks that form one program, without files of the package."""
    return [each.text for each in blocks() if each.language == "python" and not each.new_file]


def copy_package(folder: Path) -> Path:
    """Copy the package into a folder, and return the folder."""
    shutil.copytree(
        Path(curae_lifecycle.__file__).parent,
        folder / PACKAGE,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of each Python file of a copy, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / PACKAGE).rglob("*.py")
    }


def apply_section(folder: Path, section: str) -> list[str]:
    """Apply the edits of a section to a copy, and return the paths of the files that differ."""
    before = digests(folder)
    for block in blocks(section):
        if block.new_file is not None:
            write_new(folder / block.new_file, block.text.partition("\n")[2])
        elif block.language == "diff":
            apply_diff(folder, block.text)
    after = digests(folder)
    return sorted(path for path in after if after[path] != before.get(path))


def write_new(path: Path, text: str) -> None:
    """Write a file that does not exist yet."""
    assert not path.exists(), f"{path} exists"
    path.write_text(text, encoding="utf-8")


def apply_diff(folder: Path, text: str) -> None:
    """Apply a unified diff whose hunks have no line numbers; each must fit one place."""
    header, *hunks = re.split(r"^@@.*\n", text, flags=re.MULTILINE)
    named = re.fullmatch(r"--- a/(.+)\n\+\+\+ b/\1\n", header)
    assert named is not None, header
    path = folder / named[1]
    lines = path.read_text(encoding="utf-8").splitlines()
    for hunk in hunks:
        old, new = list(side_of(hunk, "-")), list(side_of(hunk, "+"))
        places = [at for at in range(len(lines)) if lines[at : at + len(old)] == old]
        assert len(places) == 1, f"{named[1]}: {len(places)} places fit this hunk:\n{hunk}"
        lines[places[0] : places[0] + len(old)] = new
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def side_of(hunk: str, mark: str) -> Iterator[str]:
    """Yield the lines of one side of a hunk: the context, and the lines with a mark."""
    for line in hunk.splitlines():
        # An empty line is context: editors strip the space that marks it.
        if line[:1] in {" ", "", mark}:
            yield line[1:]


def run_check(folder: Path, name: str) -> str:
    """Run a check of this folder with a copy of the package; return what it printed."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    # The copy does not count towards the coverage of the package.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-m", f"tests.docs.extending.{name}", str(folder)],
        cwd=folder,
        env=kept | {"PYTHONPATH": path},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
