"""Tests of a sweep that meets another tombstone, a finished sweep or an erased coordinate."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from curae_lifecycle import MemoryStore, record
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding, present_era
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import UserId
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from curae_lifecycle.stores import deadline, sweeping
from curae_lifecycle.stores.contract import Loaded, Store, StoreUnavailableError
from curae_lifecycle.stores.deadline import deadline_scope, seconds_left
from curae_lifecycle.stores.retry import ATTEMPT_GRACE_SECONDS, DEFAULT_RETRY_POLICY
from curae_lifecycle.stores.serve import sweep_now
from curae_lifecycle.stores.sweeping import BATCH_POLICY
from tests.support.instants import commit_writes
from tests.support.serving import FakeTime, fake_time
from tests.support.strategies import COORDINATE, START, apply_trigger, pending, uuid


@attrs.define
class Meanwhile:
    """A store in which something happens once, before a load of a kind."""

    store: MemoryStore
    before: Callable[[Needs], bool]
    happen: Callable[[MemoryStore], None]
    has_happened: bool = False

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        if self.before(needs) and not self.has_happened:
            self.has_happened = True
            self.happen(self.store)
        return self.store.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        return self.store.commit(loaded, changes, page)


def is_page(needs: Needs) -> bool:
    """Return whether a page of connections is loaded."""
    return needs.connections is not None


@pytest.fixture
def store() -> MemoryStore:
    """Return a store with a connection that a tombstone ended and nothing has swept."""
    made = MemoryStore(clock=lambda: START)
    assert commit_writes(made, (ConnectionWrite(None, pending()),))
    tombstone(made)
    return made


def tombstone(store: MemoryStore) -> None:
    """Commit a tombstone without its sweep."""
    fact = Tombstoned(COORDINATE)
    loaded = store.load(fact.needs())
    answer = fact.judge(loaded.snapshot, loaded.now)
    assert isinstance(answer, Done)
    assert store.commit(loaded, answer.value)


def forget(store: MemoryStore) -> None:
    """Drop the binding, as a purge after an erasure does."""
    store._bindings.clear()


def is_swept(store: MemoryStore) -> bool:
    found = store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot
    assert found.binding is not None
    return found.binding.swept and {each.status for each in found.connections} == {Status.REVOKED}


class RepeatsPages(MemoryStore):
    """A store whose page of connections begins with the first one, whatever `after` says."""

    loads = 0

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        if needs.connections is not None:
            self.loads += 1
            assert self.loads < 9, "the sweep does not end"
            first = attrs.evolve(needs.connections, after=None)
            needs = attrs.evolve(needs, connections=first)
        return super().load(needs, key_digest)


def test_revocation_by_tombstone_raises_if_store_repeats_a_batch() -> None:
    repeating = RepeatsPages(clock=lambda: START)
    made = [pending(number=number) for number in range(1, sweeping.REVOCATION_BATCH + 1)]
    assert commit_writes(repeating, tuple([ConnectionWrite(None, each) for each in made]))
    tombstone(repeating)
    with pytest.raises(ArgumentError, match=r"snapshot\.connections: must be one page"):
        sweep_now(repeating, COORDINATE)


def test_revocation_by_tombstone_completes_despite_a_second_one(store: MemoryStore) -> None:
    racing = Meanwhile(store, is_page, tombstone)
    changes = sweep_now(racing, COORDINATE)
    assert is_swept(store)
    (noted,) = [each for each in changes.writes if isinstance(each, BindingWrite)]
    assert noted.after.swept


def test_second_tombstone_restarts_a_revocation_about_to_end(store: MemoryStore) -> None:
    loads = 0

    def is_last_step(needs: Needs) -> bool:
        nonlocal loads
        loads += needs.binding is not None
        return loads == 2

    def connect_and_tombstone(inner: MemoryStore) -> None:
        # The connection is of the era that the sweep has left alone.
        era = present_era(inner.binding(COORDINATE))
        made = pending(number=2)
        identity = attrs.evolve(made.identity, era=era)
        assert commit_writes(inner, (ConnectionWrite(None, attrs.evolve(made, identity=identity)),))
        tombstone(inner)

    sweep_now(Meanwhile(store, is_last_step, connect_and_tombstone), COORDINATE)
    assert is_swept(store)


@pytest.mark.parametrize("seconds_late", [0, 1])
def test_revocation_by_tombstone_is_cut_off_at_callers_deadline(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, seconds_late: int
) -> None:
    time = fake_time(monkeypatch)
    for module in (sweeping, deadline):
        monkeypatch.setattr(module, "monotonic", time.monotonic)
    with deadline_scope(5):
        time.passed = 5.0 + seconds_late
        with pytest.raises(StoreUnavailableError, match="cut off"):
            sweep_now(store, COORDINATE)
    assert not is_swept(store)


def test_each_batch_of_a_tombstone_gets_the_full_retry_time(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = fake_time(monkeypatch)
    for module in (sweeping, deadline):
        monkeypatch.setattr(module, "monotonic", time.monotonic)
    loads = 0

    def is_slow(_: Needs) -> bool:
        nonlocal loads
        loads += 1
        assert seconds_left(60) == DEFAULT_RETRY_POLICY.seconds + ATTEMPT_GRACE_SECONDS
        time.passed += DEFAULT_RETRY_POLICY.seconds - 1
        return False

    assert isinstance(record(Meanwhile(store, is_slow, forget), Tombstoned(COORDINATE)), Done)
    assert loads > 3
    assert is_swept(store)


def test_next_fact_finishes_interrupted_revocation_by_tombstone(store: MemoryStore) -> None:
    record(store, Graduated(COORDINATE, None))
    assert is_swept(store)


def test_revocation_by_tombstone_outlasts_30_second_store_outage(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = fake_time(monkeypatch)
    failures = 0

    def fail_for_half_a_minute(_: Needs) -> bool:
        nonlocal failures
        if time.passed < 30:
            time.passed += 3
            failures += 1
            raise StoreUnavailableError("a row is locked")
        return False

    sweep_now(Meanwhile(store, fail_for_half_a_minute, forget), COORDINATE)
    assert failures > 5
    assert is_swept(store)


def test_repeated_revocation_by_tombstone_commits_nothing(store: MemoryStore) -> None:
    assert sweep_now(store, COORDINATE).writes
    assert sweep_now(store, COORDINATE) == NO_CHANGES
    assert sweep_now(MemoryStore(), COORDINATE) == NO_CHANGES


def test_revocation_by_tombstone_stops_if_its_user_is_erased(store: MemoryStore) -> None:
    racing = Meanwhile(store, is_page, forget)
    stepped = Stepped(racing)
    assert sweep_now(stepped, COORDINATE) == NO_CHANGES
    assert stepped.pages() == [None]


def test_revocation_stops_if_a_failover_loses_its_tombstone() -> None:
    # A promoted asynchronous standby may lack the tombstone.
    store = MemoryStore(clock=lambda: START)
    bound = LimitedAccountAppBinding(COORDINATE, UserId("1"), AccountState.LIMITED, generation=1)
    writes = (BindingWrite(None, bound), ConnectionWrite(None, pending()))
    assert commit_writes(store, writes)
    before = store._bindings.copy()
    tombstone(store)
    stepped = Stepped(Meanwhile(store, is_page, lambda inner: inner._bindings.update(before)))
    assert sweep_now(stepped, COORDINATE) == NO_CHANGES
    assert stepped.pages() == [None]
    (kept,) = store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot.connections
    assert kept.status is Status.PENDING


def test_revocation_finished_by_another_worker_adds_no_changes(store: MemoryStore) -> None:
    def finish(inner: MemoryStore) -> None:
        record(inner, Tombstoned(COORDINATE, happened_at=START))

    racing = Meanwhile(store, is_page, finish)
    assert sweep_now(racing, COORDINATE) == NO_CHANGES
    assert is_swept(store)


# --- Batches --------------------------------------------------------------------------------


@attrs.define
class Stepped:
    """A store that notes its loads and commits, and conflicts if a test says so.

    Attributes:
        store: The store behind it.
        conflicts: The numbers of the commits that conflict, from 0.
        loads: What each load asked for.
        commits: The changes of each commit that succeeded.
    """

    store: Store
    conflicts: frozenset[int] = frozenset()
    loads: list[Needs] = attrs.field(factory=list[Needs])
    commits: list[Changes] = attrs.field(factory=list[Changes])
    tries: int = 0
    latest: Loaded | None = None

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.loads.append(needs)
        self.latest = self.store.load(needs, key_digest)
        return self.latest

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        assert loaded is self.latest
        self.tries += 1
        if self.tries - 1 in self.conflicts:
            return False
        self.commits.append(changes)
        return self.store.commit(loaded, changes, page)

    def pages(self) -> list[str | None]:
        """Return, for each load of a batch, the connection after which the batch began."""
        pages = [needs.connections for needs in self.loads if needs.connections is not None]
        assert {page.limit for page in pages} == {sweeping.REVOCATION_BATCH}
        return [page.after for page in pages]

    def revoked(self) -> list[list[str]]:
        """Return the ids of the connections that each commit revoked."""
        return [
            [write.after.id for write in changes.writes if isinstance(write, ConnectionWrite)]
            for changes in self.commits
        ]


def unswept(monkeypatch: pytest.MonkeyPatch, *, connections: int, active: set[int]) -> MemoryStore:
    """Return a store with a tombstone that ended these connections, in batches of three."""
    fake_time(monkeypatch)
    monkeypatch.setattr(sweeping, "REVOCATION_BATCH", 3)
    made = MemoryStore(clock=lambda: START)
    for number in range(1, connections + 1):
        connection = pending(number=number)
        if number in active:
            connection = apply_trigger(connection, "authorize for ever", START)
        assert commit_writes(made, (ConnectionWrite(None, connection),))
    tombstone(made)
    return made


def ids(*numbers: int) -> list[str]:
    return [uuid(number) for number in numbers]


@pytest.mark.parametrize("conflicts", [frozenset[int](), frozenset(range(0, 10, 2))])
def test_revocation_by_tombstone_begins_with_active_connections(
    monkeypatch: pytest.MonkeyPatch, conflicts: frozenset[int]
) -> None:
    store = unswept(monkeypatch, connections=7, active={2, 7})
    stepped = Stepped(store, conflicts)
    changes = sweep_now(stepped, COORDINATE)
    assert stepped.revoked() == [ids(2), ids(7), ids(1, 3), ids(4, 5, 6), []]
    assert changes == sum(stepped.commits, NO_CHANGES)
    assert is_swept(store)


def test_revocation_by_tombstone_reads_all_connections_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stepped = Stepped(unswept(monkeypatch, connections=7, active={2, 7}))
    sweep_now(stepped, COORDINATE)
    assert stepped.pages() == [None, *ids(3, 6), None, *ids(3, 6)]
    assert len(stepped.loads) == 8, "the binding is loaded at the start and at the end"


def test_revocation_of_only_active_connections_takes_one_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stepped = Stepped(unswept(monkeypatch, connections=6, active={*range(1, 7)}))
    sweep_now(stepped, COORDINATE)
    assert stepped.pages() == [None, *ids(3, 6)]
    assert stepped.revoked() == [ids(1, 2, 3), ids(4, 5, 6), []]


def test_revocation_by_tombstone_raises_if_all_commits_conflict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stepped = Stepped(unswept(monkeypatch, connections=1, active={1}), frozenset(range(999)))
    with pytest.raises(StoreUnavailableError, match=r"no attempt at a sweep .+: a conflict"):
        sweep_now(stepped, COORDINATE)
    assert stepped.tries >= BATCH_POLICY.seconds / BATCH_POLICY.longest_pause


@attrs.define
class Restarting:
    """A store whose database refuses all loads at once for a number of seconds."""

    store: MemoryStore
    time: FakeTime
    seconds: float

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        if self.time.passed < self.seconds:
            raise StoreUnavailableError("no connection")
        return self.store.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        return self.store.commit(loaded, changes, page)


def test_revocation_by_tombstone_survives_59_s_database_restart(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the average pauses.
    restarting = Restarting(store, fake_time(monkeypatch, 0.5), BATCH_POLICY.seconds - 1)
    sweep_now(restarting, COORDINATE)
    assert is_swept(store)


def test_purge_finishes_interrupted_revocation_by_tombstone(store: MemoryStore) -> None:
    assert store._bindings.unswept
    store.purge()
    assert is_swept(store)
    assert not store._bindings.unswept
