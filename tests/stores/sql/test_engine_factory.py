"""Tests of the engines: which URLs they take, and what they tell each driver."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Final, NoReturn

import attrs
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.deadline import deadline_scope, seconds_left
from curae_lifecycle.stores.retry import DEFAULT_RETRY_POLICY
from curae_lifecycle.stores.sql import engine_factory
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine, create_engine_async
from curae_lifecycle.stores.sql.engine_factory import COUNTED, EngineLimits, limits_of
from curae_lifecycle.stores.sql.postgresql import BoundedConnection
from curae_lifecycle.stores.sql.replication import Replication
from curae_lifecycle.stores.sql.session_settings import DEFAULT_TIMEOUT, GRACE, mariadb_limits
from curae_lifecycle.stores.sql.statement import Dialect
from tests.stores.sql.fake_psycopg import FakePgconn, FakePsycopg

# --- URLs ---------------------------------------------------------------------------------------

MALFORMED: Final = "the URL of a SQLite, PostgreSQL or MariaDB database"
IN_MEMORY: Final = "for an SQLite file, since each connection in memory has a separate database"
BLOCKING: Final = (
    "the URL of a database with a blocking driver "
    "(mariadb+pymysql, postgresql+psycopg, sqlite+pysqlite); "
)
ASYNC: Final = (
    "the URL of a database with an async driver "
    "(mariadb+asyncmy, postgresql+asyncpg, postgresql+psycopg, sqlite+aiosqlite); "
)


@pytest.mark.parametrize(
    ("make", "url", "allowed"),
    [
        *[
            (make, url, allowed)
            for make in (create_engine, create_engine_async)
            for url, allowed in (
                ("no url", MALFORMED),
                ("sqlite://user:secret@host/file.db", MALFORMED),
                ("sqlite:///file.db?timeout=long", MALFORMED),
                ("postgresql://host:port/name", MALFORMED),
                ("sqlite:///%3Amemory%3A", IN_MEMORY),
                ("sqlite://", IN_MEMORY),
                ("sqlite:///:memory:", IN_MEMORY),
                ("sqlite:///file::memory:?uri=true", IN_MEMORY),
                ("sqlite:///file:?uri=true", IN_MEMORY),
                ("sqlite:///file:kept?mode=memory&uri=true", IN_MEMORY),
            )
        ],
        (create_engine, "mysql://h/d", BLOCKING + "mysql is not supported"),
        (create_engine, "mariadb+asyncmy://h/d", BLOCKING + "mariadb+asyncmy is an async driver"),
        (create_engine_async, "mysql://h/d", ASYNC + "mysql is not supported"),
        (
            create_engine_async,
            "mariadb+pymysql://h/d",
            ASYNC + "mariadb+pymysql is a blocking driver",
        ),
    ],
)
def test_url_of_an_unsupported_database_raises_argument_error(
    make: Callable[[str], object], url: str, allowed: str
) -> None:
    with pytest.raises(ArgumentError) as raised:
        make(url)
    assert (raised.value.argument, raised.value.allowed) == ("url", allowed)


COUNT: Final = "an integer of at least 1"
SECONDS: Final = "a finite number of seconds, more than 0"


@pytest.mark.parametrize("make", [create_engine, create_engine_async])
@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        *[("pool_size", value, COUNT) for value in (0, -1, True, "10", 2.0, None)],
        *[
            ("timeout", value, SECONDS)
            for value in (0, -1.0, float("inf"), float("nan"), "2", None)
        ],
    ],
)
def test_engine_with_an_invalid_pool_size_or_timeout_raises(
    make: object, argument: str, value: object, allowed: str
) -> None:
    assert callable(make)
    with pytest.raises(ArgumentError) as raised:
        make("sqlite:///never-opened.db", **{argument: value})
    assert (raised.value.argument, raised.value.allowed) == (argument, allowed)


PSYCOPG: Final = "psycopg knows, such as sslmode=verify-full"
ASYNCPG: Final = "asyncpg knows, such as ssl=verify-full"


@pytest.mark.parametrize(
    ("make", "driver", "known", "unknown", "allowed"),
    [
        *[
            (make, "postgresql+psycopg", "sslmode=require&host=a:1&host=b:2", "ssl=on", PSYCOPG)
            for make in (create_engine, create_engine_async)
        ],
        (
            create_engine_async,
            "postgresql+asyncpg",
            "ssl=on&options=-cx%3Dy",
            "sslmode=on",
            ASYNCPG,
        ),
        (create_engine, "mariadb+pymysql", "ssl_ca=/ca.pem", "sslmode=require", "pymysql knows"),
        (create_engine_async, "mariadb+asyncmy", "ssl_ca=/ca", "sslmode=require", "asyncmy knows"),
    ],
)
def test_engine_url_with_an_unknown_parameter_raises(
    make: Callable[[str], object], driver: str, known: str, unknown: str, allowed: str
) -> None:
    assert make(f"{driver}://ada:secret@/kept?{known}")
    with pytest.raises(ArgumentError) as raised:
        make(f"{driver}://ada:secret@host/kept?{known}&{unknown}")
    assert raised.value.argument == "url"
    assert raised.value.allowed == f"a URL whose parameters {allowed}"


@pytest.mark.parametrize(
    ("make", "driver", "repeated"),
    [
        (create_engine, "postgresql+psycopg", "sslmode=require&sslmode=verify-full"),
        (create_engine_async, "postgresql+psycopg", "sslmode=require&sslmode=require"),
        (create_engine_async, "postgresql+asyncpg", "ssl=require&ssl=verify-full"),
        (create_engine, "mariadb+pymysql", "ssl_ca=a&ssl_ca=b"),
        (create_engine_async, "mariadb+asyncmy", "host=a&host=b"),
    ],
)
def test_engine_url_with_a_repeated_parameter_raises(
    make: Callable[[str], object], driver: str, repeated: str
) -> None:
    with pytest.raises(ArgumentError) as raised:
        make(f"{driver}://ada:secret@host/kept?{repeated}")
    assert str(raised.value) == "url: must be a URL that repeats no parameter"


@pytest.mark.parametrize(
    ("make", "driver", "hosts"),
    [
        (create_engine, "postgresql", "host=a,b,c&port=1,2"),
        (create_engine_async, "postgresql", "host=a&host=b&port=1"),
        (create_engine_async, "postgresql+asyncpg", "host=a&host=b"),
        (create_engine_async, "postgresql+asyncpg", "host=a:5432&host=b"),
    ],
)
def test_engine_url_with_fewer_ports_than_hosts_raises(
    make: Callable[[str], object], driver: str, hosts: str
) -> None:
    with pytest.raises(ArgumentError, match="url: must be a URL with a port for each host"):
        make(f"{driver}://ada:secret@/kept?{hosts}")


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize(
    ("written", "name"),
    [("a%20b.db", "a b.db"), ("a%2520b.db", "a%20b.db"), ("100%.db", "100%.db"), ("é", "é")],
)
def test_engine_decodes_percent_codes_in_database_name_only_once(
    monkeypatch: pytest.MonkeyPatch,
    written: str,
    name: str,
    is_old: bool,  # noqa: FBT001 - a parameter
) -> None:
    if is_old:
        # SQLAlchemy before 2.1 keeps the name as the URL spells it.
        make_url = sa.make_url
        monkeypatch.setattr(
            sa, "make_url", lambda url: make_url(url).set(database=url.rpartition("/")[2])
        )
    assert create_engine(f"sqlite:///{written}").url.database == name
    assert create_engine(f"postgresql://host/{written}").url.database == name


@pytest.mark.parametrize(
    ("begins", "driver"),
    [
        ("sqlite", "sqlite+pysqlite"),
        ("sqlite+pysqlite", "sqlite+pysqlite"),
        ("postgresql", "postgresql+psycopg"),
        ("mariadb", "mariadb+pymysql"),
    ],
)
def test_engine_uses_the_driver_of_its_url(begins: str, driver: str) -> None:
    engine = create_engine(f"{begins}:///kept")
    assert engine.url.drivername == driver
    assert SqlDatabase(engine).dialect is Dialect(driver.partition("+")[0])


def test_engine_not_made_by_create_engine_raises() -> None:
    with pytest.raises(ArgumentError) as raised:
        SqlDatabase(sa.create_engine("sqlite:///never-opened.db"))
    allowed = "an engine from create_engine of stores.sql.engine"
    assert (raised.value.argument, raised.value.allowed) == ("engine", allowed)


# --- Pools --------------------------------------------------------------------------------------


def test_engines_have_10_connections_and_2_s_timeout_by_default() -> None:
    engine = create_engine("sqlite:///never-opened.db")
    assert isinstance(engine.pool, sa.QueuePool)
    assert (engine.pool.size(), engine.pool.timeout()) == (10, 2.0)
    assert limits_of(engine).wait == 2.0
    made = create_engine_async("postgresql://127.0.0.1:9/none")
    assert (made.dialect, made.pool.size, made.pool.timeout) == (Dialect.POSTGRESQL, 10, 2.0)
    assert made.errors == (psycopg.Error, OSError)


def test_default_attempt_time_exceeds_default_engine_timeout() -> None:
    # Otherwise no line of the log would say why an attempt failed.
    assert DEFAULT_RETRY_POLICY.attempt_seconds > DEFAULT_TIMEOUT + GRACE


def test_engine_opens_no_more_connections_than_its_pool_size(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url, timeout=0.01, pool_size=2)
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.timeout() == 0.01
    used = [engine.raw_connection() for _ in range(2)]
    with pytest.raises(PoolTimeoutError):
        engine.raw_connection()
    limits = limits_of(engine)
    assert [limits.free.acquire(blocking=False) for _ in range(3)] == [True, True, False]
    for each in used:
        each.close()
    engine.dispose()


def test_connection_returned_to_its_pool_is_not_rolled_back(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # That would be one more round trip for each statement.
    engine = create_engine(sqlite_url)
    resets: list[object] = []
    engine.raw_connection().close()
    monkeypatch.setattr(engine.dialect, "do_rollback", resets.append)
    engine.raw_connection().close()
    assert resets == []
    engine.dispose()


def test_sqlite_connection_autocommits_in_write_ahead_mode(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url, timeout=60)
    with closing(engine.raw_connection()) as pooled:
        driver = pooled.driver_connection
        assert driver is not None
        assert driver.isolation_level is None
        assert driver.execute("PRAGMA busy_timeout").fetchone() == (60_000,)
        assert driver.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    engine.dispose()


# --- Servers ------------------------------------------------------------------------------------

OPTIONS: Final = "-c statement_timeout={} -c lock_timeout={}"


@pytest.mark.parametrize(
    ("timeout", "query", "connect_timeout", "options"),
    [
        (60.0, "", "60", "-c synchronous_commit=on " + OPTIONS.format(60_000, 59_875)),
        (0.5, "", "2", "-c synchronous_commit=on " + OPTIONS.format(500, 469)),
        (
            2.6,
            "?options=-c%20a%3Db&options=-c%20c%3Dd",
            "3",
            "-c synchronous_commit=on -c a=b -c c=d " + OPTIONS.format(2600, 2475),
        ),
    ],
)
def test_postgresql_engine_connects_with_timeouts_and_options(
    monkeypatch: pytest.MonkeyPatch, timeout: float, query: str, connect_timeout: str, options: str
) -> None:
    asked: list[tuple[float, dict[str, str], Replication]] = []

    def connect(seconds: float, named: dict[str, str], replication: Replication) -> NoReturn:
        asked.append((seconds, named, replication))
        raise psycopg.OperationalError("a test")

    monkeypatch.setattr(BoundedConnection, "connect_with_timeout", connect)
    engine = create_engine(f"postgresql://ada:pw@db.example:5433/kept{query}", timeout=timeout)
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError, match="a test"):
            engine.raw_connection()
    (first, named, replication), second = asked
    assert first == timeout + 0.25
    assert named == {
        "host": "db.example",
        "port": "5433",
        "dbname": "kept",
        "user": "ada",
        "password": "pw",
        "connect_timeout": connect_timeout,
        "client_encoding": "utf8",
        "options": options,
    }
    # All connections share one record of the commits in doubt.
    assert isinstance(replication, Replication)
    assert second == (first, named, replication)
    assert vars(engine.dialect)["use_native_hstore"] is False


def test_postgresql_engine_divides_connect_time_among_its_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []
    most: list[float] = []

    def connect(seconds: float, named: dict[str, str], _: Replication) -> NoReturn:
        asked.append((named["host"], named["port"]))
        most.append(seconds_left(seconds))
        raise psycopg.OperationalError(f"no {named['host']}")

    monkeypatch.setattr(BoundedConnection, "connect_with_timeout", connect)
    url = "postgresql://ada:pw@/kept?host=a:1&host=b:2"
    with pytest.raises(psycopg.OperationalError, match=r"^no a; no b$"):
        create_engine(url, timeout=59.75).raw_connection()
    assert asked == [("a", "1"), ("b", "2")]
    first, last = most
    assert first <= 30.0 < last <= 60.0
    # A request that has less time divides that.
    most.clear()
    with deadline_scope(20.0), pytest.raises(psycopg.OperationalError, match=r"^no a; no b$"):
        create_engine(url, timeout=59.75).raw_connection()
    first, last = most
    assert first <= 10.0 < last <= 20.0
    asked.clear()
    # libpq itself goes through the hosts then, in random order.
    with pytest.raises(psycopg.OperationalError, match=r"^no a,b$"):
        create_engine(f"{url}&load_balance_hosts=random").raw_connection()
    assert asked == [("a,b", "1,2")]


def test_mariadb_engine_connects_with_login_and_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def connect(**named: object) -> NoReturn:
        asked.append(named)
        raise OSError("a test")

    engine = create_engine("mariadb://ada:pw@db.example:3307/kept", timeout=3.0)
    monkeypatch.setattr(engine.dialect.loaded_dbapi, "connect", connect)
    with pytest.raises(OSError, match="a test"):
        engine.raw_connection()
    (named,) = asked
    assert (
        named.items()
        >= {
            "host": "db.example",
            "port": 3307,
            "user": "ada",
            "password": "pw",
            "database": "kept",
            "autocommit": True,
            "charset": "utf8mb4",
            "connect_timeout": 3,
            "read_timeout": 3.25,
            "write_timeout": 3.25,
            "init_command": mariadb_limits(3.0).init_command,
            "sql_mode": "STRICT_ALL_TABLES",
        }.items()
    )


@pytest.mark.parametrize(("timeout", "seconds"), [(0.3, 1.25), (2.0, 2.25), (2.6, 3.25)])
def test_mariadb_engine_limits_connecting_as_it_limits_packets(
    monkeypatch: pytest.MonkeyPatch, timeout: float, seconds: float
) -> None:
    asked: list[float] = []

    def connect(_: object, most: float, __: object) -> NoReturn:
        asked.append(most)
        raise OSError("a test")

    monkeypatch.setattr(engine_factory, "connect_in_thread", connect)
    with pytest.raises(OSError, match="a test"):
        create_engine("mariadb://ada:pw@db.example/kept", timeout=timeout).raw_connection()
    assert asked == [seconds]


# --- Connections that the server has not closed yet ----------------------------------------------


@attrs.define
class Closing:
    """An engine of one connection, which the pool closes while the server has not."""

    engine: sa.Engine = attrs.field(
        factory=lambda: create_engine("postgresql://127.0.0.1:9/none", pool_size=1)
    )
    server: socket.socket | None = None

    @property
    def limits(self) -> EngineLimits:
        return limits_of(self.engine)

    def is_free(self) -> bool:
        """Return whether a connection may be opened now."""
        if not self.limits.free.acquire(blocking=False):
            return False
        self.limits.free.release()
        return True

    def close(self, **info: object) -> None:
        """Let the pool close a connection."""
        ours, self.server = socket.socketpair()
        driver = FakePsycopg(pgconn=FakePgconn(socket=ours.fileno()))
        self.engine.pool.dispatch.close(driver, SimpleNamespace(info=info))
        ours.close()

    def close_server(self) -> None:
        assert self.server is not None
        self.server.close()


def test_connection_slot_is_freed_only_once_the_server_closes() -> None:
    before = {*threading.enumerate()}
    closing = Closing()
    closing.close()
    assert not closing.is_free()
    # A server that hangs must not keep the process from ending.
    (waiting,) = {*threading.enumerate()} - before
    assert waiting.daemon
    closing.close_server()
    waiting.join(60)
    assert closing.is_free()


def test_closing_a_connection_that_holds_a_slot_takes_no_other() -> None:
    closing = Closing()
    closing.close(**{COUNTED: True})
    assert closing.is_free()
    closing.close_server()


def test_pool_closes_connection_without_waiting_for_a_free_slot() -> None:
    closing = Closing()
    assert closing.limits.free.acquire(blocking=False)
    thread = threading.Thread(target=closing.close, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert not closing.is_free()
    closing.close_server()


def test_db_connection_without_a_socket_frees_its_slot_at_once() -> None:
    closing = Closing()
    assert closing.limits.free.acquire(blocking=False)
    closing.limits.release_when_closed(None)
    assert closing.is_free()


def test_closed_connection_frees_its_slot_if_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    closing = Closing()
    closing.close()
    assert closing.is_free()
    # The last handle is closed, so the server sees that the client is gone.
    assert closing.server is not None
    assert closing.server.recv(1) == b""
    closing.close_server()
