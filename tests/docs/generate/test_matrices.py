"""Tests of the matrices on the page of the rules, against the tables of the code."""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from typing import cast

import pytest

from curae_lifecycle.service.rulebook import TABLES
from docs.generate.blocks import fill_block
from docs.generate.matrices import SHOWN, matrix


@pytest.mark.parametrize("name", SHOWN.values())
def test_docs_matrix_shows_the_outcome_of_every_table_cell(name: str) -> None:
    table = TABLES[name]
    (_, *columns), _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in matrix(table)
    ]
    shown = {
        (first, second): cell
        for first, *cells in lines
        for second, cell in zip(columns, cells, strict=True)
    }
    first, second, *_ = [len(axis.values) for axis in table.axes]
    assert len(shown) == first * second
    for values in product(*(axis.values for axis in table.axes)):
        row = table[cast("tuple[StrEnum, ...]", values)]
        cell = shown[values[0], values[1]]
        outcome = str(row.outcome)
        if outcome.startswith("refuse "):
            outcome = f"`{outcome.split()[1]}`"
        parts = dict(part.split(": ") for part in cell.split("; ")) if "; " in cell else {}
        assert parts.get(values[-1], cell).startswith(outcome)


def test_docs_page_without_its_generated_block_raises() -> None:
    with pytest.raises(AssertionError, match="has no block nothing"):
        fill_block("rules.md", "nothing", [], generator="matrices")
