"""Benchmarks of replaying a log of traffic: lines per second, beside parsing its JSON alone."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from statistics import median

from benchmarks.measure import Quantity, ratios, spread, without_collector
from benchmarks.rows.subjects import ACCOUNT, NOW, SECRET
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.values import format_time

BASE = "/api/sdk/v1"
_HEADERS = {"Authorization": f"Bearer {SECRET}"}
_REGISTERED = {
    "apiKey": SECRET,
    "appId": "app-1",
    "customerAccountId": ACCOUNT,
    "scopes": [CONNECTION_WRITE],
}
_USERS = 5000


def log(lines: int) -> Iterator[bytes]:
    """Yield a log of traffic: eight lines for a user, then eight for the next one.

    After `_USERS` users the first one follows again, so the stored data grows slowly.
    """
    yield _line(0, register=_REGISTERED)
    for number in range(lines // 8):
        user, named = f"user-{number % _USERS}", "{c.connection.id}"
        body = {"appUserId": user, "dataPackages": ["clinical_summary"]}
        initiate = {"appUserId": user}
        second = number + 1
        yield _line(second, request=_post("/connections", f"c{number}", body), **{"as": "c"})
        yield _line(second, fact={"type": "connection.authorize", "connectionId": named})
        yield _line(second, request=_get(f"/connections/{named}"))
        yield _line(second, request=_post("/curae-connect/initiate", f"i{number}", initiate))
        yield _line(second, request=_post("/curae-connect/initiate", f"i{number}", initiate))
        yield _line(second, request=_post(f"/connections/{named}:revoke", f"r{number}", {}))
        yield _line(second, request=_post(f"/connections/{named}:reconnect", f"n{number}", {}))
        ask = {"type": "access", "connectionId": named, "dataPackage": "clinical_summary"}
        yield _line(second, ask=ask)


def _line(second: int, **kind: object) -> bytes:
    at = format_time(NOW + timedelta(seconds=second))
    return json.dumps({"at": at, **kind}).encode() + b"\n"


def _post(path: str, key: str, body: object) -> dict[str, object]:
    headers = _HEADERS | {"Idempotency-Key": key}
    return {"method": "POST", "path": BASE + path, "headers": headers, "body": body}


def _get(path: str) -> dict[str, object]:
    return {"method": "GET", "path": BASE + path, "headers": _HEADERS}


def _replayed(lines: list[bytes]) -> None:
    # The command line prints each answer, so its JSON counts.
    for line in replay(lines):
        json.dumps(line.answer)


def _read(lines: list[bytes]) -> None:
    for line in lines:
        json.loads(line)


def _each_second(work: Callable[[list[bytes]], None], lines: list[bytes]) -> float:
    with without_collector():
        begun = time.process_time_ns()
        work(lines)
        return len(lines) / (time.process_time_ns() - begun) * 1e9


def growth(reads: int) -> float:
    """Return how many bytes of memory each further read of one connection leaves."""
    register, made, *_ = log(8)
    read = _line(1, request=_get("/connections/{c.connection.id}"))
    peaks: list[int] = []
    # The first run includes work that is done only once; it is not compared.
    for length in (reads, reads, 10 * reads):
        traffic = [register, made, *[read] * length]
        tracemalloc.start()
        try:
            for _ in replay(traffic):
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return max(0, peaks[2] - peaks[1]) / (9 * reads)


def quantities(lines: int, rounds: int) -> list[Quantity]:
    """Measure the lines per second of both sides in turns, and the memory that a read leaves."""
    traffic = list(log(lines))
    ours: list[float] = []
    alone: list[float] = []
    for _ in range(rounds):
        ours.append(_each_second(_replayed, traffic))
        alone.append(_each_second(_read, traffic))
    parts = ratios(alone, ours)
    name = f"replay of {len(traffic):,} lines, each answer printed"
    return [
        Quantity(
            family="replay",
            name=name,
            side="ours",
            value=median(ours),
            unit="lines/s",
            spread=spread(ours),
        ),
        Quantity(
            family="replay",
            name=name,
            side="floor: the JSON alone",
            value=median(alone),
            unit="lines/s",
            spread=spread(alone),
        ),
        Quantity(
            family="replay",
            name=name,
            side="floor to ours",
            value=median(parts),
            unit="×",
            spread=spread(parts),
        ),
        Quantity(
            family="replay",
            name="memory that a further read leaves",
            side="ours",
            value=growth(lines // 10),
            unit="B",
        ),
    ]
