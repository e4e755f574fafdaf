"""The API on Django: its own connection, its tables made by migrations.

    python docs/examples/django_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL. With
arguments it is what `manage.py` is elsewhere: `python docs/examples/django_app.py migrate`.

A project of yours has the application `curae_lifecycle.stores.django`, a store and a view; the rest
is a project's frame.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import parse_qsl, unquote, urlsplit

import demo
import django
import hosted_pages
import waitress
from django.conf import settings as project
from django.core.management import call_command, execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from settings import DATABASE_URL, MINT, PORT, SETTINGS, with_limits

from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.gateways import wsgi_request
from curae_lifecycle.web.request import BODY_MAX


def database(url: str) -> dict[str, object]:
    """Django's words for the URL of a database, with limits of time."""
    parts = urlsplit(url)
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme.startswith("sqlite"):
        options: dict[str, object] = {
            "timeout": 2,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode = WAL",
        }
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
    others = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": others.pop("host", parts.hostname or ""),
        "PORT": others.pop("port", str(parts.port or "")),
        "OPTIONS": {
            "connect_timeout": 2,
            "options": "-c statement_timeout=2000 -c lock_timeout=2000",
            **others,
        },
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }


project.configure(
    # Signs nothing here; a project of yours has its own.
    SECRET_KEY=os.environ.get("SECRET_KEY", "not-a-secret"),
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": database(DATABASE_URL)},
    INSTALLED_APPS=["curae_lifecycle.stores.django"],
    # As every new project has it.
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    LOGGING={
        "version": 1,
        # Else whoever has a logger by now would say nothing any more.
        "disable_existing_loggers": False,
        # It would log the path of whatever is refused, and a hosted page's path is its secret.
        "loggers": {"django.request": {"level": "CRITICAL"}},
    },
)
django.setup()

# It can be imported from here on.
from curae_lifecycle.stores.django.database import DjangoDatabase  # noqa: E402

store = SqlStore(DjangoDatabase(), SETTINGS)
limited = with_limits(store)


# No cookie tells who calls: the API goes by its key, a hosted page by its URL.
@csrf_exempt
def endpoint(http: HttpRequest) -> HttpResponse:
    """Hand a request over as it came, and its answer back."""
    asked = wsgi_request(http.META, http.read(BODY_MAX + 1))
    answer = hosted_pages.serve(store, asked) or serve(limited, asked, MINT, SETTINGS).response
    # Not every server drops the body that a HEAD must not have.
    response = HttpResponse(b"" if http.method == "HEAD" else answer.body, status=answer.status)
    # It has one of its own, also where there is nothing to be of a type.
    del response["content-type"]
    for name, value in (*answer.headers, ("content-length", str(len(answer.body)))):
        response[name] = value
    return response


def unmatched(http: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - as called
    """Answer what no pattern of Django's matches, such as `OPTIONS *`, like everything else."""
    return endpoint(http)


urlpatterns = [re_path("", endpoint)]
handler404 = unmatched
app = get_wsgi_application()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        execute_from_command_line(sys.argv)
    else:
        call_command("migrate", verbosity=0)
        demo.explain()
        waitress.serve(app, host="127.0.0.1", port=PORT)
