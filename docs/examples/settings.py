"""The settings of the examples, most of them read from the environment."""

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
"""The URL of this server for a browser."""

WORKERS: Final = int(os.environ.get("WORKERS", "1"))
POOL: Final = int(os.environ.get("POOL", "10"))
"""The largest number of database connections of a worker, and the number of its threads."""

DEMO_URL: Final = "sqlite:///curae.db"
DATABASE_URL: Final = os.environ.get("DATABASE_URL", DEMO_URL)
BLOCKING_URL: Final = re.sub(r"^(\w+)\+\w+:", r"\1:", DATABASE_URL)
"""DATABASE_URL with the blocking driver of its database, for the set-up."""

REDIS_URLS: Final = os.environ.get("REDIS_URL", "").split()
"""The Redis that keeps the rate limits; several URLs are the nodes of a cluster. Without a URL the
database keeps them."""

SETTINGS: Final = Settings()
IDS: Final = RandomIds(f"{PUBLIC_URL}/pages/")


def counters() -> Metrics | None:
    """Return the counters behind `/metrics`, or None if METRICS is not set.

    Only your network protects `/metrics`.
    """
    if os.environ.get("METRICS") is None:
        return None
    from curae_lifecycle.servers.metrics import Metrics  # noqa: PLC0415 - needed only where wanted

    return Metrics()


COUNTERS: Final = counters()


def open_database_async() -> AsyncDatabase:
    """Open the database of an async server.

    URLs that begin with `sqlite://` or `mariadb://` are used in threads. For an async driver, name
    it, as in `sqlite+aiosqlite://`.
    """
    if DATABASE_URL.startswith(("sqlite:", "mariadb:")):
        blocking = engine.create_engine(DATABASE_URL, pool_size=POOL)
        return ThreadedDatabase(engine.SqlDatabase(blocking))
    return engine.AsyncSqlDatabase(engine.create_engine_async(DATABASE_URL, pool_size=POOL))


def with_limits(store: Store) -> Store:
    """Return the store, with its rate limits in Redis if REDIS_URL is set."""
    if not REDIS_URLS:
        return store
    from curae_lifecycle.stores.redis import clients, limits  # noqa: PLC0415 - only where wanted

    if len(REDIS_URLS) == 1:
        return limits.RedisLimitsStore(store, clients.create_client(REDIS_URLS[0]))
    return limits.RedisLimitsStore(store, clients.ClusterClient(REDIS_URLS))


def with_limits_async(store: AsyncStore) -> AsyncStore:
    """Return an async store, with its rate limits in Redis if REDIS_URL is set."""
    if not REDIS_URLS:
        return store
    from curae_lifecycle.stores.redis import clients, limits  # noqa: PLC0415 - only where wanted

    if len(REDIS_URLS) == 1:
        return limits.AsyncRedisLimitsStore(store, clients.create_client_async(REDIS_URLS[0]))
    return limits.AsyncRedisLimitsStore(store, clients.create_cluster_client_async(REDIS_URLS))
