"""Tests of what a new connection of each async driver is told, on fake drivers."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Generator
from inspect import signature
from threading import Thread
from types import ModuleType
from typing import Final, cast

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.sql import async_connecting
from curae_lifecycle.stores.sql.async_drivers import (
    AiosqliteConnection,
    AsyncmyConnection,
    AsyncpgConnection,
    PsycopgConnection,
    SqliteWriteLock,
)
from curae_lifecycle.stores.sql.engine import create_engine_async
from curae_lifecycle.stores.sql.failures import is_transient
from curae_lifecycle.stores.sql.postgresql import AsyncBoundedConnection
from curae_lifecycle.stores.sql.replication import Replication
from curae_lifecycle.stores.sql.session_settings import mariadb_limits
from curae_lifecycle.stores.sql.statement import Dialect
from tests.support.serving import FakeTime, run_async

Named = dict[str, object]

LIMITS: Final = "-c statement_timeout=60000 -c lock_timeout=59875"
OPTIONS: Final = pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", f"-c synchronous_commit=on {LIMITS}"),
        ("?options=-c%20a%3Db", f"-c synchronous_commit=on -c a=b {LIMITS}"),
        (
            "?options=-c%20a%3Db&options=-c%20c%3Dd",
            f"-c synchronous_commit=on -c a=b -c c=d {LIMITS}",
        ),
    ],
)


def errors_of(module: str, *names: str) -> tuple[object, ...]:
    """Return the exceptions of a driver, and those of the network."""
    return (*[vars(importlib.import_module(module))[name] for name in names], OSError)


def asyncpg_connection() -> type:
    connection: type = importlib.import_module("asyncpg").Connection
    return connection


@OPTIONS
def test_async_psycopg_connect_passes_timeouts_and_url_options(
    monkeypatch: pytest.MonkeyPatch, query: str, options: str
) -> None:
    asked: list[tuple[float, dict[str, str], Replication]] = []
    driver = object()

    async def connect(seconds: float, named: dict[str, str], replication: Replication) -> object:
        asked.append((seconds, named, replication))
        return driver

    monkeypatch.setattr(AsyncBoundedConnection, "connect_bounded", connect)
    url = f"postgresql://ada:pw@db.example:5433/kept{query}"
    engine = create_engine_async(url, timeout=60.0)
    assert engine.errors == errors_of("psycopg", "Error")
    for _ in range(2):
        connection = run_async(connecting(engine.pool.connect))
        assert isinstance(connection, PsycopgConnection)
        used: object = connection._driver
        assert used is driver
    first, second = asked
    named = {"host": "db.example", "port": "5433", "dbname": "kept", "user": "ada"}
    login = {"password": "pw", "client_encoding": "utf8", "options": options}
    # The time for each host, so that a silent one leaves some for the next.
    assert first[:2] == (60.25, {**named, **login, "connect_timeout": "60"})
    # All connections share one record of the commits in doubt.
    assert isinstance(first[2], Replication)
    assert second == first


async def connecting(connect: Callable[[], Awaitable[object]]) -> object:
    return await connect()


@attrs.define
class Listening:
    """A connection of asyncpg."""

    listeners: list[object] = attrs.field(factory=list[object])

    def add_log_listener(self, listener: object) -> None:
        self.listeners.append(listener)


def record_connect(monkeypatch: pytest.MonkeyPatch, module: str, driver: object) -> list[Named]:
    """Let a driver's module return a connection; return the arguments that it gets."""
    asked: list[Named] = []

    async def connect(**named: object) -> object:
        asked.append(named)
        return driver

    monkeypatch.setattr(importlib.import_module(module), "connect", connect)
    return asked


@OPTIONS
def test_asyncpg_connect_passes_timeouts_and_url_options(
    monkeypatch: pytest.MonkeyPatch, query: str, options: str
) -> None:
    driver = Listening()
    asked = record_connect(monkeypatch, "asyncpg", driver)
    url = f"postgresql+asyncpg://ada:pw@db.example:5433/kept{query}"
    engine = create_engine_async(url, timeout=60.0)
    assert engine.errors == errors_of(
        "asyncpg", "PostgresError", "InterfaceError", "InternalClientError"
    )
    first, second = [run_async(connecting(engine.pool.connect)) for _ in range(2)]
    assert isinstance(first, AsyncpgConnection)
    assert isinstance(second, AsyncpgConnection)
    used: object = first.driver
    assert (used, first.seconds) == (driver, 60.25)
    assert isinstance(first.replication, Replication)
    assert first.replication is second.replication
    named = {"host": "db.example", "port": 5433, "database": "kept", "user": "ada"}
    settings = {"options": options}
    classes = [each.pop("connection_class") for each in asked]
    assert all(issubclass(cast("type", each), asyncpg_connection()) for each in classes)
    assert asked == [{**named, "password": "pw", "server_settings": settings}] * 2


