"""The API on Flask, in threads, on SQLite or PostgreSQL.

    python docs/examples/flask_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

import demo
import hosted_pages
import waitress
from flask import Flask, Response, request
from settings import DATABASE_URL, MINT, PORT, SETTINGS, with_limits

from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.gateways import wsgi_request
from curae_lifecycle.web.request import BODY_MAX

app = Flask(__name__, static_folder=None)
store = SqlStore(SqlDatabase(create_engine(DATABASE_URL)), SETTINGS)
store.create_tables()
limited = with_limits(store)


@app.before_request
def endpoint() -> Response:
    """Answer everything before Flask looks for a route: the rules know paths and methods."""
    asked = wsgi_request(request.environ, request.stream.read(BODY_MAX + 1))
    answer = hosted_pages.serve(store, asked) or serve(limited, asked, MINT, SETTINGS).response
    return Response(answer.body, answer.status, list(answer.headers))


if __name__ == "__main__":
    demo.explain()
    waitress.serve(app, host="127.0.0.1", port=PORT)
