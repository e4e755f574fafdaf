"""The headers that a program sends with a 304, as it passes them to its server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.paths import ROOT
from tests.support.wire.trying import EXAMPLES, PATIENCE

_PROGRAM: Final = """
import asyncio, importlib, sys
from curae_lifecycle import Response

def endpoint(request):
    return Response(304, (("etag", '"x"'),), b"")

async def async_endpoint(request):
    return endpoint(request)

module = importlib.import_module(sys.argv[1])
module.endpoint, module.async_endpoint = endpoint, async_endpoint
scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b""}
scope |= {"http_version": "1.1", "headers": []}

async def receive():
    return {"type": "http.request"}

async def send(message):
    if "status" in message:
        assert message["status"] == 304
        print("304", *[name.decode() for name, _ in message["headers"]])

async def main():
    # Sanic serves nothing before it is told to start.
    started, messages = asyncio.Event(), iter([{"type": "lifespan.startup"}])

    async def receive_start():
        return next(messages, None) or await asyncio.Event().wait()

    async def send_start(message):
        started.set()

    lifespan = {"type": "lifespan", "asgi": {"version": "3.0"}}
    running = asyncio.create_task(module.served(lifespan, receive_start, send_start))
    await started.wait()
    await module.served(scope, receive, send)
    running.cancel()

asyncio.run(main())
"""


def headers_of_304(module: str, directory: Path) -> list[str]:
    """Return the names of the headers of a 304.

    Args:
        module: The module of the program, an example or a file of the directory.
        directory: A directory that the program may write to.
    """
    path = os.pathsep.join((str(ROOT), str(EXAMPLES), str(directory)))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, module],
        capture_output=True,
        check=True,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
        timeout=PATIENCE,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("304")]
    return line.split()[1:]
