"""The API without a framework: one ASGI function, which handles its requests in threads.

    python docs/examples/asgi_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import demo
import hosted_pages
from settings import COUNTERS, DATABASE_URL, HOST, IDS, POOL, PORT, SETTINGS, WORKERS, with_limits

from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.guard import AsgiMessage, Guard, Receive, Send
from curae_lifecycle.servers.log import configure_logging
from curae_lifecycle.servers.run import run
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.asgi_wsgi import asgi_body, asgi_headers, asgi_request

configure_logging()
threads = ThreadPoolExecutor(POOL)
database = SqlDatabase(create_engine(DATABASE_URL, pool_size=POOL))
store = SqlStore(database, SETTINGS)
endpoint = Endpoint(
    with_limits(store),
    IDS,
    SETTINGS,
    hosted_pages=partial(hosted_pages.serve, store),
    counters=COUNTERS,
    backlog=Outbox(database).backlog,
)


async def app(scope: AsgiMessage, receive: Receive, send: Send) -> None:
    """Answer one request in a thread, which may wait for the database."""
    if scope["type"] != "http":
        raise NotImplementedError  # the server then sends no lifespan messages
    if (body := await asgi_body(receive)) is None:
        return  # the client disconnected
    asked = asgi_request(scope, body)
    answer = await asyncio.get_running_loop().run_in_executor(threads, endpoint, asked)
    length = [] if answer.status == 304 else [(b"content-length", b"%d" % len(answer.body))]
    headers = [*asgi_headers(answer), *length]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


served = Guard(app, max_concurrent=POOL, drain=endpoint.drain, counters=COUNTERS)

if __name__ == "__main__":
    demo.prepare()
    run("asgi_app:served", host=HOST, port=PORT, workers=WORKERS)
