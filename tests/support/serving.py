"""Stores with planned faults, and a fake time that passes only during waits."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from enum import Enum
from itertools import count
from typing import Final, TypeVar

import attrs
import pytest

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey, Record, RecordKey
from curae_lifecycle.rules.values import NextAction
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores import retry
from curae_lifecycle.stores.contract import (
    Loaded,
    Store,
    StoreUnavailableError,
)
from curae_lifecycle.stores.memory import DEFAULT_CAPACITY, MemoryStore
from curae_lifecycle.web.respond import Answer
from tests.support.instants import commit_writes
from tests.support.server import API_KEY, CALLER, code, document, new_ids
from tests.support.strategies import NEXT_ACTION_LIFETIME, START

Result = TypeVar("Result")

DIGEST: Final = ApiKey(API_KEY).digest()


class Fault(Enum):
    """A fault of one call of a store."""

    LOST = "somebody was faster"
    BEFORE = "it fails, and nothing happened"
    AFTER = "it fails, and everything happened"
    LATE = "it fails, and everything happens a little later, if it still can"
    HANGS = "it never answers, and nothing happened"
    HANGS_AFTER = "it never answers, and everything happened"


LOST, BEFORE, AFTER, LATE, HANGS, HANGS_AFTER = Fault

Faults = Iterable[Fault | None]


class Clock:
    """The store's clock, which a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Faulty:
    """A store with planned faults for each call, which counts its calls.

    A commit must name the result of one of its loads.

    Attributes:
        commits: The fault of each commit, in order; none after the last.
        loads: The fault of each load.
        callers: The fault of each lookup of a caller.
        asked: The number of calls of each method.
        remembered: The cached caller of every key, or None for real lookups.
        before_load: A hook before each load for a call.
        after_load: A hook after each load for a call, before it returns.
        before_commit: A hook before each commit, with its changes.
    """

    def __init__(
        self,
        store: MemoryStore,
        clock: Clock,
        commits: Faults = (),
        *,
        loads: Faults = (),
        callers: Faults = (),
    ) -> None:
        self.store = store
        self.clock = clock
        self.commits = iter(commits)
        self.loads = iter(loads)
        self.callers = iter(callers)
        self.asked: Counter[str] = Counter()
        self.remembered: Caller | None = None
        self.before_load: Callable[[], object] = lambda: None
        self.after_load: Callable[[], object] = lambda: None
        self.before_commit: Callable[[Changes], object] = lambda _: None
        self._late: Callable[[], bool] | None = None
        self._loads: list[Loaded] = []

    def caller_of(self, key_digest: str) -> Caller | None:
        self.asked["caller_of"] += 1
        if self.remembered is not None:
            return self.remembered
        return run(next(self.callers, None), lambda: self.store.caller_of(key_digest))

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.asked["load"] += 1
        self.before_load()
        loaded = run(next(self.loads, None), lambda: self.store.load(needs, key_digest))
        late, self._late = self._late, None
        if late is not None:
            late()
        self.after_load()
        self._loads.append(loaded)
        return loaded

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        assert any(each is loaded for each in self._loads)
        self.asked["commit"] += 1
        self.before_commit(changes)
        fault = next(self.commits, None)
        if fault is LOST:
            return False

        def done() -> bool:
            return self.store.commit(loaded, changes, page)

        if fault is LATE:
            self._late = done
        return run(BEFORE if fault is LATE else fault, done)

    def record_of(self, key: str) -> Record | None:
        """Return the record of an idempotency key of `CALLER`."""
        found = RecordKey(CALLER.key_owner, IdempotencyKey(key))
        return self.store.load(Needs(record=found)).snapshot.record


def then(*steps: Callable[[], object]) -> Callable[[], object]:
    """Return a function that runs one step per call, and nothing after the last."""
    left = list(steps)
    return lambda: left.pop(0)() if left else None


class Hangs(Exception):  # noqa: N818 - nothing is wrong with waiting
    """A call that would never return."""


