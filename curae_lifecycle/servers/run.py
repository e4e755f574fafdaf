"""Granian as the server software, with limits and a graceful shutdown.

The law of this module: **nothing of a request is logged**, because a path can be a secret.

Granian runs worker processes that accept connections themselves, and parses HTTP in Rust.
docs/servers.md compares it with others.
"""

from __future__ import annotations

import gc
import signal
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
"""The limits on a request's headers: milliseconds in which they must arrive, and bytes to buffer.

Between two requests, a connection may be idle for the same time.
"""

CONNECTIONS: Final = 900
"""The most connections that a worker holds at once; more wait to be accepted.

Each connection is an open file, and a process may often open only 1024 files.
"""

IMPORT_SECONDS: Final = 10.0
"""Seconds after SIGHUP (restart) in which a new worker imports the app; then the old one ends."""

DRAIN_SECONDS: Final = 30
"""Seconds that a worker has to finish its requests after it was told to end."""


def run(target: str, *, host: str, port: int, workers: int) -> None:
    """Serve a guarded ASGI app until SIGTERM or SIGINT, and finish the started requests.

    At SIGTERM each worker serves for one more second, in which every response closes its
    connection. Then the worker accepts no more connections, finishes its requests within
    `DRAIN_SECONDS` and ends.

    At SIGHUP a new worker starts for each old one. `IMPORT_SECONDS` later, the old worker ends as
    at SIGTERM. If there is only one worker and the new one is still importing the app by then,
    clients cannot connect until the import ends.

    A worker that dies is replaced at once. If its replacement dies within 5.5 seconds, the server
    ends, and a supervisor has to restart the server.

    Args:
        target: The module and the name of the app's `Guard`, as `module:name`. The guard wraps the
            app and limits its requests. Each worker imports that module, and then exempts all
            objects in memory from garbage collection.
        host: The address to listen on.
        port: The port to listen on.
        workers: The number of worker processes. Each listens on the same port.

    Raises:
        SystemExit: A replacement died within 5.5 seconds; the status is 1. The other workers
            finish their requests first.
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
        respawn_interval=IMPORT_SECONDS,
        workers_kill_timeout=DRAIN_SECONDS,
    ).serve(target_loader=load)


def load(target: str) -> GracefulShutdown:
    """Import the `Guard` that `target` names as `module:name`; return it for granian to serve.

    The result is wrapped in the middleware `GracefulShutdown`, so that a worker serves for a while
    after SIGTERM. Until the worker serves, SIGTERM ends it at once. All objects in memory are
    exempted from garbage collection.

    Raises:
        ArgumentError: `target` names no module, or something else than a `Guard`.
        ImportError: The module cannot be imported.
        AttributeError: The module has no such name.
    """
    # Without this, a worker that is told to end while it still imports would not, and granian would
    # kill it `DRAIN_SECONDS` later. A forked worker has inherited a handler that ends nothing.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    module, _, name = target.partition(":")
    guard = getattr(import_module(module), name) if module else None
    if not isinstance(guard, Guard):
        raise ArgumentError("target", "the module and the name of a Guard")
    # A collection of all that was imported takes up to 100 ms, in which a worker serves no request.
    gc.collect()
    gc.freeze()
    return GracefulShutdown(guard, guard.drain)
