"""Requests per second through an example on each database, and what of their time is the library's.

    python benchmarks/servers.py [SECONDS]

needs what the tests over the wire need. Workers of the FastAPI example, and of a bare FastAPI route
that makes one SELECT and one INSERT, share one database; clients are processes of their own.
Everything runs on this machine, so clients, workers and database share its cores: read the ratios.
The last columns are shares of a worker's own processor time: in the rules (`read`,
`decide`, `respond`) and in printing and parsing the values that are stored; and the rate beside the
bare one.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Final
from uuid import uuid4

import sqlalchemy as sa

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from curae_lifecycle.testing.conformance import ApiKeyRequest  # noqa: E402 - found by the line above
from tests.support.databases.postgres import database, postgres  # noqa: E402 - the same
from tests.support.wire.running import Behind, engine_of, sqlite  # noqa: E402 - the same
from tests.support.wire.serve import Control  # noqa: E402 - the same

CLIENTS: Final = 4
ACCOUNT: Final = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"
PARTS: Final = ("rules", "values")
KINDS: Final = ("initiate", "initiate with a bucket", "reconnect", "replay")
CREATED: Final = 201
_PATIENCE: Final = 60


@contextmanager
def workers(
    how: tuple[str, str], url: str, directory: Path, number: int
) -> Iterator[tuple[list[int], list[Path]]]:
    """Ports of so many workers, and the files that they leave their times in."""
    started, ports, times = [], [], []
    for each in range(number):
        file = directory / f"{'-'.join(how)}-{number}-{each}.json"
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "worker.py"), *how, str(file)],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        ports.append(int(process.stdout.readline()))
        started.append(process)
        times.append(file)
    try:
        yield ports, times
    finally:
        for process in started:
            process.communicate(timeout=_PATIENCE)


def client(kind: str, port: int, api_key: str, seconds: float, mine: str) -> list[float]:
    """Send one request after the other; how long each took."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    def ask(path: str, body: object, key: str) -> tuple[int, bytes, float]:
        begun = time.perf_counter()
        connection.request("POST", path, json.dumps(body), {**headers, "Idempotency-Key": key})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, text, time.perf_counter() - begun

    base = "/api/sdk/v1"
    create = {"appUserId": mine, "dataPackages": ["labs"]}
    _, made, _ = ask(f"{base}/connections", create, f"{mine}-create")
    took: list[float] = []
    until = time.perf_counter() + seconds
    path, body = f"{base}/curae-connect/initiate", {"appUserId": mine}
    if kind == "reconnect":
        id_ = json.loads(made)["connection"]["id"]
        ask(f"{base}/connections/{id_}:revoke", {}, f"{mine}-revoke")
        path, body = f"{base}/connections/{id_}:reconnect", {}
    for number in count():
        if time.perf_counter() > until:
            return took
        if kind.startswith("initiate"):
            # Every request for another user: none is at its limit.
            body = {"appUserId": f"{mine}-{number}"}
        status, _, spent = ask(path, body, mine if kind == "replay" else f"{mine}-{number}")
        assert status == CREATED, status
        took.append(spent)
    raise AssertionError


def load(kind: str, ports: list[int], api_keys: list[str], seconds: float) -> list[float]:
    """How long each request of all clients took."""
    asked = [
        (
            kind,
            ports[each % len(ports)],
            api_keys[each],
            seconds,
            f"{kind.partition(' ')[0]}-{uuid4()}",
        )
        for each in range(CLIENTS)
    ]
    with multiprocessing.get_context("spawn").Pool(CLIENTS) as pool:
        return [each for took in pool.starmap(client, asked) for each in took]


def measure(
    kind: str, url: str, directory: Path, number: int, seconds: float
) -> tuple[list[float], list[float]]:
    """How long each request took, and which shares of the workers' time were in each part."""
    buckets = "buckets" if kind.endswith("bucket") else "none"
    how = ("bare" if kind == "bare" else "fastapi", buckets)
    with engine_of(url) as engine:
        behind = Behind(directory / "control.json", engine)
        keys = [behind.make_key(ApiKeyRequest("app-1", ACCOUNT)) for _ in range(CLIENTS)]
        with workers(how, url=url, directory=directory, number=number) as (ports, times):
            took = load(kind, ports=ports, api_keys=keys, seconds=seconds)
    spent = [json.loads(each.read_text()) for each in times]
    of_all = sum(each["all"] for each in spent)
    return took, [sum(each[of] for each in spent) / of_all for of in PARTS]


@contextmanager
def fresh(name: str, server: sa.URL) -> Iterator[tuple[str, Path]]:
    """The URL of a database that nobody used before, and a directory."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        Control().write(directory / "control.json")
        if name == "sqlite":
            yield sqlite(directory), directory
            return
        with database(server) as url:
            yield url, directory


def main(seconds: float) -> None:
    """Print a line for each database, number of workers and kind of request."""
    print(f"{'':36}per second  p50 ms  p99 ms   rules  values  of bare")
    with postgres() as server:
        for name in ("postgresql", "sqlite"):
            for number in (1, 2, 4):
                bare = 0.0
                for kind in ("bare", *KINDS):
                    with fresh(name, server) as (url, directory):
                        took, parts = measure(
                            kind, url=url, directory=directory, number=number, seconds=seconds
                        )
                    rate = len(took) / seconds
                    bare = rate if kind == "bare" else bare
                    cuts = statistics.quantiles(took, n=100)
                    print(
                        f"{name:11}{number} {kind:24}{rate:10.0f}"
                        f"{cuts[49] * 1000:8.1f}{cuts[98] * 1000:8.1f}"
                        f"{parts[0]:8.1%}{parts[1]:8.1%}{rate / bare:9.2f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5)
