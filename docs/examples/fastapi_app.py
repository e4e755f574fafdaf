"""The API on FastAPI: async, on PostgreSQL or SQLite.

    python docs/examples/fastapi_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

from functools import partial

import demo
import hosted_pages
from fastapi import FastAPI, Request, Response
from settings import COUNTERS, HOST, IDS, POOL, PORT, SETTINGS, WORKERS, open_database_async
from settings import with_limits_async as with_limits
from starlette.routing import request_response

from curae_lifecycle.servers.endpoint import AsyncEndpoint
from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.servers.log import configure_logging
from curae_lifecycle.servers.run import run
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox
from curae_lifecycle.stores.sql.store import AsyncSqlStore
from curae_lifecycle.web.asgi_wsgi import asgi_request

configure_logging()
database = open_database_async()
store = AsyncSqlStore(database, SETTINGS)
endpoint = AsyncEndpoint(
    with_limits(store),
    IDS,
    SETTINGS,
    hosted_pages=partial(hosted_pages.serve_async, store),
    counters=COUNTERS,
    backlog=AsyncOutbox(database).backlog,
)


async def route(http: Request) -> Response:
    """Pass each request on without decoding it, and return the response."""
    answer = await endpoint(asgi_request(http.scope, await http.body()))
    return Response(answer.body, answer.status, dict(answer.headers))


app = FastAPI(openapi_url=None)
# It gets every request: the rules know the paths and methods, and refuse all others.
app.router.default = request_response(route)
served = Guard(app, max_concurrent=POOL, drain=endpoint.drain, counters=COUNTERS)

if __name__ == "__main__":
    demo.prepare()
    run("fastapi_app:served", host=HOST, port=PORT, workers=WORKERS)
