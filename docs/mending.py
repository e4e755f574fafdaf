"""What the theme's pages lack for a keyboard, a screen reader and a phone, put in where it is missing."""

from __future__ import annotations

import re
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


_HEADING: Final = re.compile(r"(?<=<h[1-6]>)[^<]+")
_JOINT: Final = re.compile(r"(?<=\w)[_.](?=[A-Za-z])")


def mended(html: str) -> str:
    """A page of the theme, mended; a page that was mended before is the same."""
    for lacking, whole in MENDED.items():
        html = html.replace(lacking, whole)
    # A code or a name that is longer than a phone is wide breaks between its words.
    return _HEADING.sub(lambda heading: _JOINT.sub(r"\g<0><wbr>", heading[0]), html)


def mend(site: Path) -> None:
    """Mend every page of a built site."""
    for path in site.rglob("*.html"):
        path.write_text(mended(path.read_text(encoding="utf-8")), encoding="utf-8")
