"""What a project's DATABASES says of a database, its limits of time set.

The law of this module: **nothing waits for ever**: not for a connection, not for a lock, not for a
statement.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from curae_lifecycle.rules.errors import ArgumentError

DEFAULT_TIMEOUT: Final = 2.0
"""Seconds that a connection, a lock or a statement is waited for, where nothing else is said."""

KEPT_SECONDS: Final = 600
"""For how long a connection is used again."""


def database_settings(url: str, *, timeout: float = DEFAULT_TIMEOUT) -> dict[str, object]:
    """One of DATABASES for the URL of a database, as SQLAlchemy would have it.

    Args:
        url: `sqlite:///file` or `postgresql://user:password@host/name`; what stands after a `?` is
            psycopg's.
        timeout: Seconds that a connection, a lock or a statement is waited for; PostgreSQL's
            connection at least two.

    Raises:
        ArgumentError: A URL of another database.
    """
    parts = urlsplit(url)
    name = unquote(parts.path.removeprefix("/"))
    match parts.scheme.partition("+")[0]:
        case "sqlite" if name:
            return {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": name,
                "OPTIONS": {
                    "timeout": timeout,
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "PRAGMA journal_mode = WAL",
                },
                "CONN_MAX_AGE": KEPT_SECONDS,
            }
        case "postgresql":
            return _postgresql(url, name, timeout)
        case _:
            raise ArgumentError("url", "one for a SQLite file or PostgreSQL")


def _postgresql(url: str, name: str, wait: float) -> dict[str, object]:
    parts, milliseconds = urlsplit(url), int(wait * 1000)
    others = dict(parse_qsl(parts.query))
    limits = f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": others.pop("host", parts.hostname or ""),
        "PORT": others.pop("port", str(parts.port or "")),
        "OPTIONS": {
            **others,
            # psycopg takes one second for two.
            "connect_timeout": max(2, round(wait)),
            "options": f"{others.get('options', '')} {limits}".strip(),
        },
        "CONN_MAX_AGE": KEPT_SECONDS,
        "CONN_HEALTH_CHECKS": True,
    }
