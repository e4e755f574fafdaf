"""What the error of a database means: somebody was faster, it may pass, or it would come again.

The law of this module: **nothing of a value, a URL or a message of the database is repeated**: a
reason is made of codes alone.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.sql.statement import Dialect

_OVERTAKEN: Final[dict[Dialect, frozenset[object]]] = {
    Dialect.SQLITE: frozenset(
        {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
    ),
    # A unique index; a serialization failure; the division by nothing of `statement.as_one`.
    Dialect.POSTGRESQL: frozenset({"23505", "40001", "22012"}),
    # A unique index; a row that was changed since it was read.
    Dialect.MARIADB: frozenset({1062, 1020}),
}

_PASSING_OF_SQLITE: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PASSING_OF_POSTGRESQL: Final = {
    # By class: the connection, a transaction that was rolled back (deadlocks), too little of
    # something, an operator who steps in (a statement cancelled, a server that stops or starts).
    *("08", "40", "53", "57"),
    # A lock that was not free in time; a server that was the first and is a copy now.
    *("55P03", "25006"),
}
_PASSING_OF_MARIADB: Final = {
    # Deadlock, lock wait, statement cancelled.
    *(1213, 1205, 1969, 1317),
    # Too many connections, of all and of one user; stopping; killed; no part of its cluster, and
    # no part of it any more when it commits.
    *(1040, 1203, 1226, 1053, 1927, 1047, 1180),
    # No server, none any more, lost, no packet in time; it only reads now.
    *(0, 2002, 2003, 2006, 2013, 1158, 1159, 1160, 1161, 1290),
}


_UNDONE: Final[dict[Dialect, frozenset[object]]] = {
    # As extended codes have it in their lowest byte.
    Dialect.SQLITE: frozenset(_PASSING_OF_SQLITE),
    # Serialization, deadlock, a lock that was not free in time, a statement that was cancelled.
    # Where the server ended the connection, it may have committed before.
    Dialect.POSTGRESQL: frozenset({"40001", "40P01", "55P03", "57014"}),
    # Deadlock, lock wait.
    Dialect.MARIADB: frozenset({1213, 1205}),
}


def is_conflict(dialect: Dialect, error: BaseException) -> bool:
    """Whether a commit was undone because of one that came before it."""
    return _code(dialect, error) in _OVERTAKEN[dialect]


def is_transient(dialect: Dialect, error: BaseException) -> bool:
    """Whether the same statement may succeed later."""
    code = _code(dialect, error)
    match dialect, code:
        case Dialect.SQLITE, int():
            # An extended code has the plain one in its lowest byte.
            return code & 0xFF in _PASSING_OF_SQLITE
        case Dialect.POSTGRESQL, str():
            return not _PASSING_OF_POSTGRESQL.isdisjoint({code, code[:2]})
        case Dialect.POSTGRESQL, None:
            # The server said nothing: there is no connection, or no longer.
            names = {kind.__name__ for kind in type(error).__mro__}
            return not names.isdisjoint({"OperationalError", "InterfaceError"})
        case _:
            return code in _PASSING_OF_MARIADB


def is_rolled_back(dialect: Dialect, error: BaseException) -> bool:
    """Whether nothing of its transaction was stored, for sure."""
    code = _code(dialect, error)
    plain = code & 0xFF if dialect is Dialect.SQLITE and isinstance(code, int) else code
    return plain in _UNDONE[dialect]


def to_store_error(dialect: Dialect, error: BaseException) -> StoreUnavailableError:
    """What a store says of an error that may pass."""
    kind = StoreUnchangedError if is_rolled_back(dialect, error) else StoreUnavailableError
    return kind(reason(dialect, error))


def reason(dialect: Dialect, error: BaseException) -> str:
    """What happened, for a log."""
    code = _code(dialect, error)
    return f"{type(error).__name__} of {dialect}" + (f", code {code}" if code is not None else "")


def _code(dialect: Dialect, error: BaseException) -> str | int | None:
    # By the names that the drivers have for it, none of which need be installed.
    if dialect is Dialect.MARIADB:
        code = error.args[0] if error.args else None
    else:
        named = {Dialect.SQLITE: "sqlite_errorcode", Dialect.POSTGRESQL: "sqlstate"}[dialect]
        code = getattr(error, named, None)
    return code if isinstance(code, str | int) else None
