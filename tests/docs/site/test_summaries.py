"""Tests of the summaries of pages for search engines, link previews and language models."""

from __future__ import annotations

import re
import struct
from html import unescape

from docs.summaries import PICTURE, PROJECT, llms_text, meta_tags, summaries
from tests.support.paths import ROOT

INDEX = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
LISTED = re.findall(r"\]\(([\w/.-]+)\.md\)", INDEX)


def test_every_docs_page_of_the_side_bar_has_a_summary() -> None:
    found = summaries(INDEX)
    assert list(found) == LISTED
    assert all(text.endswith(".") for text in found.values())
    assert found["privacy"] == "Data, privacy and retention: GDPR, HIPAA, PHI, erasure."
    assert "`" not in "".join(found.values())


def test_meta_tags_escape_the_title_and_the_summary() -> None:
    shown = meta_tags('A "B" & C', "Ends <here>.")
    values = {
        name: unescape(content)
        for name, content in re.findall(r'(?:name|property)="([\w:]+)" content="([^"]*)"', shown)
    }
    assert values["og:title"] == 'A "B" & C'
    assert values["description"] == values["og:description"] == "Ends <here>."
    assert "<here>" not in shown


def test_meta_tags_show_a_picture_if_the_site_has_an_address() -> None:
    assert "og:image" not in meta_tags("A", "Ends.")
    shown = meta_tags("A", "Ends.", "https://docs.example/")
    assert '"og:image" content="https://docs.example/_static/social.png"' in shown
    head = (ROOT / "docs" / PICTURE).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    # The size that previews are cut to.
    assert struct.unpack(">II", head[16:]) == (1200, 630)


def test_llms_txt_links_every_docs_page_under_its_heading() -> None:
    text = llms_text(INDEX)
    assert text.startswith(f"# curae_lifecycle\n\n> {PROJECT}\n\n## Try it\n\n- [Explorer]")
    assert re.findall(r"\]\(([\w/.-]+)\.html\): .", text) == LISTED
    assert re.findall(r"^## .+$", text, re.MULTILINE) == re.findall(r"^## .+$", INDEX, re.MULTILINE)
