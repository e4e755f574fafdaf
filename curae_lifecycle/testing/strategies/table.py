"""The rules as values: rows, axes, and what a cell may hold.

The law of this module: **a verdict that is drawn stands in a table**; none is made up.
"""

from __future__ import annotations

from typing import Final, TypeVar

from hypothesis import strategies as st

from curae_lifecycle.rules.tables import Axis, Row
from curae_lifecycle.service.rulebook import TABLES, FoundRule

Verdict = TypeVar("Verdict")

_ROWS: Final = [row for table in TABLES.values() for row in table.rows]
VERDICTS: Final[tuple[type, ...]] = tuple(dict.fromkeys(type(row.outcome) for row in _ROWS))
"""What a cell may hold."""


def rows() -> st.SearchStrategy[Row[object]]:
    """Rows of every table."""
    return st.sampled_from(_ROWS)


def found_rules() -> st.SearchStrategy[FoundRule]:
    """Rules and the tables that they stand in."""
    found = [FoundRule(table, row) for table in TABLES.values() for row in table.rows]
    return st.sampled_from(found)


def axes() -> st.SearchStrategy[Axis]:
    """Axes of the tables."""
    return st.sampled_from([axis for table in TABLES.values() for axis in table.axes])


def verdicts(kind: type[Verdict]) -> st.SearchStrategy[Verdict]:
    """Verdicts of one kind (one of `VERDICTS`), as they stand in the tables."""
    return st.sampled_from([row.outcome for row in _ROWS if isinstance(row.outcome, kind)])
