"""What the theme's pages lack for a keyboard and a screen reader, put in where it is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MENDED: Final = {
    # A heading needs a level, and two landmarks of one kind need names that tell them apart.
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside aria-label="Pages" class="sidebar-drawer">',
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
    '<div id="search-results"></div>': '<h1>Search</h1>\n<div id="search-results"> </div>',
}
"""What is written instead of what; nothing that is written holds what it replaces."""


def mended(html: str) -> str:
    """A page of the theme, mended; a page that was mended before is the same."""
    for lacking, whole in MENDED.items():
        html = html.replace(lacking, whole)
    return html


def mend(site: Path) -> None:
    """Mend every page of a built site."""
    for path in site.rglob("*.html"):
        path.write_text(mended(path.read_text(encoding="utf-8")), encoding="utf-8")
