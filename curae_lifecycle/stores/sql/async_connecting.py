"""Functions that open connections of async drivers, with all time limits set.

SQLAlchemy reads the URL, as it does for the blocking drivers. Each driver is imported only for its
own URLs.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from inspect import signature
from typing import TYPE_CHECKING, Final, Protocol, cast

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.sql.async_drivers import (
    AiosqliteConnection,
    AsyncConnection,
    AsyncmyConnection,
    AsyncpgConnection,
    PsycopgConnection,
    SqliteWriteLock,
    without_cancel,
)
from curae_lifecycle.stores.sql.failures import is_thread_shortage
from curae_lifecycle.stores.sql.replication import Replication
from curae_lifecycle.stores.sql.session_settings import (
    GRACE,
    MARIADB_SQL_MODE,
    mariadb_limits,
    postgresql_options,
)

if TYPE_CHECKING:
    from threading import Thread


class _Module(Protocol):
    # What is used of a driver that is not imported by name, since it may not be installed.
    Connection: type
    Error: type[Exception]
    InterfaceError: type[Exception]
    InternalClientError: type[Exception]
    PostgresError: type[Exception]

    def connect(self, *places: object, **named: object) -> Awaitable[object]: ...


Connect = Callable[[], Awaitable[AsyncConnection]]
"""A coroutine function that opens a connection of an async driver."""


@attrs.frozen
class Connector:
    """A function that opens connections of a driver, and the exceptions that it may raise.

    Attributes:
        connect: Opens a connection within a time limit.
        errors: The driver's exceptions, and those of the network if the driver does not wrap them.
    """

    connect: Connect
    errors: tuple[type[Exception], ...]


def async_connector(url: sa.URL, wait: float) -> Connector:
    """Return a `Connector` for a database: a function that opens connections, and its exceptions.

    Args:
        url: The URL. Its driver is one of the values of `engine_factory.ASYNC_DRIVERS`, such as
            `postgresql+asyncpg`.
        wait: The longest wait for each of a connection, a lock, and a statement with its response,
            in seconds.

    Raises:
        ArgumentError: A parameter of the URL must be a whole number and is not.
        ModuleNotFoundError: The driver is not installed.
    """
    places, named = url.get_dialect()().create_connect_args(url)
    connector = _CONNECTORS[url.drivername]([*places], dict(named), wait)

    async def connect() -> AsyncConnection:
        try:
            async with asyncio.timeout(wait + GRACE):
                return await connector.connect()
        except RuntimeError as error:
            # A connection of aiosqlite runs in a thread, and so does the lookup of a host name.
            if not is_thread_shortage(error):
                raise
            raise ConnectionError("no thread could be started to connect") from error

    return Connector(connect, (*connector.errors, OSError))


_Places = list[object]
_Named = dict[str, object]


def _psycopg(_: _Places, named: _Named, wait: float) -> Connector:
    import psycopg  # noqa: PLC0415 - needed for this driver alone

    from curae_lifecycle.stores.sql.postgresql import (  # noqa: PLC0415 - as above
        AsyncBoundedConnection,
    )

    named["options"] = postgresql_options(wait, _pop_options(named))
    # In a database of the encoding SQL_ASCII, psycopg would return texts as bytes.
    named["client_encoding"] = "utf8"
    # For each address of a host, so that a silent one leaves some time. psycopg's minimum is 2.
    named["connect_timeout"] = max(2, round(wait))
    replication = Replication()

    async def connect(arguments: _Named) -> AsyncConnection:
        parameters = {name: str(value) for name, value in arguments.items()}
        return PsycopgConnection(
            await AsyncBoundedConnection.connect_bounded(wait + GRACE, parameters, replication)
        )

    errors = (psycopg.Error,)
    return Connector(_connect_to_one(split_hosts(named), connect, errors=errors, wait=wait), errors)


def _asyncpg(_: _Places, named: _Named, wait: float) -> Connector:
    asyncpg = cast("_Module", importlib.import_module("asyncpg"))
    named = _read_numbers(asyncpg, named)
    settings = {"options": postgresql_options(wait, _pop_options(named))}
    replication = Replication()
    connection_class = without_cancel(asyncpg.Connection)

    errors = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

    async def connect(arguments: _Named) -> AsyncConnection:
        driver = await asyncpg.connect(
            **arguments, server_settings=settings, connection_class=connection_class
        )
        return AsyncpgConnection(driver, seconds=wait + GRACE, replication=replication)

    return Connector(_connect_to_one(split_hosts(named), connect, errors=errors, wait=wait), errors)


def split_hosts(named: _Named) -> list[_Named]:
    """Return the arguments of a connection to PostgreSQL for each host, to try one after another.

    So each host can get a part of the time, and a silent one does not use all of it up. The order
    is that of the URL. If psycopg's arguments have `hostaddr` or `load_balance_hosts`, PostgreSQL's
    client library must choose the host itself. Then there is one set of arguments for all hosts.

    Args:
        named: The arguments of the driver. The hosts are a list for asyncpg, and a text with commas
            for psycopg.
    """
    hosts, ports = named.get("host"), named.get("port")
    if isinstance(hosts, str) and not {"hostaddr", "load_balance_hosts"} & {*named}:
        hosts, ports = hosts.split(","), str(named.get("port", "")).split(",")
    if not isinstance(hosts, list):
        return [named]
    several = cast("list[object]", hosts)
    if len(several) == 1:
        return [named]
    each_port = cast("list[object]", ports)
    if len(each_port) == 1:
        # One port, or none, is that of every host.
        each_port *= len(several)
    pairs = zip(several, each_port, strict=True)
    return [{**named, "host": host, "port": port} for host, port in pairs]


def _connect_to_one(
    hosts: Sequence[_Named],
    connect_to: Callable[[_Named], Awaitable[AsyncConnection]],
    errors: tuple[type[Exception], ...],
    wait: float,
) -> Connect:
    # Each host gets an equal part of the time. Otherwise a silent one would use all of it up.
    seconds = (wait + GRACE) / len(hosts)

    async def connect() -> AsyncConnection:
        for host in hosts[:-1]:
            with suppress(*errors, OSError):
                async with asyncio.timeout(seconds):
                    return await connect_to(host)
        return await connect_to(hosts[-1])

    return connect


def _read_numbers(driver: _Module, named: _Named) -> _Named:
    # A URL holds texts. With a text for a number, a driver would fail at each connection.
    defaults = {name: each.default for name, each in signature(driver.connect).parameters.items()}
    read: _Named = {}
    for name, value in named.items():
        if isinstance(value, str) and type(defaults.get(name)) is int:
            if not re.fullmatch("[0-9]{1,15}", value):
                raise ArgumentError("url", f"a URL whose {name} is a whole number")
            read[name] = int(value)
        else:
            read[name] = value
    return read


def _pop_options(named: _Named) -> list[str]:
    # A URL may repeat the parameter; then its value is a tuple.
    options = named.pop("options", ())
    if isinstance(options, tuple):
        return [str(each) for each in cast("tuple[object, ...]", options)]
    return [str(options)]


def _aiosqlite(places: _Places, named: _Named, wait: float) -> Connector:
    aiosqlite = cast("_Module", importlib.import_module("aiosqlite"))
    write_lock = SqliteWriteLock(wait)

    async def connect() -> AsyncConnection:
        opening = aiosqlite.connect(*places, **named, timeout=0, isolation_level=None)
        # Its thread would keep a process that ends from ending. Older versions are the thread.
        cast("Thread", getattr(opening, "_thread", opening)).daemon = True
        opened = await opening
        connection = AiosqliteConnection(opened, write_lock)
        try:
            await connection.prepare(lock_timeout=wait)
        except BaseException:
            await connection.close()
            raise
        return connection

    return Connector(connect, (aiosqlite.Error,))


def _asyncmy(_: _Places, named: _Named, wait: float) -> Connector:
    asyncmy = cast("_Module", importlib.import_module("asyncmy"))
    errors = cast("_Module", importlib.import_module("asyncmy.errors"))
    limits = mariadb_limits(wait)
    arguments = {
        **_read_numbers(asyncmy, named),
        "autocommit": True,
        "charset": "utf8mb4",
        "init_command": limits.init_command,
        "sql_mode": MARIADB_SQL_MODE,
    }

    async def connect() -> AsyncConnection:
        opened = await asyncmy.connect(**arguments)
        return AsyncmyConnection(opened, limits.seconds + GRACE)

    return Connector(connect, (errors.Error,))


_CONNECTORS: Final[dict[str, Callable[[_Places, _Named, float], Connector]]] = {
    "postgresql+psycopg": _psycopg,
    "postgresql+asyncpg": _asyncpg,
    "sqlite+aiosqlite": _aiosqlite,
    "mariadb+asyncmy": _asyncmy,
}
