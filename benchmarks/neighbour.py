"""Measure the response times of one API key beside many clients of another key.

    python benchmarks/neighbour.py [SECONDS] [--clients N ...] [--disk fast slow]

It needs the packages of the extra `test`. One worker runs the async endpoint in its guard on a
PostgreSQL, without a network. Tenant B sends an initiate every 20 ms. Beside it, the clients of
tenant A send one request after the other, in one of these ways:

- `spread`: each client has its own tenant and key;
- `key`: all clients have one key;
- `bucket`: all clients have one key that a bucket limits, charged in the commit;
- `apart`: the same, but the bucket is charged ahead of the commit;
- `row`: all clients reconnect one connection, each with another key;
- `lone`, `lone-bucket` and `lone-apart`: `key`, `bucket` and `apart`, while B sends nothing.

The guard is `bound`, with a slot for each connection of the pool, or `open`, with ten times as many
slots and all requests in the order of arrival. All kinds take turns, so that the state of the
machine affects all alike. Read the ratios: B's 99th percentile to that beside `spread`, and A's
rate to that of the open guard. A slow disk is a PostgreSQL whose commits take 10 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Final, cast
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))

import attrs

from benchmarks.servers import slow_down
from curae_lifecycle import ApiKey, Bucket, Caller, Environment, Settings
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId
from curae_lifecycle.servers.endpoint import AsyncEndpoint
from curae_lifecycle.servers.guard import AsgiApp, AsgiMessage, Guard, Receive, Send
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async
from curae_lifecycle.stores.sql.store import AsyncSqlStore
from curae_lifecycle.web.asgi_wsgi import asgi_body, asgi_headers, asgi_request
from tests.support.databases.postgres import cluster, database

POOL: Final = 10
ROUNDS: Final = 6
PACE: Final = 0.02
FAILED: Final = 500
MINT: Final = RandomIds("https://connect.example/")
# The bucket is so large that no request is refused.
LIMITED: Final = Settings(
    buckets=(Bucket(name="platform", capacity=10**6, refill=10**5, seconds=1),)
)
BASE: Final = "/api/sdk/v1"
INITIATE: Final = f"{BASE}/curae-connect/initiate"
WITHOUT_BUCKET: Final = {
    "bucket": "key",
    "apart": "key",
    "lone-bucket": "lone",
    "lone-apart": "lone",
}
"""The kinds with a bucket, and for each the same kind without one."""

KINDS: Final = ("spread", "row", "key", "bucket", "apart", "lone", "lone-bucket", "lone-apart")


@attrs.frozen
class Tenant:
    """A tenant's API key.

    Attributes:
        secret: The key itself.
        number: The number of the tenant, unique among tenants.
        key: The number of the key, unique within the tenant.
    """

    secret: str
    number: int
    key: int = 0

    def caller(self) -> Caller:
        """Return the caller of the key."""
        return Caller(
            api_key_id=ApiKeyId(f"key-{self.number}-{self.key}"),
            app_id=AppId(f"app-{self.number}"),
            customer_account_id=CustomerAccountId(f"0f6c3c1a-7a52-4c3e-9a4e-{self.number:012}"),
            environment=Environment.LIVE,
            scopes=frozenset({CONNECTION_WRITE}),
        )


@attrs.define
class Seen:
    """The responses to the clients of one kind.

    Attributes:
        times: B's response times, in seconds; empty if B sends nothing.
        done: The number of A's responses with a status below 500.
        failed: The number of A's and B's responses with a status of 500 or above.
        seconds: The time during which A's clients sent requests.
    """

    times: list[float] = attrs.field(factory=list[float])
    done: int = 0
    failed: int = 0
    seconds: float = 0

    def p99(self) -> float:
        """Return the 99th percentile of B's response times, in seconds."""
        return statistics.quantiles(self.times, n=100)[98] if self.times else float("nan")

    def rate(self) -> float:
        """Return the number of A's responses with a status below 500, per second."""
        return self.done / self.seconds


