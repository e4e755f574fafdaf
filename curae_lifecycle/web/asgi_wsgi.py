"""Requests and responses as Python's servers have them: ASGI and WSGI.

The law of this module: **nothing is decoded and nothing is joined**: a target, a name and a value
stand in a `Request` as they came. Where a server of WSGI joined two headers, they are two again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, cast

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import BODY_MAX, Request


def asgi_request(scope: Mapping[str, object], body: bytes) -> Request:
    """The request of an ASGI scope of type `http`.

    Args:
        scope: The scope. Servers that leave out `raw_path` say too little.
        body: Its body, of which no more is needed than one byte more than `BODY_MAX`.

    Raises:
        ArgumentError: The scope has no `raw_path`.
    """
    path = scope.get("raw_path")
    if not isinstance(path, bytes):
        raise ArgumentError("scope", "one with a raw_path, which not every server gives")
    query = cast("bytes", scope["query_string"])
    pairs = cast("Iterable[tuple[bytes, bytes]]", scope["headers"])
    target = path + b"?" + query if query else path
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
    return Request(
        method=str(scope["method"]),
        target=target.decode("latin-1"),
        headers=tuple(headers),
        body=body,
    )


async def asgi_body(receive: Callable[[], Awaitable[Mapping[str, object]]]) -> bytes | None:
    """The body of a request of ASGI, of which no more is kept than is needed.

    Args:
        receive: Gives the next message, as ASGI has it.

    Returns:
        The body; `None` where the client hung up before it was whole: nobody hears an answer, and
        half of a request is none.
    """
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        # One that is too long is read to its end and not kept, so that its client hears of it.
        body += cast("bytes", message.get("body", b""))[: BODY_MAX + 1 - len(body)]
        more = bool(message.get("more_body"))
    return body


def asgi_headers(response: Response) -> list[tuple[bytes, bytes]]:
    """The headers of a response, as ASGI has them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]


def wsgi_request(environ: Mapping[str, object], body: bytes) -> Request:
    """The request of a WSGI environment.

    A server of WSGI joins headers of one name with a comma, whose values cannot be told from one
    that has a comma in it. So a value with a comma is taken for several where one alone is allowed:
    `Authorization` and `Idempotency-Key`. Behind ASGI there is no such doubt.

    Args:
        environ: The environment. One behind ASGI has the scope of that, and all is read there.
            Else, since `PATH_INFO` is decoded, the request line is needed: `REQUEST_URI` of
            waitress and uWSGI, or `RAW_URI` of gunicorn.
        body: Its body, of which no more is needed than one byte more than `BODY_MAX`.

    Raises:
        ArgumentError: The environment does not have the request line.
    """
    scope = environ.get("asgi.scope")
    if scope is not None:
        return asgi_request(cast("Mapping[str, object]", scope), body)
    target = environ.get("REQUEST_URI", environ.get("RAW_URI"))
    if not isinstance(target, str):
        raise ArgumentError("environ", "one with REQUEST_URI or RAW_URI")
    headers = [
        (name.removeprefix("HTTP_").replace("_", "-"), value)
        for name, joined in environ.items()
        if name.startswith("HTTP_")
        for value in (str(joined).split(",") if name in _SINGLE else [str(joined)])
    ]
    return Request(
        method=str(environ["REQUEST_METHOD"]), target=target, headers=tuple(headers), body=body
    )


_SINGLE: Final = {"HTTP_AUTHORIZATION", "HTTP_IDEMPOTENCY_KEY"}
"""Of which a request has one at most."""
