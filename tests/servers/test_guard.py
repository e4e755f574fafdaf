"""Tests of the guard: slow or oversized requests do not block others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import pytest

from curae_lifecycle.servers.guard import (
    LINGER_BYTES,
    AsgiApp,
    AsgiMessage,
    Guard,
    Receive,
    Send,
)
from curae_lifecycle.servers.wsgi import wsgi_to_asgi
from curae_lifecycle.web.request import BODY_MAX
from tests.servers.asgi import GONE, Client, Seen, answer, lifespan, part, refusal, run, scope_of
from tests.support.asking import logged

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PART = 10_000


def guarded(app: AsgiApp, client: Client, *headers: tuple[bytes, bytes]) -> None:
    """Send one request through a guard."""
    guard = Guard(app, max_concurrent=1)
    run(guard(scope_of(*headers), client.receive, client.send))


# --- Bodies ---------------------------------------------------------------------------------


def test_guard_passes_body_parts_to_the_app_as_one_message() -> None:
    app, client = Seen(), Client([part(b"{", more=True), part(b"}", more=False)])
    guarded(app, client, (b"content-length", b"2"), (b"a", b"1"), (b"a", b"2"))
    assert app.messages == [part(b"{}", more=False)]
    assert app.headers() == [(b"a", b"1"), (b"a", b"2"), (b"content-length", b"2")]
    assert client.body() == b"2"
    assert client.headers() == {b"x": b"y"}


@pytest.mark.parametrize(("given", "passed"), [("1", "1.0"), ("1.0", "1.0"), ("1.1", "1.1")])
def test_guard_passes_http_version_1_to_the_app_as_1_0(given: str, passed: str) -> None:
    # Granian leaves the zero out, and Falcon refuses such a request.
    seen: list[object] = []

    async def app(scope: AsgiMessage, _: Receive, send: Send) -> None:
        seen.append(scope["http_version"])
        await answer(send, b"")

    client = Client([part(b"", more=False)])
    guard = Guard(app, max_concurrent=1)
    run(guard({**scope_of(), "http_version": given}, client.receive, client.send))
    assert seen == [passed]


def test_asgi_request_message_without_body_is_read_as_empty() -> None:
    app = Seen()
    client = Client([{"type": "http.request", "more_body": True}, part(b"a", more=False)])
    guarded(app, client)
    assert app.messages == [part(b"a", more=False)]


def test_longest_body_reaches_app_and_keeps_http_connection_open() -> None:
    app, client = Seen(), Client([part(b"x" * BODY_MAX, more=True), part(b"", more=False)])
    guarded(app, client, (b"content-length", str(BODY_MAX).encode()))
    assert client.body() == str(BODY_MAX).encode()
    assert b"connection" not in client.headers()


def test_chunked_body_gets_a_content_length() -> None:
    app, client = Seen(), Client([part(b"abc", more=False)])
    guarded(app, client, (b"transfer-encoding", b"chunked"))
    assert app.headers() == [(b"content-length", b"3")]


def test_request_without_a_body_gets_no_content_length() -> None:
    app, client = Seen(), Client([part(b"", more=False)])
    guarded(app, client)
    assert app.headers() == []


def test_too_long_body_is_cut_one_byte_over_the_limit() -> None:
    app = Seen()
    client = Client([part(b"x" * PART, more=True) for _ in range(20)] + [part(b"x", more=False)])
    guarded(app, client, (b"content-length", b"200001"))
    assert app.headers() == [(b"content-length", str(BODY_MAX + 1).encode())]
    assert client.body() == str(BODY_MAX + 1).encode()
    # The response is sent before the rest is read, and then the connection closes.
    assert [each.get("more_body") for each in client.heard] == [None, True, True, None]
    assert client.headers() == {b"x": b"y", b"connection": b"close"}
    assert client.sends == []


def test_endless_body_is_read_only_up_to_a_bound() -> None:
    number = 10 * LINGER_BYTES // PART
    client = Client([part(b"x" * PART, more=True) for _ in range(number)])
    guarded(Seen(), client)
    taken = (number - len(client.sends)) * PART
    assert LINGER_BYTES <= taken <= BODY_MAX + LINGER_BYTES + 2 * PART
    assert client.heard[-1] == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize(
    "read",
    [[LINGER_BYTES // 4] * 4, [LINGER_BYTES - 1, 1], [LINGER_BYTES - 1, 2], [1, 0, LINGER_BYTES]],
)
def test_guard_stops_reading_a_too_long_body_at_a_fixed_size(read: list[int]) -> None:
    sizes = [BODY_MAX + 1, *read]
    client = Client([part(b"x" * size, more=True) for size in sizes] + [part(b"left", more=True)])
    guarded(Seen(), client)
    assert client.sends == [part(b"left", more=True)]


def test_guard_adds_connection_close_to_response_without_headers() -> None:
    async def bare(_: AsgiMessage, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 413})
        await send({"type": "http.response.body"})

    client = Client([part(b"x" * (BODY_MAX + 1), more=True), GONE])
    guarded(bare, client)
    assert client.heard == [
        {"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]},
        {"type": "http.response.body", "more_body": True},
        {"type": "http.response.body", "body": b""},
    ]


def test_guard_ends_response_if_rest_of_too_long_body_stalls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("curae_lifecycle.servers.guard.LINGER_SECONDS", 0.01)
    client = Client([part(b"x" * (BODY_MAX + 1), more=True)])
    guarded(Seen(), client)
    assert client.heard[-1] == {"type": "http.response.body", "body": b""}


def wsgi(_: WSGIEnvironment, start: StartResponse) -> list[bytes]:
    start("200 OK", [])
    return [b"ok"]


@pytest.mark.parametrize("make_app", [Seen, lambda: wsgi_to_asgi(wsgi, 1)], ids=["asgi", "wsgi"])
def test_response_to_a_too_long_body_frees_the_slot_at_once(
    make_app: Callable[[], AsgiApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curae_lifecycle.servers.guard.LINGER_SECONDS", 60)

    @attrs.define
    class Stalling(Client):
        has_response: asyncio.Event = attrs.field(factory=asyncio.Event)

        async def send(self, message: AsgiMessage) -> None:
            await super().send(message)
            if message.get("body"):
                self.has_response.set()

    async def scenario() -> None:
        guard = Guard(make_app(), max_concurrent=1)
        scope = {**scope_of(), "query_string": b"", "http_version": "1.1"}
        stalling = Stalling([part(b"x" * (BODY_MAX + 1), more=True)])
        stalled = asyncio.create_task(guard(scope, stalling.receive, stalling.send))
        await stalling.has_response.wait()
        other = Client([part(b"{}", more=False)])
        await guard(scope, other.receive, other.send)
        assert other.heard[0]["status"] == 200
        assert not stalled.done()
        stalled.cancel()
        await asyncio.wait([stalled])

    run(scenario())


@pytest.mark.parametrize(
    "sends",
    [
        [part(b"x" * 70_000, more=False)],
        [part(b"x" * 60_000, more=True), part(b"x" * 10_000, more=False)],
    ],
)
def test_guard_does_not_read_past_the_end_of_a_too_long_body(sends: list[AsgiMessage]) -> None:
    client = Client([*sends, part(b"left", more=False)])
    guarded(Seen(), client, (b"content-length", b"70000"))
    assert client.body() == str(BODY_MAX + 1).encode()
    assert client.headers() == {b"x": b"y", b"connection": b"close"}
    assert client.sends == [part(b"left", more=False)]


def test_response_is_complete_if_the_app_raises_after_sending_it() -> None:
    async def app(_: AsgiMessage, __: Receive, send: Send) -> None:
        await answer(send, b"ok")
        raise RuntimeError("a background task")

    client = Client([part(b"x" * (BODY_MAX + 1), more=True), GONE])
    with pytest.raises(RuntimeError, match="a background task"):
        guarded(app, client)
    assert client.heard[-1] == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_response_is_incomplete_if_the_app_raises_while_sending(sent: int) -> None:
    start: AsgiMessage = {"type": "http.response.start", "status": 200, "headers": []}
    half: AsgiMessage = {"type": "http.response.body", "body": b"o", "more_body": True}

    async def app(_: AsgiMessage, __: Receive, send: Send) -> None:
        for message in [start, half][:sent]:
            await send(message)
        raise RuntimeError("a mistake")

    client = Client([part(b"x" * (BODY_MAX + 1), more=True), GONE])
    with pytest.raises(RuntimeError, match="a mistake"):
        guarded(app, client)
    closing = {**start, "headers": [(b"connection", b"close")]}
    assert client.heard == [closing, half][:sent]
    assert client.sends == [GONE]


def test_guard_logs_the_place_of_an_apps_exception_not_its_text() -> None:
    async def app(_: AsgiMessage, __: Receive, ___: Send) -> None:
        raise RuntimeError("a secret")

    with logged() as log, pytest.raises(RuntimeError):
        guarded(app, Client([part(b"", more=False)]))
    (line,) = log.lines
    assert line["level"] == "ERROR"
    said = str(line["message"])
    assert said.startswith("the app failed: RuntimeError at curae_lifecycle.servers.guard:")
    assert f" > {__name__}:" in said
    assert "a secret" not in log.text


def test_client_hanging_up_during_body_discard_raises_no_error() -> None:
    class Leaving(Client):
        async def send(self, message: AsgiMessage) -> None:
            if not self.sends:
                raise OSError(message)
            await super().send(message)

    client = Leaving([part(b"x" * (BODY_MAX + 1), more=True), GONE])
    guarded(Seen(), client)
    assert client.body() == str(BODY_MAX + 1).encode()


@pytest.mark.parametrize("sends", [[GONE], [part(b"{", more=True), GONE]])
def test_body_that_breaks_off_gives_400_and_never_calls_the_app(sends: list[AsgiMessage]) -> None:
    # A server reports a malformed chunk and a client that stopped sending in the same way.
    app, client = Seen(), Client(sends)
    guarded(app, client)
    assert app.scopes == []
    assert client.heard == refusal(400, b"Bad Request", (b"connection", b"close"))


def test_client_gone_before_its_400_response_is_no_error() -> None:
    class Gone(Client):
        async def send(self, message: AsgiMessage) -> None:
            raise OSError(message)

    guarded(Seen(), Gone([part(b"{", more=True), GONE]))


def test_body_that_never_arrives_gives_408_and_connection_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[float | None] = []
    timeout = asyncio.timeout

    def noted(seconds: float | None) -> asyncio.Timeout:
        limits.append(seconds)
        return timeout(0)

    monkeypatch.setattr(asyncio, "timeout", noted)
    app, client = Seen(), Client([])
    run(Guard(app, max_concurrent=1, body_seconds=7)(scope_of(), client.receive, client.send))
    assert (app.scopes, limits) == ([], [7])
    assert client.heard == refusal(408, b"Request Timeout", (b"connection", b"close"))


@pytest.mark.slow
def test_app_gets_one_message_of_a_too_long_body_then_disconnect() -> None:
    heard: list[AsgiMessage] = []

    async def app(_: AsgiMessage, receive: Receive, send: Send) -> None:
        heard.extend([await receive(), await receive()])
        await answer(send, b"ok")

    long = part(b"x" * (BODY_MAX + 1), more=True)
    client = Client([long, part(b"more", more=True), GONE, GONE])
    guarded(app, client)
    assert [each["type"] for each in heard] == ["http.request", "http.disconnect"]


# --- Other ASGI scopes ----------------------------------------------------------------------


def test_guard_closes_a_websocket_before_it_opens() -> None:
    app, client = Seen(), Client([{"type": "websocket.connect"}])
    guard = Guard(app, max_concurrent=1)
    run(guard({"type": "websocket"}, client.receive, client.send))
    assert client.heard == [{"type": "websocket.close", "code": 1000}]
    assert app.scopes == []


COMPLETE: list[AsgiMessage] = [
    {"type": "lifespan.startup.complete"},
    {"type": "lifespan.shutdown.complete"},
]


def test_guard_passes_lifespan_messages_to_the_app() -> None:
    scopes: list[AsgiMessage] = []
    messages: list[AsgiMessage] = []

    async def app(scope: AsgiMessage, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        for each in COMPLETE:
            messages.append(await receive())
            await send(each)

    client = lifespan()
    sent = [*client.sends]
    run(Guard(app, max_concurrent=1)({"type": "lifespan"}, client.receive, client.send))
    assert (scopes, messages) == ([{"type": "lifespan"}], sent)
    assert (client.sends, client.heard) == ([], COMPLETE)


def test_app_without_lifespan_support_is_served() -> None:
    client = lifespan()
    run(Guard(Seen(), max_concurrent=1)({"type": "lifespan"}, client.receive, client.send))
    assert (client.sends, client.heard) == ([], COMPLETE)


def test_guard_raises_if_the_lifespan_of_the_app_fails() -> None:
    async def app(_: AsgiMessage, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})
        raise RuntimeError("no database")

    client = lifespan()
    with pytest.raises(RuntimeError, match="no database"):
        run(Guard(app, max_concurrent=1)({"type": "lifespan"}, client.receive, client.send))


def test_draining_a_guard_calls_its_drain_function_once() -> None:
    drained: list[str] = []
    Guard(Seen(), max_concurrent=1, drain=lambda: drained.append("drains")).drain()
    assert drained == ["drains"]


def test_draining_a_guard_without_a_callback_raises_nothing() -> None:
    Guard(Seen(), max_concurrent=1).drain()
