"""Tests of the watchdog that shuts down the socket of a hanging connection, and no other socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from time import monotonic, sleep

import pytest
from django.db import connections

from curae_lifecycle.stores.contract import StoreUnavailableError, StoreUnchangedError
from curae_lifecycle.stores.deadline import deadline_scope
from curae_lifecycle.stores.django.database import (
    DjangoDatabase,
    configured_timeout,
    connect_timeout,
    session_timeout,
)
from curae_lifecycle.stores.django.socket_watchdog import SocketWatchdog
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from tests.support.django_project import CONNECT, database
from tests.support.forking import run_in_fork

SOON = 0.05
LONG = 20.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    # A failing test must not wait for ever.
    one.settimeout(LONG)
    yield one, other
    one.close()
    other.close()


def test_socket_is_shut_down_at_its_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    watch = SocketWatchdog()
    with watch.watch(pair[0].fileno(), monotonic() + SOON):
        assert pair[0].recv(1) == b""
    # The deadline fires once: the watchdog does not spin.
    assert watch._wakes_at == float("inf")


def wait_until_asleep(watch: SocketWatchdog) -> None:
    """Wait until the watchdog sleeps until the latest deadline of its sockets."""
    while True:
        with watch._changed:
            if watch._wakes_at == max(each.until for each in watch._watched.values()):
                return
        sleep(0.001)


def test_earlier_socket_deadline_fires_before_a_later_one(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watch, long = SocketWatchdog(), socket.socketpair()
    with watch.watch(long[0].fileno(), monotonic() + 2 * LONG):
        wait_until_asleep(watch)
        with watch.watch(pair[0].fileno(), monotonic() + SOON):
            assert pair[0].recv(1) == b""
        long[1].send(b"x")
        assert long[0].recv(1) == b"x"
    for each in long:
        each.close()


def test_socket_no_longer_watched_at_its_deadline_stays_open(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("curae_lifecycle.stores.django.socket_watchdog.monotonic", lambda: now)
    watch, other = SocketWatchdog(), socket.socketpair()
    with watch.watch(pair[0].fileno(), SOON):
        pass
    # At the second deadline the first one has passed, too.
    now = 2 * SOON
    other[0].settimeout(LONG)
    with watch.watch(other[0].fileno(), 2 * SOON):
        assert other[0].recv(1) == b""
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"
    for each in other:
        each.close()


def test_reused_file_descriptor_is_not_shut_down(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watch, first = SocketWatchdog(), socket.socketpair()
    first[1].settimeout(LONG)
    number = first[0].fileno()
    with watch.watch(number, monotonic() + SOON):
        os.dup2(pair[0].fileno(), number)
        # The watched socket is shut down: its peer reads the end.
        assert first[1].recv(1) == b""
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"
    for each in first:
        each.close()


def test_watching_an_unconnected_socket_raises_no_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watch, plain = SocketWatchdog(), socket.socket()
    with (
        watch.watch(plain.fileno(), monotonic() + SOON),
        watch.watch(pair[0].fileno(), monotonic() + SOON),
    ):
        assert pair[0].recv(1) == b""
    plain.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_process_watches_only_its_own_sockets(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watch, parents = SocketWatchdog(), socket.socketpair()

    def check() -> bool:
        with watch.watch(pair[0].fileno(), monotonic() + SOON):
            return len(watch._watched) == 1 and pair[0].recv(1) == b""

    with watch.watch(parents[0].fileno(), monotonic() + LONG):
        assert run_in_fork(check)
    for each in parents:
        each.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_watchdog_wakes_for_an_earlier_deadline(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watch, parents, long = SocketWatchdog(), socket.socketpair(), socket.socketpair()

    def check() -> bool:
        with watch.watch(long[0].fileno(), monotonic() + 3 * LONG):
            wait_until_asleep(watch)
            with watch.watch(pair[0].fileno(), monotonic() + SOON):
                return pair[0].recv(1) == b""

    # The parent's thread waits, too, and must not be woken in place of the child's.
    with watch.watch(parents[0].fileno(), monotonic() + 2 * LONG):
        wait_until_asleep(watch)
        assert run_in_fork(check)
    for each in (*parents, *long):
        each.close()


def test_two_sockets_watched_at_once_are_both_shut_down(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watch, other = SocketWatchdog(), socket.socketpair()
    other[0].settimeout(LONG)
    with watch.watch(pair[0].fileno(), monotonic() + SOON):
        with watch.watch(other[0].fileno(), monotonic() + SOON):
            assert pair[0].recv(1) == b""
            assert other[0].recv(1) == b""
        assert len(watch._watched) == 1
    assert watch._watched == {}
    for each in other:
        each.close()


def test_watchdog_thread_does_not_keep_the_process_alive(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watch = SocketWatchdog()
    with watch.watch(pair[0].fileno(), monotonic() + LONG):
        assert watch._thread is not None
        assert watch._thread.daemon


# --- On Django ------------------------------------------------------------------------------

SLEEP = Statement("SELECT pg_sleep(60)")
SLOW = Statement(
    "INSERT INTO curae_caller (id, version, document) SELECT 'a', 1, 'x' FROM pg_sleep(60)"
)
ONE = Statement("SELECT 1")


def limits(milliseconds: int) -> dict[str, object]:
    return {"options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"}


@pytest.mark.slow
def test_watchdog_aborts_a_statement_without_server_timeout(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database(postgres_url, options=limits(50_000)) as alias:
        made = DjangoDatabase(alias)
        assert made._wait == 50.0
        for act in (lambda: made.rows(SLEEP), lambda: made.run_transaction([SLOW])):
            made.rows(Statement("SELECT set_config('statement_timeout', '0', false)"))
            lost = connections[alias].connection
            with monkeypatch.context() as hasty:
                hasty.setattr(made, "_wait", SOON)
                with pytest.raises(StoreUnavailableError, match="OperationalError"):
                    act()
            assert lost is not None
            assert lost.closed
            assert made.rows(ONE)


@pytest.mark.slow
def test_deadline_aborts_a_running_statement(postgres_url: str) -> None:
    with database(postgres_url, options=limits(60_000)) as alias:
        made = DjangoDatabase(alias)
        assert made.rows(ONE)
        # The server's own timeout would raise another error.
        aborted = pytest.raises(StoreUnavailableError, match=r"OperationalError of postgresql$")
        with deadline_scope(SOON), aborted:
            made.rows(SLEEP)
        assert made.rows(ONE)


@pytest.mark.slow
def test_django_does_not_connect_if_too_little_time_is_left(postgres_url: str) -> None:
    with database(postgres_url) as alias:
        made = DjangoDatabase(alias)
        connections[alias].close()
        less = CONNECT - 0.1
        with (
            deadline_scope(less),
            pytest.raises(StoreUnchangedError, match="no time was left to connect"),
        ):
            made.rows(ONE)
        with deadline_scope(3 * CONNECT):
            assert made.rows(ONE)
        # An open connection is used while any time is left.
        with deadline_scope(less):
            assert made.rows(ONE)


@pytest.mark.slow
def test_django_replaces_a_closed_database_connection(postgres_url: str) -> None:
    with database(postgres_url) as alias:
        made = DjangoDatabase(alias)
        assert made.rows(ONE)
        held = connections[alias].connection
        assert held is not None
        held.close()
        with pytest.raises(StoreUnavailableError):
            made.rows(ONE)
        assert made.rows(ONE)


@pytest.mark.parametrize(
    ("dialect", "options", "seconds"),
    [
        (Dialect.SQLITE, {}, 5.0),
        (Dialect.SQLITE, {"timeout": 2}, 2.0),
        (Dialect.POSTGRESQL, {}, 2.0),
        (Dialect.POSTGRESQL, {"options": "-c lock_timeout=9000"}, 2.0),
        (Dialect.POSTGRESQL, {"options": "-c statement_timeout=1500"}, 1.5),
        (Dialect.POSTGRESQL, {"options": "-c statement_timeout=1500ms"}, 1.5),
        (Dialect.POSTGRESQL, {"options": "-c lock_timeout=1 -c statement_timeout=3s"}, 3.0),
        (Dialect.POSTGRESQL, {"options": "-c statement_timeout=1s -c statement_timeout=3s"}, 3.0),
        (Dialect.POSTGRESQL, {"options": "--statement-timeout=1min"}, 60.0),
        (Dialect.POSTGRESQL, {"options": "-cSTATEMENT_TIMEOUT=2\\ h -c work_mem=5MB"}, 7200.0),
        (Dialect.POSTGRESQL, {"options": "-c statement_timeout=1.5s"}, 1.5),
        (Dialect.POSTGRESQL, {"options": "-c statement_timeout=2000000us"}, 2.0),
        # A timeout of 0 means none, so the default applies.
        (Dialect.POSTGRESQL, {"options": "-c statement_timeout=9s -c statement_timeout=0"}, 2.0),
        (Dialect.POSTGRESQL, {"options": "-c statement_timeout=400us"}, 2.0),
    ],
)
def test_watchdog_timeout_is_read_from_the_django_settings(
    dialect: Dialect, options: dict[str, object], seconds: float
) -> None:
    assert configured_timeout(dialect, options) == seconds


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ("", 0.0),
        ("-c statement_timeout=1s", 0.0),
        ("-c deadlock_timeout=1s -c my.lock_timeout=1s", 0.0),
        ("-c lock_timeout=1s -c statement_timeout=2s", 1.0),
        ("-clock_timeout=1s", 1.0),
        ("--lock-timeout=1s -c LOCK_TIMEOUT=0", 0.0),
    ],
)
def test_lock_timeout_is_read_from_the_django_settings(options: str, seconds: float) -> None:
    assert session_timeout("lock", {"options": options}) == seconds


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({}, 0.0), ({"connect_timeout": None}, 0.0), ({"connect_timeout": "-1"}, 0.0)]
    + [({"connect_timeout": given}, 3.0) for given in (3, "3", 3.0)],
)
def test_connect_timeout_is_read_from_the_django_settings(
    options: dict[str, object], seconds: float
) -> None:
    assert connect_timeout(options) == seconds
