"""Measure the requests per second of one API key, with the platform's buckets and without.

    python benchmarks/one_key.py [SECONDS] [--clients N ...] [--mariadb]

It needs the packages of the extra `test`, and MariaDB for `--mariadb`. Two worker processes run
`serve_async` on one PostgreSQL; if limits are in Redis, they also share a Valkey. Each client sends
one initiate after the other, each for another app user, so that requests conflict only at the
buckets. A SQL store charges the buckets in its commit (`with`), or ahead of it (`apart`).

All kinds take turns, so that the state of the machine affects all alike: read the ratios. The last
column counts responses with a status of 500 or above. A slow disk is a PostgreSQL whose commits
take 10 ms. `--mariadb` measures a MariaDB with its data on this machine's disk. Its log is written
at each commit (flush 1) or once a second (flush 2), for all its connections alike.
"""

from __future__ import annotations

import argparse
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

import attrs
import sqlalchemy as sa

from benchmarks.servers import slow_down
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
from tests.support.databases.mariadb import mariadb, mariadb_database
from tests.support.databases.postgres import cluster, database
from tests.support.databases.valkey import valkey

WORKERS: Final = 2
CLIENTS: Final = (4, 16, 60, 200)
ROUNDS: Final = 4
POOL: Final = 10
SECRET: Final = "cae_live_benchmark"  # noqa: S105 - not a real secret
MINT: Final = RandomIds("https://connect.example/")
WITH: Final = Settings(
    # The buckets are so large that no request is refused.
    buckets=(
        Bucket(name="platform", capacity=10**6, refill=10**5, seconds=1),
        Bucket(name="daily", capacity=10**7, refill=10**7, seconds=86_400),
    )
)
WITHOUT: Final = Settings()
FAILED: Final = 500
DATABASE: Final = (("without", WITHOUT, False), ("with", WITH, False), ("apart", WITH, True))
REDIS: Final = DATABASE[:2]


def caller() -> Caller:
    """Return the caller of the API key."""
    return Caller(
        api_key_id=ApiKeyId("key-1"),
        app_id=AppId("app-1"),
        customer_account_id=CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"),
        environment=Environment.LIVE,
        scopes=frozenset({CONNECTION_WRITE}),
    )


def request(user: str) -> Request:
    """Return an initiate for an app user, with the user's id as its idempotency key."""
    headers = (("authorization", f"Bearer {SECRET}"), ("idempotency-key", user))
    body = b'{"appUserId": "%s"}' % user.encode()
    return Request(
        method="POST", target="/api/sdk/v1/curae-connect/initiate", headers=headers, body=body
    )


async def client(store: AsyncStore, settings: Settings, until: float) -> Counter[int]:
    """Send one request after the other, and return how often each status occurred."""
    mine, seen = uuid4(), Counter[int]()
    for number in count():
        if time.monotonic() > until:
            break
        answer = await serve_async(
            store, request=request(f"{mine}-{number}"), id_factory=MINT, settings=settings
        )
        seen[answer.response.status] += 1
    return seen


@attrs.frozen
class Load:
    """The load that the clients of one worker produce.

    Attributes:
        url: The URL of the database.
        redis_url: The URL of the server with the limits; None for limits in the database.
        number: The number of clients.
        seconds: How long they send requests.
        settings: The settings of the server.
        apart: True if the store charges buckets ahead of its commit.
    """

    url: str
    redis_url: str | None
    number: int
    seconds: float
    settings: Settings
    apart: bool


async def clients(load: Load) -> Counter[int]:
    """Run the clients of one worker, and return how often each status occurred."""
    engine = create_engine_async(load.url, pool_size=POOL)
    store: AsyncStore = AsyncSqlStore(
        AsyncSqlDatabase(engine), load.settings, charge_apart=load.apart
    )
    redis = None
    if load.redis_url is not None:
        redis = create_client_async(load.redis_url, pool_size=POOL)
        store = AsyncRedisLimitsStore(store, redis)
    numbers = range(load.number)
    try:
        # The connections are opened before the measured time begins.
        await asyncio.gather(*(client(store, load.settings, 0) for _ in numbers))
        await asyncio.gather(*(store.caller_of("") for _ in range(POOL)))
        until = time.monotonic() + load.seconds
        seen = await asyncio.gather(*(client(store, load.settings, until) for _ in numbers))
    finally:
        await engine.dispose()
        if redis is not None:
            await redis.aclose()
    return sum(seen, Counter[int]())


def worker(load: Load) -> Counter[int]:
    """Run `clients` in a worker process."""
    # A retry needs no warning: a request that fails in the end is counted.
    logging.disable(logging.WARNING)
    return asyncio.run(clients(load))


def measure(url: str, redis_url: str | None, number: int, seconds: float) -> str:
    """Measure all kinds in turns, and return their line."""
    done, failed = Counter[str](), 0
    kinds = DATABASE if redis_url is None else REDIS
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        for kind, settings, apart in kinds * ROUNDS:
            load = Load(
                url=url,
                redis_url=redis_url,
                number=number // WORKERS,
                seconds=seconds / ROUNDS,
                settings=settings,
                apart=apart,
            )
            for seen in pool.map(worker, [load] * WORKERS):
                done[kind] += seen.total()
                failed += sum(times for status, times in seen.items() if status >= FAILED)
    return line(done, failed, seconds)


def line(done: Counter[str], failed: int, seconds: float) -> str:
    """Return the rate without buckets, the other kinds' ratios to it, and the failures."""
    without = done["without"]
    ratios = [f"{kind:>10} {number / without:.2f}" for kind, number in done.items()]
    return f"{without / seconds:10.0f}{''.join(ratios[1:])}   failed {failed}"


def prepare(url: str) -> None:
    """Create the tables, and register the API key."""
    engine = create_engine(url)
    store = SqlStore(SqlDatabase(engine))
    store.create_tables()
    store.register(ApiKey(SECRET), caller())
    engine.dispose()


def measure_mariadb(seconds: float, numbers: list[int]) -> None:
    """Print a line for each number of clients and each setting of MariaDB's flush."""
    with mariadb() as server:
        for number in numbers:
            for flush in (1, 2):
                with mariadb_database(server) as url:
                    prepare(url)
                    engine = create_engine(url)
                    with engine.begin() as connection:
                        connection.exec_driver_sql(
                            f"SET GLOBAL innodb_flush_log_at_trx_commit = {flush}"
                        )
                    engine.dispose()
                    of_asyncmy = sa.make_url(url).set(drivername="mariadb+asyncmy")
                    asked = of_asyncmy.render_as_string(hide_password=False)
                    seen = measure(asked, redis_url=None, number=number, seconds=seconds)
                    print(f"MariaDB, flush {flush}, {number:4} clients{seen}", flush=True)


def main(seconds: float, numbers: list[int]) -> None:
    """Print a line for each disk, database of the limits and number of clients."""
    for disk in ("fast", "slow"):
        with cluster() as server, valkey() as redis:
            if disk == "slow":
                slow_down(server)
            for redis_url in (None, redis.url):
                for number in numbers:
                    with database(server.url) as url:
                        prepare(url)
                        where = "PostgreSQL" if redis_url is None else "Redis"
                        seen = measure(url, redis_url=redis_url, number=number, seconds=seconds)
                        print(f"{disk} disk, {where:10}{number:4} clients{seen}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=8)
    parser.add_argument("--clients", nargs="+", type=int, default=list(CLIENTS))
    parser.add_argument("--mariadb", action="store_true")
    chosen = parser.parse_args()
    (measure_mariadb if chosen.mariadb else main)(chosen.seconds, chosen.clients)
