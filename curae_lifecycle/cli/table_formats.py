"""Tables of rules as Markdown, Mermaid and JSON.

The law of this module: **each format prints the very objects that the functions look up**.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

import attrs

from curae_lifecycle import __version__
from curae_lifecycle.rules.tables import AnyTable
from curae_lifecycle.service.json_schema import Json

FORMAT: Final = 1
"""The version of the JSON format of tables, which `tables --diff` checks before it compares."""


def to_markdown(table: AnyTable) -> str:
    """Format a table of rules as Markdown: its heading, then a line for each rule."""
    return heading(table) + rule_lines(table, lambda rule: f"`{rule}`")


def heading(table: AnyTable) -> str:
    """Format the heading of a table of rules as Markdown.

    It has the table's name, the sentence that says what the table decides, and the numbers of cells
    and rules. A cell is one combination of the table's inputs.
    """
    return f"# {table.name}\n\n{table.law}\n\n{len(table)} cells, {len(table.rows)} rules.\n\n"


def rule_lines(table: AnyTable, show_rule: Callable[[str], str]) -> str:
    """Format the rules of a table as a Markdown table; `show_rule` formats each rule name."""
    head = [*(axis.name for axis in table.axes), "outcome", "rule", "why"]
    rules = [
        [*map(str, row.parts), str(row.outcome), show_rule(row.rule), row.why] for row in table.rows
    ]
    return markdown_table(head, rules)


def markdown_table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Format texts as a Markdown table: `head` is the first line, `lines` are the others."""
    columns = list(head)
    escaped = [
        [cell.replace("|", "\\|") for cell in line]
        for line in (columns, ["---"] * len(columns), *lines)
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def to_mermaid(table: AnyTable) -> str:
    """Format a table of rules as a Mermaid state diagram.

    An arrow is a change of the state. Its label has the values of the other inputs that cause it.

    Raises:
        ValueError: The outcomes of the table change no state: `table.state` is None.
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
    """Format a table as JSON: its name, law, state and axes, and its cells.

    The law says what the table decides. The axes are its inputs, and the state is the axis that the
    outcomes change. A cell is one combination of the axes' values, with the rule that decides it.
    """
    return _to_text(_to_dict(table))


def to_document(tables: Iterable[AnyTable]) -> str:
    """Format tables as one JSON document, with the package version; `parse_release` reads it."""
    document = {"format": FORMAT, "version": __version__, "tables": list(map(_to_dict, tables))}
    return _to_text(document)


def _to_text(value: Mapping[str, object]) -> str:
    # ASCII, because the output's encoding may lack other characters.
    return json.dumps(value, indent=2) + "\n"


def _to_dict(table: AnyTable) -> dict[str, Json]:
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


def _outcome(outcome: object) -> dict[str, Json]:
    kind = type(outcome)
    plain: dict[str, Json] = {"kind": kind.__name__}
    for field in attrs.fields(kind) if attrs.has(kind) else ():
        # Derived fields repeat the others, and the cell itself holds the reason.
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
