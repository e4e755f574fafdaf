"""Adapter that serves a WSGI app as an ASGI app, in a bounded number of long-lived threads.

The laws of this module:

- **Threads are reused.** So the database connection that a framework keeps for each thread is
  reused, too.
- **The app sees the request's context variables**, such as those that ASGI middleware set, and none
  of an earlier request's. What a framework itself keeps in others, such as Django's caches, stays
  in its thread.
- **No thread waits for the event loop.** A thread gets a complete request and returns a complete
  response, so that no slow client delays the end of a worker.
"""

from __future__ import annotations

import asyncio
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from curae_lifecycle.servers.guard import AsgiApp, AsgiMessage, Headers, Receive, Send


def wsgi_to_asgi(app: WSGIApplication, threads: int) -> AsgiApp:
    """Return an ASGI app that runs a WSGI app in threads.

    Wrap the returned app in a `Guard` with `max_concurrent=threads`. The guard passes each body on
    in one message; the returned app reads only the first message of a body. The guard also limits
    how many requests wait for a thread and for how long; the returned app does not.

    The WSGI environment has the ASGI scope as `asgi.scope`. A whole response is held in memory
    before it is sent.

    Args:
        app: The WSGI app.
        threads: The maximum number of threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="wsgi")

    async def serve(scope: AsgiMessage, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # WSGI has no lifespan; the guard answers its messages instead.
            raise NotImplementedError
        message = await receive()
        environ = _environ(scope, cast("bytes", message.get("body", b"")))
        loop = asyncio.get_running_loop()
        status, headers, body = await loop.run_in_executor(
            pool, _call_app, copy_context(), app, environ
        )
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return serve


def _call_app(
    context: Context, app: WSGIApplication, environ: WSGIEnvironment
) -> tuple[int, Headers, bytes]:
    # Not `context.run`: what the app keeps in its thread's context would be made anew each time.
    before = [(variable, variable.set(value)) for variable, value in context.items()]
    try:
        return _response_of(app, environ)
    finally:
        for variable, token in before:
            variable.reset(token)


def _response_of(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[int, Headers, bytes]:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], _: object = None, /) -> object:
        # An app may call this again with an error status; the last call counts.
        started.append((status, headers))
        return written.append

    chunks = app(environ, cast("StartResponse", start))
    try:
        written.extend(chunks)
    finally:
        # Django finishes its request in `close`.
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    status, text_headers = started[-1]
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in text_headers]
    return int(status.partition(" ")[0]), headers, b"".join(written)


def _environ(scope: AsgiMessage, body: bytes) -> WSGIEnvironment:
    # PEP 3333: a text holds bytes decoded as Latin-1.
    server, port = cast("tuple[str, int]", scope.get("server") or ("", 0))
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": str(scope["path"]).encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": cast("bytes", scope["query_string"]).decode("latin-1"),
        "SERVER_NAME": server,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": cast("tuple[str, ...]", scope.get("client") or ("",))[0],
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
