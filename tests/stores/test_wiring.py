"""Tests that a wiring mistake is reported at its argument, with what to pass instead."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial, wraps
from pathlib import Path
from typing import Final, cast

import pytest
import sqlalchemy as sa

import curae_lifecycle as curae
from curae_lifecycle import (
    ArgumentError,
    Authorized,
    MemoryStore,
    NewIds,
    NextAction,
    RandomIds,
    Request,
    Response,
    Settings,
)
from curae_lifecycle import serve_with_external_call as serve_out
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.servers.metrics import Metrics
from curae_lifecycle.stores import wiring
from curae_lifecycle.stores.redis.limits import AsyncRedisLimitsStore, RedisLimitsStore
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.support.server import CALLER, request
from tests.support.serving import Awaited
from tests.support.strategies import START, uuid

URL: Final = "sqlite:///never-opened.db"
ENGINE: Final = create_engine(URL)
ASYNC_ENGINE: Final = create_engine_async("postgresql://nobody@127.0.0.1:9/none")
DATABASE: Final = SqlDatabase(ENGINE)
ASYNC_DATABASE: Final = AsyncSqlDatabase(ASYNC_ENGINE)
MINT: Final = RandomIds("https://connect.example/")
STORE: Final = MemoryStore()
ASYNC_STORE: Final = Awaited(MemoryStore())
CREATE: Final = request("create")
ASYNC_SQL_STORE: Final = AsyncSqlStore(ASYNC_DATABASE)
BACKLOG: Final = Outbox(DATABASE).backlog
ASYNC_BACKLOG: Final = AsyncOutbox(ASYNC_DATABASE).backlog


async def mint(now: datetime) -> NewIds:
    return MINT(now)


async def page(_: Request) -> Response | None:
    return None


def shown(_: Request) -> Response | None:
    return None


def call(function: object, *arguments: object, **named: object) -> object:
    """Call a function with arguments that a type checker would refuse."""
    assert callable(function)
    made: object = function(*arguments, **named)
    return made


def call_and_await(function: object, *arguments: object, **named: object) -> object:
    """Call a function as `call` does, and await its result if there is one to await."""
    made = call(function, *arguments, **named)

    async def awaited() -> object:
        return await cast("Awaitable[object]", made)

    return asyncio.run(awaited()) if inspect.isawaitable(made) else made


async def make_next_action(_: NewIds, __: object) -> NextAction:
    raise NotImplementedError  # only its signature is checked


class SqlalchemyAsyncEngine:
    """The methods of SQLAlchemy's own async engine, which needs greenlet, that tell it apart."""

    async def dispose(self) -> None:
        raise NotImplementedError  # only its presence counts

    async def raw_connection(self) -> object:
        raise NotImplementedError  # as above


OTHER_ENGINE: Final = SqlalchemyAsyncEngine()
PARTIAL: Final = partial(shown)

