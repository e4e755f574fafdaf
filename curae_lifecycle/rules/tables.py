"""Total tables: finite rules as data that checks itself.

The law of this module: **a table decides every cell of its axes, once**. A `Table` with a
missing cell, a doubled cell, a cell outside its axes or a doubled rule name cannot be built,
and since every table is built when its module is imported, a package that imports is total.

A row is one rule: a name that is stable across releases, the cells it covers (`ANY` covers a
whole axis), its outcome, and one sentence of why. Functions look rows up, the printed pages
render the same objects, and every decision carries the names of the rows that made it.
"""

from __future__ import annotations

import json
from enum import Enum, StrEnum
from itertools import product
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Key = TypeVar("Key", bound="tuple[StrEnum, ...]")
Outcome = TypeVar("Outcome", covariant=True)


class Wildcard(Enum):
    """The type of `ANY`."""

    ANY = "any"

    def __str__(self) -> str:
        return self.value


ANY: Final = Wildcard.ANY
"""In a row's key: every value of that axis."""


class TableError(ValueError):
    """A table that is not total. Raised when the table is built, so at import.

    Attributes:
        table: The table's name.
        fault: What is wrong with it.
        cells: The cells or rule names at fault.
    """

    def __init__(self, table: str, fault: str, cells: tuple[str, ...]) -> None:
        """Say which table, what is wrong, and where."""
        super().__init__(f"table {table!r}: {fault}: {', '.join(cells)}")
        self.table = table
        self.fault = fault
        self.cells = cells


@attrs.frozen
class Axis:
    """One dimension of a table.

    Attributes:
        name: What the dimension is called in a printed table.
        values: Every value it can take, in the order they are printed.
    """

    name: str
    values: tuple[StrEnum, ...]

    @classmethod
    def of(cls, name: str, values: type[StrEnum]) -> Axis:
        """The axis of all members of an enumeration."""
        return cls(name, tuple(values))


def _own_trail(row: Row[object]) -> tuple[str, ...]:
    return (row.rule,)


@attrs.frozen
class Row(Generic[Outcome]):
    """One rule.

    Attributes:
        rule: Its name, stable across releases, unique in the package.
        key: One value per axis, or `ANY`.
        outcome: What the rule decides.
        why: One sentence, with the source of the rule: [S] seed, [P] platform, [O] ours.
        rules: The name again, as the trail of a decision that this row alone makes.
    """

    rule: str
    key: tuple[StrEnum | Wildcard, ...]
    outcome: Outcome
    why: str
    rules: tuple[str, ...] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_own_trail, takes_self=True)
    )


