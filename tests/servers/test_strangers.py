"""Tests of clients that hold half-sent requests: they are cut off, and others are served."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from curae_lifecycle.web.request import Request
from tests.support.wire.launched import launched
from tests.support.wire.running import (
    PATIENCE,
    RunningServer,
    engine_of,
    running_server,
    said,
    send,
    sqlite,
)
from tests.support.wire.serve import Control

HEAD = b"POST /api/sdk/v1/connections HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HALF_HEADERS = HEAD + b"Authoriz"
HALF_BODY = HEAD + b"Content-Length: 60000\r\n\r\n{"
HALF_CHUNK = HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{"
STRANGER = Request("GET", "/")
SECONDS = 5
"""The time limit for slow clients, longer than any pause of a process."""


@contextmanager
def strangers(port: int, number: int, *sent: bytes) -> Iterator[list[socket.socket]]:
    """Yield clients that send no more than these bytes, some of each kind."""
    with ExitStack() as stack:
        held = []
        for each in sent * number:
            one = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            stack.enter_context(one)
            one.sendall(each)
            held.append(one)
        yield held


def last_words(connection: socket.socket) -> bytes:
    """Read what the server sent before it closed the connection."""
    with connection.makefile("rb") as stream:
        return stream.read()


@pytest.mark.heavy
@pytest.mark.parametrize("apps", [("fastapi", "flask"), ("asgi", "django")])
def test_slow_clients_are_cut_off_and_normal_clients_are_served(
    apps: tuple[str, ...], tmp_path: Path
) -> None:
    # All servers wait at once, long enough that a paused normal client is not cut off.
    with ExitStack() as stack:
        waiting: list[tuple[RunningServer, list[socket.socket]]] = []
        for app in apps:
            directory = tmp_path / app
            directory.mkdir()
            Control(stranger_seconds=SECONDS).write(directory / "control.json")
            server = stack.enter_context(running_server(app, sqlite(directory), directory))
            # More clients than threads.
            strange = strangers(server.port, 20, HALF_HEADERS, HALF_BODY, HALF_CHUNK)
            waiting.append((server, stack.enter_context(strange)))
            for _ in range(10):
                assert server.send(STRANGER).status == 401
        for server, held in waiting:
            # None of them was dropped to make room for the normal client.
            answers = [last_words(each) for each in held]
            assert answers[::3] == [b""] * 20
            for each in (*answers[1::3], *answers[2::3]):
                assert each.startswith(b"HTTP/1.1 408")
            assert server.send(STRANGER).status == 401
            lines = said(server.log)
            assert len(lines) == 40
            assert all("the guard answered 408" in each for each in lines)


@pytest.mark.heavy
@pytest.mark.parametrize("app", ["fastapi", "flask"])
def test_five_hundred_slow_clients_block_no_other_client(app: str, tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    with engine_of(url), launched(app, url, tmp_path, workers=2) as server:
        with strangers(server.port, 250, HALF_HEADERS, HALF_BODY) as held:
            for _ in range(200):
                assert send(server.place, STRANGER).status == 401
            assert {last_words(each)[9:12] for each in held} <= {b"", b"408"}
        assert send(server.place, STRANGER).status == 401
    assert [each for each in said(server.log) if "the guard answered 408" not in each] == []
