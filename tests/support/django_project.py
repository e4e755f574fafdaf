"""A Django that is set up once per process, and a fresh database for each test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Final, TypeVar

import django
import sqlalchemy as sa
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.django.database import DjangoDatabase
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.conformance import Server
from curae_lifecycle.web.request import Request
from tests.support.served import Clock, MovedDatabase, Served

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}},
        INSTALLED_APPS=["curae_lifecycle.stores.django"],
        USE_TZ=True,
    )
    django.setup()

Answer = TypeVar("Answer")

PATIENCE: Final = 60
"""The default database timeout of tests, in seconds."""

CONNECT: Final = 20
"""Seconds for a connection: none is started with less time left."""

_NUMBERS: Final = count(1)


@contextmanager
def database(
    url: str,
    *,
    migrated: bool = True,
    options: Mapping[str, object] | None = None,
    changed: Mapping[str, object] | None = None,
) -> Iterator[str]:
    """Yield an alias for the database of a URL, with its tables."""
    parts = sa.make_url(url)
    # Durability against a machine crash is off.
    pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF"
    usual: dict[str, object] = {"timeout": PATIENCE, "init_command": pragmas}
    if parts.get_backend_name() == "postgresql":
        limits = f"-c statement_timeout={PATIENCE}s -c lock_timeout={PATIENCE}s"
        usual = {"connect_timeout": CONNECT, "options": limits}
    given = {
        "ENGINE": f"django.db.backends.{parts.get_backend_name().replace('sqlite', 'sqlite3')}",
        "NAME": parts.database,
        "USER": parts.username or "",
        "HOST": parts.query.get("host", parts.host or ""),
        "PORT": parts.port or "",
        "OPTIONS": {**usual, **(options or {})},
        **(changed or {}),
    }
    alias = f"made-{next(_NUMBERS)}"
    dummy = {"ENGINE": "django.db.backends.dummy"}
    connections.settings.update(connections.configure_settings({"default": dummy, alias: given}))
    try:
        if migrated:
            call_command("migrate", database=alias, verbosity=0)
        yield alias
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]


def at_once(alias: str, works: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Run all at once, each in a thread with its own connection."""
    ready = threading.Barrier(len(works))

    def run(work: Callable[[], Answer]) -> Answer:
        try:
            connections[alias].ensure_connection()
            ready.wait()
            return work()
        finally:
            connections[alias].close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


class DjangoServed(Served):
    """A store on Django's connections, served."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.thread = threading.current_thread()
        clock = Clock()
        store = SqlStore(MovedDatabase(DjangoDatabase(alias), clock))
        super().__init__(store, store, clock, self.empty)

    def empty(self) -> None:
        with connections[self.alias].cursor() as cursor:
            cursor.execute("DELETE FROM curae_bucket")

    def send(self, request: Request) -> Response:
        try:
            return super().send(request)
        finally:
            self.leave()

    def record_fact(self, fact: Fact) -> FactAnswer:
        try:
            return super().record_fact(fact)
        finally:
            self.leave()

    def leave(self) -> None:
        """Close the connections of a thread that ends."""
        if threading.current_thread() is not self.thread:
            connections[self.alias].close()


def server_of(alias: str, environment: Environment | None = None) -> Server:
    return DjangoServed(alias).server(environment)
