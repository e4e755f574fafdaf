"""The README with its table of tables."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from docs.generate.tables import index

README: Final = Path(__file__).resolve().parents[2] / "README.md"
BEGIN: Final = "<!-- tables: begin -->\n"
END: Final = "<!-- tables: end -->"


def files() -> dict[str, str]:
    """Return the text of the README with the current index of the tables."""
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{README.name} has no marks around its table of tables")
    return {README.name: f"{before}{begin}{index('docs/tables/')}{end}{after}"}
