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
import uvicorn
from fastapi import FastAPI
from sql_store import METADATA, Conflict, SqlStore, is_passing, prepare
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from curae_lifecycle.http import Request, Response

# Parameters of a failed statement can hold the URL of a hosted page: no log shows them.
engine = create_async_engine(
    service.DATABASE_URL.replace("sqlite:", "sqlite+aiosqlite:"), hide_parameters=True
)
prepare(engine.sync_engine)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables, and let go of the database at the end."""
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield
    await engine.dispose()


async def serve(request: Request) -> Response:
    """Answer in one transaction, and again for as long as somebody else is faster."""
    for _ in range(service.TRIES):
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(
                    lambda sync: service.serve(SqlStore(sync), request, service.now())
                )
        except (Conflict, DBAPIError) as error:
            if not is_passing(error):
                raise
    raise Conflict


async def read(http: HttpRequest) -> Request:
    """The request as it came: nothing decoded, every header, the body up to a limit."""
    body = b""
    async for chunk in http.stream():
        body += chunk
        if len(body) > service.BODY_MAX:
            break
    query, pairs = http.scope["query_string"], http.headers.raw
    target = http.scope["raw_path"] + (b"?" + query if query else b"")
    headers = tuple((name.decode("latin-1"), each.decode("latin-1")) for name, each in pairs)
    return Request(http.method, target.decode("latin-1"), headers, service.whole(body))


class Endpoint:
    """One route for everything: the rules know paths and methods, and what to answer else."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request over, and its answer back."""
        try:
            response = await serve(await read(HttpRequest(scope, receive)))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
            response = service.failed(error)
        answer = HttpResponse(response.body, response.status)
        answer.raw_headers += [(name.encode(), each.encode()) for name, each in response.headers]
        await answer(scope, receive, send)


app = FastAPI(lifespan=lifespan, openapi_url=None, routes=[Route("/{path:path}", Endpoint())])


if __name__ == "__main__":
    demo.explain()
    uvicorn.run(app, host="127.0.0.1", port=service.PORT, log_level="warning")
