"""Django's DATABASES settings for a database, with all timeouts set.

The law of this module: **nothing waits for ever**: not for a connection, a lock or a statement.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.sql.limits import postgresql_options

DEFAULT_TIMEOUT: Final = 2.0
"""The default timeout for a connection, a lock or a statement, in seconds."""

MAX_AGE_SECONDS: Final = 600
"""The value of CONN_MAX_AGE: how long Django reuses a connection, in seconds."""


def database_settings(url: str, *, timeout: float = DEFAULT_TIMEOUT) -> dict[str, object]:
    """Return an entry of Django's DATABASES for a database URL as SQLAlchemy writes it.

    Args:
        url: `sqlite:///file` or `postgresql://user:password@host/name`. The query after a `?` holds
            connection parameters of psycopg.
        timeout: Seconds to wait for a lock, a statement (PostgreSQL only) or a connection. For a
            connection to PostgreSQL it is rounded to whole seconds, at least two.

    Raises:
        ArgumentError: The URL is for another database, or for SQLite in memory.
    """
    parts = urlsplit(url)
    name = unquote(parts.path.removeprefix("/"))
    match parts.scheme.partition("+")[0]:
        case "sqlite" if not _is_in_memory(name, parts.query):
            return {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": name,
                "OPTIONS": {
                    "timeout": timeout,
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "PRAGMA journal_mode = WAL",
                },
                "CONN_MAX_AGE": MAX_AGE_SECONDS,
            }
        case "postgresql":
            return _postgresql(url, name, timeout)
        case _:
            raise ArgumentError("url", "the URL of an SQLite file or of PostgreSQL")


def _is_in_memory(name: str, query: str) -> bool:
    is_named_so = name.removeprefix("file:") in {"", ":memory:"}
    return is_named_so or ("mode", "memory") in parse_qsl(query)


def _postgresql(url: str, name: str, wait: float) -> dict[str, object]:
    parts = urlsplit(url)
    parameters = parse_qsl(parts.query)
    options = dict(parameters)
    given = [value for name, value in parameters if name == "options"]
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": options.pop("port", str(parts.port or "")),
        "OPTIONS": {
            **options,
            # psycopg treats one second as two.
            "connect_timeout": max(2, round(wait)),
            "options": postgresql_options(wait, given),
        },
        "CONN_MAX_AGE": MAX_AGE_SECONDS,
        "CONN_HEALTH_CHECKS": True,
    }
