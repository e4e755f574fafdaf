"""Complete request handling for a server: health checks, metrics, hosted pages and the API.

The laws of this module:

- **Every request gets a response**, whatever fails. It arrives within the time limit if the store
  and the external calls keep theirs.
- **Every request writes one log line.** Each failure adds another line.

An endpoint tries, in this order: the health checks, the counters if it has any, the hosted pages if
it has any, and the API. `Endpoint` and `AsyncEndpoint` run the same coroutine. With a blocking
store that coroutine never suspends.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter
from typing import Final, Protocol, TypeVar, TypeVarTuple, cast

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import check_type
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
from curae_lifecycle.stores.request_loop import LOG_TRACEBACKS, internal_error_answer, log_error
from curae_lifecycle.stores.retry import (
    ATTEMPT_GRACE_SECONDS,
    DEFAULT_RETRY_POLICY,
    RetryPolicy,
    RetryStats,
)
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import (
    AsyncServeFunction,
    ServeFunction,
    as_async_store,
    serve,
    serve_async,
)
from curae_lifecycle.stores.sql.outbox_statements import Backlog
from curae_lifecycle.stores.wiring import (
    check_async_function,
    check_async_store,
    check_function,
    check_id_factory,
    check_store,
)
from curae_lifecycle.web.read import operation_name
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer

_LOG: Final = logging.getLogger(__name__)
_Given = TypeVarTuple("_Given")
_Made = TypeVar("_Made")

METRICS_PATH: Final = "/metrics"
"""The path of the counters of requests, if the endpoint has any."""

REQUEST_ID_HEADER: Final = "x-request-id"
"""The header of a response with the id that the request's log lines carry.

A retry can have another id, so no response that is stored for retries contains the header.
"""


class Counters(Protocol):
    """The interface to count requests and retries, which `servers.metrics.Metrics` implements."""

    def count(self, line: RequestLine, stats: RetryStats) -> None:
        """Count a request that finished or was cancelled.

        Args:
            line: The request's log line.
            stats: The attempts that the request took, and the pauses between them.
        """
        ...

    def render(self, backlog: Backlog | None) -> tuple[str, bytes]:
        """Format all counters as the body of a response; return its media type and the body.

        Args:
            backlog: The numbers of messages in the outbox, the store's queue of messages to
                deliver. None if they are unknown.
        """
        ...


class Endpoint:
    """A callable that returns the `Response` to any `Request`, with a blocking store.

    It serves the health checks, the counters, the hosted pages and the API. Any number of threads
    may call it at once.

    Args:
        store: The store of all values.
        id_factory: Makes the new ids, and the next action (the URL of a page to show to the user),
            for a request that may create something.
        settings: The settings of the server.
        hosted_pages: Answers a request for a hosted page, and returns `None` for any other request.
        counters: Counts the requests; a GET of `METRICS_PATH` returns the counts. If it is `None`,
            there are no counts and no such path.
        backlog: Counts the messages in the outbox, for `counters`. The outbox is the store's queue
            of messages to deliver.
        retry_policy: Limits the attempts and the time that a request gets.
        serve: Answers a request of the API. If another service makes the next action, pass
            `partial(serve_with_external_call, make_next_action=...)`.
        debug: Log an unexpected exception with its text and traceback, which can hold secrets. For
            development only.

    Raises:
        ArgumentError: An argument is of the wrong kind, such as an async store.
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
        serve: ServeFunction = serve,
        debug: bool = False,
    ) -> None:
        check_store(store, "AsyncEndpoint")
        _check_values(id_factory, settings, counters)
        if hosted_pages is not None:
            check_function("hosted_pages", hosted_pages, f"a {_PAGES}")
        if backlog is not None:
            check_function("backlog", backlog, f"a {_BACKLOG}")
        check_function("serve", serve, f"a {_SERVE}")

        async def serve_api(request: Request, stats: RetryStats) -> Answer:
            return serve(
                store,
                request=request,
                id_factory=id_factory,
                settings=settings,
                retry_policy=retry_policy,
                stats=stats,
            )

        async def check_ready() -> bool:
            return await is_ready(as_async_store(store))

        self._core = _EndpointCore(
            settings=settings,
            retry_policy=retry_policy,
            counters=counters,
            serve_api=serve_api,
            serve_page=None if hosted_pages is None else _as_async(hosted_pages),
            count_backlog=None if backlog is None else _as_async(backlog),
            check_ready=check_ready,
            time_limit=_deadline_limit,
            debug=debug,
        )

    def __call__(self, request: Request) -> Response:
        """Return the response to a request, whatever fails; log and count the request.

        A response to HEAD has the body of the GET. Most server software does not send it; on
        waitress, the route must leave it out.
        """
        return run_sync(self._core.answer(request))

    def drain(self) -> None:
        """Answer 503 at `READY_PATH` from now on, so that a load balancer sends no new requests.

        All other requests are served as before.
        """
        self._core.is_draining = True


