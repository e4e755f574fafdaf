"""Redis clients for the rate limits, for one server and for a cluster.

The law of this module: **each command is sent once**. A charge that is sent twice is charged twice,
so the client never retries: after a timeout, the request is decided again. A cluster's redirection
to another node is followed, because the first node executed nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, cast
from urllib.parse import unquote, urlsplit

import attrs
import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.wiring import check_count

DEFAULT_TIMEOUT: Final = 1.0
"""The default timeout for a connection or a response, in seconds.

Redis responds in far less. After a timeout there is still time for a retry, since `serve` starts
attempts for four seconds by default.
"""

NODE_CONNECTIONS: Final = 100
"""The default for the largest number of connections to each node of a cluster.

A command that needs one more connection fails.
"""

PORT: Final = 6379
"""The default port of a Redis server."""

_SCHEMES: Final = ("redis", "rediss")

Value = str | int
"""One part of a Redis command, such as `SET`, `key` or `5`: the command's name or an argument."""


class Redis(Protocol):
    """A blocking client, such as `redis.Redis`, with the only method that stores call."""

    def execute_command(self, *command: Value) -> object:
        """Send one command, its name and arguments; return its result (texts may be bytes)."""
        ...


class AsyncRedis(Protocol):
    """An async client, such as `redis.asyncio.Redis`, with the only method that stores call."""

    def execute_command(self, *command: Value) -> Awaitable[object]:
        """Send one command, its name and arguments; return its result (texts may be bytes)."""
        ...


def create_client(
    url: str, *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = 10
) -> redis.Redis:
    """Create a client for `RedisLimitsStore`, which keeps rate limits in Redis.

    The client has all timeouts set. It never retries, since a repeated command could charge twice.

    Args:
        url: The server, such as `redis://host:6379` or `unix:///path`.
        timeout: Seconds to wait for a connection, for a free connection of the pool, or for a
            response.
        pool_size: The largest number of connections.

    Raises:
        ArgumentError: The URL is malformed, or `pool_size` is no integer of at least 1.
    """
    check_count("pool_size", pool_size, least=1)
    with _refuse_malformed_url():
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
    """Create an async client for `AsyncRedisLimitsStore`, which keeps rate limits in Redis.

    The client has all timeouts set and never retries. It takes the same arguments and raises the
    same errors as `create_client`.
    """
    check_count("pool_size", pool_size, least=1)
    with _refuse_malformed_url():
        pool = redis.asyncio.BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped
            url,
            max_connections=pool_size,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=AsyncRetry(NoBackoff(), 0),
        )
    return redis.asyncio.Redis.from_pool(pool)


@contextmanager
def _refuse_malformed_url() -> Generator[None, None, None]:
    # The text of the parser's error can hold a part of the password.
    try:
        yield
    except ValueError:
        raise ArgumentError("url", "the URL of a Redis server, such as redis://host:6379") from None


