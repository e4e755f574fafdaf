"""ASGI middleware that bounds the time, size and concurrency of requests.

The laws of this module:

- **No request reaches the app before its body is complete, or known to be too long.** A client that
  sends half of a request holds no thread and no slot.
- **Every wait has a limit**: for a body, for a free slot, and for the rest of a body that is too
  long.

The server software bounds the headers and idle connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Final, Never, cast

from curae_lifecycle.web.request import BODY_MAX

AsgiMessage = MutableMapping[str, object]
"""A message between an ASGI server and an ASGI app; also the scope of a request."""

Receive = Callable[[], Awaitable[AsgiMessage]]
"""A callable that returns the next message of the client to an ASGI app."""

Send = Callable[[AsgiMessage], Awaitable[None]]
"""A callable that sends a message of an ASGI app to the client."""

AsgiApp = Callable[[AsgiMessage, Receive, Send], Awaitable[None]]
"""An ASGI 3 application."""

AnyAsgiApp = Callable[[Never, Never, Never], Awaitable[object]]
"""An ASGI 3 application of any framework.

Each framework has its own types for a scope and for messages. A type checker accepts a callable with
three parameters of any type.
"""

Headers = list[tuple[bytes, bytes]]
"""Header names and values as ASGI passes them."""

BODY_SECONDS: Final = 10.0
"""Seconds in which a whole body must arrive, in however many parts."""

QUEUE_SECONDS: Final = 2.0
"""Seconds that a request waits for a free slot."""

LINGER_BYTES: Final = 1_048_576
"""Bytes of a body that is too long that are read and dropped after the response, at most."""

LINGER_SECONDS: Final = 2.0
"""Seconds for which a body that is too long is read and dropped after the response, at most.

Meanwhile the client can read the response before the connection closes.
"""


class Guard:
    """ASGI middleware that bounds the time, size and number of the requests that an app gets.

    The app gets each request with its complete body, and with a matching `content-length` if the
    client declared a body. A body longer than `BODY_MAX` is cut off after `BODY_MAX` + 1 bytes, so
    that the app sees that the body is too long. After the response to a cut-off body, the
    connection closes.

    The guard itself responds in two cases, with an RFC 9457 problem that has no `code`:

    - 408 if the body did not arrive in time; the connection closes.
    - 503 with `Retry-After` if no slot became free in time; the app did not get the request.

    The guard refuses WebSockets. Lifespan messages go to the app. If the app raises because it does
    not support them, the guard answers them.

    Args:
        app: The ASGI app to protect.
        max_concurrent: How many requests may be in the app at once, one in each slot; more wait for
            a free slot. For an app that runs in threads, use the number of threads.
        drain: A function that `Guard.drain` calls when the worker is about to end, such as
            `Endpoint.drain`.
        body_seconds: Seconds in which a whole body must arrive.
        queue_seconds: Seconds that a request waits for a free slot, at most.
    """

    def __init__(
        self,
        app: AnyAsgiApp,
        *,
        max_concurrent: int,
        drain: Callable[[], None] | None = None,
        body_seconds: float = BODY_SECONDS,
        queue_seconds: float = QUEUE_SECONDS,
    ) -> None:
        self._app = cast("AsgiApp", app)
        self._drain = drain
        self._slots = asyncio.Semaphore(max_concurrent)
        self._body_seconds = body_seconds
        self._queue_seconds = queue_seconds

    async def __call__(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        """Pass a complete request on to the app, or answer it with an error."""
        match scope["type"]:
            case "http":
                await self._answer(scope, receive, send)
            case "websocket":
                await receive()
                # The server answers 403 to a WebSocket that is closed before it is accepted.
                await send({"type": "websocket.close", "code": 1000})
            case _:
                await _lifespan(self._app, scope=scope, receive=receive, send=send)

    def drain(self) -> None:
        """Call the `drain` that the constructor got, if any; requests are still served.

        A worker that is about to end calls this, so that its readiness check fails.
        """
        if self._drain is not None:
            self._drain()

    async def _answer(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._body_seconds):
                body, is_complete = await _read_body(receive)
        except TimeoutError:
            await _refuse(
                send, status=408, title=b"Request Timeout", header=(b"connection", b"close")
            )
            return
        if body is None:
            # The client disconnected before its request was complete.
            return
        if not await self._take_slot():
            await _refuse(
                send, status=503, title=b"Service Unavailable", header=(b"retry-after", b"1")
            )
            return
        try:
            headers = _with_length(cast("Headers", scope["headers"]), len(body))
            send_or_linger = send if is_complete else _LingeringSend(receive, send)
            await self._app(
                {**scope, "headers": headers}, _BodyReceive(body, receive), send_or_linger
            )
        finally:
            self._slots.release()

    async def _take_slot(self) -> bool:
        # Returns whether a slot became free in time.
        if not self._slots.locked():
            # A free slot is taken without waiting, so it needs no timer.
            return await self._slots.acquire()
        try:
            async with asyncio.timeout(self._queue_seconds):
                return await self._slots.acquire()
        except TimeoutError:
            return False


async def _read_body(receive: Receive) -> tuple[bytes | None, bool]:
    # Returns the body, or None if the client disconnected, and whether the body is complete.
    body, more = bytearray(), True
    while more and len(body) <= BODY_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, True
        body += cast("bytes", message.get("body", b""))
        more = bool(message.get("more_body"))
    return bytes(body[: BODY_MAX + 1]), not more


def _with_length(headers: Iterable[tuple[bytes, bytes]], size: int) -> Headers:
    # Frameworks compare the body with its declared length. They take a shorter one for a client
    # that disconnected.
    framing = {b"content-length", b"transfer-encoding"}
    kept = [each for each in headers if each[0].lower() not in framing]
    framed = len(kept) < len(list(headers))
    return [*kept, (b"content-length", str(size).encode())] if framed else kept


class _BodyReceive:
    # Gives the app the body in one message, and then only the client's disconnect.
    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> AsgiMessage:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        while True:
            message = await self._receive()
            # Drop the rest of a body that is too long.
            if message["type"] == "http.disconnect":
                return message


class _LingeringSend:
    # Sends the response, then reads and drops more of the body before the connection closes. A
    # connection that is closed with unread data is reset, and the client may lose the response.
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def __call__(self, message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            headers = cast("Headers", message.get("headers", []))
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        elif not message.get("more_body"):
            await self._send({**message, "more_body": True})
            await self._drop_rest()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drop_rest(self) -> None:
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
    supports_lifespan = False

    async def note_receive() -> AsgiMessage:
        nonlocal supports_lifespan
        supports_lifespan = True
        return await receive()

    try:
        await app(scope, note_receive, send)
    except Exception:
        if supports_lifespan:
            # The app read a lifespan message, so this is a failure of the app's startup or shutdown.
            raise
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
