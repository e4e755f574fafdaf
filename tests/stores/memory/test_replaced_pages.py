"""Tests that a hosted page which was replaced cannot act on the store in memory."""

from __future__ import annotations

import asyncio
import json

from curae_lifecycle import ApiKey, MemoryStore, serve
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import as_async_store, record
from tests.support.replaced_pages import check_replaced_pages
from tests.support.server import API_KEY, CALLER, request
from tests.support.serving import Awaited, Clock
from tests.support.strategies import TICK, at


def made(clock: Clock) -> MemoryStore:
    store = MemoryStore(clock=clock)
    store.register(ApiKey(API_KEY), CALLER)
    return store


def test_memory_store_refuses_a_fact_of_a_replaced_hosted_page() -> None:
    run_sync(check_replaced_pages(as_async_store(made(Clock()))))


def test_async_memory_store_refuses_fact_of_replaced_hosted_page() -> None:
    asyncio.run(check_replaced_pages(Awaited(made(Clock()))))


def test_fact_that_names_a_purged_hosted_page_is_refused() -> None:
    clock = Clock()
    store = made(clock)
    mint = RandomIds("https://connect.example/")
    answer = json.loads(serve(store, request("create"), mint).response.body)
    connection_id, url = ConnectionId(answer["connection"]["id"]), answer["nextAction"]["url"]
    late = Authorized(connection_id, happened_at=at(29), page_url=url)
    clock.now = at(35) - TICK
    store.purge()
    # The page has expired, but its row is still there.
    assert store.load(late.needs()).snapshot.page is not None
    clock.now = at(35)
    store.purge()
    answered = record(store, late)
    assert isinstance(answered, Refused)
    assert answered.problem.code is ProblemCode.NOT_FOUND
    # A fact that is reported later names no page.
    assert isinstance(record(store, Authorized(connection_id, happened_at=at(29))), Done)
