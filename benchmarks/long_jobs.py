"""Measure the response times of one tenant beside a long job of another tenant.

    python benchmarks/long_jobs.py [--connections N] [--rows N] [--disk fast slow] [--jobs NAME ...]

It needs the packages of the extra `test`. One worker runs the async endpoint in its guard on a
PostgreSQL, without a network. Tenant B sends an initiate every 20 ms: for a while alone, then while
the job runs. The jobs take turns, five times, each time with a fifth of the connections or rows:

- `revoke`: a patient revokes a chain of connections, in the worker's own event loop;
- `erase`: `erase` of a user with a chain of connections, in another process, like a command;
- `purge`: `purge` of expired rows, in another process;
- `purge-erased`: `purge` of the erased user's connections, in another process.

Each line has the time of a job, the number of its transactions, the time of the longest one, the
largest number of statements in one, and B's 99th percentile with its ratio to that of B alone. A
slow disk is a PostgreSQL whose commits take 10 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

import attrs

from benchmarks.neighbour import FAILED, PACE, POOL, Seen, Server, Tenant, serve
from benchmarks.servers import slow_down
from curae_lifecycle import ApiKey, RetryPolicy, Settings, record_async
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.stores.sql.engine import (
    AsyncSqlDatabase,
    SqlDatabase,
    create_engine,
    create_engine_async,
)
from curae_lifecycle.stores.sql.erasing import erase
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from tests.support.chains import store_chain
from tests.support.databases.postgres import cluster, database
from tests.support.strategies import COORDINATE

ALONE_SECONDS: Final = 4.0
ROUNDS: Final = 5
STORED_AT_ONCE: Final = 1000
LONG: Final = RetryPolicy(seconds=600.0, attempt_seconds=600.0)
Job = Callable[[], Awaitable[tuple[float, "Transactions"]]]
JOBS: Final = ("revoke", "erase", "purge", "purge-erased")


@attrs.define
class Transactions:
    """The transactions of a job.

    Attributes:
        number: The number of transactions.
        longest: The seconds that the longest one took.
        most: The largest number of statements in one.
    """

    number: int = 0
    longest: float = 0.0
    most: int = 0

    def add(self, seconds: float, statements: int) -> None:
        """Count a transaction."""
        self.number += 1
        self.longest = max(self.longest, seconds)
        self.most = max(self.most, statements)


class TimedAsync(AsyncSqlDatabase):
    """An async database that counts its transactions."""

    transactions = Transactions()

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run and count a transaction."""
        started = time.perf_counter()
        done = await super().run_transaction(statements)
        self.transactions.add(time.perf_counter() - started, len(statements))
        return done


class Timed(SqlDatabase):
    """A blocking database that counts its transactions."""

    transactions = Transactions()

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run and count a transaction."""
        started = time.perf_counter()
        done = super().run_transaction(statements)
        self.transactions.add(time.perf_counter() - started, len(statements))
        return done


def store_expired(database: SqlDatabase, number: int) -> None:
    """Store expired rows, in transactions of `STORED_AT_ONCE` rows."""
    put = "INSERT INTO curae_log (id, version, expires_at, document) VALUES (?, 1, ?, '')"
    for first in range(0, number, STORED_AT_ONCE):
        rows = [
            Statement(put, (f"{each:064}", each), 1)
            for each in range(first, first + STORED_AT_ONCE)
        ]
        assert database.run_transaction(rows)


def work(job: str, url: str) -> None:
    """Run a job in this process, and print its time and transactions."""
    database = Timed(create_engine(url))
    store = SqlStore(database)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    if job == "erase":
        erase(database, COORDINATE)
    else:
        store.purge()
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, **attrs.asdict(database.transactions)}), flush=True)


@asynccontextmanager
async def apart(job: str, url: str) -> AsyncGenerator[Job]:
    """Start a process that waits for a start signal; yield a function that runs the job in it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--work", job, url,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    to, of = process.stdin, process.stdout
    assert to is not None
    assert of is not None
    await of.readline()

    async def run() -> tuple[float, Transactions]:
        to.write(b"\n")
        seen = json.loads(await of.readline())
        return seen.pop("seconds"), Transactions(**seen)

    yield run
    await process.wait()


@asynccontextmanager
async def revocation(url: str, first: ConnectionId) -> AsyncGenerator[Job]:
    """Yield a function that revokes a chain in this event loop."""
    engine = create_engine_async(url, pool_size=1)
    database = TimedAsync(engine)
    database.transactions = Transactions()
    store = AsyncSqlStore(database)
    # Open the database connection now, since a server has its own before a job starts.
    await store.caller_of("")

    async def run() -> tuple[float, Transactions]:
        started = time.perf_counter()
        answer = await record_async(store, Revoked(first, Actor.PATIENT), retry_policy=LONG)
        assert isinstance(answer, Done)
        return time.perf_counter() - started, database.transactions

    yield run
    await engine.dispose()


