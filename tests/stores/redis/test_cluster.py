"""Tests of limits in a Redis cluster: atomic charges, and an unreachable cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import attrs
import pytest
import redis

from curae_lifecycle.rules.ratelimit import FULL_BUCKET
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.redis.clients import ClusterClient
from curae_lifecycle.stores.retry import RetryPolicy
from tests.stores.redis.charging import BUCKET, Who, known
from tests.support import patiently
from tests.support.databases.valkey import Valkey, valkey_cluster
from tests.support.hanging import stopped
from tests.support.patiently import PATIENCE
from tests.support.ports import free_port
from tests.support.redis_limits import limited

KINDS = ("waiting for a cluster", "awaited in a cluster")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Valkey]:
    with valkey_cluster() as server:
        yield server


@pytest.fixture
def client(cluster: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis(port=cluster.port) as made:
        yield made


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def who(kind: str, cluster: Valkey, client: redis.Redis) -> Iterator[Who]:
    with known(kind, cluster.url, client) as made:
        yield made


@pytest.mark.slow
def test_ten_initiates_charge_bucket_and_user_limit_in_a_cluster(who: Who) -> None:
    # A cluster refuses a script whose keys are in several slots.
    assert [who.initiate(number).status for number in range(11)] == [201] * 10 + [429]
    assert who.charged() == (10, 10)


@pytest.mark.slow
def test_redis_cluster_charge_is_refunded_on_a_commit_conflict(who: Who) -> None:
    who.inner.before = [lambda: False]
    assert who.initiate(0).status == 201
    assert who.charged() == (1, 1)


@pytest.mark.slow
def test_hanging_redis_node_charges_a_request_at_most_once(
    kind: str, cluster: Valkey, who: Who
) -> None:
    with limited(kind, who.inner, cluster.url, wait=0.1) as store:
        hasty = attrs.evolve(who, store=store)
        assert who.initiate(0).status == 201
        needs = Needs(buckets=(who.bucket_key,))
        loaded = patiently.run(lambda: store.load(needs, who.api_key.digest()), 0.1)
        assert cluster.process is not None
        with stopped(cluster.process.pid):
            charged = Changes(
                (RateWrite(key=who.bucket_key, policy=BUCKET, before=None, after=FULL_BUCKET),)
            )
            with pytest.raises(StoreUnavailableError):
                store.commit(loaded, charged)
        # The reply was lost, so the charge may or may not have happened.
        assert who.charged() in {(1, 1), (2, 1)}
        # The node is found again.
        assert hasty.initiate(1).status == 201


def test_unreachable_redis_cluster_gives_retryable_500(kind: str) -> None:
    # The cluster was not running when the worker started.
    port = free_port()
    with redis.Redis(port=port) as nobody, known(kind, f"redis://127.0.0.1:{port}", nobody) as who:
        with pytest.raises(StoreUnavailableError, match="Redis failed"):
            who.held()
        answer = who.initiate(1, RetryPolicy(attempts=2))
        assert answer.status == 500
        assert json.loads(answer.body)["retryable"] is True


@pytest.mark.slow
def test_wait_for_cluster_discovery_in_another_thread_times_out(cluster: Valkey) -> None:
    with closing(ClusterClient([cluster.url], timeout=PATIENCE)) as made:
        made._timeout = 0.05
        with made._lock, pytest.raises(redis.TimeoutError):
            made.execute_command("PING")
        made._timeout = PATIENCE
        assert made.execute_command("GET", "nothing") is None