class Table(Generic[Key, Outcome]):
    """A total map from finite axes to rows.

    Attributes:
        name: The table's name, as `python -m curae_lifecycle tables NAME` takes it.
        law: One sentence: what the table decides.
        axes: Its dimensions.
        rows: Its rules, in the order they are printed.
        cells: The row that decides each cell; `table[key]` reads it with a checked type.
        state: The axis that is a state, where the outcomes move it; `None` elsewhere.
    """

    __slots__ = ("axes", "cells", "law", "name", "rows", "state")

    def __init__(
        self,
        name: str,
        law: str,
        axes: tuple[Axis, ...],
        rows: tuple[Row[Outcome], ...],
        *,
        state: str | None = None,
    ) -> None:
        """Build the table, or refuse to.

        Raises:
            TableError: A cell is missing, decided twice or outside the axes, a rule name is
                used twice, a sentence of why is missing, or `state` names no axis.
        """
        self.name: Final = name
        self.law: Final = law
        self.axes: Final = axes
        self.rows: Final = rows
        self.state: Final = state
        self.cells: Final = cast("Mapping[Key, Row[Outcome]]", _cells(name, axes, rows))
        if state is not None and state not in {axis.name for axis in axes}:
            raise TableError(name, "its state is none of its axes", (state,))

    def __getitem__(self, key: Key) -> Row[Outcome]:
        """The one row that decides a cell."""
        return self.cells[key]

    def __iter__(self) -> Iterator[tuple[Key, Row[Outcome]]]:
        """Every cell with its row, in the order of the axes."""
        return iter(self.cells.items())

    def __len__(self) -> int:
        """The number of cells."""
        return len(self.cells)

    def __repr__(self) -> str:
        return f"<Table {self.name}: {len(self)} cells, {len(self.rows)} rules>"

    def to_markdown(self) -> str:
        """The table as a Markdown page: one line per rule, in the order they are declared."""
        head = [*(axis.name for axis in self.axes), "outcome", "rule", "why"]
        lines = [
            f"# {self.name}",
            "",
            self.law,
            "",
            f"{len(self)} cells, {len(self.rows)} rules.",
            "",
            _markdown_line(head),
            _markdown_line(["---"] * len(head)),
        ]
        lines += [
            _markdown_line([*map(str, row.key), str(row.outcome), f"`{row.rule}`", row.why])
            for row in self.rows
        ]
        if self.state is not None:
            lines += ["", "```mermaid", self.to_mermaid().removesuffix("\n"), "```"]
        return "\n".join(lines) + "\n"

    def to_mermaid(self) -> str:
        """The table as a Mermaid state diagram: one arrow per cell that moves the state.

        Raises:
            ValueError: The table is not a state table.
        """
        if self.state is None:
            message = f"table {self.name!r} moves no state; it has no diagram"
            raise ValueError(message)
        at = [axis.name for axis in self.axes].index(self.state)
        arrows: dict[tuple[str, str], list[str]] = {}
        for key, row in self:
            to = getattr(row.outcome, "to", None)
            if to is not None:
                label = " ".join(value for place, value in enumerate(key) if place != at)
                arrows.setdefault((key[at], to), []).append(label)
        lines = [
            f"    {a} --> {b}: {' / '.join(labels)}".removesuffix(": ")
            for (a, b), labels in arrows.items()
        ]
        return "\n".join(["stateDiagram-v2", *lines]) + "\n"

    def to_json(self) -> str:
        """The table as JSON: its axes, and one object per cell."""
        names = [axis.name for axis in self.axes]
        document = {
            "name": self.name,
            "law": self.law,
            "state": self.state,
            "axes": {axis.name: [str(value) for value in axis.values] for axis in self.axes},
            "cells": [
                {
                    "key": dict(zip(names, map(str, key), strict=True)),
                    "rule": row.rule,
                    "outcome": _outcome_json(row.outcome),
                    "why": row.why,
                }
                for key, row in self
            ],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _cells(
    name: str, axes: tuple[Axis, ...], rows: tuple[Row[Outcome], ...]
) -> dict[tuple[StrEnum, ...], Row[Outcome]]:
    for axis in axes:
        if not axis.values or len(set(axis.values)) < len(axis.values):
            raise TableError(name, "an axis is empty or has a value twice", (axis.name,))
    every = list(product(*(axis.values for axis in axes)))
    cells: dict[tuple[StrEnum, ...], Row[Outcome]] = {}
    rules: set[str] = set()
    for row in rows:
        if row.rule in rules:
            raise TableError(name, "a rule name is used twice", (row.rule,))
        if not (row.rule.strip() and row.why.strip()):
            raise TableError(name, "a rule has no name or does not say why", (row.rule,))
        rules.add(row.rule)
        covered = [key for key in every if _covers(row.key, key)]
        if not covered:
            raise TableError(name, "a rule covers no cell of the axes", (row.rule,))
        doubled = tuple(_show(key) for key in covered if key in cells)
        if doubled:
            raise TableError(name, f"rule {row.rule} decides a cell again", doubled)
        cells.update(dict.fromkeys(covered, row))
    missing = tuple(_show(key) for key in every if key not in cells)
    if missing:
        raise TableError(name, "no rule decides a cell", missing)
    return {key: cells[key] for key in every}


def _covers(pattern: tuple[StrEnum | Wildcard, ...], key: tuple[StrEnum, ...]) -> bool:
    # Identity, not equality: members of two StrEnums with the same text are equal.
    return len(pattern) == len(key) and all(
        part is ANY or part is value for part, value in zip(pattern, key, strict=True)
    )


def _show(key: tuple[StrEnum, ...]) -> str:
    return " × ".join(key)


def _markdown_line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _outcome_json(outcome: object) -> dict[str, str | int | bool | list[str] | None]:
    kind = type(outcome)
    names = [field.name for field in attrs.fields(kind)] if attrs.has(kind) else []
    plain: dict[str, str | int | bool | list[str] | None] = {"kind": kind.__name__}
    for name in names:
        value = getattr(outcome, name)
        if value is None or isinstance(value, int):
            plain[name] = value
        elif isinstance(value, tuple):
            plain[name] = [str(part) for part in cast("tuple[object, ...]", value)]
        else:
            plain[name] = str(value)
    return plain
