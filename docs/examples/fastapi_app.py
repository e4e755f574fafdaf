"""The API on FastAPI: asynchronous, on PostgreSQL or SQLite.

    python docs/examples/fastapi_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import demo
import hosted_pages
import uvicorn
from failing import failed
from fastapi import FastAPI, Request, Response
from settings import DATABASE_URL, MINT, PORT, SETTINGS, with_limits_async
from starlette.requests import ClientDisconnect
from starlette.routing import request_response

from curae_lifecycle.stores.serve import serve_async
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_awaited_engine,
    create_engine,
)
from curae_lifecycle.stores.sql.store import AsyncDatabase, AsyncSqlStore
from curae_lifecycle.stores.sql.threads import InThreads
from curae_lifecycle.web.gateways import asgi_headers, asgi_request
from curae_lifecycle.web.request import BODY_MAX


def open_database() -> AsyncDatabase:
    """SQLite is asked in threads: it is a file, and nobody awaits one any faster."""
    if DATABASE_URL.startswith("sqlite:"):
        return InThreads(SqlDatabase(create_engine(DATABASE_URL)))
    return AsyncSqlDatabase(create_awaited_engine(DATABASE_URL))


store = AsyncSqlStore(open_database(), SETTINGS)
limited = with_limits_async(store)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables where they are missing."""
    await store.create_tables()
    yield


async def endpoint(http: Request) -> Response:
    """Hand a request over as it came, nothing decoded, and its answer back."""
    body = b""
    async for chunk in http.stream():
        # One that is too long is read to its end and not kept, so that its client hears of it.
        body += chunk[: BODY_MAX + 1 - len(body)]
    asked = asgi_request(http.scope, body)
    try:
        page = await hosted_pages.serve_async(store, asked)
        answer = page or (await serve_async(limited, asked, MINT, SETTINGS)).response
    except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
        answer = failed(error)
    response = Response(answer.body, answer.status)
    response.raw_headers += asgi_headers(answer)
    return response


async def gone(_: Request, __: Exception) -> Response:
    """The client hung up before its request was whole: nobody hears this answer."""
    return Response(status_code=400)


app = FastAPI(
    lifespan=lifespan,
    openapi_url=None,
    exception_handlers={ClientDisconnect: gone},
)
# Everything goes there, also a target that is no path, such as `*`: the rules know paths and
# methods, and what to answer else.
app.router.default = request_response(endpoint)


if __name__ == "__main__":
    demo.explain()
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
