"""Clients of `benchmarks/servers.py`: each sends one request after the other over one connection.

They run in one event loop and parse only the status and the length of a response, to leave the
processor to the servers.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STATUS: Final = slice(9, 12)
_SUCCESS: Final = b"2"
_PATIENCE: Final = 60.0

MakeRequest = Callable[[int], bytes]
"""A function that returns the request of a number."""


def http_request(method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """Return an HTTP request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: benchmark", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = bytearray()
        self._waiter: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._received, 0, end + 2)
        assert length is not None, "a response without a length"
        if len(self._received) >= end + 4 + int(length[1]) and self._waiter is not None:
            response = bytes(self._received)
            self._received.clear()
            self._waiter.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionError("the server closed the connection"))

    async def ask(self, request: bytes) -> bytes:
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


async def _client(connection: _Connection, make: MakeRequest, until: float) -> int:
    for number in count():
        # Each client sends at least one request, so no rate is 0.
        if number and time.perf_counter() > until:
            return number
        response = await connection.ask(make(number))
        assert response[_STATUS].startswith(_SUCCESS), response[:2000]
    raise AssertionError


async def run(port: int, makers: Sequence[MakeRequest], seconds: float) -> tuple[int, float]:
    """Run clients for some seconds.

    Args:
        port: The server's port on this machine.
        makers: For each client, the function that makes its requests.
        seconds: How long to run.

    Returns:
        The number of successful requests, and the seconds that they took.

    Raises:
        AssertionError: A response was not a success.
    """
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(_Connection, "127.0.0.1", port) for _ in makers]
    connections = [connection for _, connection in made]
    begun = time.perf_counter()
    async with asyncio.timeout(seconds + _PATIENCE):
        done = await asyncio.gather(
            *(
                _client(connection, make, begun + seconds)
                for connection, make in zip(connections, makers, strict=True)
            )
        )
    took = time.perf_counter() - begun
    for connection in connections:
        connection.close()
    return sum(done), took
