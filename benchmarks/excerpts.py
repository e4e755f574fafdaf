"""The benchmarks' rows that the page on other libraries shows: taken over, never typed.

    python -m benchmarks.excerpts

writes them into `docs/why.md`, from `docs/benchmarks.md`. A test compares the two pages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
PAGE: Final = DOCS / "why.md"

_PLACE: Final = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- figures: end -->)", re.DOTALL)
_HEAD: Final = (
    "| operation | whose | seen | to ours | how it differs |\n| --- | --- | --- | --- | --- |\n"
)


def excerpt(benchmarks: str, family: str) -> str:
    """A family's rows of the first table of the benchmarks, each with its operation."""
    rows: list[str] = []
    is_wanted, operation = False, ""
    for line in benchmarks.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 6:  # noqa: PLR2004 - as many columns as the table has
            continue
        named, whose, seen, _, ratio, differs = cells
        if named.startswith("**"):
            is_wanted = named == f"**{family}**"
            continue
        operation = named or operation
        if is_wanted:
            rows.append(f"| {operation} | {whose} | {seen} | {ratio} | {differs} |\n")
    return _HEAD + "".join(rows)


def rewritten(page: str, benchmarks: str) -> str:
    """The page with the rows of each family that it has a place for."""
    return _PLACE.sub(lambda at: at[1] + "\n" + excerpt(benchmarks, at[2]) + "\n" + at[3], page)


def main() -> None:
    """Write the page."""
    benchmarks = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(rewritten(page, benchmarks), encoding="utf-8")


if __name__ == "__main__":
    main()
