"""Table cells with another outcome for the duration of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import cast

import attrs

from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.cells import replace_row

Key = tuple[str, ...]
"""One value for each axis of a table."""


@contextmanager
def outcome_of(table: str, key: Key, outcome: object) -> Iterator[None]:
    """Replace the outcome of one cell of a table within the block."""
    place = cast("str | tuple[StrEnum, ...]", key[0] if len(key) == 1 else key)
    row = TABLES[table][place]
    replace_row(TABLES[table], place, attrs.evolve(row, outcome=outcome))
    try:
        yield
    finally:
        replace_row(TABLES[table], place, row)


def outcomes(table: str) -> dict[Key, object]:
    """Return the outcome of each cell of a table."""
    return {key: row.outcome for key, row in TABLES[table].cells()}
