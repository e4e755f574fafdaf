"""The size of each page of a built site, and its load time in a browser.

`python -m tests.docs.site.weights SITE` prints a line per page, the largest first: the kilobytes of
its text and of all that it loads, and the milliseconds to load it from disk.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tests.docs.browser import chromium

LOADED = re.compile(
    r'<(?:script|img|source)\b[^>]*\bsrc="([^"]+)"|<link rel="stylesheet"[^>]*\bhref="([^"]+)"'
)


class Weight(NamedTuple):
    """A page: bytes of its text, bytes of what it loads, milliseconds until it is loaded."""

    name: str
    text: int
    loads: int
    took: int


def loads(page: Path) -> set[Path]:
    """Return the local files that a page loads."""
    links = ["".join(found) for found in LOADED.findall(page.read_text(encoding="utf-8"))]
    paths = [urlsplit(link) for link in links]
    return {(page.parent / unquote(each.path)).resolve() for each in paths if not each.scheme}


def weigh(site: Path) -> list[Weight]:
    """Return every page of a site, the largest first."""
    weights: list[Weight] = []
    took = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
    with TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        for page in sorted(site.rglob("*.html")):
            browser.get(page.resolve().as_uri())
            name = page.relative_to(site).as_posix()
            beside = sum(each.stat().st_size for each in loads(page))
            weights.append(
                Weight(
                    name=name,
                    text=page.stat().st_size,
                    loads=beside,
                    took=round(browser.execute_script(took)),
                )
            )
    return sorted(weights, key=lambda each: -each.text - each.loads)


if __name__ == "__main__":
    for each in weigh(Path(sys.argv[1])):
        kilobytes = f"{each.text / 1000:8.0f} kB {each.loads / 1000:8.0f} kB"
        sys.stdout.write(f"{kilobytes} {each.took:6} ms  {each.name}\n")
