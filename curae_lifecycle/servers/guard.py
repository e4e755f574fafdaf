"""What stands before an app: whoever sends slowly, or too much, keeps nobody else waiting.

The laws of this module: **no request reaches the app before it is whole**, so that a stranger who
sends half of one holds no thread and no turn; **nothing is waited for for ever**: not for a body,
not for a turn, not for what nobody will read.

Bounds of headers and of a connection that says nothing are the server software's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Final, cast

from curae_lifecycle.web.request import BODY_MAX

AsgiMessage = MutableMapping[str, object]
"""What the two sides of ASGI tell each other."""

Receive = Callable[[], Awaitable[AsgiMessage]]
"""What hands an ASGI app the next message of its client."""

Send = Callable[[AsgiMessage], Awaitable[None]]
"""What takes a message for the client."""

AsgiApp = Callable[[AsgiMessage, Receive, Send], Awaitable[None]]
"""An app as ASGI 3 calls it."""

Headers = list[tuple[bytes, bytes]]
"""Names and values, as ASGI has them."""

BODY_SECONDS: Final = 10.0
"""How long a whole body may take, in seconds, however many parts it comes in."""

QUEUE_SECONDS: Final = 2.0
"""How long a request waits for its turn, in seconds."""

LINGER_BYTES: Final = 1_048_576
"""How much of a body that is too long is read and dropped, in bytes."""

LINGER_SECONDS: Final = 2.0
"""How much more of a body that is too long is read and dropped once it is answered, so that its
client can read the answer before the connection ends."""


class Guard:
    """An ASGI app that bounds what strangers cost the app behind it.

    A request reaches the app with its body read, of which no more is handed over than one byte more
    than `BODY_MAX`; its `content-length` says how many bytes that are. A longer one is answered by
    the app like any other, and the connection ends then. What the guard answers itself, with a
    problem of RFC 9457 that has no `code`:

    - 408 where the body did not come in time; the connection ends;
    - 503 with `Retry-After` where no turn was free in time; nothing was done.

    A WebSocket is refused before it opens. A lifespan is the app's; where the app knows none and
    raises, it is answered in its place.

    Args:
        app: The app.
        max_concurrent: How many requests may be in the app at a time; those of more wait for a turn. For
            an app in threads, as many as there are threads.
        drain: Called where the worker is about to end, such as `Endpoint.drain`.
        body_seconds: How long a whole body may take.
        queue_seconds: How long a request waits for its turn.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        max_concurrent: int,
        drain: Callable[[], None] | None = None,
        body_seconds: float = BODY_SECONDS,
        queue_seconds: float = QUEUE_SECONDS,
    ) -> None:
        self._app = app
        self._drain = drain
        self._turns = asyncio.Semaphore(max_concurrent)
        self._body_seconds = body_seconds
        self._turn_seconds = queue_seconds

    async def __call__(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        """Hand a request over when it is whole, or answer it."""
        match scope["type"]:
            case "http":
                await self._answer(scope, receive, send)
            case "websocket":
                await receive()
                # Before it is accepted, this is a 403.
                await send({"type": "websocket.close", "code": 1000})
            case _:
                await _lifespan(self._app, scope=scope, receive=receive, send=send)

    def drain(self) -> None:
        """Say that the worker is about to end; what comes all the same is answered."""
        if self._drain is not None:
            self._drain()

    async def _answer(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._body_seconds):
                body, ended = await _read(receive)
        except TimeoutError:
            await _refuse(
                send, status=408, title=b"Request Timeout", header=(b"connection", b"close")
            )
            return
        if body is None:
            # The client hung up: half of a request is none.
            return
        try:
            async with asyncio.timeout(self._turn_seconds):
                await self._turns.acquire()
        except TimeoutError:
            await _refuse(
                send, status=503, title=b"Service Unavailable", header=(b"retry-after", b"1")
            )
            return
        try:
            given = {**scope, "headers": _sized(cast("Headers", scope["headers"]), len(body))}
            sending = send if ended else _Lingering(receive, send)
            await self._app(given, _Whole(body, receive), sending)
        finally:
            self._turns.release()


async def _read(receive: Receive) -> tuple[bytes | None, bool]:
    # The body, or none where the client hung up; and whether that was all of it.
    body, more = bytearray(), True
    while more and len(body) <= BODY_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, True
        body += cast("bytes", message.get("body", b""))
        more = bool(message.get("more_body"))
    return bytes(body[: BODY_MAX + 1]), not more


def _sized(headers: Iterable[tuple[bytes, bytes]], size: int) -> Headers:
    # What is behind goes by it: a stream that ended early would be taken for a client that left.
    framing = {b"content-length", b"transfer-encoding"}
    kept = [each for each in headers if each[0].lower() not in framing]
    framed = len(kept) < len(list(headers))
    return [*kept, (b"content-length", str(size).encode())] if framed else kept


class _Whole:
    # What an app receives: the body at once, and later that the client is gone.
    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> AsgiMessage:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        while True:
            message = await self._receive()
            # What is left of a body that is too long is nobody's.
            if message["type"] == "http.disconnect":
                return message


class _Lingering:
    # Sends an answer, and reads a little more before the connection ends.
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def __call__(self, message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            headers = cast("Headers", message.get("headers", []))
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        elif not message.get("more_body"):
            await self._send({**message, "more_body": True})
            await self._drop()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drop(self) -> None:
        left, more = LINGER_BYTES, True
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while more and left > 0:
                    message = await self._receive()
                    left -= len(cast("bytes", message.get("body", b"")))
                    more = bool(message.get("more_body"))


async def _refuse(send: Send, status: int, title: bytes, header: tuple[bytes, bytes]) -> None:
    body = b'{"type":"about:blank","title":"%b","status":%d}' % (title, status)
    length = (b"content-length", str(len(body)).encode())
    headers = [(b"content-type", b"application/problem+json"), length, header]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(app: AsgiApp, scope: AsgiMessage, receive: Receive, send: Send) -> None:
    knows = False

    async def receiving() -> AsgiMessage:
        nonlocal knows
        knows = True
        return await receive()

    try:
        await app(scope, receiving, send)
    except Exception:
        if knows:
            # It has one, and that failed.
            raise
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
