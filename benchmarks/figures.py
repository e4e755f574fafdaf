"""Measure what the rules cost, each figure against a peer in the same run.

    python benchmarks/figures.py [--lines N]

Times are the best of several repetitions, so that what else the machine does counts least.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import timeit
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.chain import reconnect
from curae_lifecycle.rules.connection import Actor, Connection, ConnectionIdentity, Status, create
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.frozen import frozen
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    INITIATE_LIMIT,
    Bucket,
    Charge,
    LogState,
    RateState,
    admit,
    admit_one,
    limit_left,
)
from curae_lifecycle.rules.triggers import authorize, revoke
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import RecordWrite
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.web.respond import respond

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
END = NOW + timedelta(days=30)
ACCOUNT = CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b")
COORDINATE = Coordinate(Environment.LIVE, AppId("app-1"), ACCOUNT, AppUserId("user-1"))
NEXT_ACTION = NextAction("https://connect.example/1", NOW + timedelta(minutes=30))
CALLER = Caller(
    ApiKeyId("key-1"), AppId("app-1"), ACCOUNT, Environment.LIVE, frozenset({CONNECTION_WRITE})
)
FIRST = ConnectionId("c0000000-0000-4000-8000-000000000001")
SECOND = ConnectionId("c0000000-0000-4000-8000-000000000002")
NEW_IDS = NewIds(
    FIRST, SessionId("50000000-0000-4000-8000-000000000001"), UserId("u-1"), NEXT_ACTION
)


def best(function: Callable[[], object], number: int = 50_000) -> float:
    """Microseconds a call, the best of nine repetitions."""
    return min(timeit.repeat(function, number=number, repeat=9)) / number * 1e6


def values() -> None:
    """A frozen value of ten fields, made as ours and as attrs's own."""
    names = [f"field_{number}" for number in range(10)]
    own, ours = (
        decorator(type("Ten", (), {"__annotations__": dict.fromkeys(names, int)}))
        for decorator in (attrs.frozen, frozen)
    )
    took = best(lambda: own(0, 1, 2, 3, 4, 5, 6, 7, 8, 9))
    mine = best(lambda: ours(0, 1, 2, 3, 4, 5, 6, 7, 8, 9))
    print(f"ten fields, frozen by attrs               {took:6.2f} µs")
    print(f"ten fields, frozen by ours                {mine:6.2f} µs   {mine / took:.2f} × attrs")


def transitions() -> None:
    """Accepted transitions against the bare construction of what they return."""
    pending = create(
        id=FIRST,
        coordinate=COORDINATE,
        data_packages=(DataPackage("clinical_summary"),),
        now=NOW,
        next_action=NEXT_ACTION,
    )
    identity = pending.identity
    packages = identity.data_packages
    deadline = NEXT_ACTION.expires_at
    rules = ("connection.authorize.pending",)

    def whole() -> Connection:
        own = ConnectionIdentity(identity.id, COORDINATE, packages, NOW, None, identity.id)
        return Connection(own, Status.ACTIVE, SOON, deadline, SOON, END, None, None, None)

    def answer() -> Done[Connection]:
        shared = Connection(identity, Status.ACTIVE, SOON, deadline, SOON, END, None, None, None)
        return Done(shared, rules)

    bare_whole, bare_answer = best(whole), best(answer)
    print(f"bare connection, every part constructed   {bare_whole:6.2f} µs")
    print(f"bare answer, identity shared              {bare_answer:6.2f} µs")
    active = authorize(pending, SOON, expires_at=END)
    assert isinstance(active, Done)
    for name, function in (
        ("authorize", lambda: authorize(pending, SOON, expires_at=END)),
        ("revoke", lambda: revoke(active.value, SOON, actor=Actor.APP)),
        (
            "reconnect, refused",
            lambda: reconnect(active.value, None, SOON, id=SECOND, next_action=NEXT_ACTION),
        ),
    ):
        took = best(function)
        print(
            f"{name:41} {took:6.2f} µs   {took / bare_whole:.2f} × whole, "
            f"{took / bare_answer:.2f} × answer"
        )


def decisions() -> None:
    """One initiate, new and replayed, from a loaded snapshot."""
    call = Call(CALLER, Initiate(AppUserId("user-1")), IdempotencyKey("k-1"))
    first = respond(decide(call, Snapshot(), NOW, NEW_IDS))
    record = next(w.after for w in first.changes.writes if isinstance(w, RecordWrite))
    known = Snapshot(record=record)
    for name, function in (
        ("initiate, decided (no JSON)", lambda: decide(call, Snapshot(), NOW, NEW_IDS)),
        ("initiate, with its response", lambda: respond(decide(call, Snapshot(), NOW, NEW_IDS))),
        ("replay, decided", lambda: decide(call, known, NOW, NEW_IDS)),
        ("replay, with its response", lambda: respond(decide(call, known, NOW, NEW_IDS))),
    ):
        print(f"{name:41} {best(function, 20_000):6.2f} µs")


