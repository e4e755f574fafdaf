"""Start the server software, its bounds set, and end it with what was begun answered.

The law of this module: **nothing that came is logged**: a path can be a secret.

It is granian: worker processes that accept for themselves, HTTP in Rust. docs/servers.md says why.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.servers.shutdown import GracefulShutdown

HEADERS: Final = HTTP1Settings(header_read_timeout=10_000, max_buffer_size=65_536)
"""How long the headers of a request may take, in milliseconds, and what is buffered of them, in
bytes; also how long a connection may say nothing between two requests."""

CONNECTIONS: Final = 900
"""How many connections a worker has at once; those of more wait to be accepted. A process may open
1024 files where nobody said otherwise."""

DRAIN_SECONDS: Final = 30
"""How long a worker may take over the requests that it has, once it is to end."""


def run(target: str, *, host: str, port: int, workers: int) -> None:
    """Serve a guarded app until SIGTERM or SIGINT, and answer what was begun before it returns.

    At SIGTERM each worker goes on for a second, in which every answer ends its connection; then it
    accepts no more, and ends with its last answer. On SIGHUP each worker is replaced so by a new
    one, which begins before. One that dies is replaced as well.

    Args:
        target: The `Guard` of an app, as `module:name`; each worker imports it.
        host: The address to listen at.
        port: The port to listen at.
        workers: How many processes.

    Raises:
        SystemExit: A worker could not be started, or died again and again.
    """
    Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=workers,
        websockets=False,
        http=HTTPModes.http1,
        http1_settings=HEADERS,
        backpressure=CONNECTIONS,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_SECONDS,
    ).serve(target_loader=load)


def load(target: str) -> GracefulShutdown:
    """What a worker serves: the guard that is named as `module:name`, and its way to end.

    Raises:
        ArgumentError: What is named is no `Guard`.
    """
    module, _, name = target.partition(":")
    guard = getattr(import_module(module), name)
    if not isinstance(guard, Guard):
        raise ArgumentError("target", "the module and the name of a Guard")
    return GracefulShutdown(guard, guard.drain)
