"""Files that the package writes, and whether what is written is still what it says."""

from __future__ import annotations

import sys
from pathlib import Path


def write(directory: Path, wanted: dict[str, str], *kinds: str, check: bool) -> int:
    """Write files, or with `check` write nothing and name those that are stale.

    Args:
        directory: Where.
        wanted: The text of each file, by its name.
        kinds: Which files of the directory are ours, as patterns.
        check: Whether to compare only.

    Returns:
        The exit status: 1 where a file is stale.
    """
    if check:
        found = [path for kind in kinds for path in directory.glob(kind)]
        written = {path.name: path.read_text(encoding="utf-8") for path in found}
        names = sorted(wanted.keys() | written.keys())
        stale = [name for name in names if wanted.get(name) != written.get(name)]
        if stale:
            print(f"stale, write again: {', '.join(stale)}", file=sys.stderr)
        return 1 if stale else 0
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (directory / name).write_text(text, encoding="utf-8")
    return 0