def limits() -> None:
    """An app user's log and two buckets, charged by one call."""
    log, small, wide = INITIATE_LIMIT, Bucket("small", 100, 50, 1), Bucket("wide", 1000, 7, 3)
    full = LogState.of(NOW + timedelta(seconds=number) for number in range(10))
    empty = admit((Charge(small, FULL_BUCKET),), NOW, cost=100).states[0]
    charges = (Charge(log, full), Charge(small, FULL_BUCKET), Charge(wide, FULL_BUCKET))
    for name, function in (
        ("exact log, full, admitted", lambda: admit_one(log, full, SOON)),
        ("exact log, full, refused", lambda: admit_one(log, full, NOW)),
        ("bucket, admitted", lambda: admit_one(small, empty, SOON)),
        ("bucket, refused", lambda: admit_one(small, empty, NOW)),
        ("log and two buckets, admitted", lambda: admit(charges, SOON)),
        ("log and two buckets, refused", lambda: admit(charges, NOW)),
        ("what is left of a log", lambda: limit_left(log, full, SOON)),
    ):
        print(f"{name:41} {best(function):6.2f} µs")
    print(f"full log of ten, empty bucket             {_size(full)} and {_size(empty)} B")


def _size(state: RateState) -> int:
    # A bucket's state holds three integers of its own, a log's is one object.
    return sys.getsizeof(state) + sum(map(sys.getsizeof, state if isinstance(state, tuple) else ()))


def imports() -> None:
    """Starting Python with the package against starting it with attrs alone."""
    took = {}
    for module in (
        "attrs",
        "curae_lifecycle",
        "curae_lifecycle.service.decide",
        "curae_lifecycle.web.respond",
    ):
        command = [sys.executable, "-c", f"import {module}"]
        times = []
        for _ in range(9):
            start = time.perf_counter()
            subprocess.run(command, check=True)
            times.append(time.perf_counter() - start)
        took[module] = min(times) * 1000
    for module, milliseconds in took.items():
        more = milliseconds - took["attrs"]
        print(f"import {module:34} {milliseconds:6.1f} ms   {more:+.1f} ms against attrs")


def log(lines: int) -> Iterator[bytes]:
    """Traffic that grows the world slowly: eight lines a user, every user coming back."""
    now = NOW
    headers = {"Authorization": "Bearer cae_live_k1"}
    key = {"apiKey": "cae_live_k1", "appId": "app-1", "customerAccountId": ACCOUNT}
    registered = key | {"scopes": [CONNECTION_WRITE]}
    base = "/api/sdk/v1"

    def line(**kind: object) -> bytes:
        return json.dumps({"at": now.isoformat().replace("+00:00", "Z")} | kind).encode() + b"\n"

    def post(path: str, key: str, body: object) -> bytes:
        keyed = headers | {"Idempotency-Key": key}
        return line(
            request={"method": "POST", "path": base + path, "headers": keyed, "body": body},
            **({"as": "c"} if path == "/connections" else {}),
        )

    yield line(register=registered)
    for number in range(lines // 8):
        now += timedelta(seconds=1)
        user = f"user-{number % 5000}"
        body = {"appUserId": user, "dataPackages": ["clinical_summary"]}
        named = "{c.connection.id}"
        yield post("/connections", f"c{number}", body)
        yield line(fact={"type": "connection.authorize", "connectionId": named})
        yield line(
            request={"method": "GET", "path": f"{base}/connections/{named}", "headers": headers}
        )
        yield post("/curae-connect/initiate", f"i{number}", {"appUserId": user})
        yield post("/curae-connect/initiate", f"i{number}", {"appUserId": user})
        yield post(f"/connections/{named}:revoke", f"r{number}", {})
        yield post(f"/connections/{named}:reconnect", f"n{number}", {})
        yield line(ask={"type": "access", "connectionId": named, "dataPackage": "clinical_summary"})


def replayed(lines: int) -> None:
    """Lines a second, printed as the command line prints them; and memory without growth."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log.jsonl"
        with path.open("wb") as file:
            file.writelines(log(lines))
        count = 0
        start = time.perf_counter()
        with path.open("rb") as file:
            for line in replay(file):
                count += 1
                json.dumps(line.answer)
        took = time.perf_counter() - start
    print(f"replay of {count} lines                     {count / took:9.0f} lines/s")
    register, *reads = _one_connection(20_000)
    peaks = []
    for length in (2_000, 20_000):
        traffic = [register, *reads[:length]]
        tracemalloc.start()
        for _ in replay(traffic):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    print(f"peak memory, 2,000 and 20,000 reads       {peaks[0]:6.2f} and {peaks[1]:.2f} MB")


def _one_connection(reads: int) -> list[bytes]:
    register, made, *_ = log(8)
    read = {
        "method": "GET",
        "path": "/api/sdk/v1/connections/{c.connection.id}",
        "headers": {"Authorization": "Bearer cae_live_k1"},
    }
    at = (NOW + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    line = json.dumps({"at": at, "request": read}).encode()
    return [register, made, *[line] * reads]


def main() -> None:
    """Run every measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=100_000, help="how long a log to replay")
    lines: int = parser.parse_args().lines
    print(f"Python {sys.version.split()[0]}")
    values()
    transitions()
    decisions()
    limits()
    imports()
    replayed(lines)


if __name__ == "__main__":
    main()
