"""The rules as values: rows, axes, and what a cell may hold.

The law of this module: **a verdict that is drawn stands in a table**; none is made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from hypothesis import strategies as st

from curae_lifecycle.rules.access import ACCESS, Deny, Grant
from curae_lifecycle.rules.attempt import ATTEMPT, Lose
from curae_lifecycle.rules.binding import BINDING
from curae_lifecycle.rules.chain import RECOVERY, Mint, Reissue
from curae_lifecycle.rules.idempotency import BEGIN, Execute, Repeat
from curae_lifecycle.rules.outcomes import Ignore, MoveTo, Proceed, RefuseWith
from curae_lifecycle.rules.problems import CATALOGUE, ProblemType
from curae_lifecycle.rules.session import PATHS, Enter
from curae_lifecycle.rules.tables import Axis, Row
from curae_lifecycle.rules.triggers import TRIGGERS, RecordExpiry, Recover
from curae_lifecycle.service.gates import ORDER, Ask
from curae_lifecycle.service.operations.operation import OperationRule
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.rulebook import TABLES

Verdict = TypeVar("Verdict")

VERDICTS: Final = (
    *(MoveTo, Ignore, Proceed, RefuseWith),
    *(Recover, RecordExpiry, Mint, Reissue),
    *(Grant, Deny),
    Enter,
    *(Execute, Repeat, Lose),
    *(Ask, OperationRule, ProblemType),
)
"""What a cell may hold."""


def rows() -> st.SearchStrategy[Row[object]]:
    """Rows of every table."""
    return st.sampled_from([row for table in TABLES.values() for row in table.rows])


def axes() -> st.SearchStrategy[Axis]:
    """Axes of the tables of each floor."""
    tables = (TRIGGERS, RECOVERY, ACCESS, BINDING, PATHS, BEGIN, ATTEMPT, ORDER, OPERATION_TABLE)
    return st.sampled_from([axis for table in (*tables, CATALOGUE) for axis in table.axes])


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
