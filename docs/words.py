"""Count the words that people wrote on the pages.

python -m docs.words [--each]

Generated pages, the changelog, code blocks and generated blocks within pages are left out.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from docs.generate.__main__ import BLOCKS, GENERATORS

ROOT: Final = Path(__file__).resolve().parents[1]

_CODE: Final = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_GENERATED: Final = re.compile(r"<!-- (\w+): .*?<!-- \1: end -->", re.DOTALL)
_MARKUP: Final = re.compile(r"<!--.*?-->|</?[a-z][^>]*>|\]\([^)]*\)", re.DOTALL)


def hand_written_pages(root: Path = ROOT) -> list[Path]:
    """Return the Markdown pages that no generator writes, without the changelog.

    Args:
        root: The folder of the repository.
    """
    generated = {
        path
        for name, files in GENERATORS.items()
        if name not in BLOCKS
        for pattern in files.patterns
        for path in (root / files.folder).glob(pattern)
    }
    pages = {*root.glob("*.md"), *(root / "docs").rglob("*.md")}
    return sorted(path for path in pages - generated if path.name != "CHANGELOG.md")


def count_words(text: str) -> int:
    """Return how many words a page has outside code blocks, generated blocks and markup."""
    prose = _MARKUP.sub(" ", _GENERATED.sub(" ", _CODE.sub(" ", text)))
    return sum(any(map(str.isalnum, word)) for word in prose.split())


def main(arguments: list[str] | None = None, root: Path = ROOT) -> None:
    """Print the number of words, and with `--each` that of each page, the longest first."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.words", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--each", action="store_true", help="print the count of each page, too")
    options = parser.parse_args(arguments)
    counts = {
        path.relative_to(root).as_posix(): count_words(path.read_text(encoding="utf-8"))
        for path in hand_written_pages(root)
    }
    if options.each:
        for page, count in sorted(counts.items(), key=lambda item: -item[1]):
            sys.stdout.write(f"{count:6} {page}\n")
    sys.stdout.write(f"{sum(counts.values()):6} words on {len(counts)} pages\n")


if __name__ == "__main__":
    main()
