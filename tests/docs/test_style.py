"""Tests of the words and code blocks of the pages; pymarkdown checks the Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.paths import ROOT

PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LANGUAGES: Final = {
    *(
        "console",
        "diff",
        "ini",
        "json",
        "mermaid",
        "postgresql",
        "py",
        "python",
        "sh",
        "sql",
        "text",
    ),
    *("toml", "ts", "yaml"),
}

AVOIDED: Final = re.compile(
    # No first person, no words that call something easy, no old words, and no Latin.
    r"\b(we|us|let's"
    r"|simply|easily|obviously|of course|basically|please note|in order to|leverage|utili[sz]e"
    r"|as ever|be it|buried|zombie"
    r"|via|etc|e\.g|i\.e)\b",
    re.IGNORECASE,
)


def avoided(text: str) -> Iterator[tuple[int, str]]:
    """Yield each avoided word of prose with its line; code and link targets are skipped."""
    prose = BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
    for number, line in enumerate(prose.splitlines(), 1):
        said = re.sub(r"`[^`]*`|\]\([^)]*\)|[\w.-]+/[\w.-]+#\d+", "", line)
        yield from ((number, found[0]) for found in AVOIDED.finditer(said))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Then we decide.", [(1, "we")]),
        ("One\n\nThis is simply so, etc.", [(3, "simply"), (3, "etc")]),
        ("`via` and [a](via.md) and we-promise/sure#3657", []),
        ("```py\n# we wait\n```\nWe wait.", [(4, "We")]),
        ("It was us.", [(1, "us")]),
        ("We're", [(1, "We")]),
        ("status, used, etching", []),
    ],
)
def test_style_check_reports_an_avoided_word(text: str, found: list[tuple[int, str]]) -> None:
    assert list(avoided(text)) == found


def test_no_docs_page_has_an_avoided_word() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): words
        for path in PAGES
        if (words := list(avoided(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


def test_docs_code_blocks_name_a_language() -> None:
    for path in PAGES:
        for _, language, block in BLOCK.findall(path.read_text(encoding="utf-8")):
            assert language in LANGUAGES, (path, block)
            typed = re.search(r"^\s*\$ ", block, re.MULTILINE) is not None
            # A block of `sh` is copied without a prompt.
            assert typed == (language == "console"), (path, block)


def test_no_docs_page_installs_an_unreleased_package() -> None:
    for path in PAGES:
        assert "pip install 'curae" not in path.read_text(encoding="utf-8"), path


def test_every_docs_page_starts_with_its_title() -> None:
    for path in PAGES:
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        # A page in `docs` may be the place of a top-level page on the site.
        assert re.fullmatch(r"# [^#].*[^.]", first), path


def test_every_table_of_the_docs_begins_with_a_heading_row() -> None:
    # A blank line within a table ends it, and the rows below are shown as text.
    for page in PAGES:
        text = re.sub(
            r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        lines = [line.strip() for line in text.split("\n")]
        for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
            begins = line.startswith("|") and not before.startswith("|")
            assert not begins or re.fullmatch(r"[|: -]+", after), f"{page}: {line}"
