"""The API with no framework at all: one ASGI function, its transactions in threads.

    python docs/examples/asgi_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping

import demo
import service
import sql_server
import uvicorn

from curae_lifecycle import Request

Message = MutableMapping[str, object]
"""What the two sides of ASGI tell each other."""


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer one request, whatever its path and method."""
    if scope["type"] != "http":
        # A server asks whether we want to hear of its start and end: no.
        raise NotImplementedError
    request = await read(scope, receive)
    if request is None:
        return
    response = await asyncio.to_thread(sql_server.respond_to, request)
    headers = [(name.encode(), value.encode()) for name, value in response.headers]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def read(scope: Message, receive: Callable[[], Awaitable[Message]]) -> Request | None:
    """The request as it came; `None` where the client hung up before it was whole."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        assert isinstance(chunk, bytes)  # noqa: S101 - ASGI says so
        # One that is too long is read to its end and not kept, so that its client hears of it.
        if len(body) <= service.BODY_MAX:
            body += chunk
        more = bool(message.get("more_body"))
    path, query, pairs = scope["raw_path"], scope["query_string"], scope["headers"]
    assert isinstance(path, bytes)  # noqa: S101 - ASGI says so
    assert isinstance(query, bytes)  # noqa: S101 - ASGI says so
    assert isinstance(pairs, list)  # noqa: S101 - ASGI says so
    target = path + (b"?" + query if query else b"")
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
    return Request(str(scope["method"]), target.decode("latin-1"), headers, service.whole(body))


if __name__ == "__main__":
    demo.explain(sql_server.transact)
    uvicorn.run(app, host="127.0.0.1", port=service.PORT, log_level="warning")
