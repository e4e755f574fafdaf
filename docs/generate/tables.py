"""The pages of the tables, with their pictures.

The law of this module: **the pages print the very objects that the functions look up**.
"""

from __future__ import annotations

from typing import Final

from curae_lifecycle.cli.table_formats import heading, markdown_table, rule_lines, to_document
from curae_lifecycle.rules.tables import AnyTable
from curae_lifecycle.service.rulebook import TABLES
from docs.generate.drawing import Picture, to_svg
from docs.generate.pictures import pictures

WORKED: Final = "worked"
"""The folder beside the pages that holds the worked examples."""

DOCUMENT: Final = "tables.json"
"""The file that holds all tables as one JSON document."""

_INDEX: Final = """\
# Tables

Every rule of the package. These pages and their pictures are printed from the objects that the
functions look up: `python -m docs.generate tables`. `tables.json` beside them holds all tables of this version
for programs, and `released.json` those of the last release.

"""
_WORKED_INDEX: Final = """\

## Rule by rule

Each rule with the law that it keeps, the test that holds it, and an example that was run.

"""


def files() -> dict[str, str]:
    """Return the text of every page and every picture by its file name."""
    drawn = pictures()
    examples = "".join(f"- [{name}]({WORKED}/{name}.md)\n" for name in TABLES)
    found = {"README.md": _INDEX + index() + _WORKED_INDEX + examples}
    for name, table in TABLES.items():
        found[f"{name}.md"] = _page(table, drawn.get(name))
    found[DOCUMENT] = to_document(TABLES.values())
    return found | {f"{name}.svg": to_svg(picture) for name, picture in drawn.items()}


def index() -> str:
    """Return a Markdown table with a line for each table: its page, its size and its law."""
    lines = [
        [f"[{name}]({name}.md)", str(len(table)), str(len(table.rows)), table.law]
        for name, table in TABLES.items()
    ]
    return markdown_table(("table", "cells", "rules", "decides"), lines)


def slug(title: str) -> str:
    """Return the anchor that GitHub and the site give to a heading."""
    return title.lower().replace(".", "").replace(" ", "-")


def _page(table: AnyTable, picture: Picture | None) -> str:
    def link(rule: str) -> str:
        return f'<a id="{rule}"></a>[`{rule}`]({WORKED}/{table.name}.md#{slug(rule)})'

    drawn = "" if picture is None else _picture(picture)
    return heading(table) + drawn + rule_lines(table, link)


def _picture(picture: Picture) -> str:
    # Readers who cannot see the picture get the same in words.
    homes = {row.rule: table.name for table in TABLES.values() for row in table.rows}
    words = "".join(
        f"- {arrow.sentence}"
        + "".join(f" [`{rule}`]({homes[rule]}.md#{rule})" for rule in arrow.rules)
        + "\n"
        for arrow in picture.arrows
    ) + "".join(f"- {note}\n" for note in picture.notes)
    return (
        f"![{picture.title}]({picture.name}.svg)\n\n"
        f"<details>\n<summary>The picture in words</summary>\n\n{words}\n</details>\n\n"
    )
