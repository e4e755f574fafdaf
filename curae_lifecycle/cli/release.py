"""The rules of one release, read from the JSON that `tables --format json` prints."""

from __future__ import annotations

import json
from math import prod

import attrs

from curae_lifecycle.cli.table_formats import FORMAT
from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.web.json import MalformedError, parse_json

Cell = frozenset[tuple[str, str]]
"""One combination of a table's inputs: for each input, its name (the axis) and its value."""


def sorted_json(value: Json) -> str:
    """Return a value as JSON text with sorted members.

    Compare such texts instead of values, because in Python True equals 1.
    """
    return json.dumps(value, sort_keys=True)


@attrs.frozen
class Rule:
    """A rule of a table as one release of the package has it.

    Attributes:
        name: The rule's name.
        outcome: The outcome as a JSON object.
        says: The outcome in words.
        why: The reason for the outcome: a sentence that begins with its source, [S], [P] or [O].
    """

    name: str
    outcome: dict[str, Json] = attrs.field(hash=False, eq=sorted_json)
    says: str
    why: str


@attrs.frozen
class TableShape:
    """The description and the axes of a table as one release has it, without the cells.

    An axis is an input of the table. A cell is one combination of the axes' values.

    Attributes:
        law: The sentence that says what the table decides.
        state: The name of the axis whose value the outcomes change; None if there is no such axis.
        axes: The values of each axis, in order, by the axis's name.
    """

    law: str
    state: str | None
    axes: dict[str, tuple[str, ...]]


@attrs.frozen
class ReleasedTable:
    """A table as one release of the package has it.

    Attributes:
        shape: The table's axes, and the sentence that says what the table decides.
        cells: The rule that decides each cell, which is one combination of the axes' values.
    """

    shape: TableShape
    cells: dict[Cell, Rule]


@attrs.frozen
class Release:
    """One release of the package: its version and all its tables of rules.

    Attributes:
        version: The package's version.
        tables: The tables by name.
    """

    version: str
    tables: dict[str, ReleasedTable]


class UnreadableError(LifecycleError, ValueError):
    """The error for a text that this version cannot read as the JSON of a release's tables.

    Attributes:
        why: What is wrong with the text.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def parse_release(text: bytes | str) -> Release:
    """Parse the JSON of all tables that the command `tables --format json` printed.

    Returns:
        The release that printed the JSON: its version and its tables.

    Raises:
        UnreadableError: The text is not JSON, is not a document of tables, has a newer format, or
            has a table that does not decide each of its cells exactly once.
    """
    try:
        document = parse_json(text)
    except MalformedError:
        raise UnreadableError("it is not JSON") from None
    match document:
        case {"format": int(number)} if number > FORMAT:
            raise UnreadableError(f"its format is {number}, but this version reads only {FORMAT}")
        case {"format": 1, "version": str(version), "tables": list(tables)}:
            read_tables = dict(map(_read_table, tables))
            if len(read_tables) < len(tables):
                raise UnreadableError("two of its tables have the same name")
            return Release(version, read_tables)
        case _:
            raise UnreadableError(
                "it is not a document of tables: it must have format, version and tables"
            )


def _read_table(table: Json) -> tuple[str, ReleasedTable]:
    match table:
        case {
            "name": str(name),
            "law": str(law),
            "state": None | str() as state,
            "axes": dict(axes),
            "cells": list(cells),
        } if axes:
            shape = TableShape(law, state, {axis: _values(name, axes[axis]) for axis in axes})
            return name, ReleasedTable(shape, _cells(name, shape.axes, cells))
        case _:
            raise UnreadableError("each of its tables must have name, law, state, axes and cells")


def _values(table: str, values: Json) -> tuple[str, ...]:
    texts = tuple(map(str, values)) if isinstance(values, list) else ()
    if not texts or list(texts) != values or len(set(texts)) < len(texts):
        raise UnreadableError(f"table {table}: each axis must be a list of different values")
    return texts


def _cells(table: str, axes: dict[str, tuple[str, ...]], cells: list[Json]) -> dict[Cell, Rule]:
    found: dict[Cell, Rule] = {}
    for each in cells:
        match each:
            case {
                "key": dict(key),
                "rule": str(name),
                "outcome": dict(outcome),
                "says": str(says),
                "why": str(why),
            } if key.keys() == axes.keys() and all(key[axis] in axes[axis] for axis in axes):
                cell = frozenset((axis, str(value)) for axis, value in key.items())
                found[cell] = Rule(name=name, outcome=outcome, says=says, why=why)
            case _:
                raise UnreadableError(
                    f"table {table}: each cell must have a value of each axis and a rule"
                )
    if not len(found) == len(cells) == prod(map(len, axes.values())):
        raise UnreadableError(f"table {table}: must decide each cell exactly once")
    return found
