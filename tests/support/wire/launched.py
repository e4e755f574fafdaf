"""An example as users run it: by its command, with worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from tests.support.paths import ROOT
from tests.support.ports import free_port, wait_for
from tests.support.wire.forked import LOCAL
from tests.support.wire.running import PATIENCE
from tests.support.wire.trying import EXAMPLES


@attrs.frozen
class Launched:
    """A server with worker processes, all in one session."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def place(self) -> tuple[str, int]:
        """Its address and its port."""
        return LOCAL, self.port

    def terminate(self) -> None:
        """Send SIGTERM, as a supervisor does."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for its end; return its exit status."""
        return self.process.wait(PATIENCE)


@contextmanager
def launched(app: str, url: str, directory: Path, workers: int = 1) -> Iterator[Launched]:
    """Run a server within the block, and kill its remaining processes at the end."""
    port, log = free_port(), directory / "launched.log"
    given = {"DATABASE_URL": url, "PORT": str(port), "PYTHONPATH": str(ROOT)}
    inherited = {name: value for name, value in os.environ.items() if name != "PUBLIC_URL"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / f"{app}_app.py")],
            cwd=directory,
            env={**inherited, **given, "WORKERS": str(workers)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for(port, lambda: process.poll() is None)
        yield Launched(port, log, process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
