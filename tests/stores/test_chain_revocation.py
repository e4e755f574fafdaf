"""Tests of the revocation of a chain in batches that is cut off or meets a rival, on two stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from datetime import datetime, timedelta

import attrs
import pytest

from curae_lifecycle import ApiKey, MemoryStore, RandomIds, record, record_async
from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import ConnectionId, DataPackage
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import AccessEnded
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import FactAnswer
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores import deadline, request_loop, sweeping
from curae_lifecycle.stores.contract import Loaded, Store, StoreUnavailableError
from curae_lifecycle.stores.retry import DEFAULT_RETRY_POLICY
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from curae_lifecycle.testing import laws
from curae_lifecycle.testing.conformance.store_kit import check_store
from tests.stores.sql.conftest import opened
from tests.support.chains import chain_of, store_chain
from tests.support.server import API_KEY, CALLER, request
from tests.support.serving import FakeTime, fake_time
from tests.support.sql.databases import Clocked
from tests.support.strategies import COORDINATE, at

BATCH = 3
LOADS = 20
NOW = at(20)
OVER_A_LONG_CHAIN = "revocation-reach.long-chain"
LABS = DataPackage("labs")
MINT = RandomIds("https://connect.example/")


class Killed(Exception):  # noqa: N818 - what happens to a process
    """The process was killed."""


@attrs.define
class Stepped:
    """A store that does something before a load or commit, by its number from 1.

    Attributes:
        store: The store behind it.
        before_load: What happens before which load.
        before_commit: What happens before which commit.
        commits: The changes of each commit that succeeded.
    """

    store: Store
    before_load: Mapping[int, Callable[[], object]] = attrs.field(factory=dict)
    before_commit: Mapping[int, Callable[[], object]] = attrs.field(factory=dict)
    loads: int = 0
    tries: int = 0
    commits: list[Changes] = attrs.field(factory=list[Changes])

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.loads += 1
        assert self.loads < LOADS, "a revocation does not end"
        self.before_load.get(self.loads, lambda: None)()
        return self.store.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.tries += 1
        self.before_commit.get(self.tries, lambda: None)()
        done = self.store.commit(loaded, changes, page)
        if done:
            self.commits.append(changes)
        return done


def kill() -> None:
    raise Killed


@attrs.define
class Place:
    """A store with a clock that a test sets."""

    store: Store
    set_clock: Callable[[datetime], None]

    def all(self) -> list[Connection]:
        """Return the connections in the order of their chain."""
        found = self.store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot
        return sorted(found.connections, key=lambda each: each.identity.position)

    def reconnect(self, connection: Connection, key: str = "k-1") -> ConnectionId:
        """Reconnect a connection and return the successor's id."""
        answer = serve(self.store, request("reconnect", id=connection.id, key=key), MINT)
        assert answer.response.status == 201, answer
        return self.all()[-1].id


