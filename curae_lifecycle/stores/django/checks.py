"""Django system checks of the settings that the store depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from django.apps import AppConfig
from django.core import checks
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from curae_lifecycle.stores.django.database import (
    DIALECTS,
    SETTING,
    connect_timeout,
    database_alias,
    pool_timeout,
    session_timeout,
)
from curae_lifecycle.stores.retry import DEFAULT_RETRY_POLICY

TAG: Final = "curae_lifecycle"
"""The tag of the checks for `manage.py check --tag`."""

READY_SECONDS: Final = 3.0
"""The `READY_TIMEOUT_SECONDS` of the servers, which a store may not import."""


def register_checks() -> None:
    """Register the check of Django's settings, `check_database`, for `manage.py check` to run."""
    checks.register(check_database, TAG)


def check_database(
    app_configs: Sequence[AppConfig] | None, **_: object
) -> list[checks.CheckMessage]:
    """Check that the store can run on the database that the settings name.

    Args:
        app_configs: The apps that Django checks. The result does not depend on them.

    Returns:
        The errors and warnings; an empty list if there are none.
    """
    del app_configs
    alias = database_alias()
    if alias not in connections:
        message = f"{SETTING} is {alias!r}, which is not a key of DATABASES."
        hint = "Set it to a key of DATABASES, or remove the setting to use `default`."
        return [checks.Error(message, hint, id="curae_lifecycle.E001")]
    connection = connections[alias]
    if connection.vendor not in DIALECTS:
        message = f"The database {alias!r} is neither SQLite nor PostgreSQL."
        hint = f"Set {SETTING} to an SQLite or PostgreSQL database."
        return [checks.Error(message, hint, id="curae_lifecycle.E002")]
    return list(_check_settings(connection))


def _check_settings(connection: BaseDatabaseWrapper) -> Iterator[checks.CheckMessage]:
    where, given = f"DATABASES[{connection.alias!r}]", connection.settings_dict
    if not given["AUTOCOMMIT"]:
        message = f"{where} has AUTOCOMMIT off, but a commit needs its own transaction."
        yield checks.Error(
            message, "Remove AUTOCOMMIT from the settings.", id="curae_lifecycle.E003"
        )
    if given["ATOMIC_REQUESTS"]:
        message = f"{where} has ATOMIC_REQUESTS on, but a commit needs its own transaction."
        hint = "Mark the API's views with `transaction.non_atomic_requests`."
        yield checks.Warning(message, hint, id="curae_lifecycle.W001")
    if connection.vendor == "postgresql":
        yield from _check_postgresql(where, given["OPTIONS"])


def _check_postgresql(where: str, options: Mapping[str, object]) -> Iterator[checks.CheckMessage]:
    from django.db.backends.postgresql.psycopg_any import (  # noqa: PLC0415 - needs a driver
        is_psycopg3,
    )

    if not is_psycopg3:
        message = f"{where} uses psycopg2, whose errors the store cannot interpret."
        yield checks.Error(message, "Install psycopg 3.", id="curae_lifecycle.E004")
    limits = {
        "connect_timeout": connect_timeout(options),
        "statement_timeout": session_timeout("statement", options),
        "lock_timeout": session_timeout("lock", options),
    }
    missing = [name for name, seconds in limits.items() if not seconds]
    if missing:
        message = f"{where} may block for ever: {', '.join(missing)} not set."
        hint = (
            'Set OPTIONS to {"connect_timeout": 2, '
            '"options": "-c statement_timeout=2000 -c lock_timeout=1875"}. If they are set '
            "elsewhere, silence this check."
        )
        yield checks.Warning(message, hint, id="curae_lifecycle.W002")
    seconds = pool_timeout(options)
    if seconds > DEFAULT_RETRY_POLICY.seconds:
        message = f"{where} may block a request for {seconds:g} s until its pool has a connection."
        hint = 'Add "timeout": 2 to the dict "pool" of OPTIONS.'
        yield checks.Warning(message, hint, id="curae_lifecycle.W003")
    if limits["connect_timeout"] >= READY_SECONDS:
        message = f"{where} never connects for `/readyz`, which has {READY_SECONDS:g} s in all."
        hint = 'Set "connect_timeout": 2 in OPTIONS.'
        yield checks.Warning(message, hint, id="curae_lifecycle.W004")
