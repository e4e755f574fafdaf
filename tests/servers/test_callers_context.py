"""Tests that functions of a server run in the context of their caller, blocking and async."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from datetime import datetime
from threading import Event

import attrs
import pytest

from curae_lifecycle import (
    NewIds,
    NextAction,
    Request,
    Response,
    serve_with_external_call,
    serve_with_external_call_async,
)
from curae_lifecycle.rules.idempotency import LostLeaseAction
from curae_lifecycle.servers.endpoint import METRICS_PATH, AsyncEndpoint, Endpoint
from curae_lifecycle.servers.log import REQUEST_ID
from curae_lifecycle.servers.metrics import Metrics
from curae_lifecycle.stores.external_call import AsyncRenew, Renew
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.request_loop import LOG_TRACEBACKS
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.outbox_statements import Backlog
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.stores.sql.posting import post
from tests.support.server import request
from tests.support.serving import Awaited, Numbered, faulty
from tests.support.strategies import NEXT_ACTION_LIFETIME

TENANT: ContextVar[str] = ContextVar("tenant", default="no tenant")


@attrs.define
class Seen:
    """The tenant that each function of a server saw in its caller's context.

    Attributes:
        database: A database with two messages in its outbox.
        tenants: The value of `TENANT` at each call.
    """

    database: SqlDatabase
    tenants: list[str] = attrs.field(factory=list[str])

    def note(self) -> None:
        self.tenants.append(TENANT.get())

    # --- Outbox ---------------------------------------------------------------------------------

    def deliver_batch(self) -> None:
        assert Outbox(self.database).deliver_batch(lambda _: self.note()) == 2

    async def deliver_batch_async(self) -> None:
        async def handle(_: Delivery) -> None:
            self.note()

        assert await AsyncOutbox(ThreadedDatabase(self.database)).deliver_batch(handle) == 2

    def run_outbox(self) -> None:
        stop = Event()

        def handle(_: Delivery) -> None:
            self.note()
            if len(self.tenants) == 2:
                stop.set()

        Outbox(self.database).run(handle, stop)

    async def run_outbox_async(self) -> None:
        stop = asyncio.Event()

        async def handle(_: Delivery) -> None:
            self.note()
            if len(self.tenants) == 2:
                stop.set()

        await AsyncOutbox(ThreadedDatabase(self.database)).run(handle, stop)

    # --- External calls -------------------------------------------------------------------------

    def new_ids(self, now: datetime) -> NewIds:
        self.note()
        return Numbered()(now)

    def call_externally(self) -> None:
        store = faulty()

        def call(_: NewIds, renew: Renew) -> NextAction:
            assert renew()
            self.note()
            return NextAction("https://pages.example/1", store.clock.now + NEXT_ACTION_LIFETIME)

        answer = serve_with_external_call(
            store,
            request=request("create"),
            id_factory=self.new_ids,
            make_next_action=call,
            lost_lease=LostLeaseAction.EXECUTE,
        )
        assert answer.response.status == 201

    async def call_externally_async(self) -> None:
        store = faulty()

        async def call(_: NewIds, renew: AsyncRenew) -> NextAction:
            assert await renew()
            self.note()
            return NextAction("https://pages.example/1", store.clock.now + NEXT_ACTION_LIFETIME)

        answer = await serve_with_external_call_async(
            Awaited(store),
            request=request("create"),
            id_factory=self.new_ids,
            make_next_action=call,
            lost_lease=LostLeaseAction.EXECUTE,
        )
        assert answer.response.status == 201

    # --- Endpoints ------------------------------------------------------------------------------

    def serve_page_and_metrics(self) -> None:
        def page(_: Request) -> Response | None:
            self.note()
            return None

        def backlog() -> Backlog:
            self.note()
            return Backlog(0, 0, 0.0)

        endpoint = Endpoint(
            faulty(), Numbered(), hosted_pages=page, counters=Metrics(), backlog=backlog
        )
        assert endpoint(request("create")).status == 201
        assert endpoint(Request("GET", METRICS_PATH)).status == 200

    async def serve_page_and_metrics_async(self) -> None:
        async def page(_: Request) -> Response | None:
            self.note()
            return None

        async def backlog() -> Backlog:
            self.note()
            return Backlog(0, 0, 0.0)

        endpoint = AsyncEndpoint(
            Awaited(faulty()), Numbered(), hosted_pages=page, counters=Metrics(), backlog=backlog
        )
        assert (await endpoint(request("create"))).status == 201
        assert (await endpoint(Request("GET", METRICS_PATH))).status == 200


Function = Callable[[Seen], Awaitable[None] | None]


@pytest.fixture
def seen(sqlite_url: str) -> Iterator[Seen]:
    engine = create_engine(sqlite_url)
    database = SqlDatabase(engine)
    SqlStore(database).create_tables()
    post(database, "one", "two")
    yield Seen(database)
    engine.dispose()


@pytest.mark.parametrize(
    "function",
    [
        Seen.deliver_batch,
        Seen.deliver_batch_async,
        Seen.run_outbox,
        Seen.run_outbox_async,
        Seen.call_externally,
        Seen.call_externally_async,
        Seen.serve_page_and_metrics,
        Seen.serve_page_and_metrics_async,
    ],
    ids=lambda function: function.__name__,
)
def test_server_and_outbox_callbacks_see_contextvars_set_outside(
    seen: Seen, function: Function
) -> None:
    async def call() -> None:
        TENANT.set("ada's")
        waiting = function(seen)
        if waiting is not None:
            await waiting

    asyncio.run(call())
    assert seen.tenants == ["ada's", "ada's"]


ENDS = [None, KeyboardInterrupt, asyncio.CancelledError, ValueError]
"""How a hosted page ends: with no response, or with an error of a class."""


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_endpoint_restores_earlier_request_id_and_debug_flag(
    kind: str, ends: type[BaseException] | None
) -> None:
    inner = "0" * 32
    asked = Request("GET", "/", (("x-request-id", inner),))
    during: list[tuple[str | None, bool]] = []

    def page(_: Request) -> Response | None:
        during.append((REQUEST_ID.get(), LOG_TRACEBACKS.get()))
        if ends is not None:
            raise ends
        return None

    async def page_async(request: Request) -> Response | None:
        return page(request)

    async def call() -> None:
        REQUEST_ID.set("outer")
        is_raised = ends in {KeyboardInterrupt, asyncio.CancelledError}
        try:
            if kind == "blocking":
                Endpoint(faulty(), Numbered(), hosted_pages=page, debug=True)(asked)
            else:
                store = Awaited(faulty())
                await AsyncEndpoint(store, Numbered(), hosted_pages=page_async, debug=True)(asked)
        except (KeyboardInterrupt, asyncio.CancelledError):
            assert is_raised
        else:
            assert not is_raised
        assert (REQUEST_ID.get(), LOG_TRACEBACKS.get()) == ("outer", False)

    asyncio.run(call())
    assert during == [(inner, True)]
