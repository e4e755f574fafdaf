"""Run an example as its users do, but with a clock and settings that the tests can change.

`main` serves `docs/examples/APP_app.py` on a port of 127.0.0.1 (0 for a free one) and says which.
Its control is a JSON file, read for each request: how far the clock is ahead in microseconds, the
standard buckets, and the one environment that is served. Read once are where a browser finds the
server, if not on its port, and the store that is put in place of the right one.
"""

from __future__ import annotations

import importlib
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import service
import sql_server
from store import Store

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.web.request import Request
from tests.wire.broken_stores import STORES


@attrs.frozen
class Control:
    """What a test may change while a server runs."""

    ahead: int = 0
    buckets: tuple[tuple[str, int, int, int], ...] = ()
    environment: str | None = None
    public_url: str | None = None
    store: str | None = None

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
        )


def read_control(file: Path) -> Control:
    """What the file says now."""
    return Control(**json.loads(file.read_text()))


def follow(file: Path) -> None:
    """Let the examples go by what the file says."""
    serve = service.serve

    def serve_as_controlled(store: Store, request: Request, at: datetime) -> Response:
        # Only a test may do this; `SETTINGS` is no more changed than a server's code is.
        service.SETTINGS = read_control(file).settings()  # type: ignore[misc] # as said above
        return serve(store, request, at)

    service.serve = serve_as_controlled
    service.now = lambda: read_control(file).now()


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
    follow(Path(control))
    listening = listen(port)
    wanted = read_control(Path(control))
    service.PUBLIC_URL = wanted.public_url or f"http://127.0.0.1:{listening.getsockname()[1]}"
    if wanted.store is not None:
        sql_server.SqlStore = STORES[wanted.store]  # type: ignore[attr-defined] # wrong on purpose
    module = importlib.import_module(f"{app}_app")
    if app == "django":
        from django.core.management import call_command  # noqa: PLC0415 - only where it is used

        # Where the tests have made the tables already, they are taken for its own.
        call_command("migrate", fake_initial=True, verbosity=0)
    listens(listening.getsockname()[1])
    match app:
        case "flask" | "django":
            import waitress  # noqa: PLC0415 - only where it is served by it

            waitress.serve(module.app, sockets=[listening], threads=8)
        case _:
            import uvicorn  # noqa: PLC0415 - the same

            config = uvicorn.Config(module.app, log_level="warning")
            uvicorn.Server(config).run(sockets=[listening])
