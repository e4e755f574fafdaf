"""Tests of `MemoryStore` under threads: one lock, and no lost write."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from operator import attrgetter
from threading import Barrier, local
from time import sleep
from typing import Final

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    AppUserId,
    DataPackage,
)
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.respond import Answer
from tests.support import subjects
from tests.support.instants import access_at, commit_writes, handle_at, record_at
from tests.support.memory import ACTIVE, BUCKET, EMPTY, MONTH, Store, guard, guarded
from tests.support.server import (
    API_KEY,
    CALLER,
    ID,
    LIMITED,
    call,
    new_ids,
    request,
)
from tests.support.strategies import COORDINATE, START, at, pending, uuid


class Locked(Store):
    """A store that fails if a collection is used without its lock."""

    def watch(self) -> None:
        owned = attrgetter("_is_owned")(self._lock)

        def looked_at() -> None:
            assert owned(), "what others write meanwhile is seen in halves"

        with self._lock:
            for kept in self._by_kind.values():
                guard(kept, looked_at)
            for whose in (self._connections, self._accounts):
                for name, held in list(vars(whose).items()):
                    if isinstance(held, dict):
                        setattr(whose, name, guarded(held, looked_at))


USES: Final[dict[str, Callable[[Store], object]]] = {
    "connection": lambda made: made.connection(ID),
    "session": lambda made: made.session(subjects.SESSION),
    "binding": lambda made: made.binding(COORDINATE),
    "access": lambda made: access_at(made, ID, DataPackage("labs"), now=at(3)),
    "load": lambda made: made.load(call(Reconnect(ID)).needs),
    "load for a fact": lambda made: (
        made.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot
    ),
    "store": lambda made: commit_writes(made, (ConnectionWrite(None, pending(number=8)),)),
    "replace the buckets": lambda made: made.replace_buckets(()),
    "purge": lambda made: made.purge(START + 3 * MONTH),
    "stranger": lambda made: handle_at(made, curae.Request("GET", "/"), at(3)),
    "get": lambda made: handle_at(made, request("get"), at(3)),
    "create": lambda made: handle_at(made, request("create"), at(3), new_ids=new_ids(20)),
    "initiate": lambda made: handle_at(made, request("initiate"), at(3), new_ids=new_ids(20)),
    "reconnect": lambda made: handle_at(
        made, request("reconnect"), at(61), new_ids=new_ids(20, at(61))
    ),
    "fact": lambda made: record_at(made, curae.Revoked(ID, curae.Actor.PATIENT), at(3)),
    "fact of a binding": lambda made: record_at(made, curae.Graduated(COORDINATE), at(3)),
}


@pytest.mark.parametrize("use", USES)
def test_every_memory_store_access_holds_the_lock(use: str) -> None:
    made = Locked(curae.Settings(buckets=(BUCKET,)), ended_retention=MONTH)
    made.register(curae.ApiKey(API_KEY), CALLER)
    assert commit_writes(
        made,
        (
            ConnectionWrite(None, ACTIVE),
            SessionWrite(None, subjects.WAITING),
            BindingWrite(None, LIMITED),
        ),
    )
    handle_at(made, request("account-state"), START)
    made.watch()
    USES[use](made)


class Seen(Store):
    """A store that records each commit and yields to other threads."""

    def __init__(self) -> None:
        super().__init__(ended_retention=MONTH)
        # Each with the number of commits before its values were loaded.
        self.commits: list[tuple[int, tuple[Write, ...]]] = []
        self._of_thread = local()

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        with self._lock:
            self._of_thread.commit_count = len(self.commits)
            return super().load(needs, key_digest)

    def _store(self, writes: tuple[Write, ...]) -> bool:
        with self._lock:
            stored = super()._store(writes)
            sleep(0)
            if stored:
                # The first commits are made without a load.
                self.commits.append((getattr(self._of_thread, "commit_count", 0), writes))
            return stored


def check_each_replaces_the_last(commits: list[tuple[Write, ...]]) -> None:
    """Check that no write was lost: each `before` equals the `after` of the previous write."""
    held: dict[object, object] = {}
    for write in itertools.chain.from_iterable(commits):
        key = key_of(write)
        limit_that_was_over = isinstance(write, RateWrite) and write.before is None
        assert limit_that_was_over or held.get(key) == write.before
        held[key] = write.after


def key_of(write: Write) -> object:
    match write:
        case ConnectionWrite(_, after) | SessionWrite(_, after):
            return type(write), after.id
        case BindingWrite(_, after):
            return after.coordinate
        case RecordWrite(key) | RateWrite(key):
            return key
        case PageWrite(_, after):
            return after.digest


@contextmanager
def switching() -> Iterator[None]:
    """Switch threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


