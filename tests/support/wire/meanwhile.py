"""An app's request that comes between the steps of a press on a hosted page, in the server's process."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores import serve as serving
from curae_lifecycle.stores.contract import AsyncStore, Loaded, Store
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.retry import DEFAULT_RETRY_POLICY, RetryPolicy
from curae_lifecycle.stores.sql import engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.request import Request

LOAD, COMMIT = "load", "commit"
"""The points: before a fact is loaded, so after the look; and before its commit."""

Take = Callable[[str], None]
"""A function that sends the request of a point, once, if one is planned there."""


@attrs.frozen
class Meanwhile:
    """A request of an app, and the point at which the server gets it.

    Attributes:
        point: `LOAD` or `COMMIT`.
        target: The path.
        headers: The headers.
        body: The body.
        status: The status that the server answers.
    """

    point: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    status: int = 201

    @property
    def request(self) -> Request:
        """The request."""
        # JSON knows lists only.
        headers = tuple([(name, value) for name, value in self.headers])
        return Request(method="POST", target=self.target, headers=headers, body=self.body.encode())


def send(meanwhile: Meanwhile) -> None:
    """Serve the request with a new store, in a thread, because the server may run an event loop."""
    plain = serving.serve
    made = engine.create_engine(os.environ["DATABASE_URL"])
    # `follow` has replaced `SqlDatabase` by one whose clock is moved like the server's.
    store = SqlStore(engine.SqlDatabase(made))
    mint = RandomIds(f"{os.environ['PUBLIC_URL']}/pages/")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(plain, store, meanwhile.request, mint).result()
    made.dispose()
    assert answer.response.status == meanwhile.status, answer


@attrs.frozen
class _Interrupted:
    store: Store
    take: Take

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.take(LOAD)
        return self.store.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.take(COMMIT)
        return self.store.commit(loaded, changes, page)


@attrs.frozen
class _AsyncInterrupted:
    store: AsyncStore
    take: Take

    async def caller_of(self, key_digest: str) -> Caller | None:
        return await self.store.caller_of(key_digest)

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.take(LOAD)
        return await self.store.load(needs, key_digest)

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        self.take(COMMIT)
        return await self.store.commit(loaded, changes, page)


def interrupt(take: Take) -> None:
    """Make the facts that the example imported next records meet the planned requests."""
    plain, awaited = serving.record, serving.record_async

    def record(
        store: Store, fact: Fact, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
    ) -> FactAnswer:
        return plain(_Interrupted(store, take), fact, retry_policy=retry_policy)

    async def record_async(
        store: AsyncStore, fact: Fact, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
    ) -> FactAnswer:
        return await awaited(_AsyncInterrupted(store, take), fact, retry_policy=retry_policy)

    serving.record, serving.record_async = record, record_async
