"""The tables as text: Markdown, Mermaid, JSON, and the pages of all of them.

The law of this module: **the pages print the very objects that the functions look up**.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final, cast

import attrs

from curae_lifecycle import __version__
from curae_lifecycle.rules.tables import AnyTable
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.web.json import Json

FORMAT: Final = 1
"""The version of the format of a document of tables."""

_INDEX_HEAD: Final = """\
# Tables

Every rule of the package. These pages are printed from the objects that the functions look up:
`python -m curae_lifecycle tables --write docs/tables`.

"""


def pages() -> dict[str, str]:
    """Every page by its file name."""
    texts = {f"{table.name}.md": to_markdown(table, anchors=True) for table in TABLES.values()}
    return {"README.md": _INDEX_HEAD + index()} | texts


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


def to_markdown(table: AnyTable, *, anchors: bool = False) -> str:
    """A table as a Markdown page: one line per rule, in the order they are declared.

    Args:
        table: Which.
        anchors: Whether each rule is an anchor, named as it is, for links.
    """
    head = [*(axis.name for axis in table.axes), "outcome", "rule", "why"]
    rules: list[list[str]] = []
    for row in table.rows:
        place = f'<a id="{row.rule}"></a>' if anchors else ""
        rules.append([*map(str, row.parts), str(row.outcome), f"{place}`{row.rule}`", row.why])
    size = f"{len(table)} cells, {len(rules)} rules."
    text = f"# {table.name}\n\n{table.law}\n\n{size}\n\n"
    text += markdown([head, ["---"] * len(head), *rules])
    return text if table.state is None else f"{text}\n```mermaid\n{to_mermaid(table)}```\n"


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
