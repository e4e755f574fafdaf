"""Tests of the sockets of connections that are being closed."""

from __future__ import annotations

import asyncio
import socket
import threading
from itertools import count

import pytest

from curae_lifecycle.stores.sql import pool as pools
from curae_lifecycle.stores.sql.pool import (
    duplicate_socket,
    wait_for_server,
    wait_for_server_blocking,
)


def test_wait_for_close_ends_when_the_server_closes_the_socket() -> None:
    async def act() -> None:
        ours, theirs = socket.socketpair()
        handle = duplicate_socket(ours.fileno())
        ours.close()
        waiting = asyncio.create_task(wait_for_server(handle))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        # The client's end is seen at once, and what the server still sends is read.
        assert theirs.recv(1) == b""
        theirs.sendall(b"too late")
        theirs.close()
        await waiting

    asyncio.run(asyncio.wait_for(act(), 10))


def test_wait_for_close_of_a_tcp_connection_turns_on_keepalive() -> None:
    async def act() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            theirs, _ = listener.accept()
            handle = duplicate_socket(ours.fileno())
            waiting = asyncio.create_task(wait_for_server(handle))
            await asyncio.sleep(0.01)
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            # A probe a second, and the host is dead after four.
            for name, value in PROBES.items():
                assert ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
            theirs.close()
            await waiting
            ours.close()

    asyncio.run(asyncio.wait_for(act(), 10))


PROBES = {
    "TCP_KEEPIDLE": 1,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": 4,
    "TCP_USER_TIMEOUT": 4000,
}
"""The settings of a connection that is being closed, on Linux."""


def test_wait_for_close_ends_even_if_keepalive_cannot_be_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in PROBES:
        monkeypatch.delattr(socket, name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        theirs.close()
        asyncio.run(wait_for_server(ours))
    assert ours.fileno() == -1


def test_wait_for_close_of_a_lost_connection_returns_at_once() -> None:
    for wait_for in (lambda each: asyncio.run(wait_for_server(each)), wait_for_server_blocking):
        # It was never connected, so that it cannot be shut down.
        handle = socket.socket()
        wait_for(handle)
        assert handle.fileno() == -1


def test_blocking_wait_for_close_lasts_until_the_server_closes() -> None:
    ours, theirs = socket.socketpair()
    waiting = threading.Thread(target=wait_for_server_blocking, args=(ours,), daemon=True)
    waiting.start()
    assert theirs.recv(1) == b""
    waiting.join(0.05)
    assert waiting.is_alive()
    theirs.close()
    waiting.join(60)
    assert not waiting.is_alive()


def test_blocking_wait_for_close_ends_on_close_or_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"too late")
    theirs.close()
    wait_for_server_blocking(ours)
    assert ours.fileno() == -1
    monkeypatch.setattr(pools, "CLOSING_SECONDS", 0.01)
    ours, theirs = socket.socketpair()
    wait_for_server_blocking(ours)
    assert ours.fileno() == -1
    theirs.close()


def test_wait_for_close_of_a_closed_socket_returns_at_once() -> None:
    assert duplicate_socket(-1) is None
    asyncio.run(wait_for_server(None))


class Chatty(socket.socket):
    """A socket whose server keeps sending, and records the limits of the waits for it."""

    limits: list[float | None]

    def settimeout(self, value: float | None) -> None:
        self.limits.append(value)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        del flags
        assert len(self.limits) < 10, "it waits for ever"
        return b"more"[:size]


def test_blocking_wait_for_close_times_out_while_data_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = count(100)
    monkeypatch.setattr(pools, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(pools, "CLOSING_SECONDS", 3.0)
    ours, theirs = socket.socketpair()
    handle = Chatty(fileno=ours.detach())
    handle.limits = []
    wait_for_server_blocking(handle)
    assert handle.limits == [2.0, 1.0]
    assert handle.fileno() == -1
    theirs.close()
