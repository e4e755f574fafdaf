"""Write the traceability page, or say that it is stale.

python -m tests.traceability docs/traceability.md [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from curae_lifecycle.cli.files import write
from tests.traceability import faults, page


def main(arguments: list[str] | None = None) -> int:
    """Write the page; with `--check` write nothing. Nothing is written where there is a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.traceability", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a stale page")
    options = parser.parse_args(arguments)
    file: Path = options.file
    wrong = faults()
    if wrong:
        sys.stderr.write("\n".join(wrong) + "\n")
        return 1
    return write(file.parent, {file.name: page()}, file.name, check=options.check)


if __name__ == "__main__":
    sys.exit(main())
