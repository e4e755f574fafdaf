"""Tests of the plain-English rules for docstrings and comments."""

from __future__ import annotations

from pathlib import Path

import pytest

import curae_lifecycle
from tests.docs.prose import offences, offences_of
from tests.support.paths import ROOT

PACKAGE = Path(curae_lifecycle.__file__).parent
FOLDERS = {
    PACKAGE: 200,
    ROOT / "benchmarks": 40,
    ROOT / "docs": 60,
    ROOT / "tests": 700,
}
"""The folders of the repository with Python files, and how many each has at least."""


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_docstrings_and_comments_pass_the_prose_rules(folder: Path) -> None:
    files = sorted(folder.rglob("*.py"))
    assert len(files) > FOLDERS[folder]
    found = [each for path in files for each in offences(path, str(path.relative_to(folder)))]
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ('"""What a store loads."""', "starts with 'what'"),
        ('"""Whom a key stood for."""', "says 'Whom'"),
        ('class A:\n    """Who revoked."""', "starts with 'who'"),
        ('A = 1\n"""Where it is."""', "starts with 'where'"),
        ('def f():\n    """Whether it is so."""', "starts with 'whether'"),
        ('def f():\n    """Which one."""', "starts with 'which'"),
        ('def f():\n    """Until when."""', "starts with 'until'"),
        ('def f():\n    """As `g` does."""', "starts with 'as'"),
        ('def f():\n    """Also its end."""', "starts with 'also'"),
        ('async def f():\n    """The answer."""', "starts with 'the', which is no verb"),
        ('"""It is for whoever asks."""', "says 'whoever'"),
        ('"""It is for nobody."""', "says 'nobody'"),
        ('"""So it\nis answered at once."""', "says 'is answered'"),
        ("# somebody was faster", "says 'somebody'"),
        ("# it comes back later", "says 'comes back'"),
        ("# it stands still", "says 'stands still'"),
        ('"""A request is\nanswered at once."""', "says 'is answered'"),
        ("# when it comes\n# back later", "says 'comes back'"),
    ],
)
def test_prose_check_reports_a_sentence_that_breaks_a_rule(source: str, rule: str) -> None:
    assert [each.rule for each in offences_of(source)][-1:] == [rule]


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Return the caller, or None."""',
        'class A:\n    """The caller of an API key."""',
        'class A:\n    @property\n    def b(self):\n        """The id of the connection."""',
        '"""Rows that `nobody` wrote."""',
        '"""Say "what" and "whoever" only in quotes."""',
        "x = 1  # noqa: E501 - whoever",
        'x = "nobody is bound"',
    ],
)
def test_prose_check_accepts_plain_sentences_code_and_quotes(source: str) -> None:
    assert list(offences_of(source)) == []
