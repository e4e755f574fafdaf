"""Requests per second of one API key, with the platform's buckets and without.

    python benchmarks/one_key.py [SECONDS]

needs what the tests over the wire need. Two workers, each a process of its own that runs the loop of
`serve_async`, share one PostgreSQL; where limits are in Redis they share a Valkey too. Each client
sends one initiate after the other, each for another app user, so that nothing but the buckets meets.
With and without take turns, so that both see the same machine: read the ratios, and the last column,
which counts the answers that say the server could not.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Final
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))

from curae_lifecycle import ApiKey, Bucket, Caller, Environment, Request, Settings
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId
from curae_lifecycle.stores.contract import AsyncStore
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.redis.clients import create_client_async
from curae_lifecycle.stores.redis.limits import AsyncRedisLimitsStore
from curae_lifecycle.stores.serve import serve_async
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from tests.support.databases.postgres import database, postgres
from tests.support.databases.valkey import valkey

WORKERS: Final = 2
CLIENTS: Final = (4, 16, 60, 200)
ROUNDS: Final = 4
POOL: Final = 10
SECRET: Final = "cae_live_benchmark"  # noqa: S105 - opens nothing
MINT: Final = RandomIds("https://connect.example/")
WITH: Final = Settings(
    # Wide enough to refuse nobody.
    buckets=(
        Bucket(name="platform", capacity=10**6, refill=10**5, seconds=1),
        Bucket(name="daily", capacity=10**7, refill=10**7, seconds=86_400),
    )
)
WITHOUT: Final = Settings()
FAILED: Final = 500


def caller() -> Caller:
    """Whom the one key stands for."""
    return Caller(
        api_key_id=ApiKeyId("key-1"),
        app_id=AppId("app-1"),
        customer_account_id=CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"),
        environment=Environment.LIVE,
        scopes=frozenset({CONNECTION_WRITE}),
    )


def request(user: str) -> Request:
    """An initiate that was never sent before."""
    headers = (("authorization", f"Bearer {SECRET}"), ("idempotency-key", user))
    body = b'{"appUserId": "%s"}' % user.encode()
    return Request(
        method="POST", target="/api/sdk/v1/curae-connect/initiate", headers=headers, body=body
    )


async def client(store: AsyncStore, settings: Settings, until: float) -> Counter[int]:
    """Send one request after the other; how often each status was answered."""
    mine, seen = uuid4(), Counter[int]()
    for number in count():
        if time.monotonic() > until:
            break
        answer = await serve_async(
            store, request=request(f"{mine}-{number}"), id_factory=MINT, settings=settings
        )
        seen[answer.response.status] += 1
    return seen


async def clients(
    url: str, redis_url: str | None, number: int, settings: Settings, seconds: float
) -> Counter[int]:
    """What so many clients of one worker were answered."""
    engine = create_engine_async(url, pool_size=POOL)
    store: AsyncStore = AsyncSqlStore(AsyncSqlDatabase(engine), settings)
    redis = None
    if redis_url is not None:
        redis = create_client_async(redis_url, pool_size=POOL)
        store = AsyncRedisLimitsStore(store, redis)
    try:
        # Connections are made before the time begins.
        await asyncio.gather(*(client(store, settings, 0) for _ in range(number)))
        await asyncio.gather(*(store.caller_of("") for _ in range(POOL)))
        until = time.monotonic() + seconds
        seen = await asyncio.gather(*(client(store, settings, until) for _ in range(number)))
    finally:
        await engine.dispose()
        if redis is not None:
            await redis.aclose()
    return sum(seen, Counter[int]())


def worker(
    url: str, redis_url: str | None, number: int, settings: Settings, seconds: float
) -> Counter[int]:
    """The same, in a process of its own."""
    # What is tried again is counted where it fails in the end.
    logging.disable(logging.WARNING)
    return asyncio.run(
        clients(url, redis_url=redis_url, number=number, settings=settings, seconds=seconds)
    )


def measure(url: str, redis_url: str | None, number: int, seconds: float) -> tuple[float, int]:
    """How many of the requests without buckets are done with them, and how many failed."""
    done, failed = Counter[str](), 0
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        for settings, kind in ((WITHOUT, "without"), (WITH, "with")) * ROUNDS:
            asked = [(url, redis_url, number // WORKERS, settings, seconds / ROUNDS)] * WORKERS
            for seen in pool.starmap(worker, asked):
                done[kind] += seen.total()
                failed += sum(times for status, times in seen.items() if status >= FAILED)
    rates = {kind: each / seconds for kind, each in done.items()}
    where = "Redis" if redis_url else "PostgreSQL"
    ratio = rates["with"] / rates["without"]
    print(
        f"{where:12}{number:8}{rates['without']:12.0f}{rates['with']:12.0f}{ratio:8.2f}{failed:8}",
        flush=True,
    )
    return ratio, failed


def main(seconds: float) -> None:
    """Print a line for each home of the limits and number of clients."""
    print("limits in    clients     without        with   ratio  failed")
    with postgres() as server, valkey() as redis:
        for redis_url in (None, redis.url):
            for number in CLIENTS:
                with database(server) as url:
                    engine = create_engine(url)
                    store = SqlStore(SqlDatabase(engine))
                    store.create_tables()
                    store.register(ApiKey(SECRET), caller())
                    engine.dispose()
                    measure(url, redis_url=redis_url, number=number, seconds=seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 8)
