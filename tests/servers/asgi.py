"""ASGI clients and apps for the tests of the guard."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import attrs

from curae_lifecycle.servers.guard import AsgiApp, AsgiMessage, Headers, Receive, Send


def part(body: bytes, *, more: bool) -> AsgiMessage:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: AsgiMessage = {"type": "http.disconnect"}


@attrs.define
class Client:
    """A client that sends messages, then nothing more, and records the responses."""

    sends: list[AsgiMessage]
    heard: list[AsgiMessage] = attrs.field(factory=list)

    async def receive(self) -> AsgiMessage:
        if not self.sends:
            await asyncio.Event().wait()
        return self.sends.pop(0)

    async def send(self, message: AsgiMessage) -> None:
        self.heard.append(message)

    def headers(self) -> dict[bytes, bytes]:
        headers = self.heard[0]["headers"]
        assert isinstance(headers, list)
        return dict(headers)

    def body(self) -> bytes:
        return b"".join([body_bytes(each["body"]) for each in self.heard[1:]])


def body_bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def scope_of(*headers: tuple[bytes, bytes]) -> AsgiMessage:
    return {"type": "http", "method": "POST", "path": "/", "headers": list(headers)}


def lifespan() -> Client:
    return Client([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])


def refusal(status: int, title: bytes, header: tuple[bytes, bytes]) -> list[AsgiMessage]:
    """Return the messages of a response that the guard itself gives."""
    body = b'{"type":"about:blank","title":"%b","status":%d}' % (title, status)
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        header,
    ]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]


async def answer(send: Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": body[:1], "more_body": True})
    await send({"type": "http.response.body", "body": body[1:]})


@attrs.define
class Seen:
    """An app that records its input and answers with the length of the body."""

    scopes: list[AsgiMessage] = attrs.field(factory=list)
    messages: list[AsgiMessage] = attrs.field(factory=list)

    async def __call__(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        self.scopes.append(scope)
        self.messages.append(await receive())
        await answer(send, str(len(body_bytes(self.messages[0]["body"]))).encode())

    def headers(self) -> Headers:
        headers = self.scopes[0]["headers"]
        assert isinstance(headers, list)
        return headers


# A test may replace `asyncio.timeout`.
_timeout = asyncio.timeout


def run(made: Coroutine[object, object, None]) -> None:
    """Run a coroutine, and fail if it does not end."""

    async def bounded() -> None:
        async with _timeout(60):
            await made

    asyncio.run(bounded())


async def ask(guard: AsgiApp, client: Client) -> None:
    await guard(scope_of(), client.receive, client.send)
