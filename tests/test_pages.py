"""The pages of the tables, and their index."""

from __future__ import annotations

from curae_lifecycle.cli.pages import index, pages, to_markdown
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


def test_there_is_a_page_for_each_table_and_an_index() -> None:
    written = pages()
    assert list(written) == ["README.md", *(f"{name}.md" for name in TABLES)]
    assert written["README.md"].startswith("# Tables\n\n")
    assert written["README.md"].endswith(index())
    assert written["life.md"] == to_markdown(TABLES["life"], anchors=True)
