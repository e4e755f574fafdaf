"""A PostgreSQL that hangs: its processes are stopped, and its kernel acknowledges all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import sqlalchemy as sa


def processes(url: str) -> list[int]:
    """The processes of the server that a URL's database is on, its first one first."""
    door = sa.make_url(url).query["host"]
    assert isinstance(door, str)
    first = int((Path(door).parent / "data" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii")
    return [first, *map(int, children.split())]


@contextmanager
def hanging(url: str, seconds: float) -> Iterator[None]:
    """Let the server of a URL hang while the context lasts, and no longer than so many seconds.

    Whoever waits for longer gets what it asked for, and no test waits for ever.
    """
    stopped: list[int] = []
    goes_on = Timer(seconds, lambda: _go_on(stopped))
    try:
        # The first one first: it makes no more.
        for process in processes(url):
            try:
                os.kill(process, signal.SIGSTOP)
            except ProcessLookupError:
                continue
            stopped.append(process)
        goes_on.start()
        yield
    finally:
        goes_on.cancel()
        _go_on(stopped)


def _go_on(stopped: list[int]) -> None:
    for process in reversed(stopped):
        os.kill(process, signal.SIGCONT)
