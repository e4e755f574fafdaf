"""Tests that the hosted pages page lists tests of its promises, and that its program is short."""

from __future__ import annotations

import re
from pathlib import Path

import hosted_pages
from page_html import QUESTIONS

from curae_lifecycle.stores.hosted_pages import PageKind
from tests.support.paths import ROOT


def test_every_promise_of_the_page_has_a_test() -> None:
    page = (ROOT / "docs/pages.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [A-Z].* \| (`test_.*`) \|$", page, re.MULTILINE)
    assert len(rows) == page.count("\n| ") - 2
    files = ("tests/docs/examples/test_page_promises.py", "tests/docs/examples/test_browser.py")
    there = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    for name in re.findall(r"`(test_\w+)`", "".join(rows)):
        assert f"def {name}(" in there


def test_the_pages_are_no_longer_than_what_is_read_before_it_is_copied() -> None:
    text = Path(hosted_pages.__file__).read_text(encoding="utf-8")
    assert text.count("\n") <= 200


def test_there_is_a_question_for_every_kind_of_page() -> None:
    assert QUESTIONS.keys() == set(PageKind)
