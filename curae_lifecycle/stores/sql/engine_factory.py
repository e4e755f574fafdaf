"""SQLAlchemy engines whose every wait has a timeout.

The law of this module: **nothing waits for ever**: not for a connection, a lock or a statement, and
not for a response that a hung server never sends.
"""

from __future__ import annotations

import sqlite3
from threading import BoundedSemaphore
from typing import Final, NotRequired, Protocol, TypedDict, cast

import attrs
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError as MalformedUrlError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.sql.failures import is_transient
from curae_lifecycle.stores.sql.replication import Replication
from curae_lifecycle.stores.sql.statement import Dialect

DEFAULT_TIMEOUT: Final = 2.0
"""The default timeout for a connection, a lock or a statement, in seconds."""

GRACE: Final = 0.25
"""Extra seconds that the client waits beyond the server's timeout.

The server's own error comes first that way, and it says more.
"""

_BOUNDS_OPTION: Final = "curae_lifecycle"
"""The execution option in which an engine of this module carries its `Bounds`."""


@attrs.frozen
class Bounds:
    """The timeout of an engine, and a semaphore for its connections.

    A SQLAlchemy pool has one timeout for all requests. So each blocking request first waits for
    the semaphore, for at most the time that the request has left.

    Attributes:
        wait: The longest wait for a connection or a lock, in seconds.
        free: The semaphore, whose value is the number of free connections of the pool.
    """

    wait: float
    free: BoundedSemaphore


def create_engine(url: str, *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = 10) -> sa.Engine:
    """Create the engine of a `SqlDatabase`, with all timeouts set.

    Do not use the engine for anything else: its connections are in autocommit mode.

    Args:
        url: `sqlite:///file`, `postgresql://...` (the driver is psycopg 3) or `mariadb://...`
            (the driver is PyMySQL).
        timeout: The longest wait for each of a connection, a lock, and a statement with its
            response, in seconds. MariaDB rounds it to whole seconds, at least 1. A statement on
            SQLite has no limit.
        pool_size: The number of connections that the pool keeps, which is also the maximum.

    Raises:
        ArgumentError: The URL is malformed or for another database or driver. Or it names an
            in-memory SQLite database, which would be a separate one for each connection.
    """
    parsed, dialect = _parse_url(url)
    settings = _settings(parsed, dialect=dialect, wait=timeout, pool_size=pool_size)
    engine = sa.create_engine(parsed, **settings)
    match dialect:
        case Dialect.SQLITE:
            event.listen(engine, "connect", _enable_wal)
        case Dialect.POSTGRESQL:
            event.listen(engine, "do_connect", _connect_with_timeout(timeout + GRACE))
        case Dialect.MARIADB:
            pass
    return engine


def create_engine_async(
    url: str, *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = 10
) -> AsyncEngine:
    """Create the engine of an `AsyncSqlDatabase`, for PostgreSQL only.

    For other databases, wrap a `SqlDatabase` in a `ThreadedDatabase`.

    Args:
        url: `postgresql://...`. The driver is psycopg 3.
        timeout: The longest wait for each of a connection, a lock, and a statement with its
            response, in seconds.
        pool_size: The number of connections that the pool keeps, which is also the maximum.

    Raises:
        ArgumentError: The URL is malformed or for another database or driver.
    """
    parsed, dialect = _parse_url(url)
    if dialect is not Dialect.POSTGRESQL:
        raise ArgumentError("url", "a PostgreSQL URL")
    settings = _settings(parsed, dialect=dialect, wait=timeout, pool_size=pool_size)
    settings["connect_args"]["async_creator_fn"] = _async_connect_with_timeout(timeout + GRACE)
    return create_async_engine(parsed, **settings)


def dialect_of(engine: sa.Engine) -> Dialect:
    """Return the dialect of an engine from `create_engine` or `create_engine_async`.

    Raises:
        ArgumentError: Another function made the engine, so its connections may not autocommit.
    """
    bounds_of(engine)
    return Dialect(engine.dialect.name)


def bounds_of(engine: sa.Engine) -> Bounds:
    """Return the `Bounds` of an engine from `create_engine` or `create_engine_async`.

    Raises:
        ArgumentError: Another function made the engine.
    """
    found = engine.get_execution_options().get(_BOUNDS_OPTION)
    if found is None:
        allowed = "an engine from create_engine or create_engine_async of stores.sql.engine"
        raise ArgumentError("engine", allowed)
    return cast("Bounds", found)


_DRIVERS: Final = {
    "sqlite": ("sqlite+pysqlite", Dialect.SQLITE),
    "sqlite+pysqlite": ("sqlite+pysqlite", Dialect.SQLITE),
    "postgresql": ("postgresql+psycopg", Dialect.POSTGRESQL),
    "postgresql+psycopg": ("postgresql+psycopg", Dialect.POSTGRESQL),
    "mariadb": ("mariadb+pymysql", Dialect.MARIADB),
    "mariadb+pymysql": ("mariadb+pymysql", Dialect.MARIADB),
}


