"""SQL statements that list, narrow and remove stored callers."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.stores.callers import format_caller, parse_caller
from curae_lifecycle.stores.sql.statement import Statement


class StoredCaller(NamedTuple):
    """A row of the table `curae_caller`: an API key and its caller, before parsing.

    Attributes:
        digest: The digest of the API key; no repr shows it.
        document: The caller as JSON text; no repr shows it.
    """

    digest: str
    document: str

    def __repr__(self) -> str:
        return "StoredCaller()"

    @property
    def caller(self) -> Caller:
        """The caller of the API key, parsed from `document`.

        Raises:
            MalformedError: The document is not one that this library wrote.
            NewerFormatError: A newer release stored the caller.
        """
        return parse_caller(self.document)


def callers_statement() -> Statement:
    """Build the SELECT of all callers, whose rows are the fields of `StoredCaller`."""
    return Statement("SELECT id, document FROM curae_caller ORDER BY id")


def narrowing_statement(stored: StoredCaller, scopes: frozenset[str]) -> Statement:
    """Build the UPDATE that removes scopes from the caller of an API key.

    The statement must change one row. It changes none if the stored caller differs from `stored`.

    Args:
        stored: The caller as it was read.
        scopes: The scopes to keep.
    """
    document = format_caller(attrs.evolve(stored.caller, scopes=scopes))
    # The version moves even if the scopes stay the same, so the statement always changes a row.
    sets = "version = version + 1, document = ?"
    text = f"UPDATE curae_caller SET {sets} WHERE id = ? AND document = ?"
    return Statement(text, (document, *stored), 1)


def removal_statement(stored: StoredCaller) -> Statement:
    """Build the DELETE that makes an API key unknown.

    The statement must delete one row. It deletes none if the stored caller differs from `stored`.
    """
    return Statement("DELETE FROM curae_caller WHERE id = ? AND document = ?", tuple(stored), 1)
