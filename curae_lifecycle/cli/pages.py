"""The tables as text: Markdown, Mermaid, JSON, and the pages of all of them, with their pictures.

The law of this module: **the pages print the very objects that the functions look up**.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

import attrs

from curae_lifecycle import __version__
from curae_lifecycle.cli.drawing import Picture, to_svg
from curae_lifecycle.cli.pictures import pictures
from curae_lifecycle.rules.tables import AnyTable
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.web.json import Json

FORMAT: Final = 1
"""The version of the format of a document of tables."""

WORKED: Final = "worked"
"""The folder beside the pages where each rule has an example that was run, if there is one."""

_INDEX_HEAD: Final = """\
# Tables

Every rule of the package. These pages and their pictures are printed from the objects that the
functions look up: `python -m curae_lifecycle tables --write docs/tables`.

"""
_WORKED_HEAD: Final = """\

## Rule by rule

Each rule with the law that it keeps, the test that holds it, and an example that was run.

"""


def pages(*, worked: bool = False) -> dict[str, str]:
    """Every page and every picture by its file name.

    Args:
        worked: Whether the rules lead to their examples, which lie beside the pages.
    """
    drawn = pictures()
    head = _INDEX_HEAD + index()
    if worked:
        head += _WORKED_HEAD + "".join(f"- [{name}]({WORKED}/{name}.md)\n" for name in TABLES)
    found = {"README.md": head}
    for name, table in TABLES.items():
        found[f"{name}.md"] = _page(table, drawn.get(name), worked=worked)
    return found | {f"{name}.svg": to_svg(picture) for name, picture in drawn.items()}


def index(folder: str = "") -> str:
    """Every table in one line: its page, its size, and what it decides.

    Args:
        folder: Where the pages lie, seen from the page that shows the index.
    """
    lines = [["table", "cells", "rules", "decides"], ["---"] * 4]
    for table in TABLES.values():
        page, cells = f"[{table.name}]({folder}{table.name}.md)", len(table)
        lines.append([page, str(cells), str(len(table.rows)), table.law])
    return markdown(lines)


def to_markdown(table: AnyTable) -> str:
    """A table in Markdown: one line per rule, in the order they are declared."""
    return _head(table) + _rules(table, lambda rule: f"`{rule}`")


def _page(table: AnyTable, picture: Picture | None, *, worked: bool) -> str:
    def cell(rule: str) -> str:
        shown = f"[`{rule}`]({WORKED}/{table.name}.md#{slug(rule)})" if worked else f"`{rule}`"
        return f'<a id="{rule}"></a>{shown}'

    drawn = "" if picture is None else _shown(picture)
    return _head(table) + drawn + _rules(table, cell)


def _head(table: AnyTable) -> str:
    return f"# {table.name}\n\n{table.law}\n\n{len(table)} cells, {len(table.rows)} rules.\n\n"


def _rules(table: AnyTable, cell: Callable[[str], str]) -> str:
    head = [*(axis.name for axis in table.axes), "outcome", "rule", "why"]
    rules = [
        [*map(str, row.parts), str(row.outcome), cell(row.rule), row.why] for row in table.rows
    ]
    return markdown([head, ["---"] * len(head), *rules])


def slug(heading: str) -> str:
    """The anchor that GitHub and the site make of a heading."""
    return heading.lower().replace(".", "").replace(" ", "-")


def _shown(picture: Picture) -> str:
    # The words stand outside of the picture, too, for those who cannot see it.
    homes = {row.rule: table.name for table in TABLES.values() for row in table.rows}
    said = "".join(
        f"- {arrow.sentence}"
        + "".join(f" [`{rule}`]({homes[rule]}.md#{rule})" for rule in arrow.rules)
        + "\n"
        for arrow in picture.arrows
    ) + "".join(f"- {note}\n" for note in picture.notes)
    return (
        f"![{picture.title}]({picture.name}.svg)\n\n"
        f"<details>\n<summary>The picture in words</summary>\n\n{said}\n</details>\n\n"
    )


def to_mermaid(table: AnyTable) -> str:
    """A table as a Mermaid state diagram: one arrow per cell that moves the state.

    Raises:
        ValueError: The table moves no state.
    """
    if table.state is None:
        raise ValueError(f"the table {table.name} moves no state, so it has no diagram")
    at = [axis.name for axis in table.axes].index(table.state)
    arrows: dict[tuple[str, str], list[str]] = {}
    for key, row in table.cells():
        to = getattr(row.outcome, "to", None)
        if to is not None:
            arrows.setdefault((key[at], to), []).append(" ".join(key[:at] + key[at + 1 :]))
    lines = [
        f"    {a} --> {b}: {' / '.join(labels)}".removesuffix(": ")
        for (a, b), labels in arrows.items()
    ]
    return "\n".join(["stateDiagram-v2", *lines]) + "\n"


def to_json(table: AnyTable) -> str:
    """A table as JSON: its axes, and one object per cell."""
    return _text(_table(table))


def to_document(tables: Iterable[AnyTable]) -> str:
    """Tables as one JSON document, with the version of the package that they are of."""
    texts = [_table(table) for table in tables]
    return _text({"format": FORMAT, "version": __version__, "tables": texts})


def _text(value: Mapping[str, object]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _table(table: AnyTable) -> dict[str, Json]:
    names = [axis.name for axis in table.axes]
    return {
        "name": table.name,
        "law": table.law,
        "state": table.state,
        "axes": {axis.name: list(axis.values) for axis in table.axes},
        "cells": [
            {
                "key": dict(zip(names, key, strict=True)),
                "rule": row.rule,
                "outcome": _outcome(row.outcome),
                "says": str(row.outcome),
                "why": row.why,
            }
            for key, row in table.cells()
        ],
    }


def markdown(lines: list[list[str]]) -> str:
    """Lines of cells as a Markdown table."""
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def _outcome(outcome: object) -> dict[str, Json]:
    kind = type(outcome)
    plain: dict[str, Json] = {"kind": kind.__name__}
    for field in attrs.fields(kind) if attrs.has(kind) else ():
        # What follows from the others tells nothing, and the reason stands in the cell itself.
        if not field.eq or field.name == "why":
            continue
        value: object = getattr(outcome, field.name)
        if value is None or isinstance(value, int):
            plain[field.name] = value
        elif isinstance(value, tuple):
            plain[field.name] = [str(part) for part in cast("tuple[object, ...]", value)]
        else:
            plain[field.name] = str(value)
    return plain
