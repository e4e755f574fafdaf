"""One process with the imports of the examples, and a fork of it for each server.

A start of Python with all imports takes most of a second, and the tests start a server forty times.
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
    # No example itself: they read the environment, which differs for each server.
    *("curae_lifecycle.stores.sql.engine", "curae_lifecycle.stores.serve"),
)

LOCAL: Final = "127.0.0.1"
"""The address of a server without a host."""

_FORKS: Final = multiprocessing.get_context("forkserver")
# The first module puts the examples on the path.
_FORKS.set_forkserver_preload(["tests.support.wire.forked", *LIBRARIES])


def fork(
    app: str,
    control: Path,
    port: int,
    environment: Mapping[str, str],
    log: Path,
    host: Host | None = None,
) -> tuple[ForkServerProcess, int | None]:
    """Serve an example in another process.

    Args:
        app: The example.
        control: The control file, as `tests.support.wire.serve` reads it.
        port: The port; 0 for a free one.
        environment: The environment of the process.
        log: The file of its standard output and error.
        host: Its host, or None for this machine.

    Returns:
        The process, and the port or None if it ended before it listened.
    """
    here, there = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(
        target=_serve, args=(app, str(control), port, dict(environment), str(log), there, host)
    )
    # It ends with the tests at the latest.
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
