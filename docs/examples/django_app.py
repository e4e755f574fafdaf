"""The API on Django, its tables made by migrations.

    python docs/examples/django_app.py

starts it on http://127.0.0.1:8000 with a SQLite file in the current directory, and prints what to
try. Set DATABASE_URL to `postgresql+psycopg://user:password@host/name` for PostgreSQL. With
arguments it is what `manage.py` is elsewhere: `python docs/examples/django_app.py migrate`.

What a project of yours copies is the application `django_curae`; the rest is a project's frame.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import parse_qsl, unquote, urlsplit

import demo
import django
import service
import waitress
from django.conf import settings
from django.core.management import call_command, execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.urls import re_path


def database(url: str) -> dict[str, object]:
    """Django's words for the URL of a database."""
    parts = urlsplit(url)
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme.startswith("sqlite"):
        options = {
            # The write lock is taken when a transaction begins: one that reads first and writes
            # later would be refused in the middle.
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode = WAL",
        }
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
    others = dict(parse_qsl(parts.query))
    return {
        # Its own default, READ COMMITTED, is enough: every update waits, and then compares.
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": others.pop("host", parts.hostname or ""),
        "PORT": others.pop("port", str(parts.port or "")),
        "OPTIONS": others,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }


settings.configure(
    # Signs nothing here; a project of yours has its own.
    SECRET_KEY=os.environ.get("SECRET_KEY", "not-a-secret"),
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": database(service.DATABASE_URL)},
    INSTALLED_APPS=["django_curae"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    # It would log the path of whatever is refused, and a hosted page's path is its secret.
    LOGGING={"version": 1, "loggers": {"django.request": {"level": "CRITICAL"}}},
)
django.setup()

# Models can be imported from here on.
from django_curae.store import transact  # noqa: E402
from django_curae.views import endpoint, unmatched  # noqa: E402

urlpatterns = [re_path("", endpoint)]
handler404 = unmatched
app = get_wsgi_application()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        execute_from_command_line(sys.argv)
    else:
        call_command("migrate", verbosity=0)
        demo.explain(transact)
        waitress.serve(app, host="127.0.0.1", port=service.PORT)
