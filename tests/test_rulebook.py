"""The rules by their names, and the pages of the tables."""

from __future__ import annotations

from curae_lifecycle.service.rulebook import TABLES, find_rule, index, pages


def test_a_rule_is_found_by_its_name_and_no_other_is() -> None:
    found = find_rule("recovery.expired.none")
    assert found is not None
    assert (found.table.name, found.row.rule) == ("recovery", "recovery.expired.none")
    assert find_rule("recovery") is None
    assert find_rule("recovery.expired.never") is None


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
    assert written["life.md"] == TABLES["life"].to_markdown()
