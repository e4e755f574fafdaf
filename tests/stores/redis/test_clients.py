"""Tests of the clients for limits in Redis: timeouts, pools, credentials, and no retries."""

from __future__ import annotations

import asyncio
from contextlib import closing
from socket import gethostbyname

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.retry import Retry

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.redis.clients import (
    DEFAULT_TIMEOUT,
    NODE_CONNECTIONS,
    ClusterClient,
    create_client,
    create_client_async,
    create_cluster_client_async,
)

URL = "redis://127.0.0.1:1"


def blocking_sends(retry: object) -> int:
    """Return how many times a client with this retry sends a command that fails."""
    assert isinstance(retry, Retry)
    sent: list[str] = []

    def send() -> None:
        sent.append("GET")
        raise redis.ConnectionError

    with pytest.raises(redis.ConnectionError):
        retry.call_with_retry(send, lambda _: None)
    return len(sent)


def async_sends(retry: object) -> int:
    """Return how many times an async client with this retry sends a command that fails."""
    assert isinstance(retry, AsyncRetry)
    sent: list[str] = []

    async def send() -> None:
        sent.append("GET")
        raise redis.ConnectionError

    async def ignore(_: Exception) -> None:
        pass

    with pytest.raises(redis.ConnectionError):
        asyncio.run(retry.call_with_retry(send, ignore))
    return len(sent)


# --- One server -------------------------------------------------------------------------------


def test_redis_clients_apply_their_timeout_and_pool_size() -> None:
    for make in (create_client, create_client_async):
        pool = make(URL, timeout=0.5, pool_size=3).connection_pool
        assert isinstance(pool, redis.BlockingConnectionPool | redis.asyncio.BlockingConnectionPool)
        given = pool.connection_kwargs
        assert (pool.max_connections, pool.timeout) == (3, 0.5)
        assert (given["socket_timeout"], given["socket_connect_timeout"]) == (0.5, 0.5)
        pool = make(URL).connection_pool
        assert pool.max_connections == 10
        assert pool.connection_kwargs["socket_timeout"] == DEFAULT_TIMEOUT


@pytest.mark.parametrize("size", [0, -1])
def test_redis_client_with_a_pool_size_below_1_raises(size: int) -> None:
    for make in (create_client, create_client_async):
        with pytest.raises(ArgumentError, match=rf"^pool_size: .* at least 1, not {size}$"):
            make(URL, pool_size=size)
    for make_cluster in (ClusterClient, create_cluster_client_async):
        with pytest.raises(ArgumentError, match=rf"^pool_size: .* at least 1, not {size}$"):
            make_cluster([URL], pool_size=size)


def test_redis_clients_send_a_failing_command_once() -> None:
    assert blocking_sends(create_client(URL).connection_pool.connection_kwargs["retry"]) == 1
    assert async_sends(create_client_async(URL).connection_pool.connection_kwargs["retry"]) == 1


@pytest.mark.parametrize(
    "url",
    ["s3cr3t", "redis://:s3cr3t/@host:1", "redis://:s3cr3t@host?socket_timeout=soon"],
)
def test_invalid_redis_url_raises_an_error_without_its_password(url: str) -> None:
    for make in (create_client, create_client_async):
        with pytest.raises(ArgumentError) as refused:
            make(url)
        assert str(refused.value).startswith("url: must be the URL of a Redis server")
        assert "s3cr3t" not in str(refused.value)


# --- A cluster --------------------------------------------------------------------------------


class Clusters:
    """Clients of clusters in place of redis-py's, which connect to no node."""

    def __init__(self) -> None:
        self.made: list[dict[str, object]] = []
        self.closed: list[int] = []

    def __call__(self, **arguments: object) -> _Cluster:
        self.made.append(arguments)
        return _Cluster(self, len(self.made))


