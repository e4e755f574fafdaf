"""Write the test vectors, or say which are stale.

python -m tests.vectors docs/vectors [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.vectors import vectors


def main(arguments: list[str] | None = None) -> int:
    """Write every document into a directory; with `--check` write nothing and name the stale."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a stale file")
    options = parser.parse_args(arguments)
    directory: Path = options.directory
    wanted = vectors()
    if not options.check:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in wanted.items():
            (directory / name).write_text(text, encoding="utf-8")
        return 0
    written = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.json")}
    names = sorted(wanted.keys() | written.keys())
    stale = [name for name in names if wanted.get(name) != written.get(name)]
    if stale:
        sys.stderr.write(f"stale, write them again: {', '.join(stale)}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
