"""Graceful shutdown of a worker: each connection closes with its next response.

The law of this module: **a client learns that its connection closes before it closes**, if it sends
another request within a second. A client that is idle for longer loses nothing.

Without this, server software that is told to end closes idle keep-alive connections at once. A
request that a client sends at that moment is lost.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from curae_lifecycle.servers.guard import AsgiApp, AsgiMessage, Headers, Receive, Send

SHUTDOWN_DELAY_SECONDS: Final = 1.0
"""Seconds for which a worker still serves after SIGTERM; each response closes its connection."""


class GracefulShutdown:
    """ASGI middleware that lets a granian worker serve for a while after SIGTERM.

    After SIGTERM each response gets the header `connection: close`, so that no client sends a
    request on a connection that is about to close. After `seconds` the worker sends itself SIGINT,
    which ends granian. The server must support ASGI `lifespan`: its start installs the handler of
    SIGTERM.

    Args:
        app: The ASGI app.
        drain: A function to call at SIGTERM, such as `Guard.drain`. The worker ends even if the
            function raises.
        seconds: Seconds between SIGTERM and SIGINT.
    """

    def __init__(
        self, app: AsgiApp, drain: Callable[[], None], seconds: float = SHUTDOWN_DELAY_SECONDS
    ) -> None:
        self._app = app
        self._drain = drain
        self._seconds = seconds
        self._is_ending = False

    async def __call__(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        """Pass everything on to the app; after SIGTERM add `connection: close` to each response."""
        if scope["type"] == "lifespan":
            # An event loop without signal handlers keeps granian's immediate end.
            with suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end_later)

        async def send_closing(message: AsgiMessage) -> None:
            if self._is_ending and message["type"] == "http.response.start":
                headers = cast("Headers", message.get("headers", []))
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_closing)

    def _end_later(self) -> None:
        self._is_ending = True
        try:
            self._drain()
        finally:
            # The worker must end even if `drain` raises; the loop logs that error.
            loop = asyncio.get_running_loop()
            loop.call_later(self._seconds, signal.raise_signal, signal.SIGINT)
