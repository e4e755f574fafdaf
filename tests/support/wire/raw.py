"""A server's socket, and requests written byte for byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import attrs

from tests.support.wire.running import PATIENCE, RunningServer

BASE = b"/api/sdk/v1"
USER = "a-user-whom-no-log-names"
IDEMPOTENCY_KEY = "a-key-that-no-log-shows"
BODY = json.dumps({"appUserId": USER, "dataPackages": ["labs"]}).encode()


@attrs.frozen
class Wire:
    """A server and an API key, for requests written byte for byte."""

    server: RunningServer
    api_key: str

    def exchange(self, sent: bytes) -> list[tuple[int, bytes]]:
        """Send bytes; return the status and body of every response until the server closes."""
        address = ("127.0.0.1", self.server.port)
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            connection.sendall(sent)
            with connection.makefile("rb") as stream:
                return list(answers(stream.read()))

    def hang_up(self, sent: bytes) -> None:
        """Send bytes and close without waiting for a response."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE) as one:
            one.sendall(sent)

    def request(
        self,
        method: bytes = b"POST",
        target: bytes = BASE + b"/connections",
        *headers: bytes,
        body: bytes = BODY,
        last: bool = True,
    ) -> bytes:
        """Return a request with the API key; `last` asks the server to close after it."""
        lines = [
            method + b" " + target + b" HTTP/1.1",
            b"Host: 127.0.0.1",
            b"Authorization: Bearer " + self.api_key.encode(),
            b"Content-Length: " + str(len(body)).encode(),
            *headers,
        ]
        if last:
            lines.append(b"Connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def answer_to(self, sent: bytes) -> str:
        """Return the only response in short: its status, and the code of a problem."""
        ((status, body),) = self.exchange(sent)
        if not body.startswith(b"{"):
            return f"{status}"
        return f"{status} {json.loads(body).get('code', '')}".rstrip()


def answers(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the status and body of each response of a connection, by its declared length."""
    while stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
        assert len(lengths) < 2, head
        length = lengths[0] if lengths else len(stream)
        yield int(head.split()[1]), stream[:length]
        stream = stream[length:]


def key(number: int) -> bytes:
    """Return a header with a key that is unique to a number."""
    return f"Idempotency-Key: {IDEMPOTENCY_KEY}-{number}".encode()
