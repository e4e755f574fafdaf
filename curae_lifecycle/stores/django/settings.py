"""Django's DATABASES settings for a database, with all timeouts set.

The law of this module: **nothing waits for ever**: not for a connection, a lock or a statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.sql.session_settings import DEFAULT_TIMEOUT, postgresql_options

MAX_AGE_SECONDS: Final = 600
"""The value of CONN_MAX_AGE: how long Django reuses a connection, in seconds."""


_ALLOWED: Final = "the URL of an SQLite file or of PostgreSQL"

_BEGINNING: Final = re.compile(r"(sqlite|postgresql)(?:\+\w+)?://")

_TRUE: Final = {"true", "yes", "on", "y", "t", "1"}
_FALSE: Final = {"false", "no", "off", "n", "f", "0"}
"""The values of the parameter `uri` of an SQLite URL, as SQLAlchemy reads them."""

_DRIVER_PARAMETERS: Final = {
    "uri",
    "timeout",
    "isolation_level",
    "detect_types",
    "check_same_thread",
    "cached_statements",
}
"""The parameters of an SQLite URL that SQLAlchemy takes as the driver's, not as SQLite's."""


def database_settings(url: str, *, timeout: float = DEFAULT_TIMEOUT) -> dict[str, object]:
    """Return an entry of Django's DATABASES for a database URL as SQLAlchemy writes it.

    Args:
        url: `sqlite:///file`, `sqlite:///file:name?uri=true` for a URI of SQLite, or
            `postgresql://user:password@host/name`. The query after a `?` holds parameters of the
            URI, or connection parameters of psycopg.
        timeout: Seconds to wait for a lock or a statement (PostgreSQL only). The wait for a
            connection to PostgreSQL is always two seconds.

    Raises:
        ArgumentError: The URL is malformed, for another database, or for SQLite in memory.
    """
    try:
        # A file's name may have a "#".
        parts = urlsplit(url, allow_fragments=False)
        port = str(parts.port or "")
    except ValueError:
        raise ArgumentError("url", _ALLOWED) from None
    name = unquote(parts.path.removeprefix("/"))
    beginning = _BEGINNING.match(url)
    match beginning and beginning[1]:
        case "sqlite" if not parts.netloc and not _is_in_memory(name, parts.query):
            return {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": _sqlite_name(name, dict(parse_qsl(parts.query))),
                "OPTIONS": {
                    "timeout": timeout,
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "PRAGMA journal_mode = WAL",
                },
                "CONN_MAX_AGE": MAX_AGE_SECONDS,
            }
        case "postgresql":
            return _postgresql(parts, name=name, port=port, wait=timeout)
        case _:
            raise ArgumentError("url", _ALLOWED)


def _is_in_memory(name: str, query: str) -> bool:
    is_named_so = name.removeprefix("file:") in {"", ":memory:"}
    return is_named_so or ("mode", "memory") in parse_qsl(query)


def _sqlite_name(name: str, query: Mapping[str, str]) -> str:
    # Django opens each name that begins with "file:" as a URI, and SQLAlchemy only if told so.
    uri = query.get("uri", "false").strip().lower()
    if uri not in _TRUE | _FALSE:
        raise ArgumentError("url", _ALLOWED)
    if not name.startswith("file:"):
        return name
    if uri in _FALSE:
        return f"./{name}"
    given = [f"{key}={value}" for key, value in query.items() if key not in _DRIVER_PARAMETERS]
    return f"{name}?{'&'.join(given)}" if given else name


def _postgresql(parts: SplitResult, *, name: str, port: str, wait: float) -> dict[str, object]:
    parameters = parse_qsl(parts.query)
    options = dict(parameters)
    given = [value for name, value in parameters if name == "options"]
    hosts, ports = _hosts_and_ports(parameters)
    options.pop("host", None)
    options.pop("port", None)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": ",".join(hosts) or parts.hostname or "",
        "PORT": ",".join(ports) or port,
        "OPTIONS": {
            **options,
            # psycopg treats one second as two. `/readyz` has no time to connect with three.
            "connect_timeout": 2,
            "options": postgresql_options(wait, given),
        },
        "CONN_MAX_AGE": MAX_AGE_SECONDS,
        "CONN_HEALTH_CHECKS": True,
    }


def _hosts_and_ports(parameters: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    # SQLAlchemy reads `host=a:1&host=b:2` as two hosts with a port each.
    hosts = [value for name, value in parameters if name == "host"]
    ports = [value for name, value in parameters if name == "port"]
    pairs = [_HOST_AND_PORT.fullmatch(host) for host in hosts]
    if not ports and any(pairs):
        ports = ["" if pair is None else pair[2] for pair in pairs]
        hosts = [host if pair is None else pair[1] for host, pair in zip(hosts, pairs, strict=True)]
    return hosts, ports


_HOST_AND_PORT: Final = re.compile(r"([\w.-]*):(\d+)", re.ASCII)
