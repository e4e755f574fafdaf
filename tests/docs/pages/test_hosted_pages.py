"""Tests that the hosted pages page lists tests of its promises, and that its program is short."""

from __future__ import annotations

import re
from pathlib import Path

import hosted_pages
from page_html import QUESTIONS

from curae_lifecycle.service.hosted_page import PageKind
from tests.support.paths import ROOT


def test_every_promise_of_the_hosted_pages_docs_has_a_test() -> None:
    page = (ROOT / "docs/pages.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [A-Z].* \| (`test_.*`) \|$", page, re.MULTILINE)
    assert len(rows) == page.count("\n| ") - 2
    names = ("test_page_promises.py", "test_replaced_pages.py", "test_browser.py")
    files = [f"tests/docs/examples/{name}" for name in names]
    there = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    for name in re.findall(r"`(test_\w+)`", "".join(rows)):
        assert f"def {name}(" in there


def test_example_hosted_pages_have_at_most_205_lines() -> None:
    text = Path(hosted_pages.__file__).read_text(encoding="utf-8")
    assert text.count("\n") <= 205


def test_every_kind_of_hosted_page_has_a_question_text() -> None:
    assert QUESTIONS.keys() == set(PageKind)
