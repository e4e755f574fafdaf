"""Start and stop what the tests over the wire need: databases and servers, on this machine."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import attrs

from curae_lifecycle.http import Request, Response

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 60
"""Seconds after which a server that says nothing is taken for dead."""


@attrs.define
class RunningServer:
    """A server in a process of its own."""

    app: str
    url: str
    clock: Path
    log: Path
    process: subprocess.Popen[str]
    port: int

    def send(self, request: Request) -> Response:
        """Send a request over a socket of its own, as it stands."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.putrequest(
                request.method, request.target, skip_host=True, skip_accept_encoding=True
            )
            connection.putheader("Host", f"127.0.0.1:{self.port}")
            for name, value in request.headers:
                connection.putheader(name, value)
            body = request.body
            assert isinstance(body, bytes)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            headers = tuple((name.lower(), value) for name, value in answer.getheaders())
            return Response(answer.status, headers, answer.read())
        finally:
            connection.close()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait(PATIENCE)


def start_server(app: str, url: str, directory: Path) -> RunningServer:
    """Start an example on a database; the clock and the log are files in the directory."""
    directory.mkdir(exist_ok=True)
    clock, log = directory / "clock", directory / "log"
    if not clock.exists():
        clock.write_text("0")
    with log.open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.wire.serve", app, str(clock)],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url},
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"{app} did not start:\n{log.read_text()}"
    return RunningServer(app, url, clock, log, process, int(line))


@contextmanager
def running_server(app: str, url: str, directory: Path) -> Iterator[RunningServer]:
    """A server for as long as the context lasts."""
    server = start_server(app, url, directory)
    try:
        yield server
    finally:
        server.kill()


def pass_time(server: RunningServer, by: timedelta) -> None:
    """Move the server's clock on."""
    ahead = int(server.clock.read_text()) + by // timedelta(microseconds=1)
    # Replaced in one step, so that no reader finds half of it.
    fresh = server.clock.with_suffix(".new")
    fresh.write_text(str(ahead))
    fresh.replace(server.clock)
