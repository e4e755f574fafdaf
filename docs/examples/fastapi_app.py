"""The API on FastAPI, asynchronous, on SQLite or PostgreSQL.

    python docs/examples/fastapi_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import demo
import service
import sql_server
import uvicorn
from fastapi import FastAPI
from sql_store import SqlStore, create_tables, is_passing, prepare
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_only
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import request_response
from store import Conflict, Store

from curae_lifecycle import Request, Response

# Parameters of a failed statement can hold the URL of a hosted page: no log shows them.
engine = create_async_engine(
    service.DATABASE_URL.replace("sqlite:", "sqlite+aiosqlite:"), hide_parameters=True
)
prepare(engine.sync_engine)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables, and let go of the database at the end."""
    async with engine.begin() as connection:
        await connection.run_sync(create_tables)
    yield
    await engine.dispose()


def limited(store: Store) -> Store:
    """The store itself, or with its rate limits in Redis, asked without holding others up."""
    url = service.REDIS_URL
    if url is None:
        return store
    import redis_limits  # noqa: PLC0415 - needed only where it is wanted

    execute = redis_limits.execute_async(url)
    return redis_limits.RedisLimits(store, lambda *command: await_only(execute(*command)))


async def transact(request: Request) -> Response:
    """Answer in one transaction, and again for as long as somebody else is faster."""
    for _ in range(service.TRIES):
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(
                    lambda sync: service.serve(limited(SqlStore(sync)), request, service.now())
                )
        except (Conflict, DBAPIError) as error:
            if not is_passing(error):
                raise
    raise Conflict


async def respond_to(request: Request) -> Response:
    """Answer one request, in a transaction of its own."""
    try:
        return await transact(request)
    except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
        return service.failed(error)


async def endpoint(http: HttpRequest) -> HttpResponse:
    """Hand a request over as it came, nothing decoded, and its answer back."""
    body = b""
    async for chunk in http.stream():
        # One that is too long is read to its end and not kept, so that its client hears of it.
        if len(body) <= service.BODY_MAX:
            body += chunk
    query, pairs = http.scope["query_string"], http.headers.raw
    target = http.scope["raw_path"] + (b"?" + query if query else b"")
    headers = tuple((name.decode("latin-1"), each.decode("latin-1")) for name, each in pairs)
    asked = Request(http.method, target.decode("latin-1"), headers, service.whole(body))
    response = await respond_to(asked)
    answer = HttpResponse(response.body, response.status)
    answer.raw_headers += [(name.encode(), each.encode()) for name, each in response.headers]
    return answer


async def gone(_: HttpRequest, __: Exception) -> HttpResponse:
    """The client hung up before its request was whole: nobody hears this answer."""
    return HttpResponse(status_code=400)


app = FastAPI(
    lifespan=lifespan,
    openapi_url=None,
    exception_handlers={ClientDisconnect: gone},
)
# Everything goes there, also a target that is no path, such as `*`: the rules know paths and
# methods, and what to answer else.
app.router.default = request_response(endpoint)


if __name__ == "__main__":
    demo.explain(sql_server.transact)
    uvicorn.run(app, host="127.0.0.1", port=service.PORT, log_level="warning")
