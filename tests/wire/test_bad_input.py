"""Whatever arrives at a socket is answered as documented, and no log tells a secret."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import attrs
import pytest

from curae_lifecycle.testing.conformance import KeyWanted
from tests.wire.running import PATIENCE, Behind, RunningServer, engine_of, running_server, sqlite

ACCOUNT = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"
APPS = ("fastapi", "flask", "asgi", "django")
BASE = b"/api/sdk/v1"
USER = "a-user-whom-no-log-names"
IDEMPOTENCY_KEY = "a-key-that-no-log-tells"
BODY = json.dumps({"appUserId": USER, "dataPackages": ["labs"]}).encode()


@attrs.frozen
class Wire:
    """A server and a key for it, for requests that are written byte for byte."""

    server: RunningServer
    api_key: str

    def exchange(self, sent: bytes) -> list[tuple[int, bytes]]:
        """Send these bytes; every answer's status and body until the server hangs up."""
        address = ("127.0.0.1", self.server.port)
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            connection.sendall(sent)
            with connection.makefile("rb") as stream:
                return list(answers(stream.read()))

    def hang_up(self, sent: bytes) -> None:
        """Send these bytes and go, without waiting for an answer."""
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
        """A request with the API key; `last` asks the server to hang up after it."""
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
        """The one answer in short: its status, and its code where it is a problem."""
        ((status, body),) = self.exchange(sent)
        if not body.startswith(b"{"):
            return f"{status}"
        return f"{status} {json.loads(body).get('code', '')}".rstrip()


