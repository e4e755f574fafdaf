"""Ports for servers that are started by command, and a wait until they listen.

The law of this module: **no two tests get one port**, in any process. A mere check for a free port
would give the same one to a parallel process, since a server takes seconds to listen.
"""

from __future__ import annotations

import atexit
import os
import socket
import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 60
"""Seconds after which a server that does not listen counts as dead."""

_FIRST: Final = 20_000
_COUNT: Final = 10_000
"""The number of ports, below those that the system gives to clients."""

_HELD: Final[list[socket.socket]] = []
"""For each given port, a UDP socket with the same number until this process ends: it reserves the
port, and a TCP server does not need it.
"""


def _close_held() -> None:
    # Otherwise each prints a `ResourceWarning` below the report of the tests.
    while _HELD:
        _HELD.pop().close()


atexit.register(_close_held)


def free_port() -> int:
    """Return a port that is free, and that no other call gets, in this or another process."""
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
    """Wait until a server listens.

    Args:
        port: Its port.
        is_running: Returns whether the server still runs.
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