def run(fault: Fault | None, call: Callable[[], Result]) -> Result:
    """Run a call with a fault."""
    if fault is BEFORE:
        raise StoreUnavailableError("it failed before")
    if fault is HANGS:
        raise Hangs
    answered = call()
    if fault is AFTER:
        raise StoreUnavailableError("it failed after")
    if fault is HANGS_AFTER:
        raise Hangs
    return answered


class Awaited:
    """An async view of a store, in which a hanging call never returns."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def caller_of(self, key_digest: str) -> Caller | None:
        return await suspended(lambda: self.store.caller_of(key_digest))

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return await suspended(lambda: self.store.load(needs, key_digest))

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        return await suspended(lambda: self.store.commit(loaded, changes, page))


async def suspended(call: Callable[[], Result]) -> Result:
    """Yield once, then run a call."""
    await asyncio.sleep(0)
    try:
        answered = call()
    except Hangs:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("it answered") from None
    await asyncio.sleep(0)
    return answered


def faulty(
    commits: Faults = (),
    *connections: Connection,
    loads: Faults = (),
    callers: Faults = (),
    settings: Settings = DEFAULT_SETTINGS,
    capacity: int = DEFAULT_CAPACITY,
) -> Faulty:
    """Return a store with `API_KEY` and these connections, and planned faults."""
    clock = Clock()
    store = MemoryStore(settings, capacity=capacity, clock=clock)
    store.register(ApiKey(API_KEY), CALLER)
    assert commit_writes(store, tuple(ConnectionWrite(None, each) for each in connections))
    return Faulty(store, clock, commits, loads=loads, callers=callers)


class Numbered:
    """A factory of numbered ids and pages, so that a test can name them.

    Attributes:
        minted: The number of calls.
    """

    def __init__(self, first: int = 1) -> None:
        self.minted = 0
        self._numbers = count(first)

    def __call__(self, now: datetime) -> NewIds:
        self.minted += 1
        number = next(self._numbers)
        url = f"https://connect.example/{number}"
        return attrs.evolve(
            new_ids(number, now), next_action=NextAction(url, now + NEXT_ACTION_LIFETIME)
        )


class FakeTime:
    """A time that passes only during waits.

    Attributes:
        passed: The seconds that have passed.
        pauses: The length of each wait.
    """

    def __init__(self) -> None:
        self.passed = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.passed += seconds


class _Chance:
    """A random generator that always gives one value."""

    def __init__(self, thrown: float) -> None:
        self.thrown = thrown

    def random(self) -> float:
        return self.thrown


def fake_time(monkeypatch: pytest.MonkeyPatch, chance: float = 1.0) -> FakeTime:
    """Use a fake time and one random value in the loop of `serve`."""
    time = FakeTime()
    monkeypatch.setattr(retry, "time", time)
    monkeypatch.setattr(retry, "random", _Chance(chance))
    return time


class _Skipping(selectors.DefaultSelector):
    """A selector that never waits: if nothing is ready, the time jumps to the timeout."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self._time = time

    # The data of a selector's key may be anything.
    def select(  # type: ignore[explicit-any]  # the same
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "it would wait for ever"
            self._time.passed += max(timeout, 0)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """An event loop on a fake time."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__(_Skipping(time))
        self._time = time

    def time(self) -> float:
        return self._time.passed


def run_async(coroutine: Coroutine[None, None, Result], time: FakeTime | None = None) -> Result:
    """Run a coroutine in a loop that never waits."""
    going_by = time or FakeTime()
    with asyncio.Runner(loop_factory=lambda: _Loop(going_by)) as runner:
        return runner.run(coroutine)


def check_given_up(answer: Answer) -> None:
    """Check that nothing was done, and that the client is told when to retry."""
    assert (answer.response.status, code(answer)) == (500, "INTERNAL")
    assert document(answer)["retryable"] is True
    assert ("retry-after", "1") in answer.response.headers
    assert (answer.changes, answer.replayed) == (NO_CHANGES, False)
