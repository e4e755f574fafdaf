"""The API on Flask, with the same store as the others.

    python docs/examples/flask_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL.
"""

from __future__ import annotations

import demo
import service
import sql_server
import waitress
from flask import Flask, request
from flask import Response as HttpResponse

from curae_lifecycle import Request

app = Flask(__name__, static_folder=None)


@app.before_request
def endpoint() -> HttpResponse:
    """Answer everything before Flask looks for a route: the rules know paths and methods."""
    # PATH_INFO is decoded; the request line as it came is what the rules read.
    target = str(request.environ["REQUEST_URI"])
    body = request.stream.read(service.BODY_MAX + 1)
    asked = Request(request.method, target, tuple(request.headers), service.whole(body))
    response = sql_server.respond_to(asked)
    return HttpResponse(response.body, response.status, list(response.headers))


if __name__ == "__main__":
    demo.explain(sql_server.transact)
    waitress.serve(app, host="127.0.0.1", port=service.PORT)
