"""Files that a page of the documentation shows whole."""

from __future__ import annotations

import re
from pathlib import Path


def files_on(page: Path, language: str) -> dict[str, str]:
    """Return the blocks of a language whose first line is a comment with a file's name."""
    found = re.findall(
        rf"^```{language}\n# (\S+\.\w+)\n(.*?)^```",
        page.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    return dict(found)
