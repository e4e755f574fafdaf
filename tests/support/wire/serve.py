"""A runner of an example as users run it, with a clock and settings that tests can change.

`main` serves `docs/examples/APP_app.py` on a port of an address (0 for a free one) and prints it.
Its control is a JSON file, read for each request: the offset of the clock in microseconds, the
standard buckets, and the only environment to serve. Read once are the spelling of ACTIVE, the
address for a browser if it is not the port, the mistake of its database, the time limits for
headers and bodies if they differ, and the database timeout. The environment variable SKEW is how far the
clock of this server is ahead of that, in microseconds.

The law of this module: **a server gives up only if a test is about that**. On a slow machine the
few seconds of an example's limits would end without any mistake.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Final

import attrs
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.servers import endpoint, guard
from curae_lifecycle.servers.guard import AsgiApp
from curae_lifecycle.servers.run import CONNECTIONS, HEADERS
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.stores import serve as serving
from curae_lifecycle.stores.contract import AsyncStore, Store
from curae_lifecycle.stores.django import settings as django
from curae_lifecycle.stores.new_ids import IdFactory
from curae_lifecycle.stores.redis import clients
from curae_lifecycle.stores.retry import DEFAULT_RETRY_POLICY, RetryPolicy, RetryStats
from curae_lifecycle.stores.sql import engine
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.support.wire.databases import AsyncMovedDatabase, MovedDatabase, spoil, transactions
from tests.support.wire.forked import LOCAL
from tests.support.wire.meanwhile import Meanwhile, interrupt, send


@attrs.frozen
class Control:
    """The values that a test may change while a server runs."""

    ahead: int = 0
    buckets: tuple[tuple[str, int, int, int], ...] = ()
    environment: str | None = None
    spelling: str = "ACTIVE"
    public_url: str | None = None
    wrong: str | None = None
    meanwhile: Meanwhile | None = None
    stranger_seconds: float | None = None
    patience: float | None = 60.0
    """Seconds for retries and for the queue; None for the example's own limits."""

    wait: float | None = 30.0
    """Seconds for a connection, a lock or a statement; None as above."""

    def write(self, file: Path) -> None:
        """Replace the file in one step, so that no reader sees half of it."""
        new_ids = file.with_suffix(".new")
        new_ids.write_text(json.dumps(attrs.asdict(self)))
        new_ids.replace(file)

    def now(self) -> datetime:
        """Return the time of the moved clock."""
        return datetime.now(UTC) + timedelta(microseconds=self.ahead)  # noqa: TID251 - a server's

    def settings(self) -> Settings:
        """Return the settings."""
        return Settings(
            buckets=tuple([Bucket(*each) for each in self.buckets]),
            environment=None if self.environment is None else Environment(self.environment),
            active_spelling=self.spelling,
        )


_READ: Final[dict[Path, tuple[tuple[int, int, int], Control]]] = {}
"""Each control file as it was read last: its inode, time and size, and its values."""


def read_control(file: Path) -> Control:
    """Return the values of the current control file."""
    # A server asks several times for each request, and a test rarely replaces the file.
    found = file.stat()
    version = found.st_ino, found.st_mtime_ns, found.st_size
    if file in _READ and _READ[file][0] == version:
        return _READ[file][1]
    members = json.loads(file.read_text())
    planned = members.pop("meanwhile", None)
    control = Control(**members, meanwhile=None if planned is None else Meanwhile(**planned))
    _READ[file] = version, control
    return control


def put(module: ModuleType, **names: object) -> None:
    """Replace names of a module."""
    for name, value in names.items():
        setattr(module, name, value)


