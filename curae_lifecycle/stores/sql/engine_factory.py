"""Engines whose every wait has a timeout: blocking ones of SQLAlchemy, and async ones.

The law of this module: **nothing waits for ever**: not for a connection, a lock or a statement, and
not for a response that a hung server never sends.
"""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from inspect import signature
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Final, Protocol, TypedDict, cast
from urllib.parse import unquote

import attrs
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError as MalformedUrlError

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import check_type
from curae_lifecycle.stores.deadline import deadline_scope, seconds_left
from curae_lifecycle.stores.sql.async_connecting import async_connector, split_hosts
from curae_lifecycle.stores.sql.async_drivers import AsyncConnection
from curae_lifecycle.stores.sql.connecting import connect_in_thread
from curae_lifecycle.stores.sql.drivers import socket_of
from curae_lifecycle.stores.sql.failures import is_transient
from curae_lifecycle.stores.sql.forks import forget_after_fork
from curae_lifecycle.stores.sql.pool import AsyncPool, wait_for_server_blocking
from curae_lifecycle.stores.sql.replication import Replication
from curae_lifecycle.stores.sql.session_settings import (
    DEFAULT_TIMEOUT,
    GRACE,
    MARIADB_SQL_MODE,
    mariadb_limits,
    postgresql_options,
)
from curae_lifecycle.stores.sql.statement import Dialect
from curae_lifecycle.stores.wiring import check_count

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

    from curae_lifecycle.stores.sql.postgresql import BoundedConnection

_LIMITS_OPTION: Final = "curae_lifecycle"
"""The execution option in which an engine of this module carries its `EngineLimits`."""


