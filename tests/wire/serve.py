"""Run an example as its users do, but with a clock and settings that the tests can change.

`main` serves `docs/examples/APP_app.py` on a port of 127.0.0.1 (0 for a free one) and says which.
Its control is a JSON file, read for each request: how far the clock is ahead in microseconds, the
standard buckets, and the one environment that is served. Read once are how ACTIVE is spelled, where
a browser finds the server, if not on its port, and in what way its database is wrong. How far the
clock of this one server is ahead of that, in microseconds, its environment says as SKEW.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import attrs

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.stores import serve as serving
from curae_lifecycle.stores.contract import AsyncStore, Store
from curae_lifecycle.stores.minting import Mint
from curae_lifecycle.stores.sql import engine
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.wire.databases import AsyncMovedDatabase, MovedDatabase, spoil, transactions


@attrs.frozen
class Control:
    """What a test may change while a server runs."""

    ahead: int = 0
    buckets: tuple[tuple[str, int, int, int], ...] = ()
    environment: str | None = None
    spelling: str = "ACTIVE"
    public_url: str | None = None
    wrong: str | None = None

    def write(self, file: Path) -> None:
        """Replace the file in one step, so that no reader finds half of it."""
        new_ids = file.with_suffix(".new")
        new_ids.write_text(json.dumps(attrs.asdict(self)))
        new_ids.replace(file)

    def now(self) -> datetime:
        """What the moved clock says."""
        return datetime.now(UTC) + timedelta(microseconds=self.ahead)  # noqa: TID251 - a server's

    def settings(self) -> Settings:
        """What the server chose."""
        return Settings(
            buckets=tuple([Bucket(*each) for each in self.buckets]),
            environment=None if self.environment is None else Environment(self.environment),
            active_spelling=self.spelling,
        )


def read_control(file: Path) -> Control:
    """What the file says now."""
    return Control(**json.loads(file.read_text()))


def put(module: ModuleType, **names: object) -> None:
    """Put something in place of what a module holds."""
    for name, value in names.items():
        setattr(module, name, value)


def follow(app: str, file: Path) -> None:
    """Let the example that is imported next go by what the file says."""
    run = transactions(read_control(file).wrong)
    spoil(read_control(file).wrong)
    skew = int(os.environ.get("SKEW", "0"))

    def ahead() -> int:
        return read_control(file).ahead + skew

    waiting, awaiting = engine.SqlDatabase, engine.AsyncSqlDatabase
    # Put in place of what the example imports; it has no way to be told otherwise.
    put(
        engine,
        SqlDatabase=lambda made: MovedDatabase(waiting(made), ahead, run),
        AsyncSqlDatabase=lambda made: AsyncMovedDatabase(awaiting(made), ahead, run),
    )
    if app == "django":
        from curae_lifecycle.stores.django import database  # noqa: PLC0415 - only where it is used

        of_django = database.DjangoDatabase
        put(database, DjangoDatabase=lambda alias=None: MovedDatabase(of_django(alias), ahead, run))
    plain, awaited = serving.serve, serving.serve_async
    # As an example would choose them once for all; some can be changed later on.
    chosen = read_control(file).settings()
    put(importlib.import_module("settings"), SETTINGS=chosen)

    def settings_of(given: Settings) -> Settings:
        # Whatever is not the example's own choice stays as it is, so that the tests see it.
        return read_control(file).settings() if given is chosen else given

    def serve(
        store: Store, request: Request, mint: Mint, settings: Settings = DEFAULT_SETTINGS
    ) -> Answer:
        return plain(store, request, mint, settings_of(settings))

    async def serve_async(
        store: AsyncStore, request: Request, mint: Mint, settings: Settings = DEFAULT_SETTINGS
    ) -> Answer:
        return await awaited(store, request, mint, settings_of(settings))

    put(serving, serve=serve, serve_async=serve_async)


def listen(port: int) -> socket.socket:
    """Listen on a port of this machine; 0 for any that is free."""
    # asyncio sends small packets at once only where a socket says that it speaks TCP.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(128)
    return listening


def main(app: str, control: str, port: int, listens: Callable[[int], None]) -> None:
    """Serve an example until the process ends, and say once on which port."""
    listening = listen(port)
    bound = listening.getsockname()[1]
    public_url = read_control(Path(control)).public_url
    os.environ["PUBLIC_URL"] = public_url or f"http://127.0.0.1:{bound}"
    follow(app, Path(control))
    module = importlib.import_module(f"{app}_app")
    if app == "django":
        from django.core.management import call_command  # noqa: PLC0415 - only where it is used

        call_command("migrate", verbosity=0)
    listens(bound)
    match app:
        case "flask" | "django":
            import waitress  # noqa: PLC0415 - only where it is served by it

            waitress.serve(module.app, sockets=[listening], threads=8)
        case _:
            import uvicorn  # noqa: PLC0415 - the same

            config = uvicorn.Config(module.app, log_level="warning")
            uvicorn.Server(config).run(sockets=[listening])
