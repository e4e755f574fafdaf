"""Tests of the guard: slow or oversized requests do not block others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from curae_lifecycle.servers.guard import (
    LINGER_BYTES,
    AsgiApp,
    AsgiMessage,
    Guard,
    Receive,
    Send,
)
from curae_lifecycle.servers.shutdown import GracefulShutdown
from curae_lifecycle.servers.wsgi import wsgi_to_asgi
from curae_lifecycle.web.request import BODY_MAX
from tests.servers.asgi import GONE, Client, Seen, answer, ask, part, run, scope_of

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


def test_maximum_body_is_passed_whole_and_connection_stays_open() -> None:
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


def test_too_long_body_that_stalls_has_its_connection_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("curae_lifecycle.servers.guard.LINGER_SECONDS", 0.01)
    client = Client([part(b"x" * (BODY_MAX + 1), more=True)])
    guarded(Seen(), client)
    assert client.heard[-1] == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize("sends", [[GONE], [part(b"{", more=True), GONE]])
def test_body_that_breaks_off_gives_400_and_never_calls_the_app(sends: list[AsgiMessage]) -> None:
    # A server reports a malformed chunk and a client that stopped sending in the same way.
    app, client = Seen(), Client(sends)
    guarded(app, client)
    assert app.scopes == []
    assert client.heard[0]["status"] == 400
    assert client.headers()[b"connection"] == b"close"
    problem = {"type": "about:blank", "title": "Bad Request", "status": 400}
    assert json.loads(client.body()) == problem


def test_client_that_is_gone_during_its_body_raises_nothing() -> None:
    class Gone(Client):
        async def send(self, message: AsgiMessage) -> None:
            raise OSError(message)

    guarded(Seen(), Gone([part(b"{", more=True), GONE]))


def test_body_that_never_arrives_gives_408_and_closes(
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
    assert client.heard[0]["status"] == 408
    assert client.headers()[b"connection"] == b"close"
    assert client.headers()[b"content-length"] == str(len(client.body())).encode()
    problem = {"type": "about:blank", "title": "Request Timeout", "status": 408}
    assert json.loads(client.body()) == problem


@pytest.mark.slow
def test_app_receives_a_too_long_body_once_and_then_disconnect() -> None:
    heard: list[AsgiMessage] = []

    async def app(_: AsgiMessage, receive: Receive, send: Send) -> None:
        heard.extend([await receive(), await receive()])
        await answer(send, b"ok")

    long = part(b"x" * (BODY_MAX + 1), more=True)
    client = Client([long, part(b"more", more=True), GONE])
    guarded(app, client)
    assert [each["type"] for each in heard] == ["http.request", "http.disconnect"]


# --- Other ASGI scopes ----------------------------------------------------------------------


def test_guard_closes_a_websocket_before_it_opens() -> None:
    app, client = Seen(), Client([{"type": "websocket.connect"}])
    guard = Guard(app, max_concurrent=1)
    run(guard({"type": "websocket"}, client.receive, client.send))
    assert client.heard == [{"type": "websocket.close", "code": 1000}]
    assert app.scopes == []


def lifespan() -> Client:
    return Client([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])


COMPLETE: list[AsgiMessage] = [
    {"type": "lifespan.startup.complete"},
    {"type": "lifespan.shutdown.complete"},
]


def test_guard_passes_lifespan_messages_to_the_app() -> None:
    async def app(_: AsgiMessage, receive: Receive, send: Send) -> None:
        for each in COMPLETE:
            await receive()
            await send(each)

    client = lifespan()
    run(Guard(app, max_concurrent=1)({"type": "lifespan"}, client.receive, client.send))
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


# --- Threads --------------------------------------------------------------------------------


def test_wsgi_app_gets_the_asgi_scope_and_a_content_length() -> None:
    given: list[tuple[object, object, object]] = []

    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        length = environ["CONTENT_LENGTH"]
        body = environ["wsgi.input"].read(int(length))
        given.append((environ["asgi.scope"], length, body))
        assert (environ["HTTP_K"], environ["PATH_INFO"]) == ("1,2", "/\xc3\xa9")
        start("500 Failed", [])
        start("200 OK", [("X", "y")])
        return [b"ok"]

    client = Client([part(b"{", more=True), part(b"}", more=False)])
    scope = {
        **scope_of((b"transfer-encoding", b"chunked"), (b"k", b"1"), (b"k", b"2")),
        "path": "/\xe9",
        "query_string": b"",
        "http_version": "1.1",
    }

    async def scenario() -> None:
        guard = Guard(wsgi_to_asgi(app, 1), max_concurrent=1)
        await guard(scope, client.receive, client.send)

    run(scenario())
    ((seen, length, body),) = given
    assert (length, body) == ("2", b"{}")
    headers = [(b"k", b"1"), (b"k", b"2"), (b"content-length", b"2")]
    assert seen == {**scope, "headers": headers}
    assert (client.heard[0]["status"], client.headers()) == (200, {b"X": b"y"})
    assert client.body() == b"ok"


@pytest.mark.parametrize(
    ("given", "environ"),
    [
        (
            {"scheme": "https", "server": ("api.example", 8443), "client": ("192.0.2.1", 50000)},
            {
                "wsgi.url_scheme": "https",
                "SERVER_NAME": "api.example",
                "SERVER_PORT": "8443",
                "REMOTE_ADDR": "192.0.2.1",
            },
        ),
        (
            {"server": None, "client": None},
            {
                "wsgi.url_scheme": "http",
                "SERVER_NAME": "",
                "SERVER_PORT": "0",
                "REMOTE_ADDR": "",
            },
        ),
    ],
)
def test_wsgi_environ_names_the_scheme_the_server_and_the_client(
    given: AsgiMessage, environ: dict[str, object]
) -> None:
    seen: list[WSGIEnvironment] = []

    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        seen.append(environ)
        start("200 OK", [])
        return []

    scope = {**scope_of(), "query_string": b"a=%62", "http_version": "1.1", **given}
    client = Client([part(b"", more=False)])
    run(Guard(wsgi_to_asgi(app, 1), max_concurrent=1)(scope, client.receive, client.send))
    expected = {
        **environ,
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "a=%62",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    assert {name: seen[0][name] for name in expected} == expected


def test_wsgi_app_sees_the_context_of_asgi_middleware() -> None:
    tenant, seen = ContextVar("tenant", default="no tenant"), list[str]()
    cache, caches = ContextVar[object]("cache"), list[object]()

    def app(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        seen.append(tenant.get())
        # A framework keeps such a thing as long as the thread lives.
        caches.append(cache.get(None))
        cache.set(caches)
        start("200 OK", [])
        tenant.set("the app's")
        yield tenant.get().encode()

    async def ask(guard: Guard) -> None:
        scope = {**scope_of(), "query_string": b"", "http_version": "1.1"}
        client = Client([part(b"", more=False)])
        await guard(scope, client.receive, client.send)
        assert client.body() == b"the app's"

    async def scenario() -> None:
        guard = Guard(wsgi_to_asgi(app, 1), max_concurrent=1)
        for name in ("first", "second"):
            token = tenant.set(name)
            await ask(guard)
            assert tenant.get() == name
            tenant.reset(token)
        await ask(guard)

    run(scenario())
    assert seen == ["first", "second", "no tenant"]
    assert caches == [None, caches, caches]


class Closed(list[bytes]):
    """Parts of a response that must be closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_wsgi_response_is_closed_after_sending() -> None:
    parts = Closed([b"a", b"b"])

    def app(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("201 Created", [])(b"written ")
        return parts

    client = Client([part(b"", more=False)])
    scope = {**scope_of(), "path": "/", "query_string": b"", "http_version": "1.1"}

    async def scenario() -> None:
        guard = Guard(wsgi_to_asgi(app, 1), max_concurrent=1)
        beginning = lifespan()
        await guard({"type": "lifespan"}, beginning.receive, beginning.send)
        assert beginning.heard == COMPLETE
        await guard(scope, client.receive, client.send)

    run(scenario())
    assert parts.closed
    assert (client.heard[0]["status"], client.body()) == (201, b"written ab")


def test_wsgi_response_that_raises_while_sending_is_closed() -> None:
    class Failing(Closed):
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            raise OSError

    parts = Failing()

    def app(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [])
        return parts

    client = Client([part(b"", more=False)])
    scope = {**scope_of(), "path": "/", "query_string": b"", "http_version": "1.1"}

    async def scenario() -> None:
        with pytest.raises(OSError):  # noqa: PT011 - it says nothing
            await Guard(wsgi_to_asgi(app, 1), max_concurrent=1)(scope, client.receive, client.send)

    run(scenario())
    assert parts.closed
    assert client.heard == []


# --- An end ---------------------------------------------------------------------------------


def test_sigterm_closes_connections_then_ends_the_worker() -> None:
    async def scenario() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGINT, ended.set)
        drained: list[str] = []
        guard = Guard(Seen(), max_concurrent=1, drain=lambda: drained.append("drains"))
        leaving = GracefulShutdown(guard, guard.drain, seconds=0.01)
        beginning = lifespan()
        serving = asyncio.create_task(
            leaving({"type": "lifespan"}, beginning.receive, beginning.send)
        )
        await serving
        before = Client([part(b"", more=False)])
        await ask(leaving, before)
        assert drained == []
        os.kill(os.getpid(), signal.SIGTERM)
        await ended.wait()
        after = Client([part(b"", more=False)])
        await ask(leaving, after)
        assert b"connection" not in before.headers()
        assert after.headers() == {b"x": b"y", b"connection": b"close"}
        assert after.body() == b"0"
        assert drained == ["drains"]

    run(scenario())


def test_draining_a_guard_without_a_callback_raises_nothing() -> None:
    Guard(Seen(), max_concurrent=1).drain()
