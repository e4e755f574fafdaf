"""Tests of psycopg's connections and their time limits, without a server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from itertools import count
from types import SimpleNamespace
from typing import cast

import attrs
import psycopg
import pytest
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic
from psycopg.waiting import Ready, Wait

from curae_lifecycle.stores.deadline import deadline_scope
from curae_lifecycle.stores.sql import postgresql
from curae_lifecycle.stores.sql.postgresql import AsyncBoundedConnection, BoundedConnection
from curae_lifecycle.stores.sql.replication import Replication
from tests.stores.sql.fake_psycopg import FakeNotice, FakePgconn

NAMED = {"host": "db.example", "connect_timeout": "2"}


# --- Connecting ---------------------------------------------------------------------------------


@attrs.define
class Opened:
    """A new connection, which knows how it was opened."""

    opened_with: tuple[str, object]
    in_daemon: bool
    seconds: float = 0.0
    replication: Replication | None = None
    handlers: list[Callable[[FakeNotice], None]] = attrs.field(
        factory=list[Callable[[FakeNotice], None]]
    )

    def add_notice_handler(self, handler: Callable[[FakeNotice], None]) -> None:
        self.handlers.append(handler)


def opened(conninfo: str, *, autocommit: bool = False) -> Opened:
    return Opened((conninfo, autocommit), threading.current_thread().daemon)


async def opened_async(conninfo: str, *, autocommit: bool = False) -> Opened:
    return opened(conninfo, autocommit=autocommit)


def check_opened(found: object, replication: Replication) -> None:
    """Check that a connection autocommits, has its limit, and tells the record of doubts."""
    assert isinstance(found, Opened)
    assert found.opened_with == ("host=db.example connect_timeout=2", True)
    assert (found.seconds, found.replication) == (7.0, replication)
    (handle,) = found.handlers
    handle(FakeNotice())
    assert replication.is_in_doubt


def test_postgresql_connection_is_opened_in_autocommit_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BoundedConnection, "connect", opened)
    replication = Replication()
    found: object = BoundedConnection.connect_with_timeout(7.0, NAMED, replication)
    check_opened(found, replication)
    # A connect that hangs must not keep the process from ending.
    assert isinstance(found, Opened)
    assert found.in_daemon


def test_async_postgresql_connection_is_in_autocommit_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AsyncBoundedConnection, "connect", opened_async)
    replication = Replication()
    found = asyncio.run(AsyncBoundedConnection.connect_bounded(7.0, NAMED, replication))
    check_opened(found, replication)


@pytest.mark.parametrize(("given", "within"), [(60.0, 0.01), (0.01, 60.0)])
def test_connect_ends_at_the_earlier_of_timeout_and_deadline(
    monkeypatch: pytest.MonkeyPatch, given: float, within: float
) -> None:
    goes_on = threading.Event()

    def connect(*_: object, **__: object) -> None:
        goes_on.wait(10)
        raise psycopg.OperationalError("too late")

    monkeypatch.setattr(BoundedConnection, "connect", connect)
    with (
        deadline_scope(within),
        pytest.raises(psycopg.OperationalError, match="no connection in time"),
    ):
        BoundedConnection.connect_with_timeout(given, {}, Replication())
    goes_on.set()


# --- Waiting ------------------------------------------------------------------------------------


@attrs.define
class Response:
    """The wait for a response that needs one packet, or never comes."""

    polls: list[Ready | int] = attrs.field(factory=list[Ready | int])

    def read(self) -> Generator[Wait, Ready | int, str]:
        for _ in range(10):
            ready = yield Wait.R
            self.polls.append(ready)
            if ready:
                return "the response"
        raise AssertionError("it waits for ever")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The ends of a connection: the client's, and the server's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def _ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass from each look at the clock to the next."""
    ticks = count(100)
    monkeypatch.setattr(postgresql, "monotonic", lambda: float(next(ticks)))


Waits = Callable[[socket.socket, PQGen[str], float], str]


def wait(client: socket.socket, response: PQGen[str], seconds: float) -> str:
    connection = BoundedConnection.__new__(BoundedConnection)
    setattr(connection, "pgconn", FakePgconn(socket=client.fileno()))  # noqa: B010 - a fake
    connection.seconds = seconds
    return connection.wait(response, 0.001)


def wait_async(client: socket.socket, response: PQGen[str], seconds: float) -> str:
    connection = AsyncBoundedConnection.__new__(AsyncBoundedConnection)
    setattr(connection, "pgconn", FakePgconn(socket=client.fileno()))  # noqa: B010 - a fake
    connection.seconds = seconds
    return asyncio.run(connection.wait(response, 0.001))


BOTH = pytest.mark.parametrize("act", [wait, wait_async])


@BOTH
def test_arrived_response_is_returned_even_with_no_time_left(
    ends: tuple[socket.socket, socket.socket], act: Waits
) -> None:
    ends[1].sendall(b"a packet")
    # A packet counts, even if it is seen after the limit.
    for seconds in (60.0, 0.0):
        response = Response()
        assert act(ends[0], response.read(), seconds) == "the response"
        assert response.polls == [Ready.R]


@BOTH
@pytest.mark.usefixtures("_ticking")
def test_wait_for_response_ends_at_its_timeout(
    ends: tuple[socket.socket, socket.socket], act: Waits
) -> None:
    response = Response()
    with pytest.raises(psycopg.OperationalError, match="no response in time"):
        act(ends[0], response.read(), 3.0)
    # The client polls after one second and after two, and gives up after three.
    assert response.polls == [0, 0]


@pytest.mark.usefixtures("_ticking")
def test_wait_for_response_ends_at_deadline_before_its_timeout(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "current_deadline", lambda: 102.0)
    response = Response()
    with pytest.raises(psycopg.OperationalError, match="no response in time"):
        wait(ends[0], response.read(), 60.0)
    assert response.polls == [0]


@pytest.mark.parametrize(("name", "act"), [("wait", wait), ("wait_async", wait_async)])
def test_wait_for_database_response_polls_at_the_given_interval(
    ends: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    act: Waits,
) -> None:
    real, intervals = getattr(waiting, name), list[object]()

    def recorded(waits: PQGen[str], fileno: int, interval: float, **named: object) -> object:
        intervals.append(interval)
        return real(waits, fileno, interval, **named)

    monkeypatch.setattr(waiting, name, recorded)
    ends[1].sendall(b"a packet")
    assert act(ends[0], Response().read(), 60.0) == "the response"
    assert intervals == [0.001]


# --- Errors -------------------------------------------------------------------------------------


class Refused(psycopg.errors.FeatureNotSupported):
    """An error of the server that a function of PostgreSQL raised."""

    def __init__(self, function: str) -> None:
        super().__init__("refused")
        self.function = function

    @property
    def diag(self) -> Diagnostic:
        return cast("Diagnostic", SimpleNamespace(source_function=self.function))


def refuse(function: str) -> PQGen[str]:
    yield Wait.R
    raise Refused(function)


@BOTH
def test_outdated_prepared_statement_closes_its_connection(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, act: Waits
) -> None:
    finished: list[FakePgconn] = []

    def finish(pgconn: FakePgconn) -> None:
        finished.append(pgconn)

    monkeypatch.setattr(FakePgconn, "finish", finish)
    ends[1].sendall(b"a packet")
    with pytest.raises(psycopg.OperationalError, match=r"^a table was altered$"):
        act(ends[0], refuse("RevalidateCachedQuery"), 60.0)
    assert len(finished) == 1
    with pytest.raises(Refused):
        act(ends[0], refuse("ExecInitNode"), 60.0)
    assert len(finished) == 1
