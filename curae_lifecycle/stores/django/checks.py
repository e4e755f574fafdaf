"""What the store asks of a project's settings, as Django's system checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from django.apps import AppConfig
from django.core import checks
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from curae_lifecycle.stores.django.database import DIALECTS, SETTING, database_alias

TAG: Final = "curae_lifecycle"
"""What `manage.py check --tag` runs them by."""

_LIMITS: Final = ("connect_timeout", "statement_timeout", "lock_timeout")
"""What limits how long PostgreSQL is waited for; the last two are told to the server."""


def register_checks() -> None:
    """Let Django run them."""
    checks.register(check_database, TAG)


def check_database(
    app_configs: Sequence[AppConfig] | None, **_: object
) -> list[checks.CheckMessage]:
    """Whether the store can run on the database that the settings name."""
    del app_configs
    alias = database_alias()
    if alias not in connections:
        message = f"{SETTING} names no database of DATABASES: {alias!r}."
        hint = "Name one of its keys, or leave the setting out for `default`."
        return [checks.Error(message, hint, id="curae_lifecycle.E001")]
    connection = connections[alias]
    if connection.vendor not in DIALECTS:
        message = f"The database {alias!r} is neither SQLite nor PostgreSQL."
        hint = f"Let {SETTING} name one that is."
        return [checks.Error(message, hint, id="curae_lifecycle.E002")]
    return list(_settings_of(connection))


def _settings_of(connection: BaseDatabaseWrapper) -> Iterator[checks.CheckMessage]:
    where, given = f"DATABASES[{connection.alias!r}]", connection.settings_dict
    if not given["AUTOCOMMIT"]:
        message = f"{where} does not commit by itself, and a commit needs its own transaction."
        yield checks.Error(message, "Leave AUTOCOMMIT out.", id="curae_lifecycle.E003")
    if given["ATOMIC_REQUESTS"]:
        message = f"{where} has ATOMIC_REQUESTS, and a commit needs its own transaction."
        hint = "Mark the views that serve with `transaction.non_atomic_requests`."
        yield checks.Warning(message, hint, id="curae_lifecycle.W001")
    if connection.vendor == "postgresql":
        yield from _driver_of(where, given["OPTIONS"])


def _driver_of(where: str, options: Mapping[str, object]) -> Iterator[checks.CheckMessage]:
    from django.db.backends.postgresql.psycopg_any import (  # noqa: PLC0415 - it needs a driver
        is_psycopg3,
    )

    if not is_psycopg3:
        message = f"{where} is used through psycopg2, which says in other ways what failed."
        yield checks.Error(message, "Install psycopg 3.", id="curae_lifecycle.E004")
    said = [*options, str(options.get("options", ""))]
    missing = [limit for limit in _LIMITS if not any(limit in each for each in said)]
    if missing:
        message = f"{where} may be waited for without an end: {', '.join(missing)} not set."
        hint = (
            'Set OPTIONS to {"connect_timeout": 2, '
            '"options": "-c statement_timeout=2000 -c lock_timeout=2000"}, or set them elsewhere '
            "and silence this."
        )
        yield checks.Warning(message, hint, id="curae_lifecycle.W002")
