"""ASGI middleware that bounds the time, size and concurrency of requests.

The laws of this module:

- **No request reaches the app before its body is complete, or known to be too long.** The guard
  waits for no part of a body while the request holds a thread or a slot.
- **A liveness check needs no free slot**, so that a supervisor does not restart a worker whose
  requests all wait for the database.
- **No API key, no connection and no health check takes all slots**, so that the others are served
  beside it. A read of the metrics counts as a health check.
- **Every wait has a limit**: for a body, for a free slot, and for the rest of a body that is too
  long.
- **Every request that the guard refuses, cuts off or drops is a log line and is counted.** The line
  holds nothing of the request. An exception of the app is a line, too, without its text.

The server software bounds the headers and idle connections.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from enum import StrEnum
from typing import Final, Never, Protocol, cast

from curae_lifecycle.servers.endpoint import METRICS_PATH
from curae_lifecycle.servers.health import LIVE_PATH, READY_PATH, health
from curae_lifecycle.servers.slots import Names, Slots
from curae_lifecycle.stores.request_loop import log_error
from curae_lifecycle.stores.wiring import check_count
from curae_lifecycle.web.asgi_wsgi import asgi_headers
from curae_lifecycle.web.request import BODY_MAX

_LOG: Final = logging.getLogger(__name__)

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

Each framework has its own types for a scope and for messages. So this type fits every async
callable with three parameters, whatever their types.
"""

Headers = list[tuple[bytes, bytes]]
"""Header names and values as ASGI passes them."""

BODY_SECONDS: Final = 10.0
"""Seconds in which a whole body must arrive, in however many parts."""

QUEUE_SECONDS: Final = 2.0
"""The most seconds that a request waits for a slot, the permission to run in the app."""

LINGER_BYTES: Final = 1_048_576
"""The most bytes that are read and dropped after the response to a body that is too long."""

LINGER_SECONDS: Final = 2.0
"""The most seconds for which the rest of a body that is too long is read and dropped.

Meanwhile the client can read the response before the connection closes.
"""


class GuardEvent(StrEnum):
    """The reasons why a `Guard` refused a request, cut off its body or dropped the request.

    Attributes:
        BODY_TIMEOUT: The body did not arrive in time: 408.
        BODY_BROKEN: A chunk was malformed, or the client stopped sending before the end of the
            body: 400.
        BODY_TOO_LONG: The body is longer than `BODY_MAX` (65,536 bytes), so the app got a part of
            it.
        QUEUE_TIMEOUT: No slot, the permission to run in the app, became free in time: 503.
        CLIENT_LEFT: The client disconnected while its request waited for a slot; the app did not
            get it.
    """

    BODY_TIMEOUT = "body_timeout"
    BODY_BROKEN = "body_broken"
    BODY_TOO_LONG = "body_too_long"
    QUEUE_TIMEOUT = "queue_timeout"
    CLIENT_LEFT = "client_left"


class GuardCounters(Protocol):
    """The interface to count the requests that a `Guard` refused, cut off or dropped.

    A `Guard` is ASGI middleware that limits the requests in an app. `servers.metrics.Metrics`
    implements the interface.
    """

    def count_guard_event(self, event: GuardEvent) -> None:
        """Count a request that a `Guard` refused, cut off or dropped; `event` is the reason.

        A guard is middleware that limits the requests in an app.
        """
        ...


