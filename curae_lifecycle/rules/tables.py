"""Total tables: finite rules as data that checks itself.

The law of this module: **a table decides every cell of its axes, once**. A `Table` with a
missing cell, a doubled cell, a cell outside its axes or a doubled rule name cannot be built,
and since every table is built when its module is imported, a package that imports is total.

A table is a mapping from cells to rows: `EVENTS[Trigger.REVOKE, Standing.ACTIVE]`, and
`REACH[Actor.APP]` where it has one axis. A row is one rule: the cells it covers (`ANY` covers a
whole axis), its verdict, and one sentence of why. Its name follows from the table and its key,
or is given where two rows share a key's words; a name that was released keeps its meaning for
ever. Functions look rows up, the printed pages render the same objects, and every decision
carries the names of the rows that made it.
"""

from __future__ import annotations

import json
from enum import Enum, StrEnum
from itertools import product
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar, cast

import attrs

from curae_lifecycle.rules.errors import LifecycleError

if TYPE_CHECKING:
    from collections.abc import Iterable

Key = TypeVar("Key", bound="str | tuple[StrEnum, ...]")
Outcome = TypeVar("Outcome")
Held = TypeVar("Held", covariant=True)


class Wildcard(Enum):
    """The type of `ANY`."""

    ANY = "any"

    def __str__(self) -> str:
        return self.value


ANY: Final = Wildcard.ANY
"""In a row's key: every value of that axis."""

Part = str | Wildcard
"""What a row's key holds for one axis."""


class TableError(LifecycleError, ValueError):
    """A table that is not total. Raised when the table is built, so at import.

    Attributes:
        table: The table's name.
        fault: What is wrong with it.
        cells: The cells or rule names at fault.
    """

    def __init__(self, table: str, fault: str, cells: tuple[str, ...]) -> None:
        """Say which table, what is wrong, and where."""
        super().__init__(table, fault, cells)
        self.table = table
        self.fault = fault
        self.cells = cells

    def __str__(self) -> str:
        return f"table {self.table!r}: {self.fault}: {', '.join(self.cells)}"


@attrs.frozen
class Axis:
    """One dimension of a table.

    Attributes:
        name: What the dimension is called in a printed table.
        values: Every value it can take, in the order they are printed.
    """

    name: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, name: str, values: Iterable[StrEnum]) -> Axis:
        """The axis of all members of an enumeration, or of some of them."""
        return cls(name, tuple(values))


def _own_trail(row: Row[object]) -> tuple[str, ...]:
    return (row.rule,)


@attrs.frozen
class Row(Generic[Held]):
    """One rule.

    Attributes:
        key: One value, or one per axis; `ANY` covers an axis.
        outcome: What the rule decides.
        why: One sentence, with the source of the rule: [S] the platform's reference, [P] the
            platform's public pages, [O] ours.
        name: Its name within the table, where it does not follow from the key.
        rule: Its name, stable across releases, unique in the package; the table gives it.
        rules: The name again, as the trail of a decision that this row alone makes.
    """

    key: Part | tuple[Part, ...]
    outcome: Held
    why: str
    name: str = ""
    rule: str = attrs.field(default="", kw_only=True)
    rules: tuple[str, ...] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_own_trail, takes_self=True)
    )

    @property
    def parts(self) -> tuple[Part, ...]:
        """The key, one part per axis."""
        return self.key if isinstance(self.key, tuple) else (self.key,)


def _read_only(*_: object, **__: object) -> NoReturn:
    raise TypeError("a table is never written; it decides what it says")


