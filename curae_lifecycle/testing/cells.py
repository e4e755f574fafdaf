"""A counter of table lookups: coverage by cells of the tables instead of lines of code.

The law of this module: **counting changes no answer**. While lookups are counted, each cell holds a
stand-in for its row. The stand-in has the same outcome and rules, and counts each read of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from enum import StrEnum
from typing import cast

from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.service.rulebook import TABLES

Cell = tuple[str, ...]
"""A cell of one of the rules' tables: the name of the table, then a value of each axis.

For example, `("connection", "revoke", "PENDING")`.
"""


def cells_of(tables: Iterable[AnyTable]) -> list[Cell]:
    """Return a tuple for every cell of the given tables, in the order of the tables.

    Each tuple holds the name of the table, then a value of each of its axes. The table `connection`
    has the axes trigger and standing, so `("connection", "revoke", "PENDING")` is one of its cells.
    """
    return [(table.name, *map(str, key)) for table in tables for key, _ in table.cells()]


@contextmanager
def count_cell_lookups(
    tables: Iterable[AnyTable] = tuple(TABLES.values()),
) -> Generator[Counter[Cell]]:
    """Count how often the rules look up each cell of some tables during a `with` block.

    A test uses it to find the cells that it never reaches. The tables are shared by the whole
    process, so lookups by other threads are counted too.

    Args:
        tables: The tables to count in; all tables of the rules by default.

    Yields:
        The counts by cell, which grow while the rules run. A cell holds one `Row`. Each read of
        that row's `outcome` or `rules` counts as one lookup. A cell that was never read has no
        entry.
    """
    counts: Counter[Cell] = Counter()
    originals = [(table, dict(table)) for table in tables]
    for table, rows in originals:
        for key, row in rows.items():
            cell = (table.name, *((key,) if isinstance(key, str) else key))
            counting = _CountingRow(row, tuple(map(str, cell)), counts)
            replace_row(table, key, cast("Row[object]", counting))
    try:
        yield counts
    finally:
        for table, rows in originals:
            for key, row in rows.items():
                replace_row(table, key, row)


def replace_row(table: AnyTable, key: str | tuple[StrEnum, ...], row: Row[object]) -> None:
    """Replace the row in one cell of a table, for the whole process.

    Use it to show that a test fails if a rule is wrong. Put the old row back afterwards.

    Args:
        table: The table.
        key: The key of the cell: the values of its axes.
        row: The new row.
    """
    # A table is a dict whose own methods refuse every change, so this calls the method of `dict`.
    _Cells.__setitem__(table, key, row)


_Cells = dict[str | tuple[StrEnum, ...], Row[object]]


class _CountingRow:
    """A row that counts each read of its outcome or its rules."""

    __slots__ = ("_cell", "_counts", "_row")

    def __init__(self, row: Row[object], cell: Cell, counts: Counter[Cell]) -> None:
        self._row = row
        self._cell = cell
        self._counts = counts

    @property
    def outcome(self) -> object:
        self._counts[self._cell] += 1
        return self._row.outcome

    @property
    def rules(self) -> tuple[str, ...]:
        self._counts[self._cell] += 1
        return self._row.rules

    def __getattr__(self, name: str) -> object:
        return cast("object", getattr(self._row, name))
