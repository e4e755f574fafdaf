"""Which cells of the tables a run really reached: coverage in the words of the rules.

The law of this module: **counting changes no answer**. While it counts, each cell holds a stand-in
for its row, which shows the very same outcome and notes that it was looked at.
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
"""The name of a table, then the key of one of its cells."""


def cells_of(tables: Iterable[AnyTable]) -> list[Cell]:
    """Every cell of some tables, in the tables' own order."""
    return [(table.name, *map(str, key)) for table in tables for key, _ in table.cells()]


@contextmanager
def count_cell_lookups(
    tables: Iterable[AnyTable] = tuple(TABLES.values()),
) -> Generator[Counter[Cell]]:
    """Count how often the rules look at each cell, for as long as the context lasts.

    The tables belong to the whole process: what other threads ask meanwhile is counted too.

    Args:
        tables: Which tables; all of them by default.

    Yields:
        The counts, which grow as the rules run. A cell that nobody asked is not among them.
    """
    counts: Counter[Cell] = Counter()
    kept = [(table, dict(table)) for table in tables]
    for table, rows in kept:
        for key, row in rows.items():
            cell = (table.name, *((key,) if isinstance(key, str) else key))
            watched = _Watched(row, tuple(map(str, cell)), counts)
            replace_row(table, key, cast("Row[object]", watched))
    try:
        yield counts
    finally:
        for table, rows in kept:
            for key, row in rows.items():
                replace_row(table, key, row)


def replace_row(table: AnyTable, key: str | tuple[StrEnum, ...], row: Row[object]) -> None:
    """Put another row into a cell of a table.

    Args:
        table: The table.
        key: The cell.
        row: What it holds from now on.
    """
    # A table is the dict that the rules look into; only its own methods refuse to change it.
    _Cells.__setitem__(table, key, row)


_Cells = dict[str | tuple[StrEnum, ...], Row[object]]


class _Watched:
    """A row that counts when somebody asks what it says."""

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
