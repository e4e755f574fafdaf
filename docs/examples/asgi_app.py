"""The API with no framework at all: one ASGI function, its requests answered in threads.

    python docs/examples/asgi_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import demo
import hosted_pages
from settings import DATABASE_URL, HOST, MINT, POOL, PORT, SETTINGS, WORKERS, with_limits

from curae_lifecycle import Request, Response
from curae_lifecycle.servers.guard import Guard, Message, Receive, Send
from curae_lifecycle.servers.run import run
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.gateways import asgi_body, asgi_headers, asgi_request

store = SqlStore(SqlDatabase(create_engine(DATABASE_URL, pool_size=POOL)), SETTINGS)
limited = with_limits(store)
threads = ThreadPoolExecutor(POOL)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer one request, whatever its path and method."""
    if scope["type"] != "http":
        # A server asks whether we want to hear of its start and end: no.
        raise NotImplementedError
    body = await asgi_body(receive)
    # The guard hands over what is whole.
    asked = asgi_request(scope, body or b"")
    response = await asyncio.get_running_loop().run_in_executor(threads, respond_to, asked)
    headers = [*asgi_headers(response), (b"content-length", str(len(response.body)).encode())]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def respond_to(request: Request) -> Response:
    """The answer, in the thread that waits for the database."""
    return hosted_pages.serve(store, request) or serve(limited, request, MINT, SETTINGS).response


served = Guard(app, at_once=POOL)

if __name__ == "__main__":
    demo.prepare()
    run("asgi_app:served", host=HOST, port=PORT, workers=WORKERS)
