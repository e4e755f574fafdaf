"""Run one server of `benchmarks/servers.py`, on plain ASGI or FastAPI.

    python benchmarks/worker.py SIDE FRAMEWORK LOOP FILE

SIDE is `ours`, `floor` or `bare`; LOOP is `asyncio` or `uvloop`; FILE holds the recordings of the
floor. The server prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, cast
from uuid import uuid4

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "examples")]

import settings  # noqa: E402 - found by the line above
import sqlalchemy as sa  # noqa: E402 - as above
from fastapi import FastAPI, Request, Response  # noqa: E402 - as above

from benchmarks.by_hand import ByHand, Floor, Recording, by_hand  # noqa: E402 - as above
from curae_lifecycle import Bucket, Settings  # noqa: E402 - as above
from curae_lifecycle.servers.endpoint import AsyncEndpoint  # noqa: E402 - as above
from curae_lifecycle.servers.guard import (  # noqa: E402 - as above
    AsgiApp,
    AsgiMessage,
    Guard,
    Receive,
    Send,
)
from curae_lifecycle.servers.log import configure_logging  # noqa: E402 - as above
from curae_lifecycle.stores.sql.statement import Statement  # noqa: E402 - as above
from curae_lifecycle.stores.sql.store import AsyncSqlStore  # noqa: E402 - as above
from curae_lifecycle.web.asgi_wsgi import (  # noqa: E402 - as above
    asgi_body,
    asgi_headers,
    asgi_request,
)
from tests.support.wire.serve import reserve, serve_here  # noqa: E402 - as above

BUCKETS: Final = (Bucket(name="platform", capacity=1_000_000, refill=1_000_000, seconds=1),)
"""A bucket that each request charges and that is never empty, so that no request is refused."""

READ_KINDS: Final = frozenset({"get", "replay"})
_ANSWER: Final = b'{"connection": {"id": ""}}'
_SELECT: Final = "SELECT body FROM bare WHERE id = ?"
_INSERT: Final = "INSERT INTO bare (id, body) VALUES (?, ?)"

Work = Callable[[str, int, bytes], Awaitable[None]]
"""The work of a route. It gets the kind of the request, the number of the client, and the body."""


def bare(database: ByHand) -> Work:
    """Return the work of the bare server, the least that a server can do.

    It reads one row by its key, and for requests that write stores one with a unique id.
    """

    async def work(kind: str, client: int, body: bytes) -> None:
        await database.rows(Statement(_SELECT, (f"known-{client}",)))
        if kind not in READ_KINDS:
            await database.write([Statement(_INSERT, (str(uuid4()), body.decode()))])

    return work


def floor(database: ByHand, file: Path) -> Work:
    """Return the work of the floor, the least code that could do what the library does.

    It reads and writes the same rows as the library, in the library's statements.
    """
    stored = json.loads(file.read_text())
    clients = {
        kind: [Floor(Recording(**each)) for each in recordings]
        for kind, recordings in stored.items()
    }

    async def work(kind: str, client: int, _: bytes) -> None:
        read, written = clients[kind][client].statements()
        await database.rows(read)
        if written:
            await database.write(written)

    return work


def on_fastapi(work: Work) -> AsgiApp:
    """Return a FastAPI app with one route that does the work."""
    app = FastAPI(openapi_url=None)

    @app.api_route("/{kind}/{client}", methods=["GET", "POST"])
    async def route(kind: str, client: int, request: Request) -> Response:
        body = await request.body()
        if body:
            json.loads(body)
        await work(kind, client, body)
        return Response(_ANSWER, 201, media_type="application/json")

    return cast("AsgiApp", app)


def on_asgi(work: Work) -> AsgiApp:
    """Return an ASGI app without a framework that does the work."""

    async def app(scope: AsgiMessage, receive: Receive, send: Send) -> None:
        _, kind, client = str(scope["path"]).split("/")
        body = await asgi_body(receive) or b""
        if body:
            json.loads(body)
        await work(kind, int(client), body)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(_ANSWER)).encode()),
        ]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": _ANSWER})

    return app


def ours_on_asgi() -> AsgiApp:
    """Return the library's async endpoint without a framework, in its guard."""
    configure_logging()
    store = AsyncSqlStore(settings.open_database_async(), settings.SETTINGS)
    endpoint = AsyncEndpoint(store, settings.IDS, settings.SETTINGS)

    async def app(scope: AsgiMessage, receive: Receive, send: Send) -> None:
        asked = asgi_request(scope, await asgi_body(receive) or b"")
        answer = await endpoint(asked)
        headers = [*asgi_headers(answer), (b"content-length", str(len(answer.body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return Guard(app, max_concurrent=settings.POOL, drain=endpoint.drain)


def make_app(side: str, framework: str, file: Path) -> AsgiApp:
    """Return the app of a side on a framework."""
    if side == "ours":
        if os.environ.get("BUCKETS"):
            settings.__dict__.update(SETTINGS=Settings(buckets=BUCKETS))
        if framework == "asgi":
            return ours_on_asgi()
        served: AsgiApp = importlib.import_module("fastapi_app").served
        return served
    database = by_hand(sa.make_url(settings.DATABASE_URL))
    work = bare(database) if side == "bare" else floor(database, file)
    return on_asgi(work) if framework == "asgi" else on_fastapi(work)


def main(side: str, framework: str, loop: str, file: str) -> None:
    """Serve until standard input ends."""
    app = make_app(side, framework, Path(file))

    def end() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    with reserve(0) as held:
        port = held.getsockname()[1]
        serving = serve_here(app, port, partial(print, port, flush=True))
        if loop == "uvloop":
            # It is installed only for this comparison, so no type checker knows it.
            importlib.import_module("uvloop").run(serving)
        else:
            asyncio.run(serving)


if __name__ == "__main__":
    main(*sys.argv[1:])
