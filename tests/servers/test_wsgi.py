"""Tests of the WSGI adapter: its environment, its threads, its responses and their end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from threading import Event
from threading import enumerate as threads
from typing import TYPE_CHECKING, Final

import pytest

from curae_lifecycle.servers.guard import AsgiApp, AsgiMessage, Guard
from curae_lifecycle.servers.wsgi import wsgi_to_asgi
from tests.servers.asgi import Client, part, run, scope_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SCOPE: Final[AsgiMessage] = {**scope_of(), "query_string": b"", "http_version": "1.1"}


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


async def served(app: AsgiApp, client: Client, scope: AsgiMessage) -> None:
    await app(scope, client.receive, client.send)


class Environ:
    """A WSGI app that records the environment and the body of each request."""

    def __init__(self) -> None:
        self.given: list[WSGIEnvironment] = []
        self.bodies: list[bytes] = []

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        self.given.append(environ)
        self.bodies.append(environ.pop("wsgi.input").read())
        start("200 OK", [])
        return []


SAME: Final[dict[str, object]] = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
"""The variables that every environment in these tests has."""


@pytest.mark.parametrize(
    ("given", "environ"),
    [
        (
            {
                "path": "/\xe9\udcff",
                "query_string": b"a=%62&\xff",
                "scheme": "https",
                "server": ("api.example", 8443),
                "client": ("192.0.2.1", 50000),
                "headers": [
                    (b"content-length", b"3"),
                    (b"content-type", b"text/plain"),
                    (b"x-one-two", b"\xe9"),
                    (b"x-one-two", b"b"),
                    (b"x-\xe9", b"c"),
                ],
            },
            {
                "PATH_INFO": "/\xc3\xa9\xff",
                "QUERY_STRING": "a=%62&\xff",
                "wsgi.url_scheme": "https",
                "SERVER_NAME": "api.example",
                "SERVER_PORT": "8443",
                "REMOTE_ADDR": "192.0.2.1",
                "CONTENT_LENGTH": "3",
                "CONTENT_TYPE": "text/plain",
                "HTTP_X_ONE_TWO": "\xe9,b",
                "HTTP_X_\xc9": "c",
            },
        ),
        (
            {"server": None, "client": None},
            {
                "PATH_INFO": "/",
                "QUERY_STRING": "",
                "wsgi.url_scheme": "http",
                "SERVER_NAME": "",
                "SERVER_PORT": "0",
                "REMOTE_ADDR": "",
            },
        ),
    ],
)
def test_wsgi_environ_of_a_request_holds_all_that_pep_3333_names(
    given: AsgiMessage, environ: dict[str, object]
) -> None:
    app, scope = Environ(), {**SCOPE, **given}
    client = Client([part(b"abc", more=False)])
    run(served(wsgi_to_asgi(app, 1), client, scope))
    (seen,) = app.given
    assert app.bodies == [b"abc"]
    assert seen.pop("wsgi.errors") is sys.stderr
    assert seen.pop("asgi.scope") is scope
    assert seen == {**SAME, **environ}


def test_wsgi_response_is_sent_in_two_asgi_messages() -> None:
    def app(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("299 Very fine", [("X-\xe9", "\xff"), ("y", "2")])
        return iter([b"a", b"b"])

    # An ASGI server may leave an empty body out.
    client = Client([{"type": "http.request"}])
    run(served(wsgi_to_asgi(app, 1), client, SCOPE))
    assert client.heard == [
        {
            "type": "http.response.start",
            "status": 299,
            "headers": [(b"X-\xe9", b"\xff"), (b"y", b"2")],
        },
        {"type": "http.response.body", "body": b"ab"},
    ]


def test_asgi_message_without_body_gives_wsgi_an_empty_body() -> None:
    app, client = Environ(), Client([{"type": "http.request"}])
    run(served(wsgi_to_asgi(app, 1), client, SCOPE))
    assert app.bodies == [b""]


def test_wsgi_app_runs_in_at_most_the_given_number_of_threads() -> None:
    leave, others = Event(), set(threads())

    def app(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        leave.wait()
        start("200 OK", [])
        return []

    async def scenario() -> None:
        adapted = wsgi_to_asgi(app, 2)
        clients = [Client([part(b"", more=False)]) for _ in range(3)]
        tasks = [asyncio.create_task(served(adapted, each, SCOPE)) for each in clients]
        # Each task runs until its request is in the hands of the threads.
        await asyncio.sleep(0)
        names = {each.name for each in threads() if each not in others}
        leave.set()
        await asyncio.gather(*tasks)
        assert names == {"wsgi_0", "wsgi_1"}
        assert [each.heard[0]["status"] for each in clients] == [200] * 3

    run(scenario())


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
        client = Client([part(b"", more=False)])
        await guard(SCOPE, client.receive, client.send)
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

    async def scenario() -> None:
        guard = Guard(wsgi_to_asgi(app, 1), max_concurrent=1)
        await guard(SCOPE, client.receive, client.send)

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

    async def scenario() -> None:
        with pytest.raises(OSError):  # noqa: PT011 - it says nothing
            await Guard(wsgi_to_asgi(app, 1), max_concurrent=1)(SCOPE, client.receive, client.send)

    run(scenario())
    assert parts.closed
    assert client.heard == []


def test_lifespan_of_a_wsgi_app_raises_not_implemented_error() -> None:
    async def scenario() -> None:
        client = Client([])
        # So the guard gives the lifespan's responses in its place.
        with pytest.raises(NotImplementedError):
            await wsgi_to_asgi(Environ(), 1)({"type": "lifespan"}, client.receive, client.send)

    run(scenario())
