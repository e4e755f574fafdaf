"""Add to the theme's pages what they lack for keyboards, screen readers and phones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

MENDED: Final = {
    # Headings need a level. Two landmarks of one kind need different names.
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside aria-label="Pages" class="sidebar-drawer">',
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
    '<div id="search-results"></div>': '<h1>Search</h1>\n<div id="search-results"> </div>',
}
"""Texts of the theme with their replacements; no replacement contains a text to replace."""


_HEADING: Final = re.compile(r"(?<=<h[1-6]>)[^<]+")
_JOINT: Final = re.compile(r"(?<=\w)[_.](?=[A-Za-z])")


def mended(html: str) -> str:
    """Mend a page of the theme; a second call changes nothing."""
    for lacking, whole in MENDED.items():
        html = html.replace(lacking, whole)
    # A long name in a heading may break between its words, so that it fits on a phone.
    return _HEADING.sub(lambda heading: _JOINT.sub(r"\g<0><wbr>", heading[0]), html)


def mend(site: Path) -> None:
    """Mend every page of a built site."""
    for path in site.rglob("*.html"):
        path.write_text(mended(path.read_text(encoding="utf-8")), encoding="utf-8")
