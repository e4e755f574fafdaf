"""The pages of the tables, and their index."""

from __future__ import annotations

import re
from pathlib import Path

from curae_lifecycle.cli.drawing import to_svg
from curae_lifecycle.cli.main import main
from curae_lifecycle.cli.pages import index, pages, slug, to_markdown
from curae_lifecycle.cli.pictures import pictures
from curae_lifecycle.service.rulebook import TABLES


def test_the_index_has_a_line_for_each_table() -> None:
    head, rule, *lines, end = index().split("\n")
    assert head == "| table | cells | rules | decides |"
    assert rule == "| --- | --- | --- | --- |"
    assert lines == [
        f"| [{name}]({name}.md) | {len(table)} | {len(table.rows)} | {table.law} |"
        for name, table in TABLES.items()
    ]
    assert end == ""
    assert "| [life](docs/life.md) |" in index("docs/")


def test_there_is_a_page_for_each_table_an_index_and_the_pictures() -> None:
    written = pages()
    drawn = [f"{name}.svg" for name in pictures()]
    assert list(written) == ["README.md", *(f"{name}.md" for name in TABLES), *drawn]
    assert written["README.md"].startswith("# Tables\n\n")
    assert written["README.md"].endswith(index())
    for name, table in TABLES.items():
        page = written[f"{name}.md"]
        plain = re.sub('<a id="[^"]*"></a>', "", page)
        assert re.findall('<a id="([^"]*)"></a>`', page) == [row.rule for row in table.rows]
        before, _, after = to_markdown(table).partition("rules.\n\n")
        assert plain.startswith(f"{before}rules.\n\n")
        assert plain.endswith(after)
        assert (f"]({name}.svg)" in page) is (f"{name}.svg" in drawn)


def test_the_pages_lead_to_worked_examples_where_there_are_any() -> None:
    written = pages(worked=True)
    assert "- [life](worked/life.md)\n" in written["README.md"]
    anchored = '<a id="life.pending"></a>[`life.pending`](worked/life.md#lifepending)'
    assert anchored in written["life.md"]
    assert slug("life.action-required") == "lifeaction-required"


def test_what_is_written_leads_to_examples_where_their_folder_is(tmp_path: Path) -> None:
    assert main(["tables", "--write", str(tmp_path)]) == 0
    assert "worked" not in (tmp_path / "life.md").read_text()
    assert (tmp_path / "connection.svg").read_text() == to_svg(pictures()["connection"])
    (tmp_path / "worked").mkdir()
    assert main(["tables", "--write", str(tmp_path), "--check"]) == 1
    assert main(["tables", "--write", str(tmp_path)]) == 0
    assert "worked/life.md" in (tmp_path / "life.md").read_text()
    (tmp_path / "life.svg").write_text("of an older release")
    assert main(["tables", "--write", str(tmp_path), "--check"]) == 1


def test_a_picture_is_said_in_words_beside_it_with_its_rules() -> None:
    page = pages()["recovery.md"]
    said = page.partition("<details>")[2].partition("</details>")[0]
    for arrow in pictures()["recovery"].arrows:
        (line,) = [each for each in said.splitlines() if each.startswith(f"- {arrow.sentence}")]
        assert re.findall(r"\[`([\w.-]+)`\]", line) == list(arrow.rules)