@pytest.mark.parametrize(
    ("driver", "name"),
    [
        ("postgresql+asyncpg", "statement_cache_size"),
        ("postgresql+asyncpg", "timeout"),
        ("mariadb+asyncmy", "max_allowed_packet"),
    ],
)
def test_numeric_url_parameter_is_passed_to_the_driver_as_int(
    monkeypatch: pytest.MonkeyPatch, driver: str, name: str
) -> None:
    module = importlib.import_module(driver.partition("+")[2])
    known = signature(module.connect)
    asked = record_connect(monkeypatch, module.__name__, Listening())
    vars(module.connect)["__signature__"] = known
    engine = create_engine_async(f"{driver}://ada:pw@db.example/kept?{name}=0")
    run_async(connecting(engine.pool.connect))
    assert asked[0][name] == 0
    for wrong in ("soon", "-1", "1.5", "9" * 5_000):
        with pytest.raises(ArgumentError) as raised:
            create_engine_async(f"{driver}://ada:pw@db.example/kept?{name}={wrong}")
        assert str(raised.value) == f"url: must be a URL whose {name} is a whole number"


TWO_HOSTS: Final = (
    "postgresql+asyncpg://ada:pw@/kept?host=a:1&host=b:2&target_session_attrs=read-write"
)


def test_asyncpg_tries_the_next_host_if_one_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[object, object]] = []
    driver, time = Listening(), FakeTime()

    async def connect(host: object, port: object, **_: object) -> object:
        asked.append((host, port))
        if host == "a":
            await asyncio.Event().wait()
        return driver

    monkeypatch.setattr(importlib.import_module("asyncpg"), "connect", connect)
    engine = create_engine_async(TWO_HOSTS, timeout=1.75)
    connection = run_async(connecting(engine.pool.connect), time)
    assert isinstance(connection, AsyncpgConnection)
    used: object = connection.driver
    assert (used, asked, time.passed) == (driver, [("a", 1), ("b", 2)], 1.0)


def test_psycopg_tries_the_next_host_if_one_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []
    driver, time = object(), FakeTime()

    async def connect(_: float, named: dict[str, str], __: Replication) -> object:
        asked.append((named["host"], named["port"]))
        if named["host"] == "a":
            await asyncio.Event().wait()
        return driver

    monkeypatch.setattr(AsyncBoundedConnection, "connect_bounded", connect)
    url = "postgresql://ada:pw@/kept?host=a:1&host=b:2"
    engine = create_engine_async(url, timeout=1.75)
    assert isinstance(run_async(connecting(engine.pool.connect), time), PsycopgConnection)
    assert (asked, time.passed) == ([("a", "1"), ("b", "2")], 1.0)
    asked.clear()
    # libpq itself goes through the hosts then, in random order.
    engine = create_engine_async(f"{url}&load_balance_hosts=random", timeout=1.75)
    assert isinstance(run_async(connecting(engine.pool.connect), time), PsycopgConnection)
    assert asked == [("a,b", "1,2")]


def test_asyncpg_raises_error_of_last_host_if_all_hosts_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def connect(host: object, **_: object) -> object:
        raise ConnectionRefusedError(host)

    monkeypatch.setattr(importlib.import_module("asyncpg"), "connect", connect)
    with pytest.raises(ConnectionRefusedError, match=r"^b$"):
        run_async(connecting(create_engine_async(TWO_HOSTS).pool.connect))