class _Cluster:
    def __init__(self, clusters: Clusters, number: int) -> None:
        self.clusters = clusters
        self.number = number

    def execute_command(self, *_: str) -> int:
        return self.number

    def close(self) -> None:
        self.clusters.closed.append(self.number)


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> Clusters:
    made = Clusters()
    monkeypatch.setattr(redis, "RedisCluster", made)
    return made


def test_redis_cluster_client_keeps_one_connection_until_closed(clusters: Clusters) -> None:
    client = ClusterClient([URL])
    assert [client.execute_command("GET", "a"), client.execute_command("GET", "b")] == [1, 1]
    client.close()
    client.close()
    assert clusters.closed == [1]
    assert client.execute_command("GET", "c") == 2


def test_redis_cluster_clients_apply_urls_timeout_and_pool_size(clusters: Clusters) -> None:
    urls = ["rediss://ada:a%3Ab@one:7000", "redis://two", "redis://"]
    # redis-py looks this machine's own name up at once.
    nodes = [("one", 7000), ("two", 6379), (gethostbyname("localhost"), 6379)]
    expected: dict[str, object] = {
        "max_connections": 3,
        "socket_timeout": 0.5,
        "socket_connect_timeout": 0.5,
        "username": "ada",
        "password": "a:b",
    }
    ClusterClient(urls, timeout=0.5, pool_size=3).execute_command("PING")
    (given,) = clusters.made
    startup = given.pop("startup_nodes")
    assert isinstance(startup, list)
    assert [(each.host, each.port) for each in startup] == nodes
    assert blocking_sends(given.pop("retry")) == 1
    assert given == {**expected, "ssl": True, "require_full_coverage": False}

    awaited = create_cluster_client_async(urls, timeout=0.5, pool_size=3)
    manager = awaited.nodes_manager
    assert [(each.host, each.port) for each in manager.startup_nodes.values()] == nodes
    assert async_sends(awaited.retry) == 1
    assert manager.require_full_coverage is False
    assert awaited.connection_kwargs["connection_class"] is redis.asyncio.SSLConnection
    assert {name: awaited.connection_kwargs[name] for name in expected} == expected


def test_redis_cluster_clients_have_default_pool_and_timeout(clusters: Clusters) -> None:
    ClusterClient([URL]).execute_command("PING")
    (given,) = clusters.made
    awaited = create_cluster_client_async([URL]).connection_kwargs
    for limits in (given, awaited):
        assert limits["max_connections"] == NODE_CONNECTIONS
        assert limits["socket_timeout"] == DEFAULT_TIMEOUT
        assert (limits["username"], limits["password"]) == (None, None)
    assert given["ssl"] is False
    assert awaited["connection_class"] is redis.asyncio.Connection


def test_cluster_client_times_out_while_another_thread_connects(clusters: Clusters) -> None:
    client = ClusterClient([URL], timeout=0.01)
    with client._lock, pytest.raises(redis.TimeoutError, match="another thread is still"):
        client.execute_command("PING")
    assert clusters.made == []


def test_closing_an_unused_cluster_client_raises_nothing() -> None:
    with closing(ClusterClient([URL])):
        pass


@pytest.mark.parametrize(
    ("urls", "allowed"),
    [
        ("redis://host", "a list of at least one URL"),
        ([], "a list of at least one URL"),
        (["redis://host:port"], "valid URLs, with ports up to 65,535"),
        (["redis://host:65536"], "valid URLs, with ports up to 65,535"),
        (["host:6379"], "URLs that begin with redis:// or rediss://"),
        (
            ["rediss://host?ssl_ca_certs=/ca.pem"],
            "URLs without a query, which would have no effect",
        ),
    ],
)
def test_invalid_redis_cluster_url_raises_argument_error(urls: list[str], allowed: str) -> None:
    for make in (ClusterClient, create_cluster_client_async):
        with pytest.raises(ArgumentError) as refused:
            make(urls)
        assert (refused.value.argument, refused.value.allowed) == ("urls", allowed)
