"""A PostgreSQL server that hangs: its processes are stopped, and its kernel still acknowledges."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from time import monotonic, sleep

import sqlalchemy as sa

from tests.support.patiently import PATIENCE


def processes(url: str) -> list[int]:
    """Return the processes of the server of a URL, the first one first."""
    door = sa.make_url(url).query["host"]
    assert isinstance(door, str)
    first = int((Path(door).parent / "data" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii")
    return [first, *map(int, children.split())]


@contextmanager
def hanging(url: str, seconds: float) -> Iterator[None]:
    """Stop the server of a URL within the block, for at most some seconds.

    A request that waits for longer succeeds, and no test waits for ever.
    """
    halted: list[int] = []
    goes_on = Timer(seconds, lambda: _go_on(halted))
    try:
        # The first one first, since it starts the others.
        first, *_ = processes(url)
        halted.append(first)
        _stop(first)
        for process in processes(url)[1:]:
            with suppress(ProcessLookupError, FileNotFoundError):
                _stop(process)
                halted.append(process)
        goes_on.start()
        yield
    finally:
        goes_on.cancel()
        _go_on(halted)


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Pause a process within the block."""
    try:
        _stop(process)
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def _stop(process: int) -> None:
    os.kill(process, signal.SIGSTOP)
    until = monotonic() + PATIENCE
    # On another core it may run for a moment more.
    while _state(process) not in "TZX":
        assert monotonic() < until
        sleep(0.001)


def _state(process: int) -> str:
    said = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    return said.rpartition(")")[2].split()[0]


def _go_on(halted: list[int]) -> None:
    for process in reversed(halted):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
