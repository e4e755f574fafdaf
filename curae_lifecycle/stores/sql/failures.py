"""The meaning of a database's error: a conflict, a transient failure, or a permanent one.

The law of this module: **no value, URL or message of the database is repeated**. A reason names the
error's class, the database and the error code, nothing else.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.sql.statement import Dialect

_CONFLICT_CODES: Final[dict[Dialect, frozenset[object]]] = {
    Dialect.SQLITE: frozenset(
        {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
    ),
    # A unique index; a serialization failure; the division by zero of `statement.combine`.
    Dialect.POSTGRESQL: frozenset({"23505", "40001", "22012"}),
    # A unique index; a row that was changed since it was read.
    Dialect.MARIADB: frozenset({1062, 1020}),
}

_READ_ONLY_CODES: Final[dict[Dialect, frozenset[object]]] = {
    Dialect.SQLITE: frozenset(),
    Dialect.POSTGRESQL: frozenset({"25006"}),
    Dialect.MARIADB: frozenset({1290}),
}

_MISSING_TABLE_CODES: Final = {Dialect.POSTGRESQL: "42P01", Dialect.MARIADB: 1146}

_LOCKED_SQLITE_CODES: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# A full disk can also fail as an I/O error.
_TRANSIENT_SQLITE_CODES: Final = _LOCKED_SQLITE_CODES | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_TRANSIENT_POSTGRESQL_CODES: Final = {
    # By class: connection exceptions, transaction rollbacks (deadlocks), insufficient resources,
    # operator intervention (a statement was cancelled, the server stops or starts).
    *("08", "40", "53", "57"),
    # A lock was not free in time; a former primary is a read-only standby now; the timeout of an
    # idle transaction or of any transaction, which ends the connection.
    *("55P03", "25006", "25P03", "25P04"),
}
# asyncpg raises an InternalClientError for a statement after the server's message that it ends the
# connection, and for a host that is not the primary, but may become it.
_LOST_CONNECTION_ERRORS: Final = {"OperationalError", "InterfaceError", "InternalClientError"}
_TRANSIENT_MARIADB_CODES: Final = {
    # Deadlock, lock wait timeout, statement timeout, statement cancelled.
    *(1213, 1205, 1969, 1317),
    # Too many connections (in all, of a user, resource limit); shutting down; killed; the node is
    # not in its cluster, or was not when it committed.
    *(1040, 1203, 1226, 1053, 1927, 1047, 1180),
    # The disk is full; a table has no room.
    *(1021, 1114),
    # No server, the connection was lost, no packet in time; the server is read-only now.
    *(0, 2002, 2003, 2006, 2013, 1158, 1159, 1160, 1161, 1290),
}


_ROLLED_BACK_CODES: Final[dict[Dialect, frozenset[object]]] = {
    # Primary codes, which are the lowest byte of the extended ones.
    Dialect.SQLITE: frozenset(_LOCKED_SQLITE_CODES),
    # Serialization failure, deadlock, a lock that was not free in time, a cancelled statement.
    # Not class 57P: a server that ended the connection may have committed before.
    Dialect.POSTGRESQL: frozenset({"40001", "40P01", "55P03", "57014"}),
    # Deadlock, lock wait timeout.
    Dialect.MARIADB: frozenset({1213, 1205}),
}


def is_conflict(dialect: Dialect, error: BaseException) -> bool:
    """Return whether a commit failed with `error` because a concurrent commit came first."""
    return _code(dialect, error) in _CONFLICT_CODES[dialect]


def is_missing_table(dialect: Dialect, error: BaseException) -> bool:
    """Return whether `error` says that a table does not exist."""
    if dialect is Dialect.SQLITE:
        # SQLite has no separate error code for this.
        return str(error).startswith("no such table")
    return _code(dialect, error) == _MISSING_TABLE_CODES[dialect]


def is_transient(dialect: Dialect, error: BaseException) -> bool:
    """Return whether a statement that failed with `error` may succeed if it is tried again."""
    code = _code(dialect, error)
    match dialect, code:
        case _ if isinstance(error, OSError):
            # Async drivers raise errors of the network as they are, and their time limits.
            return True
        case Dialect.SQLITE, int():
            # The lowest byte of an extended code is its primary code.
            return code & 0xFF in _TRANSIENT_SQLITE_CODES
        case Dialect.POSTGRESQL, str():
            return not _TRANSIENT_POSTGRESQL_CODES.isdisjoint({code, code[:2]})
        case Dialect.POSTGRESQL, None:
            return is_lost_connection(error)
        case _:
            return code in _TRANSIENT_MARIADB_CODES


def is_read_only(dialect: Dialect, error: BaseException) -> bool:
    """Return whether a statement failed because the server is read-only, such as a standby.

    The connection may have been opened while a host name still led to the former primary, so the
    caller closes it.
    """
    return _code(dialect, error) in _READ_ONLY_CODES[dialect]


def is_lost_connection(error: BaseException) -> bool:
    """Return whether an error of a PostgreSQL driver says that a connection failed or was lost.

    Such an error is the driver's own, without a code of the server.
    """
    if _code(Dialect.POSTGRESQL, error) is not None:
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    # asyncpg names a wrong value an InterfaceError too, which is also a ValueError.
    return not (isinstance(error, ValueError) or names.isdisjoint(_LOST_CONNECTION_ERRORS))


def is_thread_shortage(error: RuntimeError) -> bool:
    """Return whether Python could start no thread, as at a limit on the number of processes."""
    return "can't start new thread" in str(error)


def has_connect_error_code(dialect: Dialect, error: BaseException) -> bool:
    """Return whether an error of connecting has an error code, such as that of a wrong password.

    `SqlDatabase` then raises a `StoreUnchangedError`, even if `is_transient` returns False. That
    error says that nothing was stored and that a later attempt may succeed.

    The result is False for SQLite, which has no server. It is False for psycopg, whose errors of
    connecting have no code; for those, `is_transient` returns True.
    """
    code = _code(dialect, error)
    match dialect:
        case Dialect.SQLITE:
            return False
        case Dialect.POSTGRESQL:
            # asyncpg names PostgreSQL's code; psycopg names none.
            return code is not None
        case Dialect.MARIADB:
            return isinstance(code, int)


def is_rolled_back(dialect: Dialect, error: BaseException) -> bool:
    """Return whether a transaction that failed with `error` certainly stored nothing."""
    code = _code(dialect, error)
    primary = code & 0xFF if dialect is Dialect.SQLITE and isinstance(code, int) else code
    return primary in _ROLLED_BACK_CODES[dialect]


def to_store_error(dialect: Dialect, error: BaseException) -> StoreUnavailableError:
    """Convert a transient error to the exception that a store raises for it.

    The result is a `StoreUnchangedError` if the transaction certainly stored nothing. Otherwise it
    is a plain `StoreUnavailableError`.
    """
    kind = StoreUnchangedError if is_rolled_back(dialect, error) else StoreUnavailableError
    return kind(reason(dialect, error))


def reason(dialect: Dialect, error: BaseException) -> str:
    """Describe an error without its message: its class, the dialect and the error code.

    SQLite's codes are given by name, such as `SQLITE_FULL` for a full disk.
    """
    code = getattr(error, "sqlite_errorname", _code(dialect, error))
    return f"{type(error).__name__} of {dialect}" + (f", code {code}" if code is not None else "")


def _code(dialect: Dialect, error: BaseException) -> str | int | None:
    # Read by attribute name, because the drivers may not be installed.
    if dialect is Dialect.MARIADB:
        code = error.args[0] if error.args else None
    else:
        named = {Dialect.SQLITE: "sqlite_errorcode", Dialect.POSTGRESQL: "sqlstate"}[dialect]
        code = getattr(error, named, None)
    return code if isinstance(code, str | int) else None
