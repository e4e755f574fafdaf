"""The API on FastAPI: asynchronous, on PostgreSQL or SQLite.

    python docs/examples/fastapi_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

import demo
import hosted_pages
from fastapi import FastAPI, Request, Response
from settings import DATABASE_URL, HOST, MINT, POOL, PORT, SETTINGS, WORKERS, with_limits_async
from starlette.routing import request_response

from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.servers.run import run
from curae_lifecycle.stores.serve import serve_async
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_awaited_engine,
    create_engine,
)
from curae_lifecycle.stores.sql.store import AsyncDatabase, AsyncSqlStore
from curae_lifecycle.stores.sql.threads import InThreads
from curae_lifecycle.web.gateways import asgi_request


def open_database() -> AsyncDatabase:
    """SQLite is asked in threads: it is a file, and nobody awaits one any faster."""
    if DATABASE_URL.startswith("sqlite:"):
        return InThreads(SqlDatabase(create_engine(DATABASE_URL, pool_size=POOL)))
    return AsyncSqlDatabase(create_awaited_engine(DATABASE_URL, pool_size=POOL))


store = AsyncSqlStore(open_database(), SETTINGS)
limited = with_limits_async(store)


async def endpoint(http: Request) -> Response:
    """Hand a request over as it came, nothing decoded, and its answer back."""
    asked = asgi_request(http.scope, await http.body())
    page = await hosted_pages.serve_async(store, asked)
    answer = page or (await serve_async(limited, asked, MINT, SETTINGS)).response
    return Response(answer.body, answer.status, dict(answer.headers))


app = FastAPI(openapi_url=None)
# Everything goes there: the rules know paths and methods, and what to answer else.
app.router.default = request_response(endpoint)
served = Guard(app, at_once=10 * POOL)

if __name__ == "__main__":
    demo.prepare()
    run("fastapi_app:served", host=HOST, port=PORT, workers=WORKERS)
