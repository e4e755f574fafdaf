"""SQL statements that list, narrow and remove stored callers."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.stores.callers import format_caller, parse_caller
from curae_lifecycle.stores.sql.statement import Statement


class StoredCaller(NamedTuple):
    """A caller as it is stored.

    Attributes:
        digest: The digest of the API key.
        document: The caller as JSON.
    """

    digest: str
    document: str

    @property
    def caller(self) -> Caller:
        """Whom the API key stands for."""
        return parse_caller(self.document)


def callers_statement() -> Statement:
    """What reads all callers; each row is a `StoredCaller`."""
    return Statement("SELECT id, document FROM curae_caller ORDER BY id")


def narrowing_statement(stored: StoredCaller, scopes: frozenset[str]) -> Statement:
    """What leaves a key with some scopes, if it still stands for whom it stood for."""
    document = format_caller(attrs.evolve(stored.caller, scopes=scopes))
    # A second one that changes nothing changes a row all the same.
    sets = "version = version + 1, document = ?"
    text = f"UPDATE curae_caller SET {sets} WHERE id = ? AND document = ?"
    return Statement(text, (document, *stored), 1)


def removal_statement(stored: StoredCaller) -> Statement:
    """What makes a key unknown, if it still stands for whom it stood for."""
    return Statement("DELETE FROM curae_caller WHERE id = ? AND document = ?", tuple(stored), 1)
