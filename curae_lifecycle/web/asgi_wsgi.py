"""Conversions between ASGI or WSGI and this package's requests and responses.

The law of this module: **nothing is decoded and nothing is joined**. A `Request` holds the target,
the header names and the header values as the client sent them. A WSGI server may join repeated
headers; `wsgi_request` splits the two that may occur only once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, cast

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import BODY_MAX, Request


def asgi_request(scope: Mapping[str, object], body: bytes) -> Request:
    """Build a `Request` from an ASGI scope of type `http` and the request's body.

    Args:
        scope: The scope. It must contain `raw_path`, which some servers leave out.
        body: The body. If it is longer than `BODY_MAX`, the largest body that is parsed, its first
            `BODY_MAX` + 1 bytes are enough.

    Raises:
        ArgumentError: The scope has no `raw_path`.
    """
    path = scope.get("raw_path")
    if not isinstance(path, bytes):
        raise ArgumentError("scope", "a scope with raw_path as bytes; some servers leave it out")
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
    """Read the body of an ASGI request to its end; keep at most `BODY_MAX` + 1 bytes of it.

    `BODY_MAX` is the size of the largest body that is parsed. The rest is read and dropped, because
    a client may read no response before it has sent the body.

    Args:
        receive: The `receive` callable of the ASGI application.

    Returns:
        The body; `None` if the client disconnected before the end of the body. Such a request must
        not be handled.
    """
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += cast("bytes", message.get("body", b""))[: BODY_MAX + 1 - len(body)]
        more = bool(message.get("more_body"))
    return body


def asgi_headers(response: Response) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response as ASGI expects them: names and values as Latin-1 bytes."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]


def wsgi_request(environ: Mapping[str, object], body: bytes) -> Request:
    """Build a `Request` from a WSGI environment and the request's body.

    A WSGI server joins repeated headers with a comma. A joined header looks like one value that
    contains a comma. `Authorization` and `Idempotency-Key` may occur only once, so their values are
    split at each comma. A value with a comma is then refused as a repeated header. An environment
    with `asgi.scope` does not have this ambiguity.

    Args:
        environ: The environment. If it contains `asgi.scope`, the request is read from that scope.
            Otherwise it must contain the request target, because `PATH_INFO` is already decoded:
            `REQUEST_URI` (waitress, uWSGI) or `RAW_URI` (gunicorn).
        body: The body. If it is longer than `BODY_MAX`, the largest body that is parsed, its first
            `BODY_MAX` + 1 bytes are enough.

    Raises:
        ArgumentError: The environment has neither `REQUEST_URI` nor `RAW_URI`, or its ASGI scope has
            no `raw_path`.
    """
    scope = environ.get("asgi.scope")
    if scope is not None:
        return asgi_request(cast("Mapping[str, object]", scope), body)
    target = environ.get("REQUEST_URI", environ.get("RAW_URI"))
    if not isinstance(target, str):
        raise ArgumentError("environ", "an environment with REQUEST_URI or RAW_URI")
    headers = [
        (name.removeprefix("HTTP_").replace("_", "-"), value)
        for name, joined in environ.items()
        if name.startswith("HTTP_")
        for value in (str(joined).split(",") if name in _SINGLE_HEADERS else [str(joined)])
    ]
    return Request(
        method=str(environ["REQUEST_METHOD"]), target=target, headers=tuple(headers), body=body
    )


_SINGLE_HEADERS: Final = {"HTTP_AUTHORIZATION", "HTTP_IDEMPOTENCY_KEY"}
"""Headers that a request may contain only once."""
