"""SQL statements as values: a text with a `?` for each parameter, and the parameters.

The law of this module: **no value is ever part of a text**, so no text can hold a secret. There are
few different texts, so a driver that prepares statements can reuse them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

Value = str | int | None
"""A parameter of a SQL statement: the value for one `?` of its text; `None` is NULL."""

Rows = Sequence[Sequence[object]]
"""The rows of a query's result, each a sequence of the values of its columns."""

TEXT_CACHE_SIZE: Final = 1024
"""The largest number of SQL texts in each cache of converted texts.

A text is converted to the placeholders of a driver, such as `%s` for each `?`, or it is combined
from the texts of several statements.
"""

_MAX_COMBINED: Final = 50
"""The largest number of statements in one, since PostgreSQL limits the parameters of each."""


class Dialect(StrEnum):
    """The SQL dialects of the supported databases: SQLite, PostgreSQL and MariaDB."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MARIADB = "mariadb"


class Statement(NamedTuple):
    """One SQL statement.

    Attributes:
        text: SQL text with a `?` for each value, and no other `?`.
        values: The values, in order; no repr shows them.
        expected_rows: The number of rows that the statement must change, or else its transaction is
            undone; `None` if any number is fine.
    """

    text: str
    values: tuple[Value, ...] = ()
    expected_rows: int | None = None

    def __repr__(self) -> str:
        shown = f"{self.text!r}, {len(self.values)} values, expected_rows={self.expected_rows}"
        return f"Statement({shown})"

    @property
    def as_format(self) -> str:
        """The text for PyMySQL and asyncmy: each `%` is doubled, then `%s` replaces each `?`."""
        return _to_format(self.text)

    @property
    def as_numbered(self) -> str:
        """The text for PostgreSQL's drivers: `$1`, `$2` and so on replace each `?`."""
        return _to_numbered(self.text)


def placeholders(count: int) -> str:
    """Return `count` question marks for a list of values in SQL, such as `?, ?`."""
    return ", ".join("?" * count)


def combine(statements: Sequence[Statement]) -> Statement:
    """Combine INSERTs, UPDATEs and DELETEs into one statement for PostgreSQL.

    If one of them does not change as many rows as it must (`expected_rows`), the combined statement
    divides by zero and so changes nothing. Plain SQL has no other way to make a statement fail and
    undo itself.

    PostgreSQL runs the statements with `expected_rows` in their order, and then all others in
    reverse order.
    """
    shape = tuple([(statement.text, statement.expected_rows) for statement in statements])
    values = [value for statement in statements for value in statement.values]
    return Statement(_combined_text(shape), tuple(values))


def combine_in_batches(statements: Sequence[Statement]) -> list[Statement]:
    """Combine statements into as few as possible for PostgreSQL.

    Each result joins at most 50 statements, of which all or none take effect, as `combine` says. A
    single result is a transaction by itself. Several results need a surrounding transaction.
    """
    firsts = range(0, len(statements), _MAX_COMBINED)
    return [combine(statements[first : first + _MAX_COMBINED]) for first in firsts]


@lru_cache(TEXT_CACHE_SIZE)
def _to_format(text: str) -> str:
    return text.replace("%", "%%").replace("?", "%s")


@lru_cache(TEXT_CACHE_SIZE)
def _to_numbered(text: str) -> str:
    first, *others = text.split("?")
    return first + "".join([f"${number}{rest}" for number, rest in enumerate(others, 1)])


@lru_cache(TEXT_CACHE_SIZE)
def _combined_text(shape: tuple[tuple[str, int | None], ...]) -> str:
    parts = [f"changed_{number} AS ({text} RETURNING 1)" for number, (text, _) in enumerate(shape)]
    wrong = [
        f"(SELECT COUNT(*) FROM changed_{number}) <> {rows}"
        for number, (_, rows) in enumerate(shape)
        if rows is not None
    ]
    check = f"SELECT 1 / (CASE WHEN {' OR '.join(wrong) or '1 = 0'} THEN 0 ELSE 1 END)"
    return f"WITH {', '.join(parts)} {check}"
