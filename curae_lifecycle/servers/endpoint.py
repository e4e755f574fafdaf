"""The whole of a server behind its route: a request comes in, and an answer goes out.

The laws of this module: **every request is answered**, whatever fails, and in time where its store
keeps its limits; **every request is one line of the log**, and what fails is more of them.

In order: whether the server lives and can serve, its counters where it has any, hosted pages where it
has any, and the API. Both kinds run the same coroutine: at a store that waits, nothing ever suspends
it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter
from typing import Final, Protocol, cast

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers.health import (
    LIVE_PATH,
    READY_PATH,
    READY_TIMEOUT_SECONDS,
    health,
    is_ready,
)
from curae_lifecycle.servers.log import REQUEST_ID, RequestLine, request_id
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.stores.contract import AsyncStore, Store
from curae_lifecycle.stores.deadline import deadline_scope
from curae_lifecycle.stores.new_ids import IdFactory
from curae_lifecycle.stores.request_loop import internal_error_answer, log_error
from curae_lifecycle.stores.retry import (
    ATTEMPT_GRACE_SECONDS,
    DEFAULT_RETRY_POLICY,
    RetryPolicy,
    RetryStats,
)
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import as_async_store, serve, serve_async
from curae_lifecycle.stores.sql.outbox_statements import Backlog
from curae_lifecycle.web.read import operation_name
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer

_LOG: Final = logging.getLogger(__name__)

METRICS_PATH: Final = "/metrics"
"""Where the counters are read, where there are any."""

REQUEST_ID_HEADER: Final = "x-request-id"
"""The header that names the request's lines. It is of one transmission: no kept answer has it."""


class Counters(Protocol):
    """What counts requests, such as `servers.metrics.Metrics`."""

    def count(self, line: RequestLine, stats: RetryStats) -> None:
        """Count a request that was answered.

        Args:
            line: The request's line of the log.
            stats: What it took.
        """
        ...

    def render(self, backlog: Backlog | None) -> tuple[str, bytes]:
        """What has been counted, as a media type and its text, and what the outbox holds."""
        ...


class Endpoint:
    """A server's whole answer to a request, on a store that waits.

    It may be called from any number of threads at once.

    Args:
        store: Where everything is kept.
        id_factory: Makes the ids and the next action of a mutation.
        settings: What the server chose.
        hosted_pages: Answers a request for a hosted page; `None` for any other.
        counters: Counts requests, and is read at `METRICS_PATH`.
        backlog: What the outbox holds, for the counters.
        retry_policy: How often and how long a request is tried.
    """

    def __init__(
        self,
        store: Store,
        id_factory: IdFactory,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        hosted_pages: Callable[[Request], Response | None] | None = None,
        counters: Counters | None = None,
        backlog: Callable[[], Backlog] | None = None,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    ) -> None:
        async def served(request: Request, effort: RetryStats) -> Answer:
            return serve(
                store,
                request=request,
                id_factory=id_factory,
                settings=settings,
                retry_policy=retry_policy,
                stats=effort,
            )

        async def page(request: Request) -> Response | None:
            return None if hosted_pages is None else hosted_pages(request)

        async def held() -> Backlog | None:
            return None if backlog is None else backlog()

        async def ready() -> bool:
            return await is_ready(as_async_store(store))

        self._front = _Front(
            settings=settings,
            patience=retry_policy,
            counters=counters,
            served=served,
            page=page,
            held=held,
            ready=ready,
            limit=_until_deadline,
        )

    def __call__(self, request: Request) -> Response:
        """The answer to a request, always."""
        return run_sync(self._front.answer(request))

    def drain(self) -> None:
        """From now on it says that it is not ready; what comes all the same is answered."""
        self._front.is_draining = True


class AsyncEndpoint:
    """As `Endpoint`, on a store that is awaited; so is what it is given, but for `counters`."""

    def __init__(
        self,
        store: AsyncStore,
        id_factory: IdFactory,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        hosted_pages: Callable[[Request], Awaitable[Response | None]] | None = None,
        counters: Counters | None = None,
        backlog: Callable[[], Awaitable[Backlog]] | None = None,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    ) -> None:
        async def served(request: Request, effort: RetryStats) -> Answer:
            return await serve_async(
                store,
                request=request,
                id_factory=id_factory,
                settings=settings,
                retry_policy=retry_policy,
                stats=effort,
            )

        async def page(request: Request) -> Response | None:
            return None if hosted_pages is None else await hosted_pages(request)

        async def held() -> Backlog | None:
            return None if backlog is None else await backlog()

        async def ready() -> bool:
            return await is_ready(store)

        self._front = _Front(
            settings=settings,
            patience=retry_policy,
            counters=counters,
            served=served,
            page=page,
            held=held,
            ready=ready,
            limit=asyncio.timeout,
        )

    async def __call__(self, request: Request) -> Response:
        """The answer to a request, always; where it is cancelled, the cancellation goes on."""
        return await self._front.answer(request)

    def drain(self) -> None:
        """From now on it says that it is not ready; what comes all the same is answered."""
        self._front.is_draining = True


@asynccontextmanager
async def _until_deadline(seconds: float) -> AsyncGenerator[None, None]:
    with deadline_scope(seconds):
        yield


@attrs.frozen
class _Answered:
    """An answer, by what it was given, and what decided it."""

    operation: str | None
    response: Response
    rules: tuple[str, ...] = ()
    replayed: bool = False