@pytest.mark.parametrize("url", [TWO_HOSTS, "postgresql+asyncpg://ada:pw@a/kept"])
def test_asyncpg_raises_a_transient_error_if_no_host_is_primary(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    asyncpg = importlib.import_module("asyncpg")
    error: type[Exception] = asyncpg.TargetServerAttributeNotMatched

    async def connect(**_: object) -> object:
        raise error

    monkeypatch.setattr(asyncpg, "connect", connect)
    engine = create_engine_async(url)
    with pytest.raises(error) as raised:
        run_async(connecting(engine.pool.connect))
    assert isinstance(raised.value, engine.errors)
    assert is_transient(Dialect.POSTGRESQL, raised.value)


def test_asyncmy_connect_passes_login_strict_mode_and_timeouts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = object()
    asked = record_connect(monkeypatch, "asyncmy", driver)
    engine = create_engine_async("mariadb://ada:pw@db.example:3307/kept", timeout=3.0)
    assert engine.errors == errors_of("asyncmy.errors", "Error")
    connection = run_async(connecting(engine.pool.connect))
    assert isinstance(connection, AsyncmyConnection)
    assert (connection.driver, connection.seconds) == (driver, 3.25)
    (named,) = asked
    assert (
        named.items()
        >= {
            "host": "db.example",
            "port": 3307,
            "user": "ada",
            "password": "pw",
            "db": "kept",
            "autocommit": True,
            "charset": "utf8mb4",
            "init_command": mariadb_limits(3.0).init_command,
            "sql_mode": "STRICT_ALL_TABLES",
        }.items()
    )


def test_async_connect_ends_shortly_after_its_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(1000)

    monkeypatch.setattr(AsyncBoundedConnection, "connect_bounded", hang)
    engine = create_engine_async("postgresql://127.0.0.1:9/none", timeout=60.0)
    time = FakeTime()
    with pytest.raises(TimeoutError):
        run_async(connecting(engine.pool.connect), time)
    assert time.passed == pytest.approx(60.25)


# --- SQLite -------------------------------------------------------------------------------------


def aiosqlite() -> ModuleType:
    return importlib.import_module("aiosqlite")


def test_aiosqlite_connect_passes_autocommit_and_lock_timeout_0(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Named] = []
    real = vars(aiosqlite())["connect"]

    def connect(*places: object, **named: object) -> object:
        asked.append(named)
        return real(*places, **named)

    monkeypatch.setattr(aiosqlite(), "connect", connect)
    engine = create_engine_async(f"{sqlite_url}?cached_statements=7", timeout=60.0)
    assert engine.errors == errors_of("aiosqlite", "Error")

    async def act() -> None:
        made = [await engine.pool.connect() for _ in range(2)]
        locks: list[SqliteWriteLock] = []
        for each in made:
            assert isinstance(each, AiosqliteConnection)
            locks.append(each.write_lock)
            # A connection that is left open must not keep the process from ending.
            assert cast("Thread", vars(each.driver)["_thread"]).daemon
        assert locks[0] is locks[1]
        assert locks[0].seconds == 60.0
        for each in made:
            await each.close()

    asyncio.run(act())
    limits = {"timeout": 0, "isolation_level": None}
    assert [{name: each[name] for name in limits} for each in asked] == [limits] * 2
    assert asked[0]["cached_statements"] == 7


@attrs.define
class OlderAiosqlite:
    """A connection of an older aiosqlite, which is its thread."""

    daemon: bool = False
    ran: list[str] = attrs.field(factory=list[str])

    def __await__(self) -> Generator[None, None, OlderAiosqlite]:
        assert self.daemon, "the thread runs before it is a daemon"
        yield
        return self

    async def execute(self, text: str, _: object, /) -> None:
        self.ran.append(text)


def test_connection_thread_of_an_old_aiosqlite_is_a_daemon(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = OlderAiosqlite()
    monkeypatch.setattr(aiosqlite(), "connect", lambda *_, **__: older)
    connection = run_async(connecting(create_engine_async(sqlite_url, timeout=3.0).pool.connect))
    assert isinstance(connection, AiosqliteConnection)
    used: object = connection.driver
    assert used is older
    assert older.ran == ["PRAGMA journal_mode = WAL", "PRAGMA busy_timeout = 3000"]


@pytest.mark.parametrize(
    ("hosts", "ports", "pairs"),
    [
        ("a", None, [("a", None)]),
        ("a", 1, [("a", 1)]),
        (["a"], [1], [(["a"], [1])]),
        ("a,b", None, [("a", ""), ("b", "")]),
        ("a,b", 7, [("a", "7"), ("b", "7")]),
        ("a,b", "1,", [("a", "1"), ("b", "")]),
        (["a", "b"], [5, 6], [("a", 5), ("b", 6)]),
    ],
)
def test_each_host_of_an_async_url_is_tried_with_its_own_port(
    hosts: object, ports: object, pairs: list[tuple[object, object]]
) -> None:
    named: Named = {"host": hosts, "user": "u"} | ({} if ports is None else {"port": ports})
    tried = async_connecting.split_hosts(named)
    assert [(each["host"], each.get("port")) for each in tried] == pairs
    assert {each["user"] for each in tried} == {"u"}
