"""The API on Django, with Django's own connection and migrations.

`python docs/examples/django_app.py` starts it on http://127.0.0.1:8000. With arguments it is
`manage.py`.
"""

from __future__ import annotations

import os
import sys
from functools import partial

import demo
import hosted_pages
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from settings import COUNTERS, HOST, IDS, POOL, PORT, SETTINGS, WORKERS, with_limits

from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.servers.log import configure_logging
from curae_lifecycle.servers.run import run
from curae_lifecycle.servers.wsgi import wsgi_to_asgi
from curae_lifecycle.stores.django.database import DjangoDatabase
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.asgi_wsgi import wsgi_request

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_settings")
app = wsgi_to_asgi(get_wsgi_application(), POOL)
configure_logging()
store, backlog = SqlStore(DjangoDatabase(), SETTINGS), Outbox(DjangoDatabase()).backlog
api, pages = with_limits(store), partial(hosted_pages.serve, store)
endpoint = Endpoint(api, IDS, SETTINGS, hosted_pages=pages, counters=COUNTERS, backlog=backlog)
served = Guard(app, max_concurrent=POOL, drain=endpoint.drain, counters=COUNTERS)


@csrf_exempt  # no cookie identifies the caller: an API key does, or the URL of a hosted page
def view(http: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """Pass each request on unchanged, even if no URL pattern matches it."""
    answer = endpoint(wsgi_request(http.META, http.body))
    response = HttpResponse(answer.body, status=answer.status)
    del response["content-type"]
    length = () if answer.status == 304 else (("content-length", str(len(answer.body))),)
    for name, value in (*answer.headers, *length):
        response[name] = value
    return response


urlpatterns, handler404 = [re_path("", view)], view

if __name__ == "__main__":
    if len(sys.argv) > 1:
        execute_from_command_line(sys.argv)
    else:
        demo.prepare_django()
        run("django_app:served", host=HOST, port=PORT, workers=WORKERS)
