"""Tests of a failing Redis: it admits no request and charges at most once."""

from __future__ import annotations

import asyncio
import json

import attrs
import pytest
import redis
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MaxConnectionsError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
)

from curae_lifecycle import MemoryStore
from curae_lifecycle.rules.ratelimit import FULL_BUCKET
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.redis import limits
from curae_lifecycle.stores.redis.clients import create_client
from curae_lifecycle.stores.redis.limits import AsyncRedisLimitsStore, RedisLimitsStore
from curae_lifecycle.stores.retry import RetryPolicy
from tests.stores.redis.charging import BUCKET, KINDS, Who, client, known, who
from tests.support import patiently
from tests.support.databases.valkey import valkey
from tests.support.hanging import stopped
from tests.support.patiently import PATIENCE
from tests.support.redis_limits import AtOnce, limited, redis_url
from tests.support.server import CALLER

__all__ = ["client", "redis_url", "who"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_redis_gives_500_and_a_later_retry_succeeds(kind: str) -> None:
    with (
        valkey() as server,
        create_client(server.url, timeout=PATIENCE) as client,
        known(kind, server.url, client) as who,
    ):
        assert who.initiate(0).status == 201
        server.kill()
        with pytest.raises(StoreUnavailableError, match="ConnectionError"):
            who.held()
        answer = who.initiate(1, RetryPolicy(attempts=3, seconds=PATIENCE))
        assert answer.status == 500
        assert json.loads(answer.body)["retryable"] is True
        assert dict(answer.headers)["retry-after"] == "1"
        server.start()
        # Charges survive the restart.
        assert [who.initiate(number).status for number in range(1, 11)] == [201] * 9 + [429]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_hanging_redis_times_out_and_is_charged_at_most_once(kind: str) -> None:
    with (
        valkey() as server,
        create_client(server.url, timeout=PATIENCE) as client,
        known(kind, server.url, client) as patient,
        limited(kind, patient.inner, server.url, wait=0.1) as store,
    ):
        who = attrs.evolve(patient, store=store)
        # From here on the server knows the script.
        assert patient.initiate(0).status == 201
        needs = Needs(buckets=(who.bucket_key,))
        loaded = patiently.run(lambda: store.load(needs, who.api_key.digest()), 0.1)
        assert server.process is not None
        with stopped(server.process.pid):
            charged = Changes(
                (RateWrite(key=who.bucket_key, policy=BUCKET, before=None, after=FULL_BUCKET),)
            )
            with pytest.raises(StoreUnavailableError):
                store.commit(loaded, charged)
            with pytest.raises(StoreUnavailableError):
                who.held()
            assert who.initiate(1, RetryPolicy(attempts=2)).status == 500
        # The reply was lost, so the charge may or may not have happened.
        assert patient.charged() in {(1, 1), (2, 1)}


@attrs.frozen
class Broken:
    """A client whose commands raise an error."""

    error: Exception

    def execute_command(self, *_: str | int) -> object:
        raise self.error


@attrs.frozen
class AsyncBroken:
    """An async client whose commands raise an error."""

    error: Exception

    async def execute_command(self, *_: str | int) -> object:
        raise self.error


TRANSIENT = [
    redis.ConnectionError("refused"),
    redis.TimeoutError("no reply"),
    BusyLoadingError("LOADING a dataset"),
    MaxConnectionsError("the pool is exhausted"),
    ReadOnlyError("READONLY a replica"),
    OutOfMemoryError("OOM noeviction"),
    ClusterDownError("CLUSTERDOWN no slots"),
    ClusterError("TTL exhausted."),
    redis.ResponseError("BUSY Redis is busy running a script"),
    redis.ResponseError("MISCONF errors writing to the AOF file"),
    redis.ResponseError("NOREPLICAS not enough good replicas to write"),
    TryAgainError("TRYAGAIN during resharding"),
    RedisClusterException("no node responds"),
]
PERMANENT = [
    redis.ResponseError("WRONGTYPE"),
    redis.DataError("a value that cannot be sent"),
    RuntimeError("a mistake"),
]


def load_with(error: Exception, *, is_async: bool) -> None:
    needs = Needs(buckets=(BucketKey(CALLER.key_owner, BUCKET),))
    if is_async:
        store = AsyncRedisLimitsStore(AtOnce(MemoryStore()), AsyncBroken(error))
        asyncio.run(store.load(needs))
    else:
        RedisLimitsStore(MemoryStore(), Broken(error)).load(needs)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [*TRANSIENT, *PERMANENT], ids=lambda each: type(each).__name__)
def test_only_a_transient_redis_error_raises_store_unavailable(
    error: Exception, *, is_async: bool
) -> None:
    expected = StoreUnavailableError if error in TRANSIENT else type(error)
    with pytest.raises(expected) as raised:
        load_with(error, is_async=is_async)
    if error in TRANSIENT:
        # A charge may have happened before the error.
        assert type(raised.value) is StoreUnavailableError
        assert str(error) not in str(raised.value)


def test_wrong_type_error_of_redis_is_raised(who: Who) -> None:
    # Another application's value under our key.
    who.client.rpush(limits._name(who.bucket_key), "1")
    needs = Needs(buckets=(who.bucket_key,))
    loaded = who.store.load(needs, who.api_key.digest())
    charged = Changes(
        (RateWrite(key=who.bucket_key, policy=BUCKET, before=None, after=FULL_BUCKET),)
    )
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        who.store.commit(loaded, charged)
    assert who.initiate(1).status == 500


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (redis.ConnectionError("redis.example refused"), "Redis failed (ConnectionError)"),
        (redis.ResponseError("MISCONF redis.example"), "Redis failed (MISCONF)"),
    ],
)
def test_temporary_redis_error_shows_its_class_or_code_not_text(
    error: Exception, said: str
) -> None:
    with pytest.raises(StoreUnavailableError) as raised, limits._store_errors():
        raise error
    assert str(raised.value) == f"the store cannot be used now: {said}"
