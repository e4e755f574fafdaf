"""A worker that is to end says so first: each connection ends with its next answer.

The law of this module: **a client hears that a connection ends before it ends**, where it asks once
more within a second; one that says nothing for so long has nothing to lose.

Server software that is asked to end closes a connection that is kept and silent at once, and what
its client was about to send is lost.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from curae_lifecycle.servers.guard import AsgiApp, AsgiMessage, Headers, Receive, Send

SHUTDOWN_DELAY_SECONDS: Final = 1.0
"""For how long a worker that is to end goes on as before, but for its connections, in seconds."""


class GracefulShutdown:
    """An ASGI app in a worker of granian, which SIGTERM ends a little later.

    Args:
        app: The app.
        drain: Called at once where it is to end, such as `Guard.drain`.
        seconds: How much later. Then the worker gets the SIGINT that granian ends at, too.
    """

    def __init__(
        self, app: AsgiApp, drain: Callable[[], None], seconds: float = SHUTDOWN_DELAY_SECONDS
    ) -> None:
        self._app = app
        self._drain = drain
        self._seconds = seconds
        self._leaves = False

    async def __call__(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        """Hand everything over; say of each answer whether it is the last one."""
        if scope["type"] == "lifespan":
            # Where a loop knows no signals, a worker ends at once.
            with suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._leave)

        async def closing(message: AsgiMessage) -> None:
            if self._leaves and message["type"] == "http.response.start":
                headers = cast("Headers", message.get("headers", []))
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, closing)

    def _leave(self) -> None:
        self._leaves = True
        self._drain()
        loop = asyncio.get_running_loop()
        loop.call_later(self._seconds, signal.raise_signal, signal.SIGINT)