# Each mistake: the argument, words of the message, and the call.
MISTAKES: Final[list[tuple[str, str, Callable[[], object]]]] = [
    ("store", "AsyncSqlStore.caller_of is async, so use AsyncEndpoint", lambda: call(Endpoint, ASYNC_SQL_STORE, MINT)),
    ("store", "MemoryStore.caller_of is not async, so use Endpoint", lambda: call(AsyncEndpoint, STORE, MINT)),
    ("store", "must be a store: MemoryStore is a class, so call it", lambda: call(Endpoint, MemoryStore, MINT)),
    ("store", "pass SqlStore(SqlDatabase(engine))", lambda: call(Endpoint, ENGINE, MINT)),
    ("store", "pass AsyncSqlStore(AsyncSqlDatabase(engine))", lambda: call(AsyncEndpoint, ASYNC_ENGINE, MINT)),
    ("store", "pass AsyncSqlStore(AsyncSqlDatabase(engine))", lambda: call(AsyncEndpoint, OTHER_ENGINE, MINT)),
    ("store", "pass SqlStore(database)", lambda: call(Endpoint, DATABASE, MINT)),
    ("store", "pass AsyncSqlStore(database)", lambda: call(AsyncEndpoint, ASYNC_DATABASE, MINT)),
    ("store", "pass SqlStore(SqlDatabase(create_engine(url)))", lambda: call(Endpoint, URL, MINT)),
    ("store", "int has no method caller_of and no load and no commit", lambda: call(Endpoint, 1, MINT)),
    ("id_factory", "str cannot be called", lambda: call(Endpoint, STORE, "https://connect.example/")),
    ("id_factory", "RandomIds is a class, so call it", lambda: call(Endpoint, STORE, RandomIds)),
    ("id_factory", "this one is async", lambda: call(Endpoint, STORE, mint)),
    ("id_factory", "this one is async", lambda: call(AsyncEndpoint, ASYNC_STORE, mint)),
    ("settings", "Settings()", lambda: call(Endpoint, STORE, MINT, {})),
    ("counters", "Metrics is a class, so call it", lambda: call(Endpoint, STORE, MINT, counters=Metrics)),
    ("hosted_pages", "this one is async", lambda: call(Endpoint, STORE, MINT, hosted_pages=page)),
    ("hosted_pages", "this one is not async", lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, hosted_pages=shown)),
    ("hosted_pages", "this one is not async", lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, hosted_pages=PARTIAL)),
    ("hosted_pages", "str cannot be called", lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, hosted_pages="/")),
    ("hosted_pages", "Response is a class", lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, hosted_pages=Response)),
    ("backlog", "this one is async", lambda: call(Endpoint, STORE, MINT, backlog=ASYNC_BACKLOG)),
    ("backlog", "this one is not async", lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, backlog=BACKLOG)),
    ("engine", "this one is async, so use AsyncSqlDatabase", lambda: call(SqlDatabase, ASYNC_ENGINE)),
    ("engine", "use ThreadedDatabase(SqlDatabase(engine))", lambda: call(AsyncSqlDatabase, ENGINE)),
    ("engine", "pass the URL to that function", lambda: call(SqlDatabase, URL)),
    ("engine", "SqlDatabase is no engine", lambda: call(SqlDatabase, DATABASE)),
    ("engine", "of stores.sql.engine", lambda: SqlDatabase(sa.create_engine(URL))),
    ("database", "pass SqlDatabase(engine)", lambda: call(SqlStore, ENGINE)),
    ("database", "pass AsyncSqlDatabase(engine)", lambda: call(AsyncSqlStore, ASYNC_ENGINE)),
    ("database", "pass SqlDatabase(create_engine(url))", lambda: call(SqlStore, URL)),
    ("database", "AsyncSqlDatabase.rows is async, so use AsyncSqlStore", lambda: call(SqlStore, ASYNC_DATABASE)),
    ("database", "so use SqlStore, or wrap it in a ThreadedDatabase", lambda: call(AsyncSqlStore, DATABASE)),
    ("database", "MemoryStore has no method rows", lambda: call(SqlStore, STORE)),
    ("database", "so use the async database itself", lambda: call(ThreadedDatabase, ASYNC_DATABASE)),
    ("database", "so use AsyncOutbox", lambda: call(Outbox, ASYNC_DATABASE)),
    ("database", "so use Outbox", lambda: call(AsyncOutbox, DATABASE)),
    ("store", "so use AsyncRedisLimitsStore", lambda: call(RedisLimitsStore, ASYNC_STORE, object())),
    ("store", "so use RedisLimitsStore", lambda: call(AsyncRedisLimitsStore, STORE, object())),
    ("store", "so use serve_async", lambda: call(curae.serve, ASYNC_STORE, CREATE, MINT)),
    ("store", "so use record_async", lambda: call(curae.record, ASYNC_STORE, object())),
    ("store", "so use serve_with_external_call_async", lambda: call(serve_out, ASYNC_STORE, CREATE, MINT, MINT)),
    ("hosted_page_base_url", "https://connect.example/", lambda: RandomIds("https://connect.example")),
    ("hosted_page_base_url", "https://connect.example/", lambda: call(RandomIds, None)),
    ("next_action", "a NextAction", lambda: call(NewIds, uuid(1), uuid(2), "u", "https://connect.example/")),
]  # fmt: skip


@pytest.mark.parametrize(("argument", "fix", "mistake"), MISTAKES)
def test_error_of_an_invalid_serve_argument_says_how_to_fix_it(
    argument: str, fix: str, mistake: Callable[[], object]
) -> None:
    with pytest.raises(ArgumentError) as caught:
        mistake()
    assert caught.value.argument == argument
    assert fix in str(caught.value)