class ClusterClient:
    """A blocking client of a Redis cluster for `RedisLimitsStore`, which keeps rate limits there.

    The client never retries, since a repeated command could charge twice. It connects on the first
    command, so a worker can start while the cluster is down.

    Args:
        urls: The URLs of one or more nodes, such as `redis://host:6379`; the client finds the other
            nodes. The user name, the password and the use of TLS are taken from the first URL.
        timeout: Seconds to wait for a connection to a node, or for a response.
        pool_size: The largest number of connections to each node; a command that needs one more
            fails.

    Raises:
        ArgumentError: `urls` is empty or a single text, or a URL is malformed, has a query or is
            not a Redis URL. Or `pool_size` is no integer of at least 1.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        pool_size: int = NODE_CONNECTIONS,
    ) -> None:
        check_count("pool_size", pool_size, least=1)
        self._nodes = _Nodes.of(urls)
        self._timeout = timeout
        self._pool_size = pool_size
        self._cluster: redis.RedisCluster | None = None
        self._lock = threading.Lock()

    def execute_command(self, *command: Value) -> object:
        """Send one command, given as its name and arguments, to the node that holds its keys.

        Returns:
            The result of the command. Texts may be bytes.
        """
        return cast("Redis", self._connected()).execute_command(*command)

    def close(self) -> None:
        """Close every connection; a later command connects again."""
        with self._lock:
            cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close()

    def _connected(self) -> redis.RedisCluster:
        if not self._lock.acquire(timeout=self._timeout):
            raise redis.TimeoutError("another thread is still connecting to the cluster")
        try:
            if self._cluster is None:
                nodes = self._nodes
                self._cluster = redis.RedisCluster(
                    startup_nodes=[
                        ClusterNode(host, port)  # type: ignore[no-untyped-call]  # as redis has it
                        for host, port in nodes.addresses
                    ],
                    require_full_coverage=False,
                    max_connections=self._pool_size,
                    socket_timeout=self._timeout,
                    socket_connect_timeout=self._timeout,
                    retry=Retry(NoBackoff(), 0),
                    username=nodes.username,
                    password=nodes.password,
                    ssl=nodes.encrypted,
                )
            return self._cluster
        finally:
            self._lock.release()


def create_cluster_client_async(
    urls: Sequence[str], *, timeout: float = DEFAULT_TIMEOUT, pool_size: int = NODE_CONNECTIONS
) -> redis.asyncio.RedisCluster:
    """Create an async client of a Redis cluster for `AsyncRedisLimitsStore`.

    The client connects on the first command. It never retries, since a repeated command could
    charge a rate limit twice.

    Args:
        urls: The URLs of one or more nodes, such as `redis://host:6379`; the client finds the other
            nodes. The user name, the password and the use of TLS are taken from the first URL.
        timeout: Seconds to wait for a connection to a node, or for a response.
        pool_size: The largest number of connections to each node; a command that needs one more
            fails.

    Raises:
        ArgumentError: `urls` is empty or a single text, or a URL is malformed, has a query or is
            not a Redis URL. Or `pool_size` is no integer of at least 1.
    """
    check_count("pool_size", pool_size, least=1)
    nodes = _Nodes.of(urls)
    return redis.asyncio.RedisCluster(
        startup_nodes=[AsyncClusterNode(host, port) for host, port in nodes.addresses],
        require_full_coverage=False,
        max_connections=pool_size,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=AsyncRetry(NoBackoff(), 0),
        username=nodes.username,
        password=nodes.password,
        ssl=nodes.encrypted,
    )


@attrs.frozen
class _Nodes:
    """The addresses of some nodes of a cluster, and the credentials for them."""

    addresses: tuple[tuple[str, int], ...]
    username: str | None = attrs.field(repr=False)
    password: str | None = attrs.field(repr=False)
    encrypted: bool

    @classmethod
    def of(cls, urls: Sequence[str]) -> _Nodes:
        """Parse URLs. The credentials and the use of TLS are those of the first.

        Raises:
            ArgumentError: There is no URL, or one is malformed or not a Redis URL.
        """
        if isinstance(urls, str) or not urls:
            raise ArgumentError("urls", "a list of at least one URL")
        try:
            parsed = [urlsplit(url) for url in urls]
            addresses = tuple(
                [(each.hostname or "localhost", each.port or PORT) for each in parsed]
            )
        except ValueError:
            raise ArgumentError("urls", "valid URLs, with ports up to 65,535") from None
        if any(each.scheme not in _SCHEMES for each in parsed):
            raise ArgumentError("urls", "URLs that begin with redis:// or rediss://")
        if any(each.query for each in parsed):
            raise ArgumentError("urls", "URLs without a query, which would have no effect")
        first = parsed[0]
        username, password = (
            None if each is None else unquote(each) for each in (first.username, first.password)
        )
        return cls(
            addresses=addresses,
            username=username or None,
            password=password,
            encrypted=first.scheme == "rediss",
        )
