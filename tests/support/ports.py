"""Ports for servers that are started by their command, and the moment in which they listen.

The law of this module: **no two tests are given one port**, whichever processes they run in. Whoever
only looks whether a port is free is told of the same one as the process beside it, which looks at the
same time, and the server that is to listen there takes seconds to begin.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 60
"""Seconds after which a server that does not listen is taken for dead."""

_FIRST: Final = 20_000
_COUNT: Final = 10_000
"""Of these, for clients get theirs above: none of them takes one."""

_HELD: Final[list[socket.socket]] = []
"""Of each port that was given here the one of the same number for UDP, until this process ends:
nobody else can have it, and a server of TCP has no use for it."""


def free_port() -> int:
    """A port that nobody listens on, and that no other call gets, here or in another process."""
    first = os.getpid() % _COUNT
    for each in range(_COUNT):
        port = _FIRST + (first + each) % _COUNT
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            held.bind(("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            held.close()
            continue
        _HELD.append(held)
        return port
    raise AssertionError("every port is taken")


def wait_for(port: int, is_running: Callable[[], bool] = lambda: True) -> None:
    """Until somebody listens.

    Args:
        port: Where.
        is_running: Whether who is to listen is still there.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except ConnectionRefusedError:
            assert is_running(), f"who was to listen on port {port} has ended"
            assert time.monotonic() < until, f"nobody listens on port {port}"
            time.sleep(0.02)
        else:
            return
