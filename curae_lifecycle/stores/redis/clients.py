"""Clients that limits in Redis can run on, of one server and of a cluster.

The law of this module: **each command is sent once**: a charge that is sent again is charged again,
so whoever gets no answer in time decides anew. A cluster that says who has a key instead is asked
there: it has done nothing itself.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol, cast
from urllib.parse import unquote, urlsplit

import attrs
import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AwaitedNode
from redis.asyncio.retry import Retry as AwaitedRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

from curae_lifecycle.rules.errors import ArgumentError

DEFAULT_TIMEOUT: Final = 1.0
"""Seconds that Redis is waited for, where nothing else is said: it answers in far less, and the loop
begins no attempt after four."""

NODE_CONNECTIONS: Final = 100
"""Connections to each node of a cluster, where nothing else is said; what needs one more is refused."""

PORT: Final = 6379
"""Where a server listens, where a URL says nothing else."""

_SCHEMES: Final = ("redis", "rediss")

Value = str | int
"""What a command is given."""


class Redis(Protocol):
    """A client of Redis that waits for its answers, such as `redis.Redis`."""

    def execute_command(self, *command: Value) -> object:
        """Send one command; texts may come as bytes."""
        ...


class AsyncRedis(Protocol):
    """A client of Redis whose answers are awaited, such as `redis.asyncio.Redis`."""

    def execute_command(self, *command: Value) -> Awaitable[object]:
        """Send one command; texts may come as bytes."""
        ...


def create_client(
    url: str, *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = 10
) -> redis.Redis:
    """A client that `RedisLimitsStore` can run on, its limits of time set.

    Args:
        url: Such as `redis://host:6379` or `unix:///path`.
        timeout: Seconds that a connection or an answer is waited for.
        pool_size: How many connections there are at most.
    """
    pool = redis.BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped
        url,
        max_connections=pool_size,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis.from_pool(pool)


def create_client_async(
    url: str, *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = 10
) -> redis.asyncio.Redis:
    """A client as `create_client` makes one, awaited, for `AsyncRedisLimitsStore`."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped
        url,
        max_connections=pool_size,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=AwaitedRetry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)


class ClusterClient:
    """A client of a cluster for `RedisLimitsStore`, which looks for it when it is first asked.

    So a worker starts also while the cluster is not there.

    Args:
        urls: Of some of its nodes, such as `redis://host:6379`; the first says who asks, and how.
        timeout: Seconds that a connection or an answer of a node is waited for.
        pool_size: How many connections to each node there are at most.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        pool_size: int = NODE_CONNECTIONS,
    ) -> None:
        self._nodes = _Nodes.of(urls)
        self._wait = timeout
        self._pool_size = pool_size
        self._made: redis.RedisCluster | None = None
        self._lock = threading.Lock()

    def execute_command(self, *command: Value) -> object:
        """Send one command to the node that has its keys; texts may come as bytes."""
        return cast("Redis", self._client()).execute_command(*command)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def _client(self) -> redis.RedisCluster:
        if not self._lock.acquire(timeout=self._wait):
            raise redis.TimeoutError("the cluster is still being looked for")
        try:
            if self._made is None:
                nodes = self._nodes
                self._made = redis.RedisCluster(
                    startup_nodes=[
                        ClusterNode(host, port)  # type: ignore[no-untyped-call]  # as redis has it
                        for host, port in nodes.places
                    ],
                    require_full_coverage=False,
                    max_connections=self._pool_size,
                    socket_timeout=self._wait,
                    socket_connect_timeout=self._wait,
                    retry=Retry(NoBackoff(), 0),
                    username=nodes.username,
                    password=nodes.password,
                    ssl=nodes.encrypted,
                )
            return self._made
        finally:
            self._lock.release()


def create_cluster_client_async(
    urls: Sequence[str], *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = NODE_CONNECTIONS
) -> redis.asyncio.RedisCluster:
    """A client of a cluster, as `ClusterClient` is one, awaited, for `AsyncRedisLimitsStore`."""
    nodes = _Nodes.of(urls)
    return redis.asyncio.RedisCluster(
        startup_nodes=[AwaitedNode(host, port) for host, port in nodes.places],
        require_full_coverage=False,
        max_connections=pool_size,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=AwaitedRetry(NoBackoff(), 0),
        username=nodes.username,
        password=nodes.password,
        ssl=nodes.encrypted,
    )


@attrs.frozen
class _Nodes:
    """Where some nodes of a cluster are, and who asks them."""

    places: tuple[tuple[str, int], ...]
    username: str | None
    password: str | None
    encrypted: bool

    @classmethod
    def of(cls, urls: Sequence[str]) -> _Nodes:
        """What these URLs say; the first one says who asks."""
        if isinstance(urls, str) or not urls:
            raise ArgumentError("urls", "a list of URLs, one at least")
        try:
            parsed = [urlsplit(url) for url in urls]
            places = tuple([(each.hostname or "localhost", each.port or PORT) for each in parsed])
        except ValueError:
            raise ArgumentError("urls", "URLs, whose ports are numbers up to 65,535") from None
        if any(each.scheme not in _SCHEMES for each in parsed):
            raise ArgumentError("urls", "URLs that begin with redis:// or rediss://")
        first = parsed[0]
        username, password = (
            None if each is None else unquote(each) for each in (first.username, first.password)
        )
        return cls(
            places=places,
            username=username or None,
            password=password,
            encrypted=first.scheme == "rediss",
        )