ASYNC_MISTAKES: Final[list[tuple[str, Callable[[], Awaitable[object]]]]] = [
    ("serve", lambda: curae.serve_async(cast("Awaited", STORE), CREATE, MINT)),
    ("record", lambda: curae.record_async(cast("Awaited", STORE), curae.Expired(curae.ConnectionId("1")))),
    (
        "serve_with_external_call",
        lambda: curae.serve_with_external_call_async(
            cast("Awaited", STORE), CREATE, MINT, make_next_action=make_next_action
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("instead", "mistake"), ASYNC_MISTAKES)
def test_blocking_store_passed_to_an_async_function_raises(
    instead: str, mistake: Callable[[], Awaitable[object]]
) -> None:
    async def run() -> None:
        await mistake()

    with pytest.raises(
        ArgumentError, match=f"MemoryStore.caller_of is not async, so use {instead}$"
    ):
        asyncio.run(run())


def test_id_factory_that_returns_text_raises() -> None:
    store = MemoryStore()
    store.register(curae.ApiKey("cae_live_k1"), CALLER)
    fix = "id_factory: must be a function that takes an instant and returns NewIds"
    with pytest.raises(ArgumentError, match=fix):
        call(curae.serve, store, CREATE, lambda _: "https://connect.example/")


def test_valid_serve_arguments_are_accepted(tmp_path: Path) -> None:
    def delegates(_: Request) -> Awaitable[Response | None]:
        return page(Request("GET", "/"))

    @wraps(page)
    def decorated(request: Request) -> object:
        return page(request)

    class Page:
        async def __call__(self, _: Request) -> Response | None:
            return None

    for pages in (
        page,
        partial(page),
        delegates,
        decorated,
        lambda asked, page=page: page(asked),
        Page(),
    ):
        call(AsyncEndpoint, ASYNC_STORE, MINT, hosted_pages=pages)
    for each in (shown, partial(shown), None):
        Endpoint(STORE, MINT, hosted_pages=each)
    Endpoint(SqlStore(DATABASE), lambda now: MINT(now + timedelta(1)))
    AsyncEndpoint(AsyncSqlStore(ThreadedDatabase(DATABASE)), MINT)
    AsyncEndpoint(AsyncSqlStore(ASYNC_DATABASE), MINT, backlog=AsyncOutbox(ASYNC_DATABASE).backlog)
    assert RandomIds("https://connect.example/?page=")(START).next_action.url
    assert not (tmp_path / "never-opened.db").exists()


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("value", [None, object(), "sqlite:///curae.db", ENGINE])
def test_value_that_is_not_a_store_is_refused(value: object, *, is_async: bool) -> None:
    with pytest.raises(ArgumentError, match=r"^store: must be a"):
        wiring.check_store_kind(value, "serve", is_async=is_async)


def test_proxy_that_forwards_calls_to_a_store_is_accepted() -> None:
    class Proxy:
        def __init__(self, store: object) -> None:
            self.store = store

        def __getattr__(self, name: str) -> object:
            return getattr(self.store, name)

    wiring.check_store_kind(Proxy(STORE), "serve_async", is_async=False)
    wiring.check_store_kind(Proxy(ASYNC_STORE), "serve", is_async=True)
    with pytest.raises(ArgumentError, match="so use serve_async"):
        wiring.check_store_kind(Proxy(ASYNC_STORE), "serve_async", is_async=False)


def test_store_is_blocking_or_async_by_its_load_method_alone() -> None:
    class Mixed:
        caller_of = commit = STORE.caller_of

        async def load(self) -> None:
            raise NotImplementedError  # only its signature is checked

    wiring.check_store_kind(Mixed(), "serve", is_async=True)
    with pytest.raises(ArgumentError, match="so use serve_async"):
        wiring.check_store_kind(Mixed(), "serve_async", is_async=False)


WRONG_ARGUMENTS: Final[dict[str, tuple[str, tuple[object, ...]]]] = {
    "request": ("a Request of this library, not ", (None, MINT, b"GET / HTTP/1.1")),
    "id_factory": (
        "a function that takes an instant and returns NewIds, such as RandomIds(",
        (None, RandomIds, START),
    ),
    "settings": ("Settings, such as Settings(), not ", (None, Settings)),
    "retry_policy": ("a RetryPolicy, such as RetryPolicy(attempts=5), not ", (None, 3)),
    "stats": ("a RetryStats or None, not ", (3,)),
}
"""For each argument the allowed values, in words, and wrong ones."""


@pytest.mark.parametrize("argument", WRONG_ARGUMENTS)
@pytest.mark.parametrize(
    "function",
    [
        curae.serve,
        curae.serve_async,
        curae.serve_with_external_call,
        curae.serve_with_external_call_async,
    ],
)
def test_error_names_the_wrong_argument_of_a_serve_function(
    function: object, argument: str
) -> None:
    store = ASYNC_STORE if inspect.iscoroutinefunction(function) else MemoryStore()
    named: dict[str, object] = {"request": CREATE, "id_factory": MINT}
    if function in {curae.serve_with_external_call, curae.serve_with_external_call_async}:
        named["make_next_action"] = lambda new_ids, _: new_ids.next_action
    allowed, values = WRONG_ARGUMENTS[argument]
    for value in values:
        with pytest.raises(ArgumentError, match=f"^{argument}: must be {re.escape(allowed)}"):
            call_and_await(function, store, **named | {argument: value})


def test_invalid_external_call_function_raises_argument_error() -> None:
    for function, store, wrong in (
        (curae.serve_with_external_call, STORE, (None, NextAction, make_next_action)),
        (curae.serve_with_external_call_async, ASYNC_STORE, (None, NextAction, uuid)),
    ):
        for each in wrong:
            with pytest.raises(ArgumentError, match=r"^make_next_action: must be an? "):
                call_and_await(
                    function, store, request=CREATE, id_factory=MINT, make_next_action=each
                )


@pytest.mark.parametrize("fact", [None, "authorized", Authorized])
def test_recording_a_value_that_is_not_a_fact_raises(fact: object) -> None:
    for function, store in ((curae.record, STORE), (curae.record_async, ASYNC_STORE)):
        with pytest.raises(ArgumentError, match=r"^fact: must be a fact, such as Authorized"):
            call_and_await(function, store, fact)