def answers(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Each answer of a connection: its status and its body, by its declared length."""
    while stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
        assert len(lengths) < 2, head
        length = lengths[0] if lengths else len(stream)
        yield int(head.split()[1]), stream[:length]
        stream = stream[length:]


def key(number: int) -> bytes:
    return f"Idempotency-Key: {IDEMPOTENCY_KEY}-{number}".encode()


@pytest.fixture(scope="module", params=APPS)
def wire(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Wire]:
    directory = tmp_path_factory.mktemp("bad-input")
    url = sqlite(directory)
    with running_server(str(request.param), url, directory) as server, engine_of(url) as engine:
        behind = Behind(server.control, engine)
        wire = Wire(server, behind.make_key(KeyWanted("app-1", ACCOUNT)))
        yield wire
        # Whatever was sent before, it goes on, and its log has nothing that must stay secret.
        assert wire.answer_to(wire.request(b"POST", BASE + b"/connections", key(0))) == "201"
        log = server.log.read_text()
        for secret in (wire.api_key, USER, IDEMPOTENCY_KEY, "/pages/", "Traceback"):
            assert secret not in log, log


UPPER = b"6B7F2A52-0D5E-4A34-9F57-0A8F5F1C2D01"
CONNECTIONS = BASE + b"/connections"
TOO_LONG = b'{"appUserId": "' + b"x" * 1_000_000 + b'", "dataPackages": ["labs"]}'
BROKEN_TEXT = BODY.replace(b"a-user", b"\xff\xfe")

ANSWERED: dict[str, tuple[tuple[bytes, ...], bytes, str]] = {
    "a body of a megabyte": ((b"POST", CONNECTIONS, key(1)), TOO_LONG, "400 BAD_REQUEST"),
    "broken UTF-8": ((b"POST", CONNECTIONS, key(2)), BROKEN_TEXT, "400 BAD_REQUEST"),
    "a body that is called plain text": (
        (b"POST", CONNECTIONS, key(3), b"Content-Type: text/plain"),
        BODY,
        "201",
    ),
    "two keys": ((b"POST", CONNECTIONS, key(4), key(5)), BODY, "400 IDEMPOTENCY_KEY_INVALID"),
    "one key twice": ((b"POST", CONNECTIONS, key(6), key(6)), BODY, "400 IDEMPOTENCY_KEY_INVALID"),
    "two credentials": (
        (b"POST", CONNECTIONS, key(7), b"Authorization: Bearer another"),
        BODY,
        "401 UNAUTHENTICATED",
    ),
    "a key that goes on in a new line": (
        (b"POST", CONNECTIONS, b"Idempotency-Key: one\r\n two"),
        BODY,
        "400 IDEMPOTENCY_KEY_INVALID",
    ),
    "a key that ends in a header of its own": (
        (b"POST", CONNECTIONS, b"Idempotency-Key: one\r\nIdempotency-Key: two"),
        BODY,
        "400 IDEMPOTENCY_KEY_INVALID",
    ),
    "a key that is no ASCII": (
        (b"POST", CONNECTIONS, b"Idempotency-Key: \xe9"),
        BODY,
        "400 IDEMPOTENCY_KEY_INVALID",
    ),
    "a header spelled with an underscore": (
        (b"POST", CONNECTIONS, b"Idempotency_Key: one"),
        BODY,
        "400 IDEMPOTENCY_KEY_REQUIRED",
    ),
    "an upper-case id": ((b"GET", CONNECTIONS + b"/" + UPPER), b"", "404 NOT_FOUND"),
    "an escaped slash": ((b"GET", BASE + b"%2fconnections%2f" + UPPER), b"", "404 NOT_FOUND"),
    "an escaped slash in an id": (
        (b"GET", CONNECTIONS + b"/" + UPPER + b"%2f.."),
        b"",
        "400 BAD_REQUEST",
    ),
    "a path with dots": ((b"GET", BASE + b"/x/../connections/" + UPPER), b"", "404 NOT_FOUND"),
    "two slashes": ((b"GET", b"/" + CONNECTIONS + b"/" + UPPER), b"", "404 NOT_FOUND"),
    "a fragment": ((b"GET", CONNECTIONS + b"/" + UPPER + b"#x"), b"", "400 BAD_REQUEST"),
    "a target with scheme and host": (
        (b"GET", b"http://127.0.0.1" + CONNECTIONS + b"/" + UPPER),
        b"",
        "404 NOT_FOUND",
    ),
    "OPTIONS": ((b"OPTIONS", CONNECTIONS), b"", "404 NOT_FOUND"),
    "TRACE": ((b"TRACE", CONNECTIONS), b"", "404 NOT_FOUND"),
    "a method that nobody knows": ((b"BREW", CONNECTIONS), b"", "404 NOT_FOUND"),
}
"""What reaches an app: the request, its body, and the answer in short."""

REFUSED_BEFORE: dict[str, bytes] = {
    "a bare carriage return in a key": b"Idempotency-Key: one\rInjected: two",
    "a null in a key": b"Idempotency-Key: one\0two",
    "a second length": b"Content-Length: 3",
    "a space before the colon": b"Idempotency-Key : one",
}
"""Headers that the server's software refuses itself, before any app sees the request."""


@pytest.mark.parametrize("name", ANSWERED)
def test_what_reaches_the_app_is_answered_as_documented(wire: Wire, name: str) -> None:
    asked, body, answer = ANSWERED[name]
    assert wire.answer_to(wire.request(*asked, body=body)) == answer


@pytest.mark.parametrize("name", REFUSED_BEFORE)
def test_what_is_no_http_is_refused_before_the_app(wire: Wire, name: str) -> None:
    assert wire.answer_to(wire.request(b"POST", CONNECTIONS, REFUSED_BEFORE[name])) == "400"


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x00\xa5\r\n\r\n", b"GET /a b HTTP/1.1\r\n\r\n"])
def test_what_is_no_request_at_all_is_refused_before_the_app(wire: Wire, sent: bytes) -> None:
    assert wire.answer_to(sent) == "400"


def test_several_requests_at_once_are_answered_in_order(wire: Wire) -> None:
    sent = wire.request(b"POST", CONNECTIONS, last=False)
    sent += wire.request(b"GET", CONNECTIONS + b"/" + UPPER, body=b"", last=False)
    sent += wire.request(b"POST", CONNECTIONS, key(20))
    assert [status for status, _ in wire.exchange(sent)] == [400, 404, 201]


def test_clients_that_hang_up_leave_the_server_as_it_was(wire: Wire) -> None:
    whole = wire.request(b"POST", CONNECTIONS, key(30))
    for cut in (1, 20, len(whole) // 2, len(whole) - 1, len(whole)):
        wire.hang_up(whole[:cut])
    # Whether the last one was stored or not, the same key is answered now.
    assert wire.answer_to(whole) == "201"


def test_a_head_request_is_answered_with_no_body(wire: Wire) -> None:
    sent = wire.request(b"HEAD", CONNECTIONS + b"/" + UPPER, body=b"", last=False)
    with socket.create_connection(("127.0.0.1", wire.server.port), timeout=PATIENCE) as connection:
        connection.sendall(sent + wire.request(b"GET", CONNECTIONS + b"/" + UPPER, body=b""))
        with connection.makefile("rb") as stream:
            seen = stream.read()
    assert seen.count(b"HTTP/1.1 404") == 2
    assert seen.count(b'"code":"NOT_FOUND"') == 1
