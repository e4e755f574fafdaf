"""Tests of the pages of the tables, and of their index."""

from __future__ import annotations

import re

from curae_lifecycle import __version__
from curae_lifecycle.cli.release import parse_release
from curae_lifecycle.cli.table_formats import to_markdown
from curae_lifecycle.service.rulebook import TABLES
from docs.generate.drawing import to_svg
from docs.generate.pictures import pictures
from docs.generate.tables import files, index, slug


def test_docs_index_has_a_line_for_each_rule_table() -> None:
    head, rule, *lines, end = index().split("\n")
    assert head == "| table | cells | rules | decides |"
    assert rule == "| --- | --- | --- | --- |"
    assert lines == [
        f"| [{name}]({name}.md) | {len(table)} | {len(table.rows)} | {table.law} |"
        for name, table in TABLES.items()
    ]
    assert end == ""
    assert "| [life](life.md) |" in index()


def test_each_rule_table_has_a_docs_page_and_picture_file() -> None:
    written = files()
    drawn = {f"{name}.svg": to_svg(picture) for name, picture in pictures().items()}
    pages = [f"{name}.md" for name in TABLES]
    assert list(written) == ["README.md", *pages, "tables.json", *drawn]
    assert {name: written[name] for name in drawn} == drawn
    assert written["README.md"].startswith("# Tables\n\n")
    assert index() in written["README.md"]
    for name, table in TABLES.items():
        page = written[f"{name}.md"]
        plain = re.sub(r'<a id="[^"]*"></a>\[(`[^`]*`)\]\([^)]*\)', r"\1", page)
        assert re.findall('<a id="([^"]*)"></a>', page) == [row.rule for row in table.rows]
        before, _, after = to_markdown(table).partition("rules.\n\n")
        assert plain.startswith(f"{before}rules.\n\n")
        assert plain.endswith(after)
        assert (f"]({name}.svg)" in page) is (f"{name}.svg" in drawn)


def test_tables_json_lists_every_rule_table_of_this_version() -> None:
    release = parse_release(files()["tables.json"])
    assert release.version == __version__
    assert list(release.tables) == list(TABLES)


def test_rule_table_docs_pages_link_to_worked_examples() -> None:
    written = files()
    assert "- [life](worked/life.md)\n" in written["README.md"]
    link = '<a id="life.pending"></a>[`life.pending`](worked/life.md#lifepending)'
    assert link in written["life.md"]
    assert slug("life.action-required") == "lifeaction-required"


def test_rule_table_picture_description_links_its_rules() -> None:
    page = files()["recovery.md"]
    words = page.partition("<details>")[2].partition("</details>")[0]
    for arrow in pictures()["recovery"].arrows:
        (line,) = [each for each in words.splitlines() if each.startswith(f"- {arrow.sentence}")]
        assert re.findall(r"\[`([\w.-]+)`\]", line) == list(arrow.rules)
