"""One process that has imported what the examples stand on, and a fork of it for each server.

A start of Python with all of it takes most of a second, and the tests start a server forty times.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

from tests.lab.engines.hosts import Host

LIBRARIES: Final = (
    *("django.core.management", "django.core.wsgi", "django.db.models"),
    *("fastapi", "flask", "redis", "granian.server.embed"),
    *("sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite"),
    # Of the examples nothing: they read the environment, and each server has its own.
    *("curae_lifecycle.stores.sql.engine", "curae_lifecycle.stores.serve"),
)

LOCAL: Final = "127.0.0.1"
"""Where a server listens that runs on no host."""

_FORKS: Final = multiprocessing.get_context("forkserver")
# The first puts the examples on the path.
_FORKS.set_forkserver_preload(["tests.support.wire.forked", *LIBRARIES])


def fork(
    app: str,
    control: Path,
    port: int,
    environment: Mapping[str, str],
    log: Path,
    host: Host | None = None,
) -> tuple[ForkServerProcess, int | None]:
    """Serve an example in a process of its own.

    Args:
        app: The example.
        control: As `tests.support.wire.serve` reads it.
        port: Where to listen; 0 for a free port.
        environment: The process's own.
        log: What it says on standard output and standard error goes there.
        host: Where it runs; on this machine, where none is given.

    Returns:
        The process, and the port; none where it ended before it listened.
    """
    here, there = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(
        target=_serve, args=(app, str(control), port, dict(environment), str(log), there, host)
    )
    # Where nobody ends it, it ends with the tests.
    process.daemon = True
    process.start()
    there.close()
    try:
        with here:
            listens: int = here.recv()
    except EOFError:
        return process, None
    return process, listens


def _serve(
    app: str,
    control: str,
    port: int,
    environment: dict[str, str],
    log: str,
    listens: Connection[int, int],
    host: Host | None,
) -> None:
    if host is not None:
        host.join()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    assert "settings" not in sys.modules, "the example has read another environment"
    from tests.support.wire.serve import main  # noqa: PLC0415 - the examples read the environment

    main(
        app,
        control=control,
        port=port,
        listens=listens.send,
        address=LOCAL if host is None else host.address,
    )
