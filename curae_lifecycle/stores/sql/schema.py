"""The tables: what is kept, by which key, and what is unique.

The laws of this module: **every key is ASCII text of a fixed length**, an id or a digest of what
it names, so that no collation of any database takes two for one and every key fits an index, and
**every document is ASCII** too, so that no encoding of any database lacks a character of it;
**what is compared before it is set has a version**, which each write moves.

| unique | keeps |
| --- | --- |
| `curae_connection.id` | one value per id (law 1) |
| `curae_connection.predecessor_id` | one successor per connection (laws 6 and 7) |
| `curae_binding.id` | one user per coordinate (law 8), or that nobody was bound and that counted (law 17) |
| `curae_record.id` | one execution per key and owner (laws 9 and 12) |
| `curae_log.id`, `curae_bucket.id` | one state per limit (law 10) |
| `curae_page.subject` | one hosted page about one thing |
"""

from __future__ import annotations

from typing import Final

from curae_lifecycle.stores.sql.statement import Dialect, Statement

SQLITE, POSTGRESQL, MARIADB = Dialect

# fmt: off
_TYPES: Final = {
    #           SQLite              PostgreSQL       MariaDB
    "ID":       ("TEXT",            "VARCHAR(36)",   "VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin"),
    "DIGEST":   ("TEXT",            "VARCHAR(64)",   "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin"),
    "WORD":     ("TEXT",            "VARCHAR(64)",   "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin"),
    "DOCUMENT": ("TEXT",            "TEXT",          "MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin"),
    "NUMBER":   ("INTEGER",         "BIGINT",        "BIGINT"),
    "COUNTER":  ("INTEGER PRIMARY KEY AUTOINCREMENT",
                 "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                 "BIGINT AUTO_INCREMENT PRIMARY KEY"),
}

_TABLES: Final = {
    "curae_caller": (
        # The digest of the API key, never the key: whoever reads the database cannot call.
        "id DIGEST NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "document DOCUMENT NOT NULL",
    ),
    "curae_connection": (
        "id ID NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "predecessor_id ID UNIQUE",
        "root_id ID NOT NULL",
        # Its place in the chain: the head is found by it, however long the chain is.
        "position NUMBER NOT NULL",
        "coordinate DIGEST NOT NULL",
        "document DOCUMENT NOT NULL",
        "UNIQUE (root_id, position)",
    ),
    "curae_session": (
        "id ID NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "coordinate DIGEST NOT NULL",
        "document DOCUMENT NOT NULL",
    ),
    "curae_binding": (
        "id DIGEST NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "document DOCUMENT NOT NULL",
    ),
    "curae_record": (
        "id DIGEST NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "expires_at NUMBER NOT NULL",
        # An answer can hold the URL of a hosted page: encrypt this column, or keep a reference.
        "document DOCUMENT NOT NULL",
    ),
    "curae_log": (
        "id DIGEST NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "expires_at NUMBER NOT NULL",
        "document DOCUMENT NOT NULL",
    ),
    "curae_bucket": (
        "id DIGEST NOT NULL PRIMARY KEY",
        # When it is full again: microseconds since 1970, and parts of one after that.
        "full_at NUMBER NOT NULL",
        "part NUMBER NOT NULL",
        "parts NUMBER NOT NULL",
    ),
    "curae_page": (
        # The digest of the page's URL: whoever reads the database cannot open it.
        "id DIGEST NOT NULL PRIMARY KEY",
        "subject DIGEST NOT NULL UNIQUE",
        "expires_at NUMBER NOT NULL",
        "document DOCUMENT NOT NULL",
    ),
    "curae_outbox": (
        "id COUNTER",
        # What must stay in order: a connection, a session, or a coordinate.
        "subject DIGEST NOT NULL",
        "kind WORD NOT NULL",
        "document DOCUMENT NOT NULL",
        # How often it was claimed; a worker that dies takes no attempt back.
        "attempts NUMBER NOT NULL",
        # When it may be claimed, or claimed again: microseconds since 1970; null where it is dead.
        "due_at NUMBER",
        # Who claimed it; null where nobody did, or gave it back.
        "claim WORD",
    ),
}

# None on `curae_bucket.full_at`: PostgreSQL writes a row in place only where no index holds what moves,
# and a bucket's moves with every request of its key. There are few of them to look through.
_INDEXES: Final = {
    "curae_connection_coordinate": "curae_connection (coordinate, id)",
    "curae_session_coordinate":    "curae_session (coordinate)",
    "curae_record_expires_at":     "curae_record (expires_at)",
    "curae_log_expires_at":        "curae_log (expires_at)",
    "curae_page_expires_at":       "curae_page (expires_at)",
    "curae_outbox_subject":        "curae_outbox (subject, id)",
    "curae_outbox_due_at":         "curae_outbox (due_at, id)",
}
# fmt: on

TABLE_NAMES: Final = tuple(_TABLES)
"""The names of the tables."""

_SETUP_LOCK: Final = 0x63757261
"""Any number that no other application on the same PostgreSQL locks."""


def create_table_statements(dialect: Dialect) -> tuple[Statement, ...]:
    """The statements that make the tables where they are missing, for one transaction.

    Run them one after another. Many may do so at once: each waits for whoever came before. Where
    nothing is missing, nobody who uses the tables waits.
    """
    tables = [
        Statement(
            f"CREATE TABLE IF NOT EXISTS {name} ({_columns(dialect, columns)}){_END[dialect]}"
        )
        for name, columns in _TABLES.items()
    ]
    indexes = [_indexed(dialect, name, columns) for name, columns in _INDEXES.items()]
    return (*_wait(dialect), *tables, *indexes)


def _indexed(dialect: Dialect, name: str, columns: str) -> Statement:
    # PostgreSQL locks the table against writers before it sees that the index is there, so that a
    # worker that starts would stop those that run, and deadlock with them.
    if dialect is POSTGRESQL:
        made = f"CREATE INDEX {name} ON {columns}"
        return Statement(f"DO 'BEGIN IF to_regclass(''{name}'') IS NULL THEN {made}; END IF; END'")
    return Statement(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")


def drop_table_statements(dialect: Dialect) -> tuple[Statement, ...]:
    """The statements that drop the tables with all that they hold, for one transaction."""
    return (*_wait(dialect), *[Statement(f"DROP TABLE IF EXISTS {name}") for name in _TABLES])


def _wait(dialect: Dialect) -> tuple[Statement, ...]:
    # Two that start at the same time would both find no table, and PostgreSQL would refuse one.
    if dialect is not POSTGRESQL:
        return ()
    return (Statement(f"SELECT pg_advisory_xact_lock({_SETUP_LOCK})"),)


_END: Final = {SQLITE: "", POSTGRESQL: "", MARIADB: " ENGINE=InnoDB"}


def _columns(dialect: Dialect, columns: tuple[str, ...]) -> str:
    place = list(Dialect).index(dialect)
    types = {word: names[place] for word, names in _TYPES.items()}
    return ", ".join(
        " ".join(types.get(word, word) for word in column.split(" ")) for column in columns
    )
