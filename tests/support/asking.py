"""Endpoints of both kinds behind one interface, with their logs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

import attrs

from curae_lifecycle import Request, Response, RetryPolicy, Settings, Store
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Counters, Endpoint
from curae_lifecycle.servers.log import configure_logging
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.retry import DEFAULT_RETRY_POLICY
from curae_lifecycle.stores.sql.outbox_statements import Backlog
from tests.support.serving import Awaited, run_async

MINT: Final = RandomIds("https://connect.example/")
KINDS: Final = ("waits", "awaited")


@attrs.frozen(kw_only=True)
class Asking:
    """An endpoint of either kind."""

    kind: str
    store: Store
    settings: Settings = DEFAULT_SETTINGS
    pages: Callable[[Request], Response | None] | None = None
    counters: Counters | None = None
    backlog: Callable[[], Backlog] | None = None
    patience: RetryPolicy = DEFAULT_RETRY_POLICY
    drains: bool = False

    def __call__(self, request: Request) -> Response:
        if self.kind == "waits":
            endpoint = Endpoint(
                self.store,
                MINT,
                self.settings,
                hosted_pages=self.pages,
                counters=self.counters,
                backlog=self.backlog,
                retry_policy=self.patience,
            )
            if self.drains:
                endpoint.drain()
            return endpoint(request)
        return run_async(self._awaited(request))

    async def _awaited(self, request: Request) -> Response:
        pages, backlog = self.pages, self.backlog

        async def page(asked: Request) -> Response | None:
            assert pages is not None
            return pages(asked)

        async def held() -> Backlog:
            assert backlog is not None
            return backlog()

        endpoint = AsyncEndpoint(
            Awaited(self.store),
            MINT,
            self.settings,
            hosted_pages=None if pages is None else page,
            counters=self.counters,
            backlog=None if backlog is None else held,
            retry_policy=self.patience,
        )
        if self.drains:
            endpoint.drain()
        return await endpoint(request)


@attrs.frozen
class Log:
    """The log of a process."""

    stream: io.StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, object]]:
        return [cast("dict[str, object]", json.loads(each)) for each in self.text.splitlines()]

    @property
    def requests(self) -> list[dict[str, object]]:
        """The lines of requests."""
        return [each for each in self.lines if each["message"] == "request"]


@contextmanager
def logged() -> Iterator[Log]:
    """Capture the log within the block, and restore the configuration after it."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    log = Log(io.StringIO())
    configure_logging(stream=log.stream)
    try:
        yield log
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def header(response: Response, name: str) -> str | None:
    """Return the only header of a name, or None."""
    found = [value for key, value in response.headers if key == name]
    assert len(found) <= 1, found
    return found[0] if found else None