USERS: Final = 3
THREADS: Final = 6
ROUNDS: Final = 40


def work(made: Seen, barrier: Barrier, worker: int) -> list[Answer]:
    """Run the work of one thread on users, connections and keys that all threads share."""
    answers: list[Answer] = []
    barrier.wait()
    for turn in range(ROUNDS):
        number = 10_000 * (worker + 1) + 10 * turn
        user = f"user-{turn % USERS}"
        target = uuid(1 + turn % USERS)
        now = at(turn)
        asked = (
            request("create", user=user, key=f"c-{turn}"),
            request("initiate", user=user, key=f"i-{turn % 7}"),
            request("reconnect", id=target, key=f"r-{worker}-{turn}"),
            request("get", id=target),
        )
        for place, each in enumerate(asked):
            answers.append(handle_at(made, each, now, new_ids=new_ids(number + place, now)))
        record_at(made, curae.Authorized(curae.ConnectionId(target)), now)
        match (worker + turn) % 6:
            case 0:
                handle_at(made, request("revoke", id=target, key=f"v-{worker}-{turn}"), now)
            case 1:
                record_at(made, curae.Revoked(curae.ConnectionId(target), curae.Actor.PATIENT), now)
            case 2:
                made.purge(now, limit=3)
            case 3:
                sizes = BUCKET if turn % 2 else attrs.evolve(BUCKET, capacity=1000)
                made.replace_buckets((attrs.evolve(sizes, refill=1000),))
            case 4:
                made.register(curae.ApiKey(API_KEY), CALLER)
            case _:
                record_at(made, curae.Tombstoned(CALLER.coordinate(AppUserId(user))), now)
        held = made.connection(curae.ConnectionId(target))
        assert held is not None
        assert held.identity.id == target
        assert made.settings.buckets == () or made.settings.buckets[0].refill == 1000
    return answers


@pytest.mark.slow
def test_threads_on_one_memory_store_lose_no_write() -> None:
    made = Seen()
    made.register(curae.ApiKey(API_KEY), CALLER)
    for number in range(1, USERS + 1):
        assert commit_writes(made, (ConnectionWrite(None, pending(number=number)),))
    barrier = Barrier(THREADS)
    with switching(), ThreadPoolExecutor(THREADS) as pool:
        running = [pool.submit(work, made, barrier, worker) for worker in range(THREADS)]
        answers = [answer for each in running for answer in each.result()]
    assert {answer.response.status for answer in answers} >= {200, 201}
    check_each_replaces_the_last([writes for _, writes in made.commits])
    watch = Watch()
    for loaded_at, writes in made.commits:
        # Each commit has its own instant; at the latest one no value has expired.
        watch.observe_commit(writes, at(ROUNDS), loaded_at_commit=loaded_at)
    made.check(at(ROUNDS))
    sizes = made.sizes()
    assert sizes["counted"] == made.counted()
    made.purge(LAST_INSTANT)
    assert made.sizes() == EMPTY | {"bindings": sizes["bindings"], "counted": sizes["bindings"]}