@attrs.define
class _Front:
    """What both kinds of endpoint are, what waits being awaited."""

    settings: Settings
    patience: RetryPolicy
    counters: Counters | None
    served: Callable[[Request, RetryStats], Awaitable[Answer]]
    page: Callable[[Request], Awaitable[Response | None]]
    held: Callable[[], Awaitable[Backlog | None]]
    ready: Callable[[], Awaitable[bool]]
    limit: Callable[[float], AbstractAsyncContextManager[object]]
    is_draining: bool = False

    async def answer(self, request: Request) -> Response:
        """The answer, and its line."""
        began, effort = perf_counter(), RetryStats()
        named = request_id(request)
        token = REQUEST_ID.set(named)
        answered: _Answered | None = None
        try:
            answered = await self._answered(request, effort)
            response = answered.response
        finally:
            # Also where it was cancelled, or the process is to end.
            self._tell(request, answered=answered, effort=effort, seconds=perf_counter() - began)
            REQUEST_ID.reset(token)
        # After all that is kept: a replay is what was sent before, under an id of its own.
        headers = (*response.headers, (REQUEST_ID_HEADER, named))
        return Response(response.status, headers, response.body)

    async def _answered(self, request: Request, effort: RetryStats) -> _Answered:
        path = request.target.partition("?")[0]
        if request.method in {"GET", "HEAD"}:
            if path == LIVE_PATH:
                return _Answered("live", health(200, "ok"))
            if path == READY_PATH:
                return _Answered("ready", await self._readiness())
            if path == METRICS_PATH and self.counters is not None:
                return _Answered("metrics", await self._counted(self.counters))
        page = await self._page(request)
        return page or await self._served(request, effort)

    async def _readiness(self) -> Response:
        if self.is_draining:
            return health(503, "draining")
        try:
            async with self.limit(READY_TIMEOUT_SECONDS):
                if await self.ready():
                    return health(200, "ok")
        except TimeoutError:
            _LOG.warning("not ready: no answer within %.3f seconds", READY_TIMEOUT_SECONDS)
        return health(503, "unavailable")

    async def _counted(self, counters: Counters) -> Response:
        backlog = None
        try:
            async with self.limit(READY_TIMEOUT_SECONDS):
                backlog = await self.held()
        except Exception as error:  # noqa: BLE001 - the rest is wanted most where this fails
            log_error("the outbox cannot be counted", error)
        try:
            media, text = counters.render(backlog)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is answered
            log_error("the counters cannot be read", error)
            return health(503, "unavailable")
        return Response(200, (("content-type", media), ("cache-control", "no-store")), text)

    async def _page(self, request: Request) -> _Answered | None:
        try:
            async with self.limit(self.patience.seconds + ATTEMPT_GRACE_SECONDS):
                page = await self.page(request)
        except Exception as error:  # noqa: BLE001 - whatever it was, the person gets an answer
            log_error("a page failed", error)
            return _Answered("page", _LATER)
        return None if page is None else _Answered("page", page)

    async def _served(self, request: Request, effort: RetryStats) -> _Answered:
        operation = operation_name(request, self.settings)
        try:
            answer = await self.served(request, effort)
        except Exception as error:  # noqa: BLE001 - the program is wrong; the client gets an answer
            # A mistake of the program's comes out of `serve`, so that a test sees it; a server
            # answers it like all that nobody foresaw, and goes on.
            effort.unexpected_errors += 1
            wrong = isinstance(error, ArgumentError | AssertionError)
            log_error("the program is wrong" if wrong else "a request failed", error)
            answer = internal_error_answer(self.settings)
        return _Answered(
            operation=operation,
            response=answer.response,
            rules=answer.rules,
            replayed=answer.replayed,
        )

    def _tell(
        self, request: Request, answered: _Answered | None, effort: RetryStats, seconds: float
    ) -> None:
        try:
            line = _line(request, answered=answered, effort=effort, seconds=seconds)
            _LOG.info(line)
            if self.counters is not None:
                self.counters.count(line, effort)
        except Exception as error:  # noqa: BLE001 - an answer is worth more than its line
            log_error("a request was not counted", error)


_LATER: Final = Response(
    503,
    (
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-store"),
        ("retry-after", "1"),
    ),
    b"Please try again in a moment.\n",
)

_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)


def _line(
    request: Request, answered: _Answered | None, effort: RetryStats, seconds: float
) -> RequestLine:
    method = request.method if request.method in _METHODS else "OTHER"
    attempts, waited = effort.attempts, effort.seconds_waited
    if answered is None:
        return RequestLine(
            operation=None,
            method=method,
            status=None,
            rules=(),
            replayed=False,
            seconds=seconds,
            attempts=attempts,
            waited=waited,
            code=None,
            retry_after=None,
            limit=None,
        )
    response = answered.response
    headers = dict(response.headers)
    retry_after = headers.get("retry-after", "")
    code, limit = None, None
    if headers.get("content-type") == "application/problem+json":
        problem = cast("dict[str, object]", json.loads(response.body))
        code = str(problem["code"])
        details = cast("dict[str, object]", problem["details"])
        limit = None if details.get("policy") is None else str(details["policy"])
    return RequestLine(
        operation=answered.operation,
        method=method,
        status=response.status,
        rules=answered.rules,
        replayed=answered.replayed,
        seconds=seconds,
        attempts=attempts,
        waited=waited,
        code=code,
        retry_after=int(retry_after) if retry_after.isdecimal() else None,
        limit=limit,
    )