def _parse_url(url: str) -> tuple[sa.URL, Dialect]:
    try:
        parsed = sa.make_url(url)
    except MalformedUrlError:
        # Its message repeats the URL, which can hold a password.
        raise ArgumentError("url", "a database URL") from None
    if parsed.drivername not in _DRIVERS:
        raise ArgumentError("url", f"a URL that begins with one of {', '.join(_DRIVERS)}")
    driver, dialect = _DRIVERS[parsed.drivername]
    if dialect is Dialect.SQLITE and parsed.database in {None, "", ":memory:"}:
        allowed = "for an SQLite file, since each connection in memory has a separate database"
        raise ArgumentError("url", allowed)
    return parsed.set(drivername=driver), dialect


class _Settings(TypedDict):
    connect_args: dict[str, object]
    pool_timeout: float
    pool_size: int
    max_overflow: int
    pool_reset_on_return: None
    execution_options: dict[str, object]
    use_native_hstore: NotRequired[bool]


def _settings(url: sa.URL, dialect: Dialect, wait: float, pool_size: int) -> _Settings:
    settings = _Settings(
        connect_args=_connect_args(url, dialect, wait),
        pool_timeout=wait,
        pool_size=pool_size,
        max_overflow=0,
        # `SqlDatabase` ends every transaction itself, so the pool has nothing to reset.
        pool_reset_on_return=None,
        execution_options={_BOUNDS_OPTION: Bounds(wait, BoundedSemaphore(pool_size))},
    )
    if dialect is Dialect.POSTGRESQL:
        # Each new connection would query the type hstore otherwise, which no table uses.
        settings["use_native_hstore"] = False
    return settings


def _connect_args(url: sa.URL, dialect: Dialect, wait: float) -> dict[str, object]:
    milliseconds, seconds = int(wait * 1000), max(1, round(wait))
    match dialect:
        case Dialect.SQLITE:
            return {"timeout": wait, "isolation_level": None}
        case Dialect.POSTGRESQL:
            limits = f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
            return {
                # psycopg treats one second as two.
                "connect_timeout": max(2, seconds),
                "options": " ".join([*url.normalized_query.get("options", ()), limits]),
            }
        case Dialect.MARIADB:
            # The store compares versions itself, so this level is enough. It deadlocks least.
            level = "transaction_isolation = 'READ-COMMITTED'"
            # The lock timeout is the shortest: its error says for certain that nothing was stored.
            limits = (
                f"innodb_lock_wait_timeout = {seconds}, max_statement_time = {seconds + GRACE / 2}"
            )
            return {
                "autocommit": True,
                "charset": "utf8mb4",
                "connect_timeout": seconds,
                "read_timeout": seconds + GRACE,
                "write_timeout": seconds + GRACE,
                "init_command": f"SET SESSION {level}, {limits}",
            }


class _Connect(Protocol):
    def __call__(
        self, dialect: object, record: object, args: object, named: dict[str, object], /
    ) -> object: ...


class _AsyncConnect(Protocol):
    async def __call__(self, **named: object) -> object: ...


def _connect_with_timeout(seconds: float) -> _Connect:
    # Imported here because psycopg is needed for PostgreSQL alone.
    from curae_lifecycle.stores.sql.postgresql import BoundedConnection  # noqa: PLC0415

    replication = Replication()

    def connect(_: object, __: object, ___: object, named: dict[str, object], /) -> object:
        parameters = _connection_parameters(named)
        return BoundedConnection.connect_with_timeout(seconds, parameters, replication)

    return connect


def _async_connect_with_timeout(seconds: float) -> _AsyncConnect:
    from curae_lifecycle.stores.sql.postgresql import AsyncBoundedConnection  # noqa: PLC0415

    replication = Replication()

    async def connect(**named: object) -> object:
        parameters = _connection_parameters(named)
        return await AsyncBoundedConnection.connect_with_timeout(seconds, parameters, replication)

    return connect


def _connection_parameters(named: dict[str, object]) -> dict[str, str]:
    # The other arguments concern statements that SQLAlchemy builds.
    return {name: str(value) for name, value in named.items() if isinstance(value, str | int)}


def _enable_wal(connection: sqlite3.Connection, _: object) -> None:
    # With a write-ahead log, readers and the one writer do not wait for each other.
    try:
        connection.execute("PRAGMA journal_mode = WAL").close()
    except sqlite3.OperationalError as error:
        # If two connections set the mode of a new file at once, SQLite refuses one of them.
        if not is_transient(Dialect.SQLITE, error):
            raise