@attrs.frozen
class Server:
    """An endpoint in its guard."""

    guard: AsgiApp

    async def post(self, tenant: Tenant, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a request with a new idempotency key; return the status and the body."""
        heard: list[AsgiMessage] = []
        sent = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> AsgiMessage:
            for message in sent:
                return message
            return await asyncio.Future()

        async def send(message: AsgiMessage) -> None:
            heard.append(message)

        headers = [
            (b"authorization", f"Bearer {tenant.secret}".encode()),
            (b"idempotency-key", str(uuid4()).encode()),
        ]
        scope: AsgiMessage = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
        }
        await self.guard(scope, receive, send)
        status, content = heard[0]["status"], heard[1]["body"]
        assert isinstance(status, int)
        assert isinstance(content, bytes)
        return status, content

    async def initiate(self, tenant: Tenant) -> int:
        """Initiate for a new app user; return the status."""
        body = json.dumps({"appUserId": str(uuid4())}).encode()
        return (await self.post(tenant, INITIATE, body))[0]


def serve(store: AsyncSqlStore, settings: Settings, *, is_bound: bool) -> Server:
    """Return a server with a bound or an open guard."""
    endpoint = AsyncEndpoint(store, MINT, settings)

    async def app(scope: AsgiMessage, receive: Receive, send: Send) -> None:
        answer = await endpoint(asgi_request(scope, await asgi_body(receive) or b""))
        headers = asgi_headers(answer)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    if is_bound:
        return Server(Guard(app, max_concurrent=POOL))

    async def app_of_all(scope: AsgiMessage, receive: Receive, send: Send) -> None:
        await app(cast("AsgiMessage", scope["sent"]), receive, send)

    guard = Guard(app_of_all, max_concurrent=10 * POOL)

    async def open_guard(scope: AsgiMessage, receive: Receive, send: Send) -> None:
        # With a new key for each request, the guard never reaches its bound for one key.
        headers = [(b"authorization", str(uuid4()).encode())]
        await guard({**scope, "path": "/", "headers": headers, "sent": scope}, receive, send)

    return Server(open_guard)


async def neighbour(server: Server, tenant: Tenant, seen: Seen, until: float) -> None:
    """Send B's requests at a fixed pace, without waiting for responses."""

    async def once() -> None:
        started = time.perf_counter()
        status = await server.initiate(tenant)
        seen.times.append(time.perf_counter() - started)
        seen.failed += status >= FAILED

    tasks: list[asyncio.Task[None]] = []
    start = time.monotonic()
    for number in count():
        due = start + number * PACE
        if due > until:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.append(asyncio.create_task(once()))
    await asyncio.gather(*tasks)


async def client(
    server: Server, tenant: Tenant, seen: Seen, *, path: str | None, until: float
) -> None:
    """Send A's requests one after the other."""
    while time.monotonic() < until:
        if path is None:
            status = await server.initiate(tenant)
        else:
            status, _ = await server.post(tenant, path, b"")
        if status < FAILED:
            seen.done += 1
        else:
            seen.failed += 1


async def measure(url: str, number: int, seconds: float) -> dict[tuple[str, bool], Seen]:
    """Measure every kind with a number of clients, under each guard."""
    engine = create_engine_async(url, pool_size=POOL)
    pool = AsyncSqlDatabase(engine)
    plain = AsyncSqlStore(pool, LIMITED)
    apart = AsyncSqlStore(pool, LIMITED, charge_apart=True)
    await plain.create_tables()
    b, a = Tenant("cae_live_b", 1), Tenant("cae_live_a", 2)
    many = [Tenant(f"cae_live_{each}", each) for each in range(3, number + 3)]
    keys = [Tenant(f"cae_live_a_{each}", 2, each) for each in range(1, number + 1)]
    for tenant in (a, b, *many, *keys):
        await plain.register(ApiKey(tenant.secret), tenant.caller())
    free = serve(plain, Settings(), is_bound=True)
    created = {"appUserId": "u", "dataPackages": ["labs"]}
    _, body = await free.post(a, f"{BASE}/connections", json.dumps(created).encode())
    connection = json.loads(body)["connection"]["id"]
    found: dict[tuple[str, bool], Seen] = defaultdict(Seen)
    for _ in range(ROUNDS):
        for kind in KINDS:
            for is_bound in (False, True):
                settings = LIMITED if kind in WITHOUT_BUCKET else Settings()
                store = apart if kind.endswith("apart") else plain
                server = serve(store, settings, is_bound=is_bound)
                path = f"{BASE}/connections/{connection}:reconnect" if kind == "row" else None
                tenants = {"spread": many, "row": keys}.get(kind, [a] * number)
                seen = found[kind, is_bound]
                until = time.monotonic() + seconds / ROUNDS
                begun = time.monotonic()
                works = [client(server, each, seen, path=path, until=until) for each in tenants]
                if not kind.startswith("lone"):
                    works.append(neighbour(server, b, seen=seen, until=until))
                await asyncio.gather(*works)
                seen.seconds += time.monotonic() - begun
    await engine.dispose()
    return found


def line(found: Mapping[tuple[str, bool], Seen], kind: str, *, is_bound: bool) -> str:
    """Return the line of a kind: B's 99th percentile and A's rate, each with its ratios."""
    seen = found[kind, is_bound]
    of_spread = seen.p99() / found["spread", is_bound].p99()
    of_open = seen.rate() / found[kind, False].rate()
    without = found[WITHOUT_BUCKET.get(kind, kind), is_bound]
    return (
        f"{kind:11} {'bound' if is_bound else 'open':5}"
        f"  B p99 {seen.p99() * 1000:7.1f} ms, {of_spread:5.2f} of spread"
        f"  A {seen.rate():6.0f}/s, {of_open:5.2f} of open, "
        f"{seen.rate() / without.rate():5.2f} of no bucket  failed {seen.failed}"
    )


def main(seconds: float, numbers: list[int], disks: list[str]) -> None:
    """Print a line for each disk, number of clients, kind and guard."""
    logging.disable(logging.CRITICAL)
    for disk in disks:
        with cluster() as server:
            if disk == "slow":
                slow_down(server)
            for number in numbers:
                with database(server.url) as url:
                    found = asyncio.run(measure(url, number, seconds))
                for kind, is_bound in found:
                    said = line(found, kind, is_bound=is_bound)
                    print(f"{disk} disk {number:4} clients, {said}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=12)
    parser.add_argument("--clients", nargs="+", type=int, default=[64, 200])
    parser.add_argument("--disk", nargs="+", default=["slow", "fast"])
    chosen = parser.parse_args()
    main(chosen.seconds, chosen.clients, chosen.disk)
