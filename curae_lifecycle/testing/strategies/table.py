"""The rules as values: rows, axes, and what a cell may hold.

The law of this module: **a verdict that is drawn stands in a table**; none is made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from hypothesis import strategies as st

from curae_lifecycle.rules.access import Deny, Grant
from curae_lifecycle.rules.attempt import Lose
from curae_lifecycle.rules.chain import Mint, Reissue
from curae_lifecycle.rules.idempotency import Execute, Repeat
from curae_lifecycle.rules.outcomes import Ignore, Is, MoveTo, Proceed, RefuseWith
from curae_lifecycle.rules.problems import ProblemType
from curae_lifecycle.rules.session import Enter
from curae_lifecycle.rules.tables import Axis, Row
from curae_lifecycle.rules.triggers import RecordExpiry, Recover
from curae_lifecycle.rules.wire_status import ReadAs
from curae_lifecycle.service.gates import Ask
from curae_lifecycle.service.operations.operation import OperationRule
from curae_lifecycle.service.rulebook import TABLES, FoundRule
from curae_lifecycle.service.status import HttpStatus

Verdict = TypeVar("Verdict")

VERDICTS: Final = (
    *(Is, MoveTo, Ignore, Proceed, RefuseWith),
    *(Recover, RecordExpiry, Mint, Reissue),
    *(Grant, Deny),
    Enter,
    *(Execute, Repeat, Lose),
    *(Ask, OperationRule, ProblemType, HttpStatus, ReadAs),
)
"""What a cell may hold."""


def rows() -> st.SearchStrategy[Row[object]]:
    """Rows of every table."""
    return st.sampled_from([row for table in TABLES.values() for row in table.rows])


def found_rules() -> st.SearchStrategy[FoundRule]:
    """Rules and the tables that they stand in."""
    found = [FoundRule(table, row) for table in TABLES.values() for row in table.rows]
    return st.sampled_from(found)


def axes() -> st.SearchStrategy[Axis]:
    """Axes of the tables."""
    return st.sampled_from([axis for table in TABLES.values() for axis in table.axes])


def verdicts(kind: type[Verdict]) -> st.SearchStrategy[Verdict]:
    """Verdicts of one kind, as they stand in the tables.

    Args:
        kind: One of `VERDICTS`.
    """
    return st.sampled_from(list(_standing_in_cells(kind)))


def _standing_in_cells(kind: type[Verdict]) -> Iterator[Verdict]:
    for table in TABLES.values():
        for row in table.rows:
            if isinstance(row.outcome, kind):
                yield row.outcome
