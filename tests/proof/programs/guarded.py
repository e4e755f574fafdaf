"""Apps whose frameworks have their own types for ASGI: a guard takes all of them."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Literal, TypedDict

from curae_lifecycle.servers.guard import AsgiMessage, Guard, Receive, Send
from curae_lifecycle.servers.wsgi import wsgi_to_asgi


class Scope(TypedDict):
    type: Literal["http"]
    path: str


class Start(TypedDict):
    type: Literal["http.response.start"]
    status: int


class Body(TypedDict):
    type: Literal["http.response.body"]
    body: bytes


class Disconnect(TypedDict):
    type: Literal["http.disconnect"]


class WithTypedDicts:
    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Disconnect]],
        send: Callable[[Start | Body], Awaitable[None]],
    ) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["path"].encode()})


async def with_dicts(
    scope: dict[str, object],
    receive: Callable[[], Awaitable[Mapping[str, object]]],
    send: Callable[[dict[str, object]], Awaitable[None]],
) -> None: ...


async def with_mappings(
    scope: MutableMapping[str, str],
    receive: Callable[..., Awaitable[object]],
    send: Callable[..., Awaitable[object]],
    /,
) -> int:
    return 1


async def with_our_names(scope: AsgiMessage, receive: Receive, send: Send) -> None: ...


def wsgi(environ: dict[str, object], start_response: Callable[..., object]) -> list[bytes]:
    return []


guards = [
    Guard(WithTypedDicts(), max_concurrent=1),
    Guard(with_dicts, max_concurrent=1),
    Guard(with_mappings, max_concurrent=1),
    Guard(with_our_names, max_concurrent=1),
    Guard(wsgi_to_asgi(wsgi, threads=1), max_concurrent=1),
    Guard(Guard(with_dicts, max_concurrent=1), max_concurrent=1),
]
