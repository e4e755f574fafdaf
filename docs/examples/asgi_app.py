"""The API with no framework at all: one ASGI function, its requests answered in threads.

    python docs/examples/asgi_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping

import demo
import hosted_pages
import uvicorn
from settings import DATABASE_URL, MINT, PORT, SETTINGS, with_limits

from curae_lifecycle import Request, Response
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.gateways import asgi_body, asgi_headers, asgi_request

Message = MutableMapping[str, object]
"""What the two sides of ASGI tell each other."""

store = SqlStore(SqlDatabase(create_engine(DATABASE_URL)), SETTINGS)
store.create_tables()
limited = with_limits(store)


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer one request, whatever its path and method."""
    if scope["type"] != "http":
        # A server asks whether we want to hear of its start and end: no.
        raise NotImplementedError
    body = await asgi_body(receive)
    if body is None:
        # The client hung up before its request was whole.
        return
    response = await asyncio.to_thread(respond_to, asgi_request(scope, body))
    headers = [*asgi_headers(response), (b"content-length", str(len(response.body)).encode())]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def respond_to(request: Request) -> Response:
    """The answer, in the thread that waits for the database."""
    return hosted_pages.serve(store, request) or serve(limited, request, MINT, SETTINGS).response


if __name__ == "__main__":
    demo.explain()
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
