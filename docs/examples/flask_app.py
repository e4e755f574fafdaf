"""The API on Flask, in threads, on SQLite or PostgreSQL.

    python docs/examples/flask_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

import demo
import hosted_pages
from flask import Flask, Response, request
from settings import DATABASE_URL, HOST, MINT, POOL, PORT, SETTINGS, WORKERS, with_limits

from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.servers.run import run
from curae_lifecycle.servers.threads import in_threads
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.gateways import wsgi_request

app = Flask(__name__, static_folder=None)
store = SqlStore(SqlDatabase(create_engine(DATABASE_URL, pool_size=POOL)), SETTINGS)
limited = with_limits(store)


@app.before_request
def endpoint() -> Response:
    """Answer everything before Flask looks for a route: the rules know paths and methods."""
    asked = wsgi_request(request.environ, request.get_data())
    answer = hosted_pages.serve(store, asked) or serve(limited, asked, MINT, SETTINGS).response
    return Response(answer.body, answer.status, list(answer.headers))


served = Guard(in_threads(app, POOL), at_once=POOL)

if __name__ == "__main__":
    demo.prepare()
    run("flask_app:served", host=HOST, port=PORT, workers=WORKERS)
