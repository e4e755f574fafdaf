"""The tables, their keys and their unique indexes.

The laws of this module:

- **Every key is ASCII text of a fixed length**: an id, or a digest of a name. So no collation can
  confuse two keys, and every key fits into an index.
- **Every document is ASCII** too, so every database encoding can store it.
- **Every row that is compared before it is set has a version**, which each write increments.

| unique | guarantees |
| --- | --- |
| `curae_connection.id` | one value per id (law 1) |
| `curae_connection.predecessor_id` | one successor per connection (laws 6 and 7) |
| `curae_binding.id` | one user and one era per coordinate (laws 8 and 17) |
| `curae_record.id` | one execution per key and owner (laws 9 and 12) |
| `curae_log.id`, `curae_bucket.id` | one state per limit (law 10) |
| `curae_page.subject` | one hosted page per connection, session or user |
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
        # The digest of the API key: a reader of the database cannot call the API with it.
        "id DIGEST NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "document DOCUMENT NOT NULL",
    ),
    "curae_connection": (
        "id ID NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "predecessor_id ID UNIQUE",
        "root_id ID NOT NULL",
        # The place in the chain. It finds the head of a chain of any length by index.
        "position NUMBER NOT NULL",
        "coordinate DIGEST NOT NULL",
        # The era that it was made under: microseconds since 1970, or 0 before the first tombstone.
        "era NUMBER NOT NULL",
        "document DOCUMENT NOT NULL",
        "UNIQUE (root_id, position)",
    ),
    "curae_session": (
        "id ID NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "coordinate DIGEST NOT NULL",
        "era NUMBER NOT NULL",
        "document DOCUMENT NOT NULL",
    ),
    "curae_binding": (
        "id DIGEST NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        # 1 if the sweep after the last tombstone is not finished, else 0.
        "unswept NUMBER NOT NULL",
        "document DOCUMENT NOT NULL",
    ),
    "curae_erasure": (
        # The coordinate of an app user whose rows a purge deletes.
        "id DIGEST NOT NULL PRIMARY KEY",
        # The era that the erasure began. Rows of it and of the present era stay.
        "era NUMBER NOT NULL",
        # When the rows may be deleted: microseconds since 1970.
        "due_at NUMBER NOT NULL",
    ),
    "curae_record": (
        "id DIGEST NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "expires_at NUMBER NOT NULL",
        # A response can hold the URL of a hosted page: encrypt this column, or store a reference.
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
        # When the bucket is full again: microseconds since 1970, plus part / refill of one.
        "full_at NUMBER NOT NULL",
        "part NUMBER NOT NULL",
    ),
    "curae_page": (
        # The digest of the page's URL: a reader of the database cannot open the page with it.
        "id DIGEST NOT NULL PRIMARY KEY",
        "version NUMBER NOT NULL",
        "subject DIGEST NOT NULL UNIQUE",
        "expires_at NUMBER NOT NULL",
        "document DOCUMENT NOT NULL",
    ),
    "curae_outbox": (
        "id COUNTER",
        # The digest of the connection, session or coordinate whose messages stay in order.
        "subject DIGEST NOT NULL",
        "kind WORD NOT NULL",
        "document DOCUMENT NOT NULL",
        # The number of claims. The claim of a crashed worker counts.
        "attempts NUMBER NOT NULL",
        # When the message may be claimed (again): microseconds since 1970. 0 if it was never tried,
        # null if it is dead.
        "due_at NUMBER",
        # The first instant at which `due_at` is believed. A clock that shows an earlier one was put
        # back. If `due_at` is 0, the instant since which the message is due.
        "waits_from NUMBER NOT NULL",
        # The token of the claim, or null if no worker holds the message.
        "claim WORD",
    ),
}

# There is no index on `curae_bucket.full_at`. PostgreSQL updates a row in place only if no indexed
# column changes, and this one changes with every request. The table is small enough to scan.
_INDEXES: Final = {
    "curae_connection_coordinate": "curae_connection (coordinate, id)",
    "curae_session_coordinate":    "curae_session (coordinate)",
    "curae_binding_unswept":       "curae_binding (unswept, id)",
    "curae_record_expires_at":     "curae_record (expires_at)",
    "curae_log_expires_at":        "curae_log (expires_at)",
    "curae_page_expires_at":       "curae_page (expires_at)",
    "curae_outbox_subject":        "curae_outbox (subject, id)",
    "curae_outbox_due_at":         "curae_outbox (due_at, id)",
    "curae_outbox_kind":           "curae_outbox (kind, due_at, id)",
    "curae_outbox_waits_from":     "curae_outbox (waits_from)",
}
# fmt: on

TABLE_NAMES: Final = tuple(_TABLES)
"""The names of all tables of the SQL stores."""

_SETUP_LOCK: Final = 0x63757261
"""The id of an advisory lock, which no other application of the same PostgreSQL may use."""


def create_table_statements(dialect: Dialect) -> tuple[Statement, ...]:
    """Return the statements that create missing tables and indexes, for one transaction.

    Run the statements in order. Several processes may do so at once: they take turns. If nothing is
    missing, the statements block no other user of the tables.
    """
    options = _TABLE_OPTIONS[dialect]
    tables = [
        Statement(f"CREATE TABLE IF NOT EXISTS {name} ({_columns(dialect, columns)}){options}")
        for name, columns in _TABLES.items()
    ]
    indexes = [_create_index(dialect, name, columns) for name, columns in _INDEXES.items()]
    return (*_setup_lock(dialect), *tables, *indexes)


def _create_index(dialect: Dialect, name: str, columns: str) -> Statement:
    # PostgreSQL's CREATE INDEX IF NOT EXISTS blocks writers even if the index exists. A starting
    # worker would block the running ones and deadlock with them.
    if dialect is POSTGRESQL:
        create = f"CREATE INDEX {name} ON {columns}"
        # Other schemas of the search path may have an index of this name for their own tables.
        found = f"to_regclass(quote_ident(current_schema()) || ''.{name}'')"
        return Statement(f"DO 'BEGIN IF {found} IS NULL THEN {create}; END IF; END'")
    return Statement(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")


def drop_table_statements(dialect: Dialect) -> tuple[Statement, ...]:
    """Return the statements that drop all tables and their rows, for one transaction."""
    return (*_setup_lock(dialect), *[Statement(f"DROP TABLE IF EXISTS {name}") for name in _TABLES])


def _setup_lock(dialect: Dialect) -> tuple[Statement, ...]:
    # Two processes that start at once would both find no table, and PostgreSQL would fail one.
    if dialect is not POSTGRESQL:
        return ()
    return (Statement(f"SELECT pg_advisory_xact_lock({_SETUP_LOCK})"),)


_TABLE_OPTIONS: Final = {SQLITE: "", POSTGRESQL: "", MARIADB: " ENGINE=InnoDB"}


def _columns(dialect: Dialect, columns: tuple[str, ...]) -> str:
    place = list(Dialect).index(dialect)
    types = {word: names[place] for word, names in _TYPES.items()}
    return ", ".join(
        " ".join(types.get(word, word) for word in column.split(" ")) for column in columns
    )
