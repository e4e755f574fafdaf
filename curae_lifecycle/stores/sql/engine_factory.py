"""Engines of SQLAlchemy: the pools of connections that statements run on, their limits of time set.

The law of this module: **nothing waits for ever**: not for a connection, not for a lock, not for a
statement, not for an answer that never comes.
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
"""Seconds that a connection, a lock or a statement is waited for, where nothing else is said."""

GRACE: Final = 0.25
"""How much longer the client waits than the server, whose own answer says more."""

_MADE: Final = "curae_lifecycle"
"""The option that an engine of this module has."""


@attrs.frozen
class Bounds:
    """What an engine waits for, and how many may use it at once.

    A pool of SQLAlchemy has one limit for everybody; who comes with little time left waits here,
    before the pool is asked.

    Attributes:
        wait: Seconds that a connection or a lock is waited for at most.
        free: How many connections may be taken.
    """

    wait: float
    free: BoundedSemaphore


def create_engine(url: str, *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = 10) -> sa.Engine:
    """An engine that a `SqlDatabase` can run on, its limits of time set.

    It is for that alone: each of its connections commits every statement by itself.

    Args:
        url: `sqlite:///file`, `postgresql://...` (the driver is psycopg 3) or `mariadb://...`
            (PyMySQL).
        timeout: Seconds that a connection, a lock, a statement or its answer is waited for.
        pool_size: How many connections are kept, and how many there are at most.

    Raises:
        ArgumentError: A URL of another database or driver, or an SQLite database in memory, of
            which each connection would have one of its own.
    """
    parsed, dialect = _checked(url)
    settings = _settings(parsed, dialect=dialect, wait=timeout, pool_size=pool_size)
    engine = sa.create_engine(parsed, **settings)
    match dialect:
        case Dialect.SQLITE:
            event.listen(engine, "connect", _write_ahead)
        case Dialect.POSTGRESQL:
            event.listen(engine, "do_connect", _bounded(timeout + GRACE))
        case Dialect.MARIADB:
            pass
    return engine


def create_engine_async(
    url: str, *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = 10
) -> AsyncEngine:
    """An engine that an `AsyncSqlDatabase` can run on; for PostgreSQL.

    Args:
        url: `postgresql://...`; the driver is psycopg 3.
        timeout: As for `create_engine`.
        pool_size: As for `create_engine`.

    Raises:
        ArgumentError: A URL of another database; `ThreadedDatabase` lets those be awaited.
    """
    parsed, dialect = _checked(url)
    if dialect is not Dialect.POSTGRESQL:
        raise ArgumentError("url", "one for PostgreSQL")
    settings = _settings(parsed, dialect=dialect, wait=timeout, pool_size=pool_size)
    settings["connect_args"]["async_creator_fn"] = _awaited_bounded(timeout + GRACE)
    return create_async_engine(parsed, **settings)


def dialect_of(engine: sa.Engine) -> Dialect:
    """Which database an engine of this module is for.

    Raises:
        ArgumentError: Another engine, whose connections would not commit what they ran.
    """
    bounds_of(engine)
    return Dialect(engine.dialect.name)


def bounds_of(engine: sa.Engine) -> Bounds:
    """What an engine of this module waits for.

    Raises:
        ArgumentError: Another engine.
    """
    found = engine.get_execution_options().get(_MADE)
    if found is None:
        raise ArgumentError("engine", "one that create_engine or create_awaited_engine made")
    return cast("Bounds", found)


_DRIVERS: Final = {
    "sqlite": ("sqlite+pysqlite", Dialect.SQLITE),
    "sqlite+pysqlite": ("sqlite+pysqlite", Dialect.SQLITE),
    "postgresql": ("postgresql+psycopg", Dialect.POSTGRESQL),
    "postgresql+psycopg": ("postgresql+psycopg", Dialect.POSTGRESQL),
    "mariadb": ("mariadb+pymysql", Dialect.MARIADB),
    "mariadb+pymysql": ("mariadb+pymysql", Dialect.MARIADB),
}


def _checked(url: str) -> tuple[sa.URL, Dialect]:
    try:
        parsed = sa.make_url(url)
    except MalformedUrlError:
        # Its message repeats the URL, which can hold a password.
        raise ArgumentError("url", "the URL of a database") from None
    if parsed.drivername not in _DRIVERS:
        raise ArgumentError("url", f"one that begins with {', '.join(_DRIVERS)}")
    driver, dialect = _DRIVERS[parsed.drivername]
    if dialect is Dialect.SQLITE and parsed.database in {None, "", ":memory:"}:
        raise ArgumentError("url", "one with a file: in memory, each connection has its own")
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
        # Every transaction ends itself.
        pool_reset_on_return=None,
        execution_options={_MADE: Bounds(wait, BoundedSemaphore(pool_size))},
    )
    if dialect is Dialect.POSTGRESQL:
        # Or each new connection would ask for a type that no table has.
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
                # psycopg takes one second for two.
                "connect_timeout": max(2, seconds),
                "options": " ".join([*url.normalized_query.get("options", ()), limits]),
            }
        case Dialect.MARIADB:
            # The weakest level that a store which compares needs, and the fewest deadlocks.
            level = "transaction_isolation = 'READ-COMMITTED'"
            # A lock gives up first: that says for sure that nothing was stored.
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


def _bounded(seconds: float) -> _Connect:
    # psycopg is needed for PostgreSQL alone.
    from curae_lifecycle.stores.sql.postgresql import BoundedConnection  # noqa: PLC0415

    replication = Replication()

    def connect(_: object, __: object, ___: object, named: dict[str, object], /) -> object:
        return BoundedConnection.connect_with_timeout(seconds, _texts(named), replication)

    return connect


def _awaited_bounded(seconds: float) -> _AsyncConnect:
    from curae_lifecycle.stores.sql.postgresql import AsyncBoundedConnection  # noqa: PLC0415

    replication = Replication()

    async def connect(**named: object) -> object:
        return await AsyncBoundedConnection.connect_with_timeout(
            seconds, _texts(named), replication
        )

    return connect


def _texts(named: dict[str, object]) -> dict[str, str]:
    # The others are for statements that SQLAlchemy makes.
    return {name: str(value) for name, value in named.items() if isinstance(value, str | int)}


def _write_ahead(connection: sqlite3.Connection, _: object) -> None:
    # Readers and the one writer do not wait for each other.
    try:
        connection.execute("PRAGMA journal_mode = WAL").close()
    except sqlite3.OperationalError as error:
        # Of two that open a new file at once SQLite refuses one, at once; the other is doing it.
        if not is_transient(Dialect.SQLITE, error):
            raise
