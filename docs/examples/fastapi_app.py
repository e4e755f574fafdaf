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
from fastapi import FastAPI, Request, Response
from settings import DATABASE_URL, MINT, PORT, SETTINGS, with_limits_async
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
from curae_lifecycle.web.gateways import asgi_body, asgi_request


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
    body = await asgi_body(http.receive)
    if body is None:
        # Nobody hears it: the client hung up before its request was whole.
        return Response(status_code=400)
    asked = asgi_request(http.scope, body)
    page = await hosted_pages.serve_async(store, asked)
    answer = page or (await serve_async(limited, asked, MINT, SETTINGS)).response
    return Response(answer.body, answer.status, dict(answer.headers))


app = FastAPI(lifespan=lifespan, openapi_url=None)
# Everything goes there, also a target that is no path, such as `*`: the rules know paths and
# methods, and what to answer else.
app.router.default = request_response(endpoint)


if __name__ == "__main__":
    demo.explain()
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
