"""Summaries of the pages for search engines, link previews and language models."""

from __future__ import annotations

import re
from html import escape
from typing import Final

_LINE: Final = re.compile(r"^- \[([^\]]+)\]\(([\w/.-]+)\.md\): (.+)$", re.MULTILINE)
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_CODE: Final = re.compile(r"`([^`]*)`")
PROJECT: Final = (
    "Pure rules for patient authorizations: which connections may reconnect, revocation that cannot "
    "be undone, idempotent retries and rate limits, for any Python web framework and database."
)
"""The project in one sentence."""

PICTURE: Final = "social.png"
"""The picture for previews of links."""


def summaries(index: str) -> dict[str, str]:
    """Read the list of pages in `index.md`, and return the sentence of each page by its name."""
    return {page: f"{_plain(title)}: {_plain(text)}" for title, page, text in _LINE.findall(index)}


def meta_tags(title: str, summary: str, address: str = "") -> str:
    """Return the elements of a page's head that hold its title, its summary and its picture.

    Args:
        title: The title of the page, as text.
        summary: The sentence about the page, as text.
        address: The address of the site, which the address of a picture must begin with. Without
            it there is no picture.
    """
    tags = [
        ("name", "description", summary),
        ("property", "og:title", title),
        ("property", "og:description", summary),
        ("property", "og:site_name", "curae_lifecycle"),
        ("property", "og:type", "article"),
        ("name", "twitter:card", "summary_large_image" if address else "summary"),
    ]
    if address:
        tags += [
            ("property", "og:image", f"{address.rstrip('/')}/_static/{PICTURE}"),
            ("property", "og:image:alt", PROJECT),
        ]
    return "".join(
        [f'<meta {kind}="{name}" content="{escape(value)}">\n' for kind, name, value in tags]
    )


def llms_text(index: str) -> str:
    """Return the text of `llms.txt`: the project in one sentence, and a link to each page.

    The form is that of https://llmstxt.org.
    """
    parts = _HEADING.split(index)[1:]
    sections = [
        f"## {heading}\n\n"
        + "\n".join(
            [
                f"- [{_plain(title)}]({page}.html): {_plain(text)}"
                for title, page, text in _LINE.findall(text)
            ]
        )
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    ]
    return "\n\n".join([f"# curae_lifecycle\n\n> {PROJECT}", *sections]) + "\n"


def _plain(text: str) -> str:
    return _CODE.sub(r"\1", text)