@attrs.define
class EngineLimits:
    """The limits of a blocking engine: its timeout, and a semaphore for its connections.

    A request acquires the semaphore before it takes a connection from SQLAlchemy's pool, and
    releases it afterwards. The pool alone would not do: its timeout is the same for all requests,
    but a request may wait only as long as it has time left. And on PostgreSQL a connection must
    count until the server has closed it, which the pool does not know.

    Attributes:
        wait: The longest wait for a connection or a lock, in seconds.
        size: The largest number of connections.
        free: The semaphore; its value is the number of connections that may still be taken.
    """

    wait: float
    size: int
    free: BoundedSemaphore = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Count no connection yet."""
        self.reset()

    def reset(self) -> None:
        """Set the number of open connections to zero: a process that was just forked has none."""
        self.free = BoundedSemaphore(self.size)

    def release_when_closed(self, handle: socket.socket | None) -> None:
        """Allow one more connection to the database, now or when the server has closed one.

        The semaphore `free` counts the connections that may still be opened. PostgreSQL may notice
        late that the client closed a connection. So a thread waits for the server, for at most
        `CLOSING_SECONDS`, and then releases the semaphore.

        Args:
            handle: A second handle of the socket of a connection that the client has closed, or
                closes next. `None` releases the semaphore now: no connection was closed, or it has
                no socket to wait on.
        """
        if handle is None:
            self.free.release()
            return

        def wait() -> None:
            try:
                wait_for_server_blocking(handle)
            finally:
                self.free.release()

        try:
            Thread(target=wait, daemon=True).start()
        except RuntimeError:
            # The machine has no thread left, or Python is ending. Nothing would free the slot later.
            handle.close()
            self.free.release()


def create_engine(url: str, *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = 10) -> sa.Engine:
    """Create the engine of a `SqlDatabase`, with all timeouts set.

    Do not use the engine for anything else: its connections are in autocommit mode.

    Args:
        url: The URL of the database. Its driver is one of `BLOCKING_DRIVERS`; `sqlite://`,
            `postgresql://` and `mariadb://` stand for `sqlite+pysqlite`, `postgresql+psycopg` and
            `mariadb+pymysql`. Percent escapes in the database's name are decoded.
        timeout: The longest wait for each of a connection, a lock, and a statement with its
            response, in seconds. MariaDB rounds it to whole seconds, at least 1. A statement on
            SQLite has no limit.
        pool_size: The number of connections that the pool keeps, which is also the maximum.

    Raises:
        ArgumentError: The URL is malformed or for another database or driver, or has a parameter
            that the driver does not know or that is repeated. Or it names an in-memory SQLite
            database, which would be a separate one for each connection. Or `timeout` is not a
            positive and finite number, or `pool_size` is no integer of at least 1.
        ModuleNotFoundError: The driver is not installed.
    """
    _check_limits(timeout, pool_size)
    parsed, dialect = _parse_url(url, BLOCKING_DRIVERS)
    limits = EngineLimits(timeout, pool_size)
    engine = sa.create_engine(
        parsed,
        connect_args=_connect_args(parsed, dialect, timeout),
        pool_timeout=timeout,
        pool_size=pool_size,
        max_overflow=0,
        # `SqlDatabase` ends every transaction itself, so the pool has nothing to reset.
        pool_reset_on_return=None,
        execution_options={_LIMITS_OPTION: limits},
        **_dialect_options(dialect),
    )
    match dialect:
        case Dialect.SQLITE:
            event.listen(engine, "connect", _enable_wal)
        case Dialect.POSTGRESQL:
            event.listen(engine, "do_connect", _postgresql_connector(timeout + GRACE))
            event.listen(engine, "close", _count_until_closed(limits))
        case Dialect.MARIADB:
            seconds = mariadb_limits(timeout).seconds + GRACE
            event.listen(engine, "do_connect", _mariadb_connector(seconds))
    forget_after_fork(engine, _forget_connections)
    return engine


def _forget_connections(engine: sa.Engine) -> object:
    pool = engine.pool
    engine.dispose(close=False)
    limits_of(engine).reset()
    return pool


@attrs.frozen
class AsyncEngine:
    """The engine of an `AsyncSqlDatabase`; not SQLAlchemy's class of this name.

    Attributes:
        dialect: The database's dialect.
        pool: The pool of connections.
        errors: The driver's exceptions, and those of the network if the driver does not wrap them.
    """

    dialect: Dialect
    pool: AsyncPool[AsyncConnection]
    errors: tuple[type[Exception], ...]

    async def dispose(self) -> None:
        """Close all connections: idle ones now, the others once they are idle."""
        await self.pool.dispose()


def create_engine_async(
    url: str, *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = 10
) -> AsyncEngine:
    """Create the engine of an `AsyncSqlDatabase`, with all timeouts set.

    An `AsyncSqlDatabase` is the database of an `AsyncSqlStore`.

    Args:
        url: The URL of the database. Its driver is one of `ASYNC_DRIVERS`; `sqlite://`,
            `postgresql://` and `mariadb://` stand for `sqlite+aiosqlite`, `postgresql+psycopg` and
            `mariadb+asyncmy`. Percent escapes in the database's name are decoded.
        timeout: The longest wait for each of a connection, a lock, and a statement with its
            response, in seconds. MariaDB rounds it to whole seconds, at least 1. A statement on
            SQLite has no limit.
        pool_size: The largest number of connections.

    Raises:
        ArgumentError: The URL is malformed or for another database or driver, or has a parameter
            that the driver does not know, that is repeated, or that must be a whole number and is
            not. Or it names an in-memory SQLite database, which would be a separate one for each
            connection. Or `timeout` is not a positive and finite number, or `pool_size` is no
            integer of at least 1.
        ModuleNotFoundError: The driver is not installed.
    """
    _check_limits(timeout, pool_size)
    parsed, dialect = _parse_url(url, ASYNC_DRIVERS)
    connector = async_connector(parsed, timeout)
    pool = AsyncPool(connector.connect, pool_size, timeout)
    forget_after_fork(pool, AsyncPool[AsyncConnection].forget)
    return AsyncEngine(dialect, pool, connector.errors)


def limits_of(engine: sa.Engine) -> EngineLimits:
    """Return the timeout and the number of connections that limit an engine of `create_engine`.

    Raises:
        ArgumentError: Another function made the engine, so nothing ensures that its connections
            autocommit.
    """
    found = engine.get_execution_options().get(_LIMITS_OPTION)
    if found is None:
        raise ArgumentError("engine", "an engine from create_engine of stores.sql.engine")
    return cast("EngineLimits", found)


BLOCKING_DRIVERS: Final = {
    "sqlite":             "sqlite+pysqlite",
    "sqlite+pysqlite":    "sqlite+pysqlite",
    "postgresql":         "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mariadb":            "mariadb+pymysql",
    "mariadb+pymysql":    "mariadb+pymysql",
}  # fmt: skip
"""The drivers of `create_engine`, by the beginning of a URL."""

ASYNC_DRIVERS: Final = {
    "sqlite":             "sqlite+aiosqlite",
    "sqlite+aiosqlite":   "sqlite+aiosqlite",
    "postgresql":         "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "mariadb":            "mariadb+asyncmy",
    "mariadb+asyncmy":    "mariadb+asyncmy",
}  # fmt: skip
"""The drivers of `create_engine_async`, by the beginning of a URL."""

_ALLOWED: Final = "the URL of a SQLite, PostgreSQL or MariaDB database"
_HOSTS_ALLOWED: Final = "a URL with a port for each host, such as host=a:5432&host=b:5432"


def _check_limits(timeout: float, pool_size: int) -> None:
    # With such limits every request would fail.
    check_count("pool_size", pool_size, least=1)
    allowed = "a finite number of seconds, more than 0"
    check_type("timeout", timeout, (int, float), allowed=allowed)
    if not 0 < timeout < float("inf"):
        raise ArgumentError("timeout", allowed, str(timeout))


def _parse_url(url: str, drivers: Mapping[str, str]) -> tuple[sa.URL, Dialect]:
    try:
        parsed = _with_decoded_name(sa.make_url(url))
    except (MalformedUrlError, ValueError):
        # Its message repeats the URL, which can hold a password.
        raise ArgumentError("url", _ALLOWED) from None
    driver = drivers.get(parsed.drivername)
    if driver is None:
        raise ArgumentError("url", _refusal(parsed.drivername, drivers))
    dialect = Dialect(driver.partition("+")[0])
    if dialect is Dialect.SQLITE and _is_in_memory(parsed):
        allowed = "for an SQLite file, since each connection in memory has a separate database"
        raise ArgumentError("url", allowed)
    parsed = parsed.set(drivername=driver)
    try:
        _, named = parsed.get_dialect()().create_connect_args(parsed)
    except (MalformedUrlError, ValueError):
        names_hosts = dialect is Dialect.POSTGRESQL and "host" in parsed.query
        raise ArgumentError("url", _HOSTS_ALLOWED if names_hosts else _ALLOWED) from None
    if dialect is not Dialect.SQLITE:
        _check_parameters(parsed, dialect, dict(named))
    return parsed, dialect


class _Driver(Protocol):
    # The module of a driver; only the names of the arguments of `connect` are of interest.
    @property
    def connect(self) -> Callable[[], object]: ...


_TLS_EXAMPLES: Final = {
    "psycopg": ", such as sslmode=verify-full",
    "asyncpg": ", such as ssl=verify-full",
}
"""The parameter that asks for TLS, by driver."""


_REPEATABLE: Final = {"host", "options"}
"""The parameters that a URL of PostgreSQL may repeat."""


def _check_parameters(url: sa.URL, dialect: Dialect, named: dict[str, object]) -> None:
    # Otherwise each connection would fail, and no log line holds the text that says why. psycopg
    # would connect without a repeated parameter, such as one that asks for TLS.
    name = url.get_driver_name()
    repeated = {key for key, values in url.query.items() if isinstance(values, tuple)}
    if repeated - (_REPEATABLE if dialect is Dialect.POSTGRESQL else set()):
        raise ArgumentError("url", "a URL that repeats no parameter")
    is_known = _is_known_to_psycopg if name == "psycopg" else _is_known
    if not is_known(name, named):
        # The unknown name may be a part of a password.
        allowed = f"a URL whose parameters {name} knows{_TLS_EXAMPLES.get(name, '')}"
        raise ArgumentError("url", allowed)
    hosts = named.get("host", "")
    for host in cast("list[str]", hosts) if isinstance(hosts, list) else str(hosts).split(","):
        _check_host(host)


def _check_host(host: str) -> None:
    # Python encodes a host name in this way to look it up. The path of a socket is no host name.
    try:
        if not host.startswith(("/", "@")):
            host.encode("idna")
    except UnicodeError:
        raise ArgumentError("url", "a URL with a valid host name") from None


def _is_known_to_psycopg(_: str, named: dict[str, object]) -> bool:
    from psycopg import ProgrammingError  # noqa: PLC0415 - needed for PostgreSQL alone
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - as above

    try:
        make_conninfo(**_connection_parameters(named))
    except ProgrammingError:
        return False
    return True


def _is_known(name: str, named: dict[str, object]) -> bool:
    connect = cast("_Driver", import_module(name)).connect
    # asyncpg gets the options as one of its `server_settings`.
    others = {key: value for key, value in named.items() if (name, key) != ("asyncpg", "options")}
    try:
        signature(connect).bind(**others)
    except TypeError:
        return False
    return True


def _with_decoded_name(url: sa.URL) -> sa.URL:
    # SQLAlchemy decodes percent escapes in the name of a database since 2.1.
    if url.database is None or sa.make_url("sqlite:///%20").database == " ":
        return url
    return url.set(database=unquote(url.database))


def _is_in_memory(url: sa.URL) -> bool:
    name = (url.database or "").removeprefix("file:")
    return name in {"", ":memory:"} or "memory" in url.normalized_query.get("mode", ())


def _refusal(name: str, drivers: Mapping[str, str]) -> str:
    kind, other_kind, others = (
        ("a blocking", "an async", ASYNC_DRIVERS)
        if drivers is BLOCKING_DRIVERS
        else ("an async", "a blocking", BLOCKING_DRIVERS)
    )
    listed = ", ".join(sorted({*drivers.values()}))
    reason = f"is {other_kind} driver" if name in others else "is not supported"
    return f"the URL of a database with {kind} driver ({listed}); {name} {reason}"


class _DialectOptions(TypedDict, total=False):
    use_native_hstore: bool


def _dialect_options(dialect: Dialect) -> _DialectOptions:
    # Each new connection would query the type hstore otherwise, which no table uses.
    return {"use_native_hstore": False} if dialect is Dialect.POSTGRESQL else {}


def _connect_args(url: sa.URL, dialect: Dialect, wait: float) -> dict[str, object]:
    match dialect:
        case Dialect.SQLITE:
            return {"timeout": wait, "isolation_level": None}
        case Dialect.POSTGRESQL:
            return {
                # In a database of the encoding SQL_ASCII, psycopg would return texts as bytes.
                "client_encoding": "utf8",
                # psycopg treats one second as two.
                "connect_timeout": max(2, round(wait)),
                "options": postgresql_options(wait, url.normalized_query.get("options", ())),
            }
        case Dialect.MARIADB:
            session = mariadb_limits(wait)
            return {
                "autocommit": True,
                "charset": "utf8mb4",
                "connect_timeout": session.seconds,
                "read_timeout": session.seconds + GRACE,
                "write_timeout": session.seconds + GRACE,
                "init_command": session.init_command,
                "sql_mode": MARIADB_SQL_MODE,
            }


def _postgresql_connector(
    seconds: float,
) -> Callable[[object, object, object, dict[str, object]], object]:
    from psycopg import Error  # noqa: PLC0415 - needed for PostgreSQL alone

    from curae_lifecycle.stores.sql.postgresql import (  # noqa: PLC0415 - as above
        BoundedConnection,
    )

    replication = Replication()

    def connect(_: object, __: object, ___: object, named: dict[str, object], /) -> object:
        hosts = [_connection_parameters(each) for each in split_hosts(named)]
        failures: list[Error] = []
        with deadline_scope(seconds):
            for number, host in enumerate(hosts):
                # Each host gets an equal part of the time. Otherwise a silent one would use it up.
                part = seconds_left(seconds) / (len(hosts) - number)
                try:
                    with deadline_scope(part):
                        return BoundedConnection.connect_with_timeout(seconds, host, replication)
                except Error as error:
                    failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        # Operators need the text of each to see why there is no connection.
        raise type(failures[-1])("; ".join(map(str, failures)))

    return connect


_NO_SERVER: Final = 2003
"""The error code of PyMySQL for a connection that could not be opened."""


def _mariadb_connector(
    seconds: float,
) -> Callable[[sa.Dialect, object, list[object], dict[str, object]], object]:
    def connect(
        dialect: sa.Dialect, _: object, places: list[object], named: dict[str, object], /
    ) -> object:
        error = partial(dialect.loaded_dbapi.OperationalError, _NO_SERVER)
        return connect_in_thread(lambda: dialect.connect(*places, **named), seconds, error)

    return connect


COUNTED: Final = "curae_lifecycle_counted"
"""The key in the `info` of a pooled connection that a request closes, instead of the pool.

The key keeps such a connection from counting twice. A semaphore counts each connection of an engine
until the server has closed it. For a connection that a request closes, the request has acquired the
semaphore. For an idle connection that the pool closes, the engine acquires the semaphore. If the
key is set, the engine does not, since the request has.
"""


def _count_until_closed(
    limits: EngineLimits,
) -> Callable[[BoundedConnection, ConnectionPoolEntry], None]:
    # Counts an idle connection that the pool closes.
    def close(connection: BoundedConnection, pooled: ConnectionPoolEntry) -> None:
        if COUNTED not in pooled.info and limits.free.acquire(blocking=False):
            limits.release_when_closed(socket_of(connection))

    return close


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
