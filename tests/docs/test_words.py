"""The count of hand-written words."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.words import ROOT, count_words, hand_written_pages, main


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# A heading\n\nTwo words.\n", 4),
        ("A [link text](page.md#anchor), too.\n", 4),
        ("| a | b |\n| --- | ---: |\n| one two | `three` |\n", 5),
        ("Before\n\n```python\nx = 1\n```\n\nafter\n", 2),
        ("Before\n\n````md\n```sh\nls\n```\n````\n\nafter\n", 2),
        ("1. One\n\n   ~~~text\n   not this\n   ~~~\n", 2),
        ('<a id="x"></a>One <!-- not this --> two\n', 2),
        ("1 < 2, and 3 > 2.\n", 5),
        ("Mine\n\n<!-- figures: begin; by a program -->\nnot\n<!-- figures: end -->\n\nmine\n", 2),
        ("a - b, a — b\n", 4),
        ("", 0),
    ],
)
def test_word_count_skips_markup_and_code_or_generated_blocks(text: str, words: int) -> None:
    assert count_words(text) == words


def test_word_count_skips_generated_pages_and_the_changelog() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in hand_written_pages()}
    assert {"README.md", "CONTRIBUTING.md", "docs/rules.md", "docs/vectors/README.md"} <= pages
    assert not pages & {
        *("CHANGELOG.md", "docs/seeded-bugs.md", "docs/traceability.md", "docs/api/README.md"),
        *("docs/tables/README.md", "docs/tables/worked/access.md", "docs/reference/rules.md"),
    }


def test_word_count_prints_docs_pages_longest_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("One.\n")
    (tmp_path / "docs" / "a.md").write_text("One two.\n")
    (tmp_path / "docs" / "traceability.md").write_text("By a program.\n")
    main([], tmp_path)
    assert capsys.readouterr().out == "     3 words on 2 pages\n"
    main(["--each"], tmp_path)
    assert capsys.readouterr().out.splitlines()[:2] == ["     2 docs/a.md", "     1 README.md"]
