"""What the examples chose, and what they read from the environment."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from curae_lifecycle import Settings
from curae_lifecycle.stores.contract import AsyncStore, Store
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.sql import engine
from curae_lifecycle.stores.sql.store import AsyncDatabase
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase

if TYPE_CHECKING:
    from curae_lifecycle.servers.metrics import Metrics

HOST: Final = os.environ.get("HOST", "127.0.0.1")
PORT: Final = int(os.environ.get("PORT", "8000"))
PUBLIC_URL: Final = os.environ.get("PUBLIC_URL", f"http://127.0.0.1:{PORT}").rstrip("/")
"""Where a browser finds this server."""

WORKERS: Final = int(os.environ.get("WORKERS", "1"))
POOL: Final = int(os.environ.get("POOL", "10"))
"""How many connections to the database a worker has at most, and how many threads use them."""

DEMO_URL: Final = "sqlite:///curae.db"
DATABASE_URL: Final = os.environ.get("DATABASE_URL", DEMO_URL)
BLOCKING_URL: Final = re.sub(r"^(\w+)\+\w+:", r"\1:", DATABASE_URL)
"""The same database by its blocking driver, if DATABASE_URL names an async one."""

REDIS_URLS: Final = os.environ.get("REDIS_URL", "").split()
"""Where the rate limits are kept: in the database where there is none, in a cluster where more than
one of its nodes is named."""

SETTINGS: Final = Settings()
MINT: Final = RandomIds(f"{PUBLIC_URL}/pages/")


def counters() -> Metrics | None:
    """What `/metrics` answers, where METRICS is set: nothing protects it but your network."""
    if os.environ.get("METRICS") is None:
        return None
    from curae_lifecycle.servers.metrics import Metrics  # noqa: PLC0415 - needed only where wanted

    return Metrics()


COUNTERS: Final = counters()


def open_awaited() -> AsyncDatabase:
    """Open the database of an async server.

    `sqlite://` and `mariadb://` are used in threads; an async driver of theirs has to be named.
    """
    if DATABASE_URL.startswith(("sqlite:", "mariadb:")):
        blocking = engine.create_engine(DATABASE_URL, pool_size=POOL)
        return ThreadedDatabase(engine.SqlDatabase(blocking))
    return engine.AsyncSqlDatabase(engine.create_engine_async(DATABASE_URL, pool_size=POOL))


def with_limits(store: Store) -> Store:
    """The store itself, or with its rate limits in Redis where that is wanted."""
    if not REDIS_URLS:
        return store
    from curae_lifecycle.stores.redis import clients, limits  # noqa: PLC0415 - only where wanted

    if len(REDIS_URLS) == 1:
        return limits.RedisLimitsStore(store, clients.create_client(REDIS_URLS[0]))
    return limits.RedisLimitsStore(store, clients.ClusterClient(REDIS_URLS))


def with_limits_async(store: AsyncStore) -> AsyncStore:
    """The same for a store that is awaited."""
    if not REDIS_URLS:
        return store
    from curae_lifecycle.stores.redis import clients, limits  # noqa: PLC0415 - only where wanted

    if len(REDIS_URLS) == 1:
        return limits.AsyncRedisLimitsStore(store, clients.create_client_async(REDIS_URLS[0]))
    return limits.AsyncRedisLimitsStore(store, clients.create_cluster_client_async(REDIS_URLS))
