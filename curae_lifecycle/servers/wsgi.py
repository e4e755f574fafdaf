"""An app of WSGI behind ASGI, in a bounded number of threads that stay.

The laws of this module: **a thread is kept**, and with it the connection to the database that a
framework has for each; **a thread waits for no event loop**: it gets a request that is whole, gives
an answer that is whole, and holds up no worker that is to end.
"""

from __future__ import annotations

import asyncio
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from curae_lifecycle.servers.guard import AsgiApp, AsgiMessage, Headers, Receive, Send

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def wsgi_to_asgi(app: WSGIApplication, threads: int) -> AsgiApp:
    """Run an app of WSGI in threads; what came stands in its environment's `asgi.scope`.

    Put a `Guard` before it that lets in as many requests at once as there are threads: it hands over
    what is whole, and the queue behind it has no bound. An answer is kept whole before it is sent.

    Args:
        app: The app.
        threads: How many threads there are at most.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="wsgi")

    async def served(scope: AsgiMessage, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # WSGI knows no start and no end; the guard answers in its place.
            raise NotImplementedError
        message = await receive()
        environ = _environ(scope, cast("bytes", message.get("body", b"")))
        loop = asyncio.get_running_loop()
        status, headers, body = await loop.run_in_executor(pool, _answer, app, environ)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return served


def _answer(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[int, Headers, bytes]:
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start(
        status: str, headers: list[tuple[str, str]], _: OptExcInfo | None = None, /
    ) -> object:
        # An app may begin once more, where it failed.
        begun.append((status, headers))
        return written.append

    answered = app(environ, cast("StartResponse", start))
    try:
        written.extend(answered)
    finally:
        # Django ends its request there.
        close = getattr(answered, "close", None)
        if close is not None:
            close()
    status, named = begun[-1]
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named]
    return int(status.partition(" ")[0]), headers, b"".join(written)


def _environ(scope: AsgiMessage, body: bytes) -> WSGIEnvironment:
    # As PEP 3333 has it: text is bytes, decoded as Latin-1.
    server, port = cast("tuple[str, int]", scope.get("server") or ("", 0))
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": str(scope["path"]).encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": cast("bytes", scope["query_string"]).decode("latin-1"),
        "SERVER_NAME": server,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": cast("tuple[str, int]", scope.get("client") or ("", 0))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    for name, value in cast("Headers", scope["headers"]):
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in {"CONTENT_LENGTH", "CONTENT_TYPE"}:
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ
