"""Write the test vectors, or say which are stale.

python -m tests.vectors docs/vectors [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from curae_lifecycle.cli.files import write
from tests.vectors import vectors


def main(arguments: list[str] | None = None) -> int:
    """Write every document into a directory; with `--check` write nothing and name the stale."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a stale file")
    options = parser.parse_args(arguments)
    return write(options.directory, vectors(), "*.json", check=options.check)


if __name__ == "__main__":
    sys.exit(main())
