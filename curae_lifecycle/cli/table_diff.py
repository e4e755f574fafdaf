"""The difference between the rules of two releases, cell by cell.

The law of this module: **anything not reported is unchanged**. The changes from one release to
another, applied to the first, give the second. Between a release and itself there are no changes.
The order of tables, axes, cells and members does not count, so a tool may sort them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from itertools import product

import attrs

from curae_lifecycle.cli.release import (
    Cell,
    Release,
    ReleasedTable,
    Rule,
    TableShape,
    sorted_json,
)
from curae_lifecycle.service.json_schema import Json


class Kind(StrEnum):
    """The kinds of change of a table's cell from one release to the next.

    Attributes:
        NEW: The cell exists only in the newer release.
        GONE: The cell exists only in the older one.
        ANSWER: The outcome changed.
        RENAMED: The rule has a new name: each of the two names is in one release only.
        OTHER_RULE: Another rule decides the cell: one or both of the names are in both releases.
        SOURCE: The source of the rule changed: [S], [P] or [O].
        REASON: The reason was reworded.
        WORDS: The outcome is the same, but its description was reworded.
    """

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
    """A change of cells of one table, all from the same old rule to the same new rule.

    A cell is one combination of the values of the table's inputs.

    Attributes:
        kinds: The differences between the two rules: at least one, such as another outcome
            (`Kind.ANSWER`) and another reason (`Kind.REASON`). Only `Kind.NEW` or `Kind.GONE` if
            `before` or `after` is None.
        cells: The cells.
        before: The rule that decided the cells in the older release; None if the cells are new.
        after: The rule that decides the cells in the newer release; None if the cells are gone.
    """

    kinds: tuple[Kind, ...]
    cells: frozenset[Cell]
    before: Rule | None
    after: Rule | None


@attrs.frozen
class TableChange:
    """A table that differs between two releases.

    The shape of a table says what the table decides, and lists its inputs (the axes). A cell is one
    combination of the inputs' values. If only one release has additional axes, the table is
    compared as if both had them: each cell of the other release counts once for each combination of
    the additional axes' values. If both releases have additional axes, all old cells are gone and
    all new cells are new.

    Attributes:
        name: The table's name.
        before: The table's shape in the older release; None if the table is new.
        after: The table's shape in the newer release; None if the table is gone.
        cells: The cells that changed, grouped by their old and new rule; all cells if the table is
            new or gone.
    """

    name: str
    before: TableShape | None
    after: TableShape | None
    cells: tuple[CellsChange, ...]


def compare(old: Release, new: Release) -> tuple[TableChange, ...]:
    """Compare the tables of two releases, cell by cell.

    Args:
        old: The older release.
        new: The newer release.

    Returns:
        One change for each table that differs: in the order of the older release, then new tables.
    """
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
    old_shape, new_shape = (table.shape if table else None for table in (before, after))
    if old_shape and new_shape:
        was, now = spread(was, old_shape, new_shape), spread(now, new_shape, old_shape)
    names_in_both = {rule.name for rule in was.values()} & {rule.name for rule in now.values()}
    changed: dict[tuple[Rule | None, Rule | None], set[Cell]] = {}
    for cell in was | now:
        old, new = was.get(cell), now.get(cell)
        if old != new:
            changed.setdefault((old, new), set()).add(cell)
    changes = tuple(
        CellsChange(
            kinds=_kinds(old, new, names_in_both), cells=frozenset(cells), before=old, after=new
        )
        for (old, new), cells in changed.items()
    )
    return TableChange(name=name, before=old_shape, after=new_shape, cells=changes)


def spread(cells: dict[Cell, Rule], own: TableShape, other: TableShape) -> dict[Cell, Rule]:
    """Give the cells of one release the additional axes that their table has in another release.

    An axis is an input of a table, and a cell is one combination of the inputs' values. Each cell
    is replaced by one copy for each combination of values of the additional axes. The copies have
    the rule of the cell. Then the cells of the two releases can be compared one by one.

    Args:
        cells: The cells, each with its rule.
        own: The shape of the table in the release of `cells`.
        other: The shape of the table in the other release. The cells are returned unchanged unless
            `other` has all axes of `own` and at least one more.
    """
    if not own.axes.keys() < other.axes.keys():
        return cells
    added = {axis: values for axis, values in other.axes.items() if axis not in own.axes}
    return {
        cell | frozenset(zip(added, values, strict=True)): rule
        for cell, rule in cells.items()
        for values in product(*added.values())
    }


def _kinds(old: Rule | None, new: Rule | None, names_in_both: set[str]) -> tuple[Kind, ...]:
    if old is None or new is None:
        return (Kind.NEW if old is None else Kind.GONE,)
    old_source, new_source = (rule.why.partition(" ")[0] for rule in (old, new))
    renamed = Kind.OTHER_RULE if names_in_both & {old.name, new.name} else Kind.RENAMED
    is_other_answer = _is_other(old.outcome, new.outcome)
    applies = {
        Kind.ANSWER: is_other_answer,
        renamed: old.name != new.name,
        Kind.SOURCE: old_source != new_source,
        Kind.REASON: old.why.removeprefix(old_source) != new.why.removeprefix(new_source),
        Kind.WORDS: not is_other_answer and old.says != new.says,
    }
    return tuple(kind for kind, does_apply in applies.items() if does_apply)


def _is_other(value: Json, other: Json) -> bool:
    return sorted_json(value) != sorted_json(other)


@attrs.frozen
class Finding:
    """One change of a table between two releases, in words.

    Attributes:
        where: The place of the change: the table, one of its properties, an axis, or cells that
            changed in the same way.
        what: The kind of change, such as `reworded`.
        details: The old and the new value, or the values that were added, removed or moved. Of a
            table that is new or gone: its numbers of cells and rules.
    """

    where: str
    what: str
    details: tuple[str, ...]


def summary(changes: tuple[TableChange, ...]) -> str:
    """Return a line about changes: how many tables changed, and how many cells, by kind.

    Without changes, the line is `no difference`.
    """
    if not changes:
        return "no difference"
    counts: Counter[str] = Counter()
    for change in (change for table in changes for change in table.cells):
        counts.update(dict.fromkeys(change.kinds, len(change.cells)))
    found = [f"{kind}: {_count(counts[kind], 'cell')}" for kind in Kind if counts[kind]]
    return "; ".join([f"changed: {_count(len(changes), 'table')}", *found])


def findings(table: TableChange) -> Iterator[Finding]:
    """Yield a `Finding` to print for each change of a table.

    A `Finding` is one change in words. A table that is new or gone has only one.
    """
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
        yield from _axis_findings(axis, before.axes.get(axis, ()), after.axes.get(axis, ()))
    for change in table.cells:
        places = "; ".join(_places(change, before, after))
        where = f"{places} ({len(change.cells)} cells)" if len(change.cells) > 1 else places
        yield Finding(where, ", ".join(change.kinds), _rule_details(change))


def _axis_findings(axis: str, was: tuple[str, ...], now: tuple[str, ...]) -> Iterator[Finding]:
    gone = [value for value in was if value not in now]
    new = [value for value in now if value not in was]
    if gone:
        yield Finding(f"axis {axis}", "lost values" if now else "is gone", (", ".join(gone),))
    if new:
        yield Finding(f"axis {axis}", "new values" if was else "is new", (", ".join(new),))
    if [value for value in was if value in now] != [value for value in now if value in was]:
        yield Finding(f"axis {axis}", "other order", (", ".join(now),))


def _rule_details(change: CellsChange) -> tuple[str, ...]:
    old, new = change.before, change.after
    details: list[str] = []
    for when, rule, other in (("was", old, new), ("now", new, old)):
        if rule:
            says = rule.says
            if other and says == other.says and _is_other(rule.outcome, other.outcome):
                # Both outcomes have the same words, so add the members that differ.
                differing = {
                    name: value
                    for name, value in rule.outcome.items()
                    if name not in other.outcome or _is_other(value, other.outcome[name])
                }
                says += f" {json.dumps(differing)}"
            details.append(f"{when}: {says}, by {rule.name}: {rule.why}")
    return tuple(details)


def _places(change: CellsChange, before: TableShape, after: TableShape) -> list[str]:
    own, other = (after.axes, before.axes) if change.after else (before.axes, after.axes)
    cell_axes = {axis for cell in change.cells for axis, _ in cell}
    axes = {
        axis: own.get(axis, other.get(axis, ())) for axis in (own if cell_axes == {*own} else other)
    }
    places: list[tuple[str | None, ...]] = [
        place
        for place in product(*axes.values())
        if frozenset(zip(axes, place, strict=True)) in change.cells
    ]
    for at, values in enumerate(axes.values()):
        # Places that cover all values of this axis merge into one place with None for "any".
        groups: dict[tuple[str | None, ...], list[tuple[str | None, ...]]] = {}
        for place in places:
            groups.setdefault((*place[:at], None, *place[at + 1 :]), []).append(place)
        places = []
        for merged, parts in groups.items():
            places += [merged] if len(parts) == len(values) else parts
    return [" × ".join("any" if part is None else part for part in place) for place in places]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_changes(old: Release, new: Release, changes: tuple[TableChange, ...]) -> str:
    """Format the differences between the tables of two releases as a JSON document.

    The document also has the versions of the two releases.

    Args:
        old: The older release.
        new: The newer release.
        changes: The differences, as `compare(old, new)` returned them.
    """
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
    return json.dumps(document, indent=2) + "\n"