class Table(dict[Key, Row[Outcome]], Generic[Key, Outcome]):
    """A total mapping from the cells of finite axes to rows.

    Attributes:
        name: The table's name, as `python -m curae_lifecycle tables NAME` takes it.
        law: One sentence: what the table decides.
        axes: Its dimensions.
        rows: Its rules, in the order they are printed.
        state: The axis that is a state, where the outcomes move it; `None` elsewhere.
    """

    __slots__ = ("axes", "law", "name", "rows", "state")

    def __init__(
        self,
        name: str,
        law: str,
        axes: Axis | tuple[Axis, ...],
        *rows: Row[Outcome],
        prefix: str = "",
        state: str | None = None,
    ) -> None:
        """Build the table, or refuse to.

        Args:
            name: The table's name.
            law: What it decides, in one sentence.
            axes: Its dimensions; a single one has bare keys.
            rows: Its rules.
            prefix: What the names of its rules begin with; the table's name where empty.
            state: The axis that its verdicts move, where there is one.

        Raises:
            TableError: A cell is missing, decided twice or outside the axes, a rule name is
                used twice, a sentence of why is missing, or `state` names no axis.
        """
        self.name: Final = name
        self.law: Final = law
        self.axes: Final = axes if isinstance(axes, tuple) else (axes,)
        self.rows: Final = tuple(
            attrs.evolve(row, rule=f"{prefix or name}.{row.name or _name_of(row)}") for row in rows
        )
        self.state: Final = state
        super().__init__(cast("dict[Key, Row[Outcome]]", _cells(name, self.axes, self.rows)))
        if state is not None and state not in {axis.name for axis in self.axes}:
            raise TableError(name, "its state is none of its axes", (state,))

    __setitem__ = __delitem__ = __ior__ = __delattr__ = _read_only
    update = pop = popitem = clear = setdefault = _read_only

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, name):
            _read_only()
        super().__setattr__(name, value)

    def cells(self) -> Iterable[tuple[tuple[str, ...], Row[Outcome]]]:
        """Every cell with its row, in the order of the axes; each key one part per axis."""
        for key, row in self.items():
            yield (key if isinstance(key, tuple) else (key,)), row

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
            _markdown_line([*map(str, row.parts), str(row.outcome), f"`{row.rule}`", row.why])
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
        for key, row in self.cells():
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
                for key, row in self.cells()
            ],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _cells(
    name: str, axes: tuple[Axis, ...], rows: tuple[Row[Outcome], ...]
) -> dict[str | tuple[str, ...], Row[Outcome]]:
    for axis in axes:
        if not axis.values or len(set(axis.values)) < len(axis.values):
            raise TableError(name, "an axis is empty or has a value twice", (axis.name,))
    every = list(product(*(axis.values for axis in axes)))
    cells: dict[tuple[str, ...], Row[Outcome]] = {}
    rules: set[str] = set()
    for row in rows:
        if row.rule in rules:
            raise TableError(name, "a rule name is used twice", (row.rule,))
        if row.rule.rstrip().endswith(".") or not row.why.strip():
            raise TableError(name, "a rule has no name or does not say why", (row.rule,))
        rules.add(row.rule)
        covered = [key for key in every if _covers(row.parts, key)]
        if not covered:
            raise TableError(name, "a rule covers no cell of the axes", (row.rule,))
        doubled = tuple(_show(key) for key in covered if key in cells)
        if doubled:
            raise TableError(name, f"rule {row.rule} decides a cell again", doubled)
        cells.update(dict.fromkeys(covered, row))
    missing = tuple(_show(key) for key in every if key not in cells)
    if missing:
        raise TableError(name, "no rule decides a cell", missing)
    return {key[0] if len(axes) == 1 else key: cells[key] for key in every}


def _covers(pattern: tuple[Part, ...], key: tuple[str, ...]) -> bool:
    # The type too: members of two StrEnums with the same text are equal.
    return len(pattern) == len(key) and all(
        part is ANY or (type(part) is type(value) and part == value)
        for part, value in zip(pattern, key, strict=True)
    )


def _name_of(row: Row[object]) -> str:
    words = [
        part.name if isinstance(part, StrEnum) else part for part in row.parts if part is not ANY
    ]
    return ".".join(str(word).lower().replace("_", "-") for word in words)


def _show(key: tuple[str, ...]) -> str:
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
