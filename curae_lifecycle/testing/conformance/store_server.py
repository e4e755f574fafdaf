"""A server for the kit around any store: `serve`, the hooks, and a simulated clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final, Protocol, cast, runtime_checkable

import attrs

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.hosted_pages import HostedPage
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.testing.conformance.fact_hooks import FactHooks, caller_of
from curae_lifecycle.testing.conformance.server import ApiKeyRequest, Server
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore, StoreWithApiKeys
from curae_lifecycle.web.request import Request

START: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
_ROUNDS: Final = 5
"""How often each race is run."""

_IDS: Final = RandomIds("https://connect.example/")


def server_for_store(store: StoreWithApiKeys) -> Server:
    """Return a server for the kit that runs in this process on a simulated clock.

    Args:
        store: An empty store. The kit calls the store from several threads. If the store has a
            method `withdraw`, the kit withdraws API keys too. The store's own outbox, hosted pages
            and clock are not checked.
    """
    hooks = _StoreHooks(store)
    return attrs.evolve(
        hooks.as_server(hooks.send, None),
        withdraw=hooks.withdraw if isinstance(store, _HasWithdraw) else None,
        purge=hooks.purge,
        race_rounds=_ROUNDS,
    )


@runtime_checkable
class _HasWithdraw(Protocol):
    def withdraw(self, api_key: ApiKey) -> object: ...


class _StoreHooks(FactHooks):
    def __init__(self, store: StoreWithApiKeys) -> None:
        self._inner = store
        self._store = _RenamedBuckets(store, START)
        self._settings = Settings()
        self._numbers = count(1)

    def send(self, request: Request) -> Response:
        return serve(
            self._store, request=request, id_factory=_IDS, settings=self._settings
        ).response

    def make_key(self, wanted: ApiKeyRequest) -> str:
        text = f"cae_{wanted.environment}_{next(self._numbers)}"
        self.register_again(text, wanted)
        return text

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        self._store.register(ApiKey(api_key), caller_of(api_key, wanted))

    def pass_time(self, span: timedelta) -> None:
        self._store.now += span
        self.purge()

    def purge(self) -> None:
        self._store.purge(self._store.now)

    def withdraw(self, api_key: str) -> None:
        cast("_HasWithdraw", self._inner).withdraw(ApiKey(api_key))

    def may_read(self, connection_id: str, package: str) -> bool:
        loaded = self._store.load(Needs(connection=ConnectionId(connection_id)))
        connection = loaded.snapshot.connection
        if connection is None:
            return False
        return isinstance(decide_access(connection, package, loaded.now), Granted)

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        self._settings = Settings(buckets=buckets or ())
        self._store.generation += 1

    def clock(self) -> datetime:
        return self._store.now

    def record_fact(self, fact: Fact) -> FactAnswer:
        return record(self._store, fact)


class _RenamedBuckets(SimulatedClockStore):
    """A store whose buckets are full again whenever the generation changes.

    Stores have no method that fills a bucket, so each generation gives the buckets new names.
    """

    generation = 0

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        buckets = tuple([self._rename(key) for key in needs.buckets])
        return super().load(attrs.evolve(needs, buckets=buckets), key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        writes = tuple([self._rename_write(write) for write in changes.writes])
        return super().commit(loaded, attrs.evolve(changes, writes=writes), page)

    def _rename_write(self, write: Write) -> Write:
        if isinstance(write, RateWrite) and isinstance(write.key, BucketKey):
            return attrs.evolve(write, key=self._rename(write.key))
        return write

    def _rename(self, key: BucketKey) -> BucketKey:
        name = f"{key.bucket.name}-{self.generation}"
        return attrs.evolve(key, bucket=attrs.evolve(key.bucket, name=name))