class Guard:
    """ASGI middleware that bounds the time, size and number of the requests that an app gets.

    Each request in the app holds one of `max_concurrent` slots. Others wait for a free slot.

    The app gets each request with its complete body, and with a matching `content-length` if the
    client declared a body. A body longer than `BODY_MAX` (65,536 bytes) is cut off after one more
    byte, so that the app sees that the body is too long. After the response to a cut-off body, the
    connection closes.

    The guard itself refuses a request in three cases, with an RFC 9457 problem that has no `code`.
    The app does not get the request:

    - 400 if a chunk of the body is malformed or the body ends too early; the connection closes.
    - 408 if the body did not arrive in time; the connection closes.
    - 503 with `Retry-After` if no slot became free in time.

    Requests of one API key, and requests about one connection, often wait for the same row of the
    database. So each key and each connection gets at most `max_per_key` slots. Its further requests
    wait, and those of others pass them.

    A health check, a GET or HEAD of `LIVE_PATH`, `READY_PATH` or `METRICS_PATH`, gets the next free
    slot, ahead of other requests. Health checks together hold at most a quarter of the slots,
    rounded down, but at least 1. A liveness check never waits. If it gets no slot at once, the
    guard itself responds with 200, as an `Endpoint` does.

    A request whose client disconnects while the request waits for a slot is dropped. If the body is
    too long, the guard does not see the disconnect, since it does not read the whole body. A
    request that has a slot keeps it until the app returns: the app may be in the middle of a
    commit.

    The guard refuses WebSockets. Lifespan messages go to the app. If the app raises because it does
    not support them, the guard answers them.

    Args:
        app: The ASGI app to protect.
        max_concurrent: How many requests may be in the app at once, one in each slot; more wait for
            a free slot. For an app that runs in threads, use the number of threads; otherwise the
            number of connections to the database.
        max_per_key: How many requests of one API key, and how many about one connection, may be in
            the app at once. Requests without an API key count as those of one key. A number given
            here is fixed. With `None` the limit is three quarters of `max_concurrent`, rounded
            down, but at least 1. It rises to all slots but one for a key (or connection) while the
            last 100 requests with a slot were all of that key (or about that connection). Health
            checks are not among these 100.
        drain: A function that `Guard.drain` calls when the worker is about to end, such as
            `Endpoint.drain`.
        body_seconds: Seconds in which a whole body must arrive.
        queue_seconds: Seconds that a request waits for a free slot, at most.
        counters: Counts the requests that the guard refuses, cuts off or drops. `None` for none.

    Raises:
        ArgumentError: `max_concurrent` or `max_per_key` is no integer of at least 1.
    """

    def __init__(
        self,
        app: AnyAsgiApp,
        *,
        max_concurrent: int,
        max_per_key: int | None = None,
        drain: Callable[[], None] | None = None,
        body_seconds: float = BODY_SECONDS,
        queue_seconds: float = QUEUE_SECONDS,
        counters: GuardCounters | None = None,
    ) -> None:
        self._app = cast("AsgiApp", app)
        self._drain = drain
        # A guard without slots would refuse every request.
        check_count("max_concurrent", max_concurrent, least=1)
        if max_per_key is None:
            # The one that is left lets another key in at once, and then the lower bound holds.
            shared, alone = max(1, max_concurrent * 3 // 4), max(1, max_concurrent - 1)
        else:
            check_count("max_per_key", max_per_key, least=1)
            shared = alone = max_per_key
        self._slots = Slots(
            max_concurrent,
            max_per_name=shared,
            max_alone=alone,
            # Anyone may send health checks, and they are next, so more of them would starve the API.
            max_nameless=max(1, max_concurrent // 4),
        )
        self._body_seconds = body_seconds
        self._queue_seconds = queue_seconds
        self._counters = counters

    async def __call__(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        """Pass an HTTP request on to the app when it may enter, or send an error response.

        A WebSocket is refused. Messages of the ASGI lifespan go to the app.
        """
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
        """Prepare for the end of the worker: call the function `drain` of the constructor, if any.

        The middleware `GracefulShutdown` calls this method at SIGTERM. The function `drain` should
        make the readiness check fail, so that a load balancer sends no new requests to the worker.
        The worker still serves every request that it gets.
        """
        if self._drain is not None:
            self._drain()

    async def _answer(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._body_seconds):
                body, has_more = await _read_body(receive)
        except TimeoutError:
            self._note(GuardEvent.BODY_TIMEOUT)
            await _refuse(send, status=408, title=b"Request Timeout", header=_CLOSE)
            return
        if body is None:
            self._note(GuardEvent.BODY_BROKEN)
            # Without a response, granian would send a 500. A client that is gone gets nothing.
            with suppress(OSError):
                await _refuse(send, status=400, title=b"Bad Request", header=_CLOSE)
            return
        headers = _with_length(cast("Headers", scope["headers"]), len(body))
        scope = {**scope, "headers": headers}
        if scope.get("http_version") == "1":
            # Granian's spelling of HTTP/1.0 is not that of ASGI, and Falcon refuses it.
            scope["http_version"] = "1.0"
        app_receive = _BodyReceive(body, receive, has_more=has_more)
        if len(body) <= BODY_MAX:
            await self._serve(scope, app_receive, send)
            return
        self._note(GuardEvent.BODY_TOO_LONG)
        lingering = _LingeringSend(receive, send, has_more=has_more)
        try:
            await self._serve(scope, app_receive, lingering)
        finally:
            await lingering.finish()

    async def _serve(self, scope: AsgiMessage, receive: _BodyReceive, send: Send) -> None:
        names = _names(scope)
        # A free slot is taken without waiting, so it needs no timer.
        has_slot = self._slots.take_free(names)
        if not has_slot and _is_read_of(scope, LIVE_PATH):
            await _send_live(send)
            return
        try:
            failure = None if has_slot else await self._wait_for_slot(names, receive.watch())
            if failure is None:
                try:
                    await self._app(scope, receive, send)
                except Exception as error:
                    # `configure_logging` hides what the server software says of it: the text.
                    log_error("the app failed", error)
                    raise
                finally:
                    self._slots.give_back(names)
                return
            self._note(failure)
            if failure is GuardEvent.QUEUE_TIMEOUT:
                header = (b"retry-after", b"1")
                await _refuse(send, status=503, title=b"Service Unavailable", header=header)
        finally:
            receive.stop_watching()

    async def _wait_for_slot(
        self, names: Names, leaving: asyncio.Future[AsgiMessage] | None
    ) -> GuardEvent | None:
        # Returns the reason if no slot was taken. `leaving` ends when the client disconnects.
        try:
            async with asyncio.timeout(self._queue_seconds) as limit:
                if leaving is not None:
                    leaving.add_done_callback(lambda _: _end_now(limit))
                await self._slots.take(names)
        except TimeoutError:
            has_left = leaving is not None and leaving.done()
            return GuardEvent.CLIENT_LEFT if has_left else GuardEvent.QUEUE_TIMEOUT
        return None

    def _note(self, event: GuardEvent) -> None:
        _LOG.warning("the guard %s", _LINES[event])
        if self._counters is None:
            return
        try:
            self._counters.count_guard_event(event)
        except Exception as error:  # noqa: BLE001 - a response matters more than its count
            log_error("a request was not counted", error)


_LINES: Final = {
    GuardEvent.BODY_TIMEOUT: "answered 408: a body did not arrive in time",
    GuardEvent.BODY_BROKEN: "answered 400: a body was malformed or broke off",
    GuardEvent.BODY_TOO_LONG: "cut a body off: it was too long",
    GuardEvent.QUEUE_TIMEOUT: "answered 503: no slot became free in time",
    GuardEvent.CLIENT_LEFT: "dropped a request: its client left before it had a slot",
}

_CLOSE: Final = (b"connection", b"close")

_CONNECTION: Final = re.compile(r"/connections/([^/:]+)")


def _is_read_of(scope: AsgiMessage, *paths: str) -> bool:
    # A server that runs below a prefix, such as uvicorn with `--root-path`, puts it in the path.
    path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
    return scope["method"] in {"GET", "HEAD"} and path in paths


def _names(scope: AsgiMessage) -> Names:
    # These have no name, so that they are next. The metrics say most while every slot is taken.
    if _is_read_of(scope, LIVE_PATH, READY_PATH, METRICS_PATH):
        return ()
    headers = cast("Iterable[tuple[bytes, bytes]]", scope["headers"])
    # The scheme and its spaces can be spelled in several ways, the key itself in one.
    words = [value.split() for name, value in headers if name.lower() == b"authorization"]
    key = b"key " + (words[0][-1] if words and words[0] else b"")
    connection = _CONNECTION.search(str(scope["path"]))
    if connection is None:
        return (key,)
    # An id may be in either case, and a path may hold what UTF-8 cannot.
    id_ = connection[1].lower().encode(errors="backslashreplace")
    return (key, b"connection " + id_)


async def _wait_for_disconnect(receive: Receive) -> AsgiMessage:
    # Drops the rest of a body that is too long.
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message


def _end_now(limit: asyncio.Timeout) -> None:
    # The wait may be over already.
    with suppress(RuntimeError):
        limit.reschedule(0)


async def _read_body(receive: Receive) -> tuple[bytes | None, bool]:
    # Returns the body, or None if the client disconnected, and whether the body has more bytes.
    body, more = bytearray(), True
    while more and len(body) <= BODY_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, False
        body += cast("bytes", message.get("body", b""))
        more = bool(message.get("more_body"))
    return bytes(body[: BODY_MAX + 1]), more


def _with_length(headers: Headers, size: int) -> Headers:
    # Frameworks compare the body with its declared length. They take a shorter one for a client
    # that disconnected.
    framing = {b"content-length", b"transfer-encoding"}
    kept = [each for each in headers if each[0].lower() not in framing]
    framed = len(kept) < len(headers)
    return [*kept, (b"content-length", str(size).encode())] if framed else kept


class _BodyReceive:
    # Gives the app the body in one message, and then only the client's disconnect.
    def __init__(self, body: bytes, receive: Receive, *, has_more: bool) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self._has_more = has_more
        self._leaving: asyncio.Future[AsgiMessage] | None = None

    def watch(self) -> asyncio.Future[AsgiMessage] | None:
        # Returns a future that ends when the client disconnects. To see that behind a body that has
        # more bytes, the guard would have to read them all.
        if not self._has_more:
            self._leaving = asyncio.ensure_future(_wait_for_disconnect(self._receive))
        return self._leaving

    def stop_watching(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()

    async def __call__(self) -> AsgiMessage:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        if self._leaving is not None:
            # A server's `receive` is called once at a time.
            return await asyncio.shield(self._leaving)
        return await _wait_for_disconnect(self._receive)


class _LingeringSend:
    # Sends the response to a body that is too long, except for its end. `finish` reads and drops
    # more of the body before that end closes the connection. A connection that is closed with
    # unread data is reset, and the client may lose the response.
    def __init__(self, receive: Receive, send: Send, *, has_more: bool) -> None:
        self._receive = receive
        self._send = send
        self._has_more = has_more
        self._has_response = False

    async def __call__(self, message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            headers = cast("Headers", message.get("headers", []))
            message = {**message, "headers": [*headers, _CLOSE]}
        elif not message.get("more_body"):
            self._has_response = True
            message = {**message, "more_body": True}
        await self._send(message)

    async def finish(self) -> None:
        # Needs no slot, since the app has ended.
        if self._has_response:
            await self._drop_rest()
            # The client may be gone by now.
            with suppress(OSError):
                await self._send({"type": "http.response.body", "body": b""})

    async def _drop_rest(self) -> None:
        left, more = LINGER_BYTES, self._has_more
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


async def _send_live(send: Send) -> None:
    response = health(200, "ok")
    headers = asgi_headers(response)
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


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
