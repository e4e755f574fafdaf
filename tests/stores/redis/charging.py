"""An API key and a store for tests of limits in Redis."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import attrs
import pytest
import redis

import curae_lifecycle as curae
from curae_lifecycle.rules import values
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, LogState, RateState
from curae_lifecycle.rules.values import AppId, CustomerAccountId, to_epoch_microseconds
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded, Store
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.redis.clients import create_client
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import serve
from tests.support.redis_limits import limited
from tests.support.served import MINT, PATIENCE, Clock

BUCKET: Final = Bucket(name="platform", capacity=100, refill=50, seconds=1)
SETTINGS: Final = curae.Settings(buckets=(BUCKET,))
KINDS: Final = ("waiting", "awaited")


@attrs.frozen
class Who:
    """An API key that no other test uses, and the store that has it."""

    caller: curae.Caller
    inner: Wavering
    store: Store
    client: redis.Redis

    @property
    def secret(self) -> str:
        return f"cae_test_{self.caller.api_key_id}"

    @property
    def api_key(self) -> curae.ApiKey:
        return curae.ApiKey(self.secret)

    @property
    def bucket_key(self) -> BucketKey:
        return BucketKey(self.caller.key_owner, BUCKET)

    @property
    def limit_key(self) -> LimitKey:
        caller = self.caller
        user = values.AppUser(
            caller.environment, caller.customer_account_id, values.AppUserId("ada")
        )
        return LimitKey(user, "initiate")

    def held(self) -> tuple[RateState | None, RateState | None]:
        """Load the bucket and the log."""
        needs = Needs(
            record=None,
            buckets=(self.bucket_key,),
            limit=self.limit_key,
            connection=None,
            binding=None,
        )
        snapshot = self.store.load(needs, self.api_key.digest()).snapshot
        return snapshot.buckets[0], snapshot.limit

    def charged(self) -> tuple[int, int]:
        """Return the number of missing tokens and of admissions in the log."""
        bucket, log = self.held()
        assert bucket is None or isinstance(bucket, BucketState)
        assert log is None or isinstance(log, LogState)
        missing = 0 if bucket is None else bucket.full_at - to_epoch_microseconds(self.inner.now)
        return round(missing * 50 / 1_000_000), 0 if log is None else len(log.instants)

    def initiate(self, number: object, patience: RetryPolicy = PATIENCE) -> curae.Response:
        request = curae.Request(
            method="POST",
            target="/api/sdk/v1/curae-connect/initiate",
            headers=(
                ("authorization", f"Bearer {self.secret}"),
                ("idempotency-key", f"visit-{number}"),
            ),
            body=b'{"appUserId": "ada"}',
        )
        return serve(
            self.store, request=request, id_factory=MINT, settings=SETTINGS, retry_policy=patience
        ).response


class Wavering(MemoryStore):
    """A store in memory on a fixed clock that calls hooks before commits."""

    def __init__(self) -> None:
        self.now = Clock()()
        self.before: list[Callable[[], bool]] = []
        super().__init__(SETTINGS, clock=lambda: self.now)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        if self.before and not self.before.pop(0)():
            return False
        return super().commit(loaded, changes, page)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with create_client(redis_url, timeout=PATIENCE.seconds) as made:
        yield made


@pytest.fixture(params=KINDS)
def who(request: pytest.FixtureRequest, redis_url: str, client: redis.Redis) -> Iterator[Who]:
    with known(str(request.param), redis_url, client) as made:
        yield made


@contextmanager
def known(kind: str, url: str, client: redis.Redis) -> Iterator[Who]:
    caller = curae.Caller(
        api_key_id=values.ApiKeyId(f"key-{unused()}"),
        app_id=AppId("app-1"),
        customer_account_id=CustomerAccountId(unused()),
        environment=curae.Environment.TEST,
        scopes=frozenset({CONNECTION_WRITE}),
    )
    inner = Wavering()
    with limited(kind, inner, url) as store:
        who = Who(caller=caller, inner=inner, store=store, client=client)
        inner.register(who.api_key, caller)
        yield who


def unused() -> str:
    """Return an id that no other run has used on a shared server."""
    return str(UUID(bytes=secrets.token_bytes(16)))