class AsyncEndpoint:
    """An async callable that returns the `Response` to any `Request`, with an async store.

    It serves the health checks, the counters, the hosted pages and the API.

    Args:
        store: The store of all values.
        id_factory: Makes the new ids, and the next action (the URL of a page to show to the user),
            for a request that may create something. The function is not async.
        settings: The settings of the server.
        hosted_pages: Answers a request for a hosted page, and returns `None` for any other request.
        counters: Counts the requests; a GET of `METRICS_PATH` returns the counts. If it is `None`,
            there are no counts and no such path. Its methods are not async.
        backlog: Counts the messages in the outbox, for `counters`. The outbox is the store's queue
            of messages to deliver.
        retry_policy: Limits the attempts and the time that a request gets.
        serve: Answers a request of the API. If another service makes the next action, pass
            `partial(serve_with_external_call_async, make_next_action=...)`.
        debug: Log an unexpected exception with its text and traceback, which can hold secrets. For
            development only.

    Raises:
        ArgumentError: An argument is of the wrong kind, such as a blocking store.
    """

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
        serve: AsyncServeFunction = serve_async,
        debug: bool = False,
    ) -> None:
        check_async_store(store, "Endpoint")
        _check_values(id_factory, settings, counters)
        if hosted_pages is not None:
            check_async_function("hosted_pages", hosted_pages, f"an async {_PAGES}")
        if backlog is not None:
            check_async_function("backlog", backlog, f"an async {_BACKLOG}")
        check_async_function("serve", serve, f"an async {_SERVE}_async")

        async def serve_api(request: Request, stats: RetryStats) -> Answer:
            return await serve(
                store,
                request=request,
                id_factory=id_factory,
                settings=settings,
                retry_policy=retry_policy,
                stats=stats,
            )

        async def check_ready() -> bool:
            return await is_ready(store)

        self._core = _EndpointCore(
            settings=settings,
            retry_policy=retry_policy,
            counters=counters,
            serve_api=serve_api,
            serve_page=hosted_pages,
            count_backlog=backlog,
            check_ready=check_ready,
            time_limit=asyncio.timeout,
            debug=debug,
        )

    async def __call__(self, request: Request) -> Response:
        """Log, count and answer a request, whatever fails; propagate a cancellation.

        A response to HEAD has the body of the GET, which the server software does not send.
        """
        return await self._core.answer(request)

    def drain(self) -> None:
        """Answer 503 at `READY_PATH` from now on, so that a load balancer sends no new requests.

        All other requests are served as before.
        """
        self._core.is_draining = True


_PAGES: Final = "function that takes a Request and returns a Response or None"
_BACKLOG: Final = "function that counts the outbox, such as the backlog of an Outbox"
_SERVE: Final = "function such as stores.serve.serve"


def _check_values(id_factory: object, settings: object, counters: object) -> None:
    check_id_factory(id_factory)
    check_type("settings", settings, Settings, allowed="Settings, such as Settings()")
    if isinstance(counters, type):
        allowed = f"counters: {counters.__name__} is a class, so call it"
        raise ArgumentError("counters", allowed)


def _as_async(function: Callable[[*_Given], _Made]) -> Callable[[*_Given], Awaitable[_Made]]:
    async def call(*given: *_Given) -> _Made:
        return function(*given)

    return call


@asynccontextmanager
async def _deadline_limit(seconds: float) -> AsyncGenerator[None, None]:
    with deadline_scope(seconds):
        yield


@attrs.frozen
class _EndpointAnswer:
    """A response with the operation that gave it and the rules that decided it."""

    operation: str | None
    response: Response
    rules: tuple[str, ...] = ()
    replayed: bool = False


