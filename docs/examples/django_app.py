"""The API on Django: its own connection, its tables made by migrations.

    python docs/examples/django_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. With arguments it is what `manage.py` is elsewhere.
"""

from __future__ import annotations

import os
import sys

import demo
import hosted_pages
from django.core.management import call_command, execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from settings import HOST, MINT, POOL, PORT, SETTINGS, WORKERS, with_limits

from curae_lifecycle.servers.guard import Guard
from curae_lifecycle.servers.run import run
from curae_lifecycle.servers.threads import in_threads
from curae_lifecycle.stores.django.database import DjangoDatabase
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.gateways import wsgi_request

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_settings")
served = Guard(in_threads(get_wsgi_application(), POOL), at_once=POOL)
store = SqlStore(DjangoDatabase(), SETTINGS)
limited = with_limits(store)


@csrf_exempt  # no cookie tells who calls: the API goes by its key, a hosted page by its URL
def endpoint(http: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """Hand a request over as it came, also one that no pattern of Django's matches."""
    asked = wsgi_request(http.META, http.body)
    answer = hosted_pages.serve(store, asked) or serve(limited, asked, MINT, SETTINGS).response
    response = HttpResponse(answer.body, status=answer.status)
    del response["content-type"]
    for name, value in (*answer.headers, ("content-length", str(len(answer.body)))):
        response[name] = value
    return response


urlpatterns = [re_path("", endpoint)]
handler404 = endpoint

if __name__ == "__main__":
    if len(sys.argv) > 1:
        execute_from_command_line(sys.argv)
    else:
        call_command("migrate", verbosity=0)
        connection.close()  # no worker shares it
        demo.prepare()
        run("django_app:served", host=HOST, port=PORT, workers=WORKERS)
