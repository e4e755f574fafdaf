"""Tables of the rules as matrices on the page of the rules: a line for each value of the first axis.

A cell with a problem code in backticks is refused with it. The pages of the tables have the same
cells one a line, with the names of their rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, cast

from curae_lifecycle.rules.tables import AnyTable, Axis
from curae_lifecycle.service.rulebook import TABLES
from docs.generate.blocks import fill_block

SHOWN: Final = {
    "transitions": "connection",
    "recoveries": "recovery",
    "bindings": "binding",
    "completions": "completion",
    "records": "idempotency",
}
"""The table of each block."""

_REFUSAL: Final = re.compile(r"^refuse ([A-Z_]+)")


def rule_files() -> dict[str, str]:
    """Return the page of the rules with its matrices, from the tables of the code."""
    text: str | None = None
    for block, table in SHOWN.items():
        text = fill_block("rules.md", block, matrix(TABLES[table]), generator="matrices", text=text)
    assert text is not None
    return {"rules.md": text}


def matrix(table: AnyTable) -> Iterator[str]:
    """Yield the lines of a matrix: the second axis across, and a third one within the cells."""
    axes: list[Axis] = [*table.axes]
    first, second, *rest = axes
    yield f"| {first.name} | {' | '.join(second.values)} |"
    yield f"| --- |{' --- |' * len(second.values)}"
    for down in first.values:
        cells = (_cell(table, (down, across), rest) for across in second.values)
        yield f"| {down} | {' | '.join(cells)} |"


def _cell(table: AnyTable, key: tuple[str, ...], rest: list[Axis]) -> str:
    if not rest:
        return _outcome(table, key)
    (third,) = rest
    outcomes = {value: _outcome(table, (*key, value)) for value in third.values}
    if len(set(outcomes.values())) == 1:
        return next(iter(outcomes.values()))
    return "; ".join(f"{value}: {outcome}" for value, outcome in outcomes.items())


def _outcome(table: AnyTable, key: tuple[str, ...]) -> str:
    # A table is looked up by enum members, which are equal to their texts.
    row = table[cast("tuple[StrEnum, ...]", key)]
    return _REFUSAL.sub(r"`\1`", str(row.outcome))
