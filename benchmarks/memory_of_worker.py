"""Measure whether a worker leaks memory over 200,000 requests.

    python benchmarks/memory_of_worker.py [REQUESTS]

One process with four threads runs an `Endpoint` on an `SqlStore` in a SQLite file, with limits,
counters, a function for hosted pages, and a log that goes to the null device. The requests cover
every operation except the graduation hand-off, with replays and refusals, and each user is new.
Expired rows are purged after each tenth of the requests. There is no server software and no socket,
so their memory is not measured.

After each tenth the script prints the memory of the process and the number of memory blocks that
Python has allocated. It exits with status 1 if the memory varied by more than `BOUND` in the second
half.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from sqlalchemy import event

from curae_lifecycle import (
    ApiKey,
    Bucket,
    Caller,
    Environment,
    RandomIds,
    Request,
    Response,
    Settings,
)
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId
from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.log import configure_logging
from curae_lifecycle.servers.metrics import Metrics
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore

BOUND: Final = 5.0
"""The largest variation of memory in the second half that counts as no leak, in megabytes.

The allocator releases memory and takes it again. A leak of the smallest object in each of 100,000
requests would exceed the bound.
"""

THREADS: Final = 4
KEYS: Final = 50
"""The number of API keys, which take turns."""

BASE: Final = "/api/sdk/v1"
SETTINGS: Final = Settings(
    buckets=(Bucket(name="wide", capacity=1_000_000, refill=1_000_000, seconds=60),)
)


def resident() -> float:
    """Return the resident memory of this process, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def opened(file: Path) -> SqlStore:
    """Return an empty store in a file, with registered API keys."""
    engine = create_engine(f"sqlite:///{file}", timeout=60)
    # Only a crash of the machine would need the writes to be synchronous.
    event.listen(engine, "connect", lambda made, _: made.execute("PRAGMA synchronous = OFF"))
    store = SqlStore(SqlDatabase(engine), SETTINGS)
    store.create_tables()
    account = CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f")
    for number in range(KEYS):
        scopes = frozenset({"connection:write"})
        caller = Caller(
            api_key_id=ApiKeyId(f"key-{number}"),
            app_id=AppId("app"),
            customer_account_id=account,
            environment=Environment.LIVE,
            scopes=scopes,
        )
        store.register(ApiKey(f"cae_live_{number}"), caller)
    return store


def story(endpoint: Endpoint, number: int) -> int:
    """Send the requests of one user's app, check their statuses, and return their number."""
    user, asked = f"user-{number}", 0

    def ask(status: int, method: str, path: str, body: object = None, key: str = "") -> Response:
        nonlocal asked
        asked += 1
        headers = [("Authorization", f"Bearer cae_live_{number % KEYS}")]
        if key:
            headers.append(("Idempotency-Key", f"{key}-{number}"))
        content = b"" if body is None else json.dumps(body).encode()
        answer = endpoint(
            Request(method=method, target=BASE + path, headers=tuple(headers), body=content)
        )
        assert answer.status == status, answer
        return answer

    create = {"appUserId": user, "dataPackages": ["labs", "clinical_summary"]}
    made = ask(201, method="POST", path="/connections", body=create, key="create")
    assert ask(201, method="POST", path="/connections", body=create, key="create").body == made.body
    path = f"/connections/{json.loads(made.body)['connection']['id']}"
    ask(200, "GET", path)
    ask(200, method="POST", path=f"{path}:revoke", body=None, key="revoke")
    ask(201, method="POST", path=f"{path}:reconnect", body=None, key="reconnect")
    ask(
        201, method="POST", path="/curae-connect/initiate", body={"appUserId": user}, key="initiate"
    )
    ask(200, "GET", f"/curae-connect/account-state?appUserId={user}")
    ask(400, method="POST", path="/connections", body={"appUserId": 7}, key="wrong")
    ask(404, "GET", f"/{user}")
    endpoint(Request("GET", BASE + path, (("Authorization", f"Bearer stranger-{number}"),)))
    return asked + 1


def main(requests: int) -> int:
    """Send requests and print the memory; return 1 if the second half exceeds `BOUND`."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
    ):
        configure_logging(logging.INFO, nowhere)
        store = opened(Path(directory, "curae.db"))

        def pages(asked: Request) -> Response | None:
            if asked.target.startswith("/pages/"):
                store.hosted_page(asked.target)
            return None

        endpoint = Endpoint(
            store,
            RandomIds("https://connect.example/"),
            SETTINGS,
            hosted_pages=pages,
            counters=Metrics(),
        )
        held: list[float] = []
        done = story(endpoint, 0)
        number, began = 1, time.monotonic()
        print(f"{done:>8} requests: {resident():7.1f} MB")
        with ThreadPoolExecutor(THREADS) as pool:
            for tenth in range(1, 11):
                while done < requests * tenth // 10:
                    block = range(number, number + 100)
                    done += sum(pool.map(lambda each: story(endpoint, each), block))
                    number = block.stop
                store.purge()
                gc.collect()
                held.append(resident())
                passed = time.monotonic() - began
                blocks = sys.getallocatedblocks()
                print(
                    f"{done:>8} requests: {held[-1]:7.1f} MB, {blocks:>8} blocks, {passed:5.0f} s",
                    flush=True,
                )
    moved = max(held[4:]) - min(held[4:])
    print(f"memory varied by {moved:.1f} MB in the second half; up to {BOUND} MB count as no leak")
    return int(moved > BOUND)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
