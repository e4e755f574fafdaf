"""What changed between two releases' rules, cell by cell.

The law of this module: **what is not reported is the same**. The changes from one release to
another, applied to the first, give the second; between a release and itself there are none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from itertools import product

import attrs

from curae_lifecycle.cli.release import Cell, Release, ReleasedTable, Rule, TableShape


class Kind(StrEnum):
    """What happened to a cell."""

    NEW = "new cell"
    GONE = "cell is gone"
    ANSWER = "answer changed"
    RENAMED = "rule renamed"
    OTHER_RULE = "decided by another rule"
    SOURCE = "source changed"
    REASON = "reason reworded"
    WORDS = "same answer in other words"


@attrs.frozen
class CellsChange:
    """Cells that changed alike, and what decided them; `None` where they are new, or gone."""

    kinds: tuple[Kind, ...]
    cells: frozenset[Cell]
    before: Rule | None
    after: Rule | None


@attrs.frozen
class TableChange:
    """A table that changed: its frame, `None` where it is new, or gone, and the cells that changed.

    Where an axis came or went, they have their value on it.
    """

    name: str
    before: TableShape | None
    after: TableShape | None
    cells: tuple[CellsChange, ...]


def compare(old: Release, new: Release) -> tuple[TableChange, ...]:
    """Every table that is not the same in two releases, in the order of the older one."""
    return tuple(
        _compare_tables(name, old.tables.get(name), new.tables.get(name))
        for name in old.tables | new.tables
        if old.tables.get(name) != new.tables.get(name)
    )


def _compare_tables(
    name: str, before: ReleasedTable | None, after: ReleasedTable | None
) -> TableChange:
    was = {} if before is None else before.cells
    now = {} if after is None else after.cells
    old_frame, new_frame = (sheet.shape if sheet else None for sheet in (before, after))
    if old_frame and new_frame:
        was, now = spread(was, old_frame, new_frame), spread(now, new_frame, old_frame)
    kept = {rule.name for rule in was.values()} & {rule.name for rule in now.values()}
    alike: dict[tuple[Rule | None, Rule | None], set[Cell]] = {}
    for cell in was | now:
        old, new = was.get(cell), now.get(cell)
        if old != new:
            alike.setdefault((old, new), set()).add(cell)
    changes = tuple(
        CellsChange(kinds=_kinds(old, new, kept), cells=frozenset(cells), before=old, after=new)
        for (old, new), cells in alike.items()
    )
    return TableChange(name=name, before=old_frame, after=new_frame, cells=changes)


def spread(cells: dict[Cell, Rule], own: TableShape, other: TableShape) -> dict[Cell, Rule]:
    """Cells over the axes that only the other frame has, where it has all of theirs.

    So a table with an axis more is compared with what each of its cells was decided by before.
    """
    if not own.axes.keys() < other.axes.keys():
        return cells
    more = {axis: values for axis, values in other.axes.items() if axis not in own.axes}
    return {
        cell | frozenset(zip(more, place, strict=True)): rule
        for cell, rule in cells.items()
        for place in product(*more.values())
    }


def _kinds(old: Rule | None, new: Rule | None, kept: set[str]) -> tuple[Kind, ...]:
    if old is None or new is None:
        return (Kind.NEW if old is None else Kind.GONE,)
    old_source, new_source = (rule.why.partition(" ")[0] for rule in (old, new))
    renamed = Kind.OTHER_RULE if kept & {old.name, new.name} else Kind.RENAMED
    happened = {
        Kind.ANSWER: old.outcome != new.outcome,
        renamed: old.name != new.name,
        Kind.SOURCE: old_source != new_source,
        Kind.REASON: old.why.removeprefix(old_source) != new.why.removeprefix(new_source),
        Kind.WORDS: old.outcome == new.outcome and old.says != new.says,
    }
    return tuple(kind for kind, did in happened.items() if did)


@attrs.frozen
class Finding:
    """What changed in one place of a table, in words; `details` are what it was and what it is.

    A place is cells that changed alike, an axis, or what is said of the table.
    """

    where: str
    what: str
    details: tuple[str, ...]


def summary(changes: tuple[TableChange, ...]) -> str:
    """All changes in one line, counted in cells."""
    if not changes:
        return "no difference"
    counts: Counter[str] = Counter()
    for change in (change for table in changes for change in table.cells):
        counts.update(dict.fromkeys(change.kinds, len(change.cells)))
    found = [f"{kind}: {_count(counts[kind], 'cell')}" for kind in Kind if counts[kind]]
    return "; ".join([f"changed: {_count(len(changes), 'table')}", *found])


def findings(table: TableChange) -> Iterator[Finding]:
    """What changed in a table."""
    before, after = table.before, table.after
    if before is None or after is None:
        cells = sum(len(change.cells) for change in table.cells)
        size = f"{_count(cells, 'cell')}, {_count(len(table.cells), 'rule')}"
        yield Finding(f"table {table.name}", "is new" if after else "is gone", (size,))
        return
    if before.law != after.law:
        yield Finding("what it decides", "reworded", (f"was: {before.law}", f"now: {after.law}"))
    if before.state != after.state:
        moved = (f"was: {before.state or 'none'}", f"now: {after.state or 'none'}")
        yield Finding("the axis that it moves", "changed", moved)
    for axis in before.axes | after.axes:
        yield from _of_axis(axis, before.axes.get(axis, ()), after.axes.get(axis, ()))
    for change in table.cells:
        places = "; ".join(_places(change, before, after))
        where = f"{places} ({len(change.cells)} cells)" if len(change.cells) > 1 else places
        yield Finding(where, ", ".join(change.kinds), _of_rules(change))


def _of_axis(axis: str, was: tuple[str, ...], now: tuple[str, ...]) -> Iterator[Finding]:
    gone = [value for value in was if value not in now]
    new = [value for value in now if value not in was]
    if gone:
        yield Finding(f"axis {axis}", "lost values" if now else "is gone", (", ".join(gone),))
    if new:
        yield Finding(f"axis {axis}", "new values" if was else "is new", (", ".join(new),))
    if [value for value in was if value in now] != [value for value in now if value in was]:
        yield Finding(f"axis {axis}", "other order", (", ".join(now),))


def _of_rules(change: CellsChange) -> tuple[str, ...]:
    old, new = change.before, change.after
    told: list[str] = []
    for when, rule, other in (("was", old, new), ("now", new, old)):
        if rule:
            says = rule.says
            if other and says == other.says and rule.outcome != other.outcome:
                # Words that do not tell two answers apart are followed by what does.
                apart = [
                    name for name in rule.outcome if rule.outcome[name] != other.outcome.get(name)
                ]
                says += f" {json.dumps({name: rule.outcome[name] for name in apart})}"
            told.append(f"{when}: {says}, by {rule.name}: {rule.why}")
    return tuple(told)


def _places(change: CellsChange, before: TableShape, after: TableShape) -> list[str]:
    own, other = (after.axes, before.axes) if change.after else (before.axes, after.axes)
    named = {axis for cell in change.cells for axis, _ in cell}
    axes = {
        axis: own.get(axis, other.get(axis, ())) for axis in (own if named == {*own} else other)
    }
    places: list[tuple[str | None, ...]] = [
        place
        for place in product(*axes.values())
        if frozenset(zip(axes, place, strict=True)) in change.cells
    ]
    for at, values in enumerate(axes.values()):
        # What differs on this axis alone is one place where it is all of the axis.
        alike: dict[tuple[str | None, ...], list[tuple[str | None, ...]]] = {}
        for place in places:
            alike.setdefault((*place[:at], None, *place[at + 1 :]), []).append(place)
        places = []
        for whole, parts in alike.items():
            places += [whole] if len(parts) == len(values) else parts
    return [" × ".join("any" if part is None else part for part in place) for place in places]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def format_changes(old: Release, new: Release, changes: tuple[TableChange, ...]) -> str:
    """The changes between two releases as JSON."""
    tables = [
        {
            "name": table.name,
            "before": table.before and attrs.asdict(table.before),
            "after": table.after and attrs.asdict(table.after),
            "cells": [
                {
                    "kinds": change.kinds,
                    "cells": [dict(cell) for cell in sorted(map(sorted, change.cells))],
                    "before": change.before and attrs.asdict(change.before),
                    "after": change.after and attrs.asdict(change.after),
                }
                for change in table.cells
            ],
        }
        for table in changes
    ]
    document = {"from": old.version, "to": new.version, "changes": tables}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