@attrs.define
class Result:
    """The measurements of a job, over all rounds.

    Attributes:
        alone: The responses to B while no job runs.
        beside: The responses to B while the job runs.
        seconds: The time that the job takes.
        transactions: The transactions of the job.
    """

    alone: Seen = attrs.field(factory=Seen)
    beside: Seen = attrs.field(factory=Seen)
    seconds: float = 0.0
    transactions: Transactions = attrs.field(factory=Transactions)

    def line(self) -> str:
        """Return the line to print."""
        beside, alone, all_of = self.beside, self.alone, self.transactions
        return (
            f"{self.seconds:6.2f} s, {all_of.number:4} transactions, longest "
            f"{all_of.longest * 1000:7.1f} ms, {all_of.most:5} statements"
            f"  B p99 {beside.p99() * 1000:6.1f} ms, {beside.p99() / alone.p99():5.2f} of alone"
            f" ({len(beside.times)} requests, failed {beside.failed})"
        )


async def measure(server: Server, tenant: Tenant, job: Job, result: Result) -> None:
    """Measure B alone, then beside a job."""
    # A server's `run` freezes too. Otherwise later collections scan the tests' tools while B waits.
    gc.collect()
    gc.freeze()
    async with neighbour(server, tenant, result.alone):
        await asyncio.sleep(ALONE_SECONDS)
    async with neighbour(server, tenant, result.beside):
        seconds, found = await job()
    result.seconds += seconds
    whole = result.transactions
    whole.number += found.number
    whole.longest = max(whole.longest, found.longest)
    whole.most = max(whole.most, found.most)


@asynccontextmanager
async def neighbour(server: Server, tenant: Tenant, seen: Seen) -> AsyncGenerator[None]:
    """Send B's requests at a fixed pace within the block, without waiting for responses.

    A response time counts from the instant at which the request was due, so that it includes a
    pause of the server.
    """
    tasks: list[asyncio.Task[None]] = []

    async def once(due: float) -> None:
        status = await server.initiate(tenant)
        seen.times.append(time.monotonic() - due)
        seen.failed += status >= FAILED

    async def send() -> None:
        start = time.monotonic()
        for number in count():
            due = start + number * PACE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.append(asyncio.create_task(once(due)))

    sending = asyncio.create_task(send())
    yield
    # If the loop was busy, requests that are due by now are sent late.
    await asyncio.sleep(PACE)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await asyncio.gather(*tasks)


async def run(url: str, jobs: Sequence[str], connections: int, rows: int) -> None:
    """Run each job `ROUNDS` times, in turns, and print a line for each job."""
    logging.disable(logging.CRITICAL)
    engine = create_engine(url)
    blocking = SqlDatabase(engine)
    filler = SqlStore(blocking)
    filler.create_tables()
    pool = create_engine_async(url, pool_size=POOL)
    store = AsyncSqlStore(AsyncSqlDatabase(pool))
    b = Tenant("cae_live_b", 1)
    filler.register(ApiKey(b.secret), b.caller())
    server = serve(store, Settings(), is_bound=True)
    results = {job: Result() for job in jobs}
    start = 1
    for _ in range(ROUNDS):
        for job in jobs:
            first = ConnectionId("")
            if job in {"revoke", "erase"}:
                first = store_chain(filler, connections // ROUNDS, start)[0].id
                start += connections // ROUNDS
            elif job == "purge":
                store_expired(blocking, rows // ROUNDS)
            else:
                blocking.run_transaction([Statement("UPDATE curae_erasure SET due_at = 0")])
                blocking.run_transaction([Statement("DELETE FROM curae_outbox")])
            making = revocation(url, first) if job == "revoke" else apart(job, url)
            async with making as begun:
                await measure(server, b, job=begun, result=results[job])
    for job, result in results.items():
        print(f"{job:12} {result.line()}", flush=True)
    await pool.dispose()
    engine.dispose()


def main(jobs: Sequence[str], disks: Sequence[str], connections: int, rows: int) -> None:
    """Print a line for each disk and job."""
    for disk in disks:
        with cluster() as server:
            if disk == "slow":
                slow_down(server)
            print(f"{disk} disk", flush=True)
            with database(server.url) as url:
                asyncio.run(run(url, jobs, connections, rows=rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, default=30_001)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--disk", nargs="+", default=["slow", "fast"])
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--work", nargs=2)
    chosen = parser.parse_args()
    if chosen.work:
        work(*chosen.work)
    else:
        main(chosen.jobs, chosen.disk, connections=chosen.connections, rows=chosen.rows)
