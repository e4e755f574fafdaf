"""Statements as values: text with a `?` for each value, for whatever runs them.

The law of this module: **no value is ever part of a text**, so no text can hold a secret.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

Value = str | int | None


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
        rows: How many rows it must change; `None` where any number is right.
    """

    text: str
    values: tuple[Value, ...] = ()
    rows: int | None = None

    @property
    def as_format(self) -> str:
        """The text for drivers that mark a value by `%s`."""
        return self.text.replace("%", "%%").replace("?", "%s")

    @property
    def as_numbered(self) -> str:
        """The text for drivers that mark a value by its number, `$1` being the first."""
        first, *others = self.text.split("?")
        return first + "".join(f"${number}{text}" for number, text in enumerate(others, 1))
