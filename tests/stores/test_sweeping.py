"""Tests of a sweep that meets another tombstone, a finished sweep or an erased coordinate."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from curae_lifecycle import MemoryStore, record
from curae_lifecycle.rules.binding import present_era
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from curae_lifecycle.stores import deadline, sweeping
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.deadline import deadline_scope, seconds_left
from curae_lifecycle.stores.retry import ATTEMPT_GRACE_SECONDS, DEFAULT_RETRY_POLICY
from curae_lifecycle.stores.serve import sweep_now
from tests.support.instants import commit_writes
from tests.support.serving import fake_time
from tests.support.strategies import COORDINATE, START, pending


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


def test_sweep_continues_if_a_tombstone_commits_during_it(store: MemoryStore) -> None:
    racing = Meanwhile(store, lambda needs: needs.connections is not None, tombstone)
    changes = sweep_now(racing, COORDINATE)
    assert is_swept(store)
    (noted,) = [each for each in changes.writes if isinstance(each, BindingWrite)]
    assert noted.after.swept


def test_sweep_ends_connections_of_a_tombstone_in_its_last_step(store: MemoryStore) -> None:
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


def test_sweep_starts_no_batch_after_the_deadline_of_its_caller(store: MemoryStore) -> None:
    with deadline_scope(0), pytest.raises(StoreUnavailableError, match="cut off"):
        sweep_now(store, COORDINATE)
    assert not is_swept(store)


def test_each_batch_of_a_sweep_has_the_whole_time_of_the_policy(
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


def test_sweep_without_a_request_is_tried_for_a_minute(
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


def test_sweep_that_was_finished_before_commits_nothing(store: MemoryStore) -> None:
    assert sweep_now(store, COORDINATE).writes
    assert sweep_now(store, COORDINATE) == NO_CHANGES
    assert sweep_now(MemoryStore(), COORDINATE) == NO_CHANGES


def test_sweep_of_a_coordinate_erased_meanwhile_ends(store: MemoryStore) -> None:
    racing = Meanwhile(store, lambda needs: needs.connections is not None, forget)
    assert sweep_now(racing, COORDINATE) == NO_CHANGES


def test_sweep_finished_by_another_worker_commits_nothing_more(store: MemoryStore) -> None:
    def finish(inner: MemoryStore) -> None:
        record(inner, Tombstoned(COORDINATE, happened_at=START))

    racing = Meanwhile(store, lambda needs: needs.connections is not None, finish)
    assert not [each for each in sweep_now(racing, COORDINATE).writes if each.before is None]
    assert is_swept(store)


def test_purge_finishes_a_sweep_and_does_not_repeat_it(store: MemoryStore) -> None:
    assert store._bindings.unswept
    store.purge()
    assert is_swept(store)
    assert not store._bindings.unswept
