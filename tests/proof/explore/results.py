"""Numbers of values, and results of pure functions that a mutant may use again.

The law of this module: **a result is dropped if it may be different**. Each result knows the table
cells that were looked at for it; a mutant of a cell keeps only the results of other cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

from curae_lifecycle.testing.cells import Cell

Value = TypeVar("Value", bound=Hashable)
Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class Numbers(Generic[Value]):
    """Numbers of values, in the order of their first use."""

    def __init__(self) -> None:
        """Start without values."""
        self.values: list[Value] = []
        self._numbers: dict[Value, int] = {}

    def of(self, value: Value) -> int:
        """Return the number of a value."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def copy(self) -> Numbers[Value]:
        """Return the same numbers, to which others may be added."""
        other: Numbers[Value] = Numbers()
        other.values, other._numbers = self.values.copy(), self._numbers.copy()
        return other


class Results(dict[Key, Result]):
    """Results of a pure function by its arguments, with the table cells that each result uses."""

    def __init__(self) -> None:
        """Start without results."""
        super().__init__()
        self.users: dict[Cell, list[Key]] = {}

    def keep(self, key: Key, result: Result, looked: Counter[Cell]) -> Result:
        """Keep a result that looked at some cells, and empty the counter of these cells."""
        self[key] = result
        if looked:
            for cell in looked:
                self.users.setdefault(cell, []).append(key)
            looked.clear()
        return result

    def without(self, cell: Cell) -> Results[Key, Result]:
        """Return the results that do not use a cell."""
        left: Results[Key, Result] = Results()
        left.update(self)
        for key in self.users.get(cell, ()):
            del left[key]
        return left
