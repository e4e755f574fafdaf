"""Statements as values: text with a `?` for each value, for whatever runs them.

The law of this module: **no value is ever part of a text**, so no text can hold a secret. There
are few texts, and they are told apart by what they do alone: a driver that prepares statements
meets the same ones again.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

Value = str | int | None
"""What a statement is given."""

TEXTS_REMEMBERED: Final = 1024
"""How many texts are remembered in another spelling."""

_AT_ONCE: Final = 50
"""How many statements are made into one: PostgreSQL takes so many values and no more."""


class Dialect(StrEnum):
    """The databases that there are statements for."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MARIADB = "mariadb"


class Statement(NamedTuple):
    """One statement.

    Attributes:
        text: SQL with a `?` for each value, and no other `?`.
        values: The values, in order.
        expected_rows: How many rows it must change; `None` where any number is right.
    """

    text: str
    values: tuple[Value, ...] = ()
    expected_rows: int | None = None

    @property
    def as_format(self) -> str:
        """The text for drivers that mark a value by `%s`."""
        return _formatted(self.text)

    @property
    def as_numbered(self) -> str:
        """The text for drivers that mark a value by its number, `$1` being the first."""
        return _numbered(self.text)


def combine(statements: Sequence[Statement]) -> Statement:
    """Several statements as one of PostgreSQL: it changes all that it must, or fails as a whole.

    Where a row is not as it was read it divides by nothing, which is the one thing that undoes a
    statement of its own accord.
    """
    shape = tuple([(statement.text, statement.expected_rows) for statement in statements])
    values = [value for statement in statements for value in statement.values]
    return Statement(_joined(shape), tuple(values))


def combine_in_batches(statements: Sequence[Statement]) -> list[Statement]:
    """Statements as few of PostgreSQL; one is a transaction by itself, several need one."""
    firsts = range(0, len(statements), _AT_ONCE)
    return [combine(statements[first : first + _AT_ONCE]) for first in firsts]


@lru_cache(TEXTS_REMEMBERED)
def _formatted(text: str) -> str:
    return text.replace("%", "%%").replace("?", "%s")


@lru_cache(TEXTS_REMEMBERED)
def _numbered(text: str) -> str:
    first, *others = text.split("?")
    return first + "".join([f"${number}{rest}" for number, rest in enumerate(others, 1)])


@lru_cache(TEXTS_REMEMBERED)
def _joined(shape: tuple[tuple[str, int | None], ...]) -> str:
    parts = [f"changed_{number} AS ({text} RETURNING 1)" for number, (text, _) in enumerate(shape)]
    wrong = [
        f"(SELECT COUNT(*) FROM changed_{number}) <> {rows}"
        for number, (_, rows) in enumerate(shape)
        if rows is not None
    ]
    check = f"SELECT 1 / (CASE WHEN {' OR '.join(wrong) or '1 = 0'} THEN 0 ELSE 1 END)"
    return f"WITH {', '.join(parts)} {check}"