@attrs.define
class _EndpointCore:
    """The part that both kinds of endpoint share; a blocking endpoint wraps its calls as async."""

    settings: Settings
    retry_policy: RetryPolicy
    counters: Counters | None
    serve_api: Callable[[Request, RetryStats], Awaitable[Answer]]
    serve_page: Callable[[Request], Awaitable[Response | None]] | None
    count_backlog: Callable[[], Awaitable[Backlog]] | None
    check_ready: Callable[[], Awaitable[bool]]
    time_limit: Callable[[float], AbstractAsyncContextManager[object]]
    debug: bool
    is_draining: bool = False

    def __attrs_post_init__(self) -> None:
        if self.debug:
            _LOG.warning("debug is on: the log can hold secrets, so use it for development only")

    async def answer(self, request: Request) -> Response:
        """Return the response to a request, and log and count the request."""
        started, stats = perf_counter(), RetryStats()
        id_ = request_id(request)
        token, debug_token = REQUEST_ID.set(id_), LOG_TRACEBACKS.set(self.debug)
        answered: _EndpointAnswer | None = None
        try:
            answered = await self._dispatch(request, stats)
            response = answered.response
        finally:
            # A cancelled request and one that a KeyboardInterrupt ends get their log line, too.
            seconds = perf_counter() - started
            self._log_and_count(request, answered=answered, stats=stats, seconds=seconds)
            LOG_TRACEBACKS.reset(debug_token)
            REQUEST_ID.reset(token)
        # Added after the response was stored: a replay repeats the stored bytes under a new id.
        headers = (*response.headers, (REQUEST_ID_HEADER, id_))
        return Response(response.status, headers, response.body)

    async def _dispatch(self, request: Request, stats: RetryStats) -> _EndpointAnswer:
        path = request.target.partition("?")[0]
        if request.method in {"GET", "HEAD"}:
            if path == LIVE_PATH:
                return _EndpointAnswer("live", health(200, "ok"))
            if path == READY_PATH:
                return _EndpointAnswer("ready", await self._readiness())
            if path == METRICS_PATH and self.counters is not None:
                return _EndpointAnswer("metrics", await self._metrics(self.counters))
        page = await self._answer_page(request)
        return page or await self._answer_api(request, stats)

    async def _readiness(self) -> Response:
        if self.is_draining:
            return health(503, "draining")
        try:
            async with self.time_limit(READY_TIMEOUT_SECONDS):
                if await self.check_ready():
                    return health(200, "ok")
        except TimeoutError:
            _LOG.warning("not ready: no answer within %.3f seconds", READY_TIMEOUT_SECONDS)
        return health(503, "unavailable")

    async def _metrics(self, counters: Counters) -> Response:
        backlog = None
        try:
            if self.count_backlog is not None:
                async with self.time_limit(READY_TIMEOUT_SECONDS):
                    backlog = await self.count_backlog()
        except Exception as error:  # noqa: BLE001 - other counters matter most when the store fails
            log_error("the outbox cannot be counted", error)
        try:
            media_type, text = counters.render(backlog)
        except Exception as error:  # noqa: BLE001 - every request gets a response
            log_error("the counters cannot be read", error)
            return health(503, "unavailable")
        headers = (("content-type", media_type), ("cache-control", "no-store"))
        return Response(200, headers, text)

    async def _answer_page(self, request: Request) -> _EndpointAnswer | None:
        if self.serve_page is None:
            return None
        try:
            async with self.time_limit(self.retry_policy.seconds + ATTEMPT_GRACE_SECONDS):
                page = await self.serve_page(request)
            if page is None:
                return None
            check_type("page", page, Response, allowed="a Response or None")
        except Exception as error:  # noqa: BLE001 - every request gets a response
            log_error("a page failed", error)
            return _EndpointAnswer("page", _TRY_LATER)
        return _EndpointAnswer("page", page)

    async def _answer_api(self, request: Request, stats: RetryStats) -> _EndpointAnswer:
        operation = operation_name(request, self.settings)
        try:
            answer = await self.serve_api(request, stats)
        except Exception as error:  # noqa: BLE001 - every request gets a response
            # `serve` lets programming errors out so that tests see them. A server must go on, so
            # it answers them with INTERNAL like any other unexpected error.
            stats.unexpected_errors += 1
            is_bug = isinstance(error, ArgumentError | AssertionError)
            log_error("programming error" if is_bug else "a request failed", error)
            answer = internal_error_answer(self.settings)
        return _EndpointAnswer(
            operation=operation,
            response=answer.response,
            rules=answer.rules,
            replayed=answer.replayed,
        )

    def _log_and_count(
        self, request: Request, answered: _EndpointAnswer | None, stats: RetryStats, seconds: float
    ) -> None:
        try:
            line = _request_line(request, answered=answered, stats=stats, seconds=seconds)
            if _LOG.isEnabledFor(logging.INFO):
                # `_LOG.info` would walk the stack for a place that no line shows.
                _LOG.handle(
                    _LOG.makeRecord(
                        _LOG.name,
                        logging.INFO,
                        fn=__file__,
                        lno=0,
                        msg=line,
                        args=(),
                        exc_info=None,
                    )
                )
            if self.counters is not None:
                self.counters.count(line, stats)
        except Exception as error:  # noqa: BLE001 - a response matters more than its log line
            log_error("a request was not counted", error)


_TRY_LATER: Final = Response(
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


def _request_line(
    request: Request, answered: _EndpointAnswer | None, stats: RetryStats, seconds: float
) -> RequestLine:
    line = RequestLine(
        operation=None,
        method=request.method if request.method in _METHODS else "OTHER",
        status=None,
        rules=(),
        replayed=False,
        seconds=seconds,
        attempts=stats.attempts,
        waited=stats.seconds_waited,
        code=None,
        retry_after=None,
        limit=None,
    )
    if answered is None:
        return line
    response = answered.response
    headers = dict(response.headers)
    retry_after = headers.get("retry-after", "")
    code, limit = None, None
    # The problem of a hosted page can have any members, or none.
    is_own = answered.operation != "page"
    if is_own and headers.get("content-type") == "application/problem+json":
        problem = cast("dict[str, object]", json.loads(response.body))
        code = str(problem["code"])
        details = cast("dict[str, object]", problem["details"])
        limit = None if details.get("policy") is None else str(details["policy"])
    return attrs.evolve(
        line,
        operation=answered.operation,
        status=response.status,
        rules=answered.rules,
        replayed=answered.replayed,
        code=code,
        retry_after=int(retry_after) if retry_after.isdecimal() else None,
        limit=limit,
    )