@pytest.fixture(params=["memory", "sqlite"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Return an empty store whose batches hold three connections."""
    monkeypatch.setattr(request_loop, "REVOCATION_BATCH", BATCH)
    if request.param == "memory":
        store = MemoryStore(clock=lambda: NOW)
        store.register(ApiKey(API_KEY), CALLER)
        yield Place(store, lambda now: setattr(store, "clock", lambda: now))
        return
    with opened(request.getfixturevalue("sqlite_url")) as database:
        clocked = Clocked(database, NOW)
        sql = SqlStore(clocked)
        sql.create_tables()
        sql.register(ApiKey(API_KEY), CALLER)
        yield Place(sql, lambda now: setattr(clocked, "now", now))


def revoke(store: Store, first: Connection, happened_at: datetime | None = None) -> FactAnswer:
    """Record that the patient revoked a connection."""
    return record(store, Revoked(first.id, Actor.PATIENT, happened_at))


def statuses(place: Place) -> list[Status]:
    return [each.status for each in place.all()]


def has_access(place: Place, now: datetime = NOW) -> bool:
    """Return whether any connection grants access."""
    answers = [decide_access(each, LABS, now, era=None) for each in place.all()]
    return any(isinstance(each, Granted) for each in answers)


def ended(changes: list[Changes]) -> list[str]:
    """Return the ids of the connections whose access the server is told to end."""
    effects = [effect for each in changes for effect in each.effects]
    return [each.connection_id for each in effects if isinstance(each, AccessEnded)]


def ids_of(changes: Changes) -> list[ConnectionId]:
    """Return the ids of the connections that some changes write."""
    return [each.after.id for each in changes.writes if isinstance(each, ConnectionWrite)]


@pytest.mark.parametrize("named", [0, 1])
@pytest.mark.parametrize("length", [1, 3, 4, 5, 7, 8])
def test_chain_is_revoked_newest_first_in_bounded_commits(
    place: Place, length: int, named: int
) -> None:
    chain = store_chain(place.store, length + named)
    store = Stepped(place.store)
    answer = revoke(store, chain[named])
    assert isinstance(answer, Done)
    reached = [each.id for each in chain[named:]]
    assert [ids_of(each) for each in store.commits] == batches(reached)
    assert sorted(ended([answer.value])) == sorted(reached)
    assert answer.rules[0] == "revocation-reach.patient"
    assert sorted(answer.rules[1:]) == [
        "connection.revoke.active",
        *["connection.revoke.expired"] * (length - 1),
    ]
    assert {each.revoked_at for each in place.all()[named:]} == {NOW}
    assert statuses(place)[:named] == [Status.EXPIRED] * named
    laws.check_chain(place.all(), NOW, era=None)


@pytest.mark.parametrize(("length", "sizes"), [(17, [17]), (18, [16, 2]), (40, [16, 16, 8])])
def test_commit_of_a_revocation_holds_at_most_17_connections(length: int, sizes: list[int]) -> None:
    store = Stepped(MemoryStore(clock=lambda: NOW))
    chain = store_chain(store.store, length)
    assert isinstance(revoke(store, chain[0]), Done)
    assert [len(ids_of(each)) for each in store.commits] == sizes


def batches(ids: list[ConnectionId]) -> list[list[ConnectionId]]:
    """Divide ids by hand: three at a time from the end, and the first one with its last batch."""
    first, later = ids[0], ids[1:]
    found: list[list[ConnectionId]] = []
    while len(later) > BATCH:
        later, batch = later[:-BATCH], later[-BATCH:]
        found.append(batch)
    # Whether more are left shows in a batch that does not begin behind the first connection.
    return [*found, [first, *later]]


def test_async_store_revokes_long_chain_in_batches_from_its_end(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_loop, "REVOCATION_BATCH", BATCH)
    with opened(sqlite_url) as database:
        store = SqlStore(database)
        store.create_tables()
        chain = store_chain(store, 8)
        twin = AsyncSqlStore(ThreadedDatabase(database))
        answer = asyncio.run(record_async(twin, Revoked(chain[0].id, Actor.PLATFORM)))
        assert isinstance(answer, Done)
        expected = batches([each.id for each in chain])
        assert ids_of(answer.value) == [each for batch in expected for each in batch]


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_killed_revocation_has_ended_access_and_can_be_resumed(place: Place, commits: int) -> None:
    chain = store_chain(place.store, 8)
    assert has_access(place)
    store = Stepped(place.store, before_commit={commits + 1: kill})
    with pytest.raises(Killed) if commits < 3 else nullcontext():
        revoke(store, chain[0], at(15))
    assert not has_access(place)
    assert statuses(place).count(Status.REVOKED) == min(3 * commits, 8)
    again = Stepped(place.store)
    place.set_clock(at(21))
    answer = revoke(again, chain[0], at(15))
    assert isinstance(answer, Done) == (commits < 3)
    assert {each.revoked_at for each in place.all()} == {at(15)}
    told = ended([*store.commits, *again.commits])
    assert sorted(told) == [each.id for each in chain]
    assert isinstance(revoke(place.store, chain[0]), Ignored)


def test_revocation_killed_before_first_commit_stores_nothing(place: Place) -> None:
    chain = store_chain(place.store, 8)
    with pytest.raises(Killed):
        revoke(Stepped(place.store, before_commit={1: kill}), chain[0])
    assert place.all() == chain


@pytest.mark.parametrize("commits", [1, 2])
def test_successor_made_between_revocation_batches_stays_pending(
    place: Place, commits: int
) -> None:
    chain = store_chain(place.store, 8)
    store = Stepped(place.store, before_load={commits + 1: lambda: place.reconnect(chain[-1])})
    assert isinstance(revoke(store, chain[0]), Done)
    assert statuses(place) == [*[Status.REVOKED] * 8, Status.PENDING]
    laws.check_chain(place.all(), NOW, era=None)


def test_successor_made_before_the_first_batch_is_revoked_too(place: Place) -> None:
    chain = store_chain(place.store, 8)
    record(place.store, Expired(chain[-1].id))
    rival = {1: lambda: place.reconnect(chain[-1])}
    assert isinstance(revoke(Stepped(place.store, before_commit=rival), chain[0]), Done)
    assert statuses(place) == [Status.REVOKED] * 9


def test_new_successor_of_an_already_revoked_head_is_revoked_too(
    place: Place,
) -> None:
    chain = store_chain(place.store, 8)
    record(place.store, Revoked(chain[-1].id, Actor.APP))
    rival = {1: lambda: place.reconnect(chain[-1])}
    assert isinstance(revoke(Stepped(place.store, before_commit=rival), chain[0]), Done)
    assert statuses(place) == [Status.REVOKED] * 9


def test_reconnect_of_superseded_id_amid_a_revocation_gets_409(place: Place) -> None:
    chain = store_chain(place.store, 8)
    codes: list[int] = []

    def reconnect() -> None:
        answer = serve(place.store, request("reconnect", id=chain[2].id, key="k-9"), MINT)
        codes.append(answer.response.status)

    store = Stepped(place.store, before_load={2: reconnect, 3: reconnect})
    assert isinstance(revoke(store, chain[0]), Done)
    assert codes == [409, 409]
    assert len(place.all()) == 8


def test_later_revocation_batch_does_not_overwrite_revoked_by(place: Place) -> None:
    chain = store_chain(place.store, 8)
    rival = {2: lambda: record(place.store, Revoked(chain[1].id, Actor.APP))}
    assert isinstance(revoke(Stepped(place.store, before_commit=rival), chain[0], at(15)), Done)
    found = place.all()
    assert [each.revoked_by for each in found] == [
        Actor.APP if place == 1 else Actor.PATIENT for place in range(8)
    ]
    assert {each.status for each in found} == {Status.REVOKED}


@pytest.mark.parametrize("happened_at", [None, at(15), NOW + timedelta(minutes=4)])
@pytest.mark.parametrize("step", [timedelta(seconds=3), timedelta(hours=-1)])
def test_chain_is_revoked_though_the_clock_moves_between_batches(
    place: Place, happened_at: datetime | None, step: timedelta
) -> None:
    chain = store_chain(place.store, 8)
    store = Stepped(place.store, before_load={2: lambda: place.set_clock(NOW + step)})
    assert isinstance(revoke(store, chain[0], happened_at), Done)
    found = place.all()
    assert {each.status for each in found} == {Status.REVOKED}
    if step > timedelta(0):
        assert {each.revoked_at for each in found} == {at(15) if happened_at == at(15) else NOW}


def test_revocation_dated_too_far_ahead_raises_changing_nothing(place: Place) -> None:
    chain = store_chain(place.store, 8)
    with pytest.raises(ValueError, match="happened_at"):
        revoke(place.store, chain[0], NOW + timedelta(minutes=6))
    assert place.all() == chain


def test_revoked_at_may_differ_by_batch_if_server_clock_is_slow(place: Place) -> None:
    updated = (40, 0, 0, 0, 0, 20, 30, 35)
    chain = [
        attrs.evolve(each, updated_at=at(minutes))
        for each, minutes in zip(chain_of(8), updated, strict=True)
    ]
    writes = tuple([ConnectionWrite(None, each) for each in chain])
    assert place.store.commit(place.store.load(Needs()), Changes(writes))
    place.set_clock(at(10))
    assert isinstance(revoke(place.store, chain[0], at(40)), Done)
    revoked = [at(minutes) for minutes in (40, 10, 10, 10, 10, 20, 20, 20)]
    assert [each.revoked_at for each in place.all()] == revoked


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """Return a time that passes only if a test says so."""
    made = fake_time(monkeypatch)
    for module in (sweeping, deadline, request_loop):
        monkeypatch.setattr(module, "monotonic", made.monotonic)
    return made


def test_each_revocation_batch_gets_the_full_retry_time(place: Place, time: FakeTime) -> None:
    chain = store_chain(place.store, 8)

    def wait() -> None:
        time.passed += DEFAULT_RETRY_POLICY.seconds - 1

    store = Stepped(place.store, before_commit={1: wait, 2: wait, 3: wait})
    assert isinstance(revoke(store, chain[0]), Done)
    assert statuses(place) == [Status.REVOKED] * 8


@pytest.mark.parametrize("seconds", [1, 2])
def test_revocation_at_its_deadline_is_cut_off_and_resumed(
    place: Place, time: FakeTime, seconds: int
) -> None:
    chain = store_chain(place.store, 8)

    def wait() -> None:
        time.passed += seconds

    store = Stepped(place.store, before_commit={2: wait})
    with deadline.deadline_scope(1), pytest.raises(StoreUnavailableError, match="cut off"):
        revoke(store, chain[0], at(15))
    assert statuses(place).count(Status.REVOKED) == 6
    assert isinstance(revoke(place.store, chain[0], at(15)), Done)
    assert statuses(place) == [Status.REVOKED] * 8


@attrs.define
class Whole(Stepped):
    """A store that knows no parts of a chain and loads all of it."""

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return super().load(attrs.evolve(needs, chain_part=None), key_digest)


def test_chain_is_revoked_in_batches_even_if_loaded_whole(place: Place) -> None:
    chain = store_chain(place.store, 8)
    store = Whole(place.store)
    assert isinstance(revoke(store, chain[0]), Done)
    assert [len(each.writes) for each in store.commits] == [3, 3, 2]
    assert statuses(place) == [Status.REVOKED] * 8


def test_chain_deleted_between_batches_ends_the_revocation(place: Place) -> None:
    chain = store_chain(place.store, 8)

    @attrs.define
    class Deleted(Stepped):
        def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
            loaded = super().load(needs, key_digest)
            return loaded if self.loads == 1 else attrs.evolve(loaded, snapshot=Snapshot())

    answer = revoke(Deleted(place.store), chain[0])
    assert isinstance(answer, Done)
    assert len(answer.value.writes) == 3


def test_revoking_an_unknown_chain_is_refused_as_not_found(place: Place) -> None:
    answer = revoke(place.store, chain_of(1)[0])
    assert isinstance(answer, Refused)
    assert answer.problem.code == "NOT_FOUND"


class LoadsTheStart(MemoryStore):
    """A store that loads the first of the later connections of a chain instead of the last."""

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        loaded = super().load(attrs.evolve(needs, chain_part=None), key_digest)
        if needs.chain_part is None:
            return loaded
        following = loaded.snapshot.following[: needs.chain_part.limit]
        return attrs.evolve(loaded, snapshot=attrs.evolve(loaded.snapshot, following=following))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MemoryStore, LoadsTheStart])
def test_kit_fails_a_store_that_loads_the_wrong_part_of_a_chain(kind: type[MemoryStore]) -> None:
    failed = {each.check for each in check_store(kind(), only=[OVER_A_LONG_CHAIN]).failed}
    assert failed == ({OVER_A_LONG_CHAIN} if kind is LoadsTheStart else set())
