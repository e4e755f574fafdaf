"""The API on Flask, in threads, on SQLite or PostgreSQL.

    python docs/examples/flask_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

from functools import partial

import demo
import hosted_pages
from flask import Flask, Response, request
from settings import COUNTERS, DATABASE_URL, HOST, IDS, POOL, PORT, SETTINGS, WORKERS, with_limits

from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.servers.log import configure_logging
from curae_lifecycle.servers.run import run
from curae_lifecycle.servers.wsgi import wsgi_to_asgi
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.asgi_wsgi import wsgi_request

configure_logging()
app = Flask(__name__, static_folder=None)
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


@app.before_request
def route() -> Response:
    """Answer every request before Flask looks for a route: the rules know paths and methods."""
    answer = endpoint(wsgi_request(request.environ, request.get_data()))
    return Response(answer.body, answer.status, list(answer.headers))


served = Guard(
    wsgi_to_asgi(app, POOL), max_concurrent=POOL, drain=endpoint.drain, counters=COUNTERS
)

if __name__ == "__main__":
    demo.prepare()
    run("flask_app:served", host=HOST, port=PORT, workers=WORKERS)
