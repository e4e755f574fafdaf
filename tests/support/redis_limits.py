"""Helpers for tests of limits in Redis: a Valkey server, keys of limits, both kinds of store."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import closing, contextmanager
from typing import Final, TypeVar

import attrs
import pytest

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import AsyncStore, Loaded, Store
from curae_lifecycle.stores.redis.clients import (
    ClusterClient,
    create_client,
    create_client_async,
    create_cluster_client_async,
)
from curae_lifecycle.stores.redis.limits import AsyncRedisLimitsStore, RedisLimitsStore
from tests.support.databases.valkey import valkey
from tests.support.server import CALLER

BUCKET_KEY: Final = BucketKey(
    CALLER.key_owner, Bucket(name="platform", capacity=100, refill=50, seconds=1)
)

Answer = TypeVar("Answer")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    given = os.environ.get("CURAE_TEST_REDIS_URL")
    if given is not None:
        yield given
        return
    with valkey() as server:
        yield server.url


@contextmanager
def limited(kind: str, store: Store, url: str, wait: float = 30) -> Iterator[Store]:
    """Yield a blocking view of a store of either kind with its limits in Redis."""
    if kind == "waiting":
        with create_client(url, timeout=wait) as client:
            yield RedisLimitsStore(store, client)
        return
    if kind == "waiting for a cluster":
        with closing(ClusterClient([url], timeout=wait)) as cluster:
            yield RedisLimitsStore(store, cluster)
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    awaited_client = (
        create_client_async(url, timeout=wait)
        if kind == "awaited"
        else create_cluster_client_async([url], timeout=wait)
    )
    made = Waiting(AsyncRedisLimitsStore(AtOnce(store), awaited_client), loop)
    try:
        yield made
    finally:
        made.wait(awaited_client.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@attrs.frozen
class AtOnce:
    """An async view of a blocking store."""

    store: Store

    async def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return self.store.load(needs, key_digest)

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        return await asyncio.to_thread(self.store.commit, loaded, changes, page)


@attrs.frozen
class Waiting:
    """A blocking view of an async store, whose loop runs in another thread."""

    store: AsyncStore
    loop: asyncio.AbstractEventLoop

    def wait(self, answer: Coroutine[None, None, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(answer, self.loop).result()

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.wait(self.store.caller_of(key_digest))

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return self.wait(self.store.load(needs, key_digest))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        return self.wait(self.store.commit(loaded, changes, page))