def follow(app: str, file: Path) -> None:
    """Make the example that is imported next follow the file."""
    run = transactions(read_control(file).wrong)
    spoil(read_control(file).wrong)
    skew = int(os.environ.get("SKEW", "0"))

    def ahead() -> int:
        return read_control(file).ahead + skew

    waiting, awaiting = engine.SqlDatabase, engine.AsyncSqlDatabase
    # Replacements of what the example imports, since it has no other configuration.
    put(
        engine,
        SqlDatabase=lambda made: MovedDatabase(waiting(made), ahead, run),
        AsyncSqlDatabase=lambda made: AsyncMovedDatabase(awaiting(made), ahead, run),
    )
    if app == "django":
        from curae_lifecycle.stores.django import database  # noqa: PLC0415 - only where it is used

        of_django = database.DjangoDatabase
        put(database, DjangoDatabase=lambda alias=None: MovedDatabase(of_django(alias), ahead, run))

    def take(point: str) -> None:
        control = read_control(file)
        planned = control.meanwhile
        if planned is not None and planned.point == point:
            attrs.evolve(control, meanwhile=None).write(file)
            send(planned)

    interrupt(take)
    plain, awaited = serving.serve, serving.serve_async
    # The example's own choice; some of it can be changed later.
    chosen = read_control(file).settings()
    put(importlib.import_module("settings"), SETTINGS=chosen)

    def settings_of(given: Settings) -> Settings:
        # Values that are not the example's own choice stay unchanged, so that the tests see them.
        return read_control(file).settings() if given is chosen else given

    def serve(
        store: Store,
        request: Request,
        id_factory: IdFactory,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
        stats: RetryStats | None = None,
    ) -> Answer:
        given = settings_of(settings)
        return plain(
            store, request, id_factory, settings=given, retry_policy=retry_policy, stats=stats
        )

    async def serve_async(
        store: AsyncStore,
        request: Request,
        id_factory: IdFactory,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
        stats: RetryStats | None = None,
    ) -> Answer:
        given = settings_of(settings)
        return await awaited(
            store, request, id_factory, settings=given, retry_policy=retry_policy, stats=stats
        )

    preset(endpoint, "Endpoint", serve=serve)
    preset(endpoint, "AsyncEndpoint", serve=serve_async)


def preset(module: ModuleType, *names: str, **arguments: object) -> None:
    """Replace functions of a module by ones with preset arguments."""
    put(module, **{name: partial(getattr(module, name), **arguments) for name in names})


def be_patient(patience: float | None, wait: float | None) -> None:
    """Set the time limits of the example that is imported next."""
    if wait is not None:
        preset(engine, "create_engine", "create_engine_async", timeout=wait)
        preset(django, "database_settings", timeout=wait)
        preset(clients, "create_client", "create_client_async", timeout=wait)
    if patience is not None:
        most = RetryPolicy(attempts=10_000, seconds=patience, attempt_seconds=patience)
        preset(endpoint, "Endpoint", "AsyncEndpoint", retry_policy=most)
        preset(serving, "record", "record_async", retry_policy=most)
        preset(guard, "Guard", queue_seconds=patience)
        # A client with an oversized body reads its response within that time.
        put(guard, LINGER_SECONDS=patience)


def reserve(port: int, address: str = LOCAL) -> socket.socket:
    """Reserve a port, 0 for any free one, for the server."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Each worker of granian listens on it with its own socket.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((address, port))
    return held


async def serve_here(
    app: AsgiApp,
    port: int,
    listens: Callable[[], None],
    headers: HTTP1Settings = HEADERS,
    address: str = LOCAL,
) -> None:
    """Serve an app in this process, as a worker of `servers.run` does, until SIGTERM.

    A killed or paused worker is then the whole server.
    """
    server = Server(
        app,
        address=address,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        http=HTTPModes.http1,
        http1_settings=headers,
        backpressure=CONNECTIONS,
        # It would log its start.
        log_enabled=False,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    serving = asyncio.create_task(server.serve())
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(address, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            listens()
            break
    await serving


def main(
    app: str, control: str, port: int, listens: Callable[[int], None], address: str = LOCAL
) -> None:
    """Serve an example until the process ends, and print its port once."""
    with reserve(port, address) as held:
        bound = held.getsockname()[1]
        public_url = read_control(Path(control)).public_url
        os.environ["PUBLIC_URL"] = public_url or f"http://{address}:{bound}"
        follow(app, Path(control))
        asked = read_control(Path(control))
        be_patient(asked.patience, asked.wait)
        headers, seconds = HEADERS, asked.stranger_seconds
        if seconds is not None:
            preset(guard, "Guard", body_seconds=seconds)
            headers = replace(HEADERS, header_read_timeout=int(seconds * 1000))
        module = importlib.import_module(f"{app}_app")
        # As the example itself does before it has workers.
        if app == "django":
            importlib.import_module("demo").prepare_django()
        else:
            importlib.import_module("demo").prepare()
        asyncio.run(
            serve_here(
                module.served,
                port=bound,
                listens=lambda: listens(bound),
                headers=headers,
                address=address,
            )
        )
