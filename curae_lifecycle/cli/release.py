"""The rules of one release, as its JSON document of all tables has them."""

from __future__ import annotations

from math import prod

import attrs

from curae_lifecycle.cli.table_formats import FORMAT
from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.web.json import Json, MalformedError, parse_json

Cell = frozenset[tuple[str, str]]
"""A cell of a table: which value it has on which axis."""


@attrs.frozen
class Rule:
    """What decides a cell: its name, its outcome member by member, and the same in words.

    Why is one sentence that begins with its source: [S], [P] or [O].
    """

    name: str
    outcome: dict[str, Json] = attrs.field(hash=False)
    says: str
    why: str


@attrs.frozen
class TableShape:
    """What a table is, apart from its cells: its law, and the values of each axis, in order.

    Its `state` is the axis that its outcomes move, where they move one.
    """

    law: str
    state: str | None
    axes: dict[str, tuple[str, ...]]


@attrs.frozen
class ReleasedTable:
    """A table as it stood in a release."""

    shape: TableShape
    cells: dict[Cell, Rule]


@attrs.frozen
class Release:
    """All tables of a release by their names, and the package's version."""

    version: str
    tables: dict[str, ReleasedTable]


class UnreadableError(LifecycleError, ValueError):
    """A text that is no document of tables which this version reads, and why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def parse_release(text: bytes | str) -> Release:
    """Read what `tables --format json` printed.

    Raises:
        UnreadableError: It is not JSON, no such document, of a newer format, or a table in it
            does not decide each of its cells once.
    """
    try:
        document = parse_json(text)
    except MalformedError:
        raise UnreadableError("it is not JSON") from None
    match document:
        case {"format": int(number)} if number > FORMAT:
            raise UnreadableError(f"its format is {number}, and this version reads {FORMAT}")
        case {"format": 1, "version": str(version), "tables": list(tables)}:
            sheets = dict(map(_sheet, tables))
            if len(sheets) < len(tables):
                raise UnreadableError("a table stands in it twice")
            return Release(version, sheets)
        case _:
            raise UnreadableError("it is no document of tables: no format, version and tables")


def _sheet(table: Json) -> tuple[str, ReleasedTable]:
    match table:
        case {
            "name": str(name),
            "law": str(law),
            "state": None | str() as state,
            "axes": dict(axes),
            "cells": list(cells),
        } if axes:
            frame = TableShape(law, state, {axis: _values(name, axes[axis]) for axis in axes})
            return name, ReleasedTable(frame, _cells(name, frame.axes, cells))
        case _:
            raise UnreadableError("a table in it has no name, law, state, axes and cells")


def _values(table: str, values: Json) -> tuple[str, ...]:
    texts = tuple(map(str, values)) if isinstance(values, list) else ()
    if not texts or list(texts) != values or len(set(texts)) < len(texts):
        raise UnreadableError(f"table {table}: an axis is no list of different values")
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
                place = frozenset((axis, str(value)) for axis, value in key.items())
                found[place] = Rule(name=name, outcome=outcome, says=says, why=why)
            case _:
                raise UnreadableError(f"table {table}: a cell in it is none of its axes' cells")
    if not len(found) == len(cells) == prod(map(len, axes.values())):
        raise UnreadableError(f"table {table}: it does not decide each cell once")
    return found
