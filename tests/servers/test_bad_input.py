"""Tests of malformed input over sockets: documented responses, and no secret in a log."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from time import sleep

import pytest

from curae_lifecycle.testing.conformance import ApiKeyRequest
from tests.servers.bad_input import ANSWERED, BROKEN_BODIES, CONNECTIONS, REFUSED_BEFORE, UPPER
from tests.support.wire.raw import BASE, BODY, IDEMPOTENCY_KEY, USER, Wire, key
from tests.support.wire.running import PATIENCE, Behind, engine_of, running_server, said, sqlite

pytestmark = pytest.mark.slow

ACCOUNT = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"
APPS = (
    "fastapi",
    *(pytest.param(app, marks=pytest.mark.heavy) for app in ("flask", "asgi", "django")),
)


@pytest.mark.parametrize("name", ANSWERED)
def test_bad_input_over_a_socket_gets_the_documented_response(wire: Wire, name: str) -> None:
    asked, body, answer = ANSWERED[name]
    assert wire.answer_to(wire.request(*asked, body=body)) == answer


@pytest.mark.parametrize("name", REFUSED_BEFORE)
def test_malformed_header_over_a_socket_gives_400(wire: Wire, name: str) -> None:
    assert wire.answer_to(wire.request(b"POST", CONNECTIONS, REFUSED_BEFORE[name])) == "400"


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x00\xa5\r\n\r\n", b"GET /a b HTTP/1.1\r\n\r\n"])
def test_malformed_request_line_over_a_socket_gives_400(wire: Wire, sent: bytes) -> None:
    assert wire.answer_to(sent) == "400"


@pytest.mark.parametrize("part", BROKEN_BODIES)
@pytest.mark.parametrize("framing", [b"Content-Length: 60", b"Transfer-Encoding: chunked"])
def test_truncated_body_over_a_socket_gets_400_and_a_log_line(
    wire: Wire, framing: bytes, part: bytes
) -> None:
    before = len(said(wire.server.log))
    sent = wire.request(b"POST", CONNECTIONS, key(32), body=b"").replace(
        b"Content-Length: 0", framing
    )
    with socket.create_connection(("127.0.0.1", wire.server.port), timeout=PATIENCE) as connection:
        connection.sendall(sent + part)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in head
    assert json.loads(body) == {"type": "about:blank", "title": "Bad Request", "status": 400}
    (line,) = said(wire.server.log)[before:]
    assert "the guard answered 400" in line


def test_body_sent_in_parts_is_read_whole_and_executed(wire: Wire) -> None:
    sent = wire.request(b"POST", CONNECTIONS, key(15))
    address = ("127.0.0.1", wire.server.port)
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        for part in (sent[: -len(BODY)], BODY[:20], BODY[20:-1], BODY[-1:]):
            connection.sendall(part)
            # The server has most likely read it by then; otherwise it arrives with the next part.
            sleep(0.05)
        with connection.makefile("rb") as stream:
            assert stream.read().startswith(b"HTTP/1.1 201")


def test_chunked_body_is_read_whole_and_executed(wire: Wire) -> None:
    length = b"Content-Length: " + str(len(BODY)).encode()
    sent = wire.request(b"POST", CONNECTIONS, key(17)).removesuffix(BODY)
    sent = sent.replace(length, b"Transfer-Encoding: chunked")
    for part in (BODY[:10], BODY[10:]):
        sent += b"%x\r\n%b\r\n" % (len(part), part)
    assert wire.answer_to(sent + b"0\r\n\r\n") == "201"


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    sent = wire.request(b"POST", CONNECTIONS, last=False)
    sent += wire.request(b"GET", CONNECTIONS + b"/" + UPPER, body=b"", last=False)
    sent += wire.request(b"POST", CONNECTIONS, key(20))
    assert [status for status, _ in wire.exchange(sent)] == [400, 404, 201]


def test_request_succeeds_after_clients_hung_up_halfway(wire: Wire) -> None:
    whole = wire.request(b"POST", CONNECTIONS, key(30))
    for cut in (1, 20, len(whole) // 2, len(whole) - 1, len(whole)):
        wire.hang_up(whole[:cut])
    # Whether the last request was stored or not, the same key succeeds now.
    assert wire.answer_to(whole) == "201"


def test_request_with_a_truncated_body_is_not_executed(wire: Wire) -> None:
    # The received part would be a complete body.
    asked = wire.request(b"POST", CONNECTIONS, key(31), body=BODY + b" ").removesuffix(b" ")
    wire.hang_up(asked)
    # Wait until it would have been stored.
    for _ in range(20):
        assert wire.answer_to(wire.request(b"GET", CONNECTIONS, body=b"")) == "404 NOT_FOUND"
    other = BODY.replace(b"labs", b"clinical_summary")
    assert wire.answer_to(wire.request(b"POST", CONNECTIONS, key(31), body=other)) == "201"


def test_response_304_without_a_body_has_no_content_type(wire: Wire) -> None:
    state = BASE + b"/curae-connect/account-state?appUserId=ada"
    sent = wire.request(b"GET", state, b"If-None-Match: *", body=b"")
    with socket.create_connection(("127.0.0.1", wire.server.port), timeout=PATIENCE) as connection:
        connection.sendall(sent)
        with connection.makefile("rb") as stream:
            seen = stream.read().lower()
    assert seen.startswith(b"http/1.1 304")
    assert b"content-type" not in seen


def test_head_request_gets_no_body(wire: Wire) -> None:
    sent = wire.request(b"HEAD", CONNECTIONS + b"/" + UPPER, body=b"", last=False)
    with socket.create_connection(("127.0.0.1", wire.server.port), timeout=PATIENCE) as connection:
        connection.sendall(sent + wire.request(b"GET", CONNECTIONS + b"/" + UPPER, body=b""))
        with connection.makefile("rb") as stream:
            seen = stream.read()
    assert seen.count(b"HTTP/1.1 404") == 2
    assert seen.count(b'"code":"NOT_FOUND"') == 1


@pytest.fixture(scope="module", params=APPS)
def wire(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Wire]:
    directory = tmp_path_factory.mktemp("bad-input")
    url = sqlite(directory)
    with running_server(str(request.param), url, directory) as server, engine_of(url) as engine:
        behind = Behind(server.control, engine)
        wire = Wire(server, behind.make_key(ApiKeyRequest("app-1", ACCOUNT)))
        yield wire
        # The server still works, and its log has no secret.
        assert wire.answer_to(wire.request(b"POST", BASE + b"/connections", key(0))) == "201"
        log = server.log.read_text()
        for secret in (wire.api_key, USER, IDEMPOTENCY_KEY, "/pages/", "Traceback"):
            assert secret not in log, log
