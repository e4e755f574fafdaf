"""Tests of endpoints whose next actions another service makes."""

from __future__ import annotations

from functools import partial

import attrs
import pytest

from curae_lifecycle import (
    NextAction,
    Response,
    serve_with_external_call,
    serve_with_external_call_async,
)
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.external_call import AsyncRenew, Renew
from curae_lifecycle.stores.serve import AsyncServeFunction, ServeFunction
from tests.servers.test_endpoint import Counted
from tests.support.asking import KINDS, MINT, logged
from tests.support.server import request
from tests.support.serving import Awaited, Faulty, faulty, run_async
from tests.support.strategies import NEXT_ACTION_LIFETIME

CREATE = request("create")
URL = "https://pages.example/1"


@attrs.define
class Asked:
    """An endpoint of either kind whose next actions another service makes, or does not."""

    kind: str
    store: Faulty = attrs.field(factory=faulty)
    counters: Counted = attrs.field(factory=Counted)
    fails: bool = False
    calls: int = 0

    def __call__(self) -> Response:
        if self.kind == "waits":
            serve: ServeFunction = partial(serve_with_external_call, make_next_action=self.make)
            return Endpoint(self.store, MINT, counters=self.counters, serve=serve)(CREATE)
        serve_async: AsyncServeFunction = partial(
            serve_with_external_call_async, make_next_action=self.make_async
        )
        store = Awaited(self.store)
        endpoint = AsyncEndpoint(store, MINT, counters=self.counters, serve=serve_async)
        return run_async(endpoint(CREATE))

    def make(self, _: NewIds, renew: Renew) -> NextAction:
        assert renew()
        return self.made()

    async def make_async(self, _: NewIds, renew: AsyncRenew) -> NextAction:
        assert await renew()
        return self.made()

    def made(self) -> NextAction:
        self.calls += 1
        if self.fails:
            raise KeyError("a-secret")
        return NextAction(URL, self.store.clock.now + NEXT_ACTION_LIFETIME)


@pytest.mark.parametrize("kind", KINDS)
def test_endpoint_replays_page_url_without_second_external_call(kind: str) -> None:
    asked = Asked(kind)
    with logged() as log:
        first, retry = asked(), asked()
    assert (first.status, URL.encode() in first.body) == (201, True)
    assert (retry.status, retry.body, asked.calls) == (201, first.body, 1)
    # Both transactions of the first request are counted, and the lease that was renewed.
    assert [each.attempts for each in asked.counters.efforts] == [3, 1]
    assert [line["replayed"] for line in log.requests] == [False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_endpoint_answers_500_if_an_external_call_fails(kind: str) -> None:
    asked = Asked(kind, fails=True)
    with logged() as log:
        assert asked().status == 500
    assert [line["code"] for line in log.requests] == ["INTERNAL"]
    assert "a-secret" not in log.text
