"""Rows of the tables whose expired rows a purge deletes."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.stores.sql.statement import Statement

_PUT: Final = {
    "curae_record": "INSERT INTO curae_record (id, expires_at, version, document) VALUES (?, ?, 1, '')",
    "curae_log": "INSERT INTO curae_log (id, expires_at, version, document) VALUES (?, ?, 1, '')",
    "curae_page": (
        "INSERT INTO curae_page (id, expires_at, version, document, subject) "
        "VALUES (?, ?, 1, '', ?)"
    ),
    "curae_bucket": "INSERT INTO curae_bucket (id, full_at, part) VALUES (?, ?, 1)",
}

EXPIRING_TABLES: Final = tuple(_PUT)


def put_row(table: str, key: str, expires_at: int) -> Statement:
    """Build the INSERT of a row; a page gets its key as its subject, too."""
    values = (key, expires_at, key)[: _PUT[table].count("?")]
    return Statement(_PUT[table], values, 1)
