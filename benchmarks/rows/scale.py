"""Benchmarks of the memory store by its number of users, and of purging it.

A log is loaded, charged and stored for users in random order, so that no cache holds it by chance.
The stores of all sizes take turns in each round.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from statistics import median
from typing import TypeVar

from benchmarks.measure import Quantity, ratios, spread, without_collector
from benchmarks.rows.stores import limit_key
from benchmarks.rows.subjects import NOW
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, admit_one, fresh_state
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.memory import MemoryStore

_Store = TypeVar("_Store")

_STEP = timedelta(seconds=7)
"""The time between two rounds, so long that a log of ten a minute never refuses."""

_AT_ONCE = 1000
"""The number of values that a call of `purge` checks at most."""


def charged(store: MemoryStore, key: LimitKey, now: datetime) -> None:
    """Load a user's log, charge it and store it."""
    loaded = store.load(Needs(limit=key))
    before = loaded.snapshot.limit
    log = fresh_state(INITIATE_LIMIT) if before is None else before
    after = admit_one(INITIATE_LIMIT, log, now)
    assert not isinstance(after, int)
    write = RateWrite(key=key, policy=INITIATE_LIMIT, before=before, after=after)
    assert store.commit(loaded, Changes((write,)))


def filled(users: int) -> MemoryStore:
    """Return a memory store that holds the logs of that many users."""
    # By the machine's clock each log would have expired already, and the store would drop it.
    store = MemoryStore(capacity=users, clock=lambda: NOW)
    for number in range(users):
        charged(store, limit_key(number), NOW)
    return store


def _kept(users: int) -> dict[LimitKey, bytes]:
    return {limit_key(number): b"" for number in range(users)}


def _put(kept: dict[LimitKey, bytes], key: LimitKey, _now: datetime) -> None:
    kept[key] = kept[key][:1] + b"1"


def flat(sizes: tuple[int, ...], calls: int, rounds: int) -> list[Quantity]:
    """Measure how many times as long a charge takes as with the fewest users.

    The floor, the least code that could store a charge, replaces a value in a dict.
    """
    ours = _flat("ours", fill=filled, charge=charged, sizes=sizes, calls=calls, rounds=rounds)
    floor = _flat(
        "floor: a value in a dict", fill=_kept, charge=_put, sizes=sizes, calls=calls, rounds=rounds
    )
    return [each for both in zip(ours, floor, strict=True) for each in both]


def _flat(
    whose: str,
    fill: Callable[[int], _Store],
    charge: Callable[[_Store, LimitKey, datetime], None],
    sizes: tuple[int, ...],
    calls: int,
    rounds: int,
) -> list[Quantity]:
    draw = random.Random(1)  # noqa: S311 - only the order of users
    stores = {users: fill(users) for users in sizes}
    seen: dict[int, list[float]] = {users: [] for users in sizes}
    for number in range(rounds):
        now = NOW + (number + 1) * _STEP
        for users, store in stores.items():
            asked = [limit_key(each) for each in draw.sample(range(users), min(calls, users))]
            with without_collector():
                begun = time.process_time_ns()
                for key in asked:
                    charge(store, key, now)
                seen[users].append((time.process_time_ns() - begun) / len(asked))
    first = seen[sizes[0]]
    return [
        Quantity(
            family="scale",
            name=f"a charge with {users:,} users",
            side=whose,
            value=median(ratios(seen[users], first)),
            unit=f"× as with {sizes[0]:,}",
            spread=spread(ratios(seen[users], first)),
        )
        for users in sizes[1:]
    ]


def purging(sizes: tuple[int, ...]) -> list[Quantity]:
    """Measure the purge of expired logs: the time for each log, and the longest call.

    The store is locked during a call.
    """
    found: list[Quantity] = []
    for users in sizes:
        store = filled(users)
        over = NOW + timedelta(hours=1)
        took: list[float] = []
        left = users
        with without_collector():
            while left:
                begun = time.process_time_ns()
                dropped = store.purge(over, _AT_ONCE)
                took.append((time.process_time_ns() - begun) / 1e6)
                if not dropped:
                    raise RuntimeError(f"{left} of {users} logs were not dropped")
                left -= dropped
        each = sum(took) / users * 1000
        name = f"purge {users:,} logs that are over, {_AT_ONCE:,} at once"
        found.append(Quantity(family="scale", name=name, side="ours", value=each, unit="µs a log"))
        found.append(
            Quantity(
                family="scale", name=name, side="ours", value=max(took), unit="ms the longest call"
            )
        )
    return found


def quantities(sizes: tuple[int, ...], calls: int, rounds: int) -> list[Quantity]:
    """Measure charges in stores of all sizes, and purges of the two largest."""
    parts: tuple[Callable[[], list[Quantity]], ...] = (
        lambda: flat(sizes, calls, rounds),
        lambda: purging(sizes[-2:]),
    )
    return [each for part in parts for each in part()]
