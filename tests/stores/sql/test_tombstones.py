"""Tombstones on each store: what was made before is over, and the sweep writes it down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from typing import Final, Protocol

import pytest

from curae_lifecycle import ApiKey, MemoryStore, Settings, Store, StoreUnavailableError, record
from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import AccountState, present_era
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, create, standing
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    DataPackage,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, SessionWrite
from curae_lifecycle.stores import sweeping
from curae_lifecycle.stores.clock import utc_now
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.deadline import deadline_scope
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.stores.sweeping import REVOCATION_BATCH
from curae_lifecycle.testing.races import RaceTenant, commit, commit_with_retries
from tests.docs.pages.test_stores import make_store
from tests.stores.sql.conftest import DATABASES, opened

STAGE: Final = RaceTenant.of(1, Settings())
COORDINATE: Final = STAGE.coordinate
LABS: Final = (DataPackage("labs"),)


class Registering(Store, Protocol):
    """A store of these tests, which can register keys."""

    def register(self, api_key: ApiKey, caller: Caller) -> None: ...


@pytest.fixture(params=["memory", "example", *DATABASES])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registering]:
    """Each kind of store, empty, with the caller of the stage."""
    kind: str = request.param
    with ExitStack() as stack:
        if kind == "memory":
            made: Registering = MemoryStore()
        elif kind == "example":
            example = make_store()(str(tmp_path / "one.db"), utc_now)
            stack.enter_context(closing(example.database))
            made = example
        else:
            made = on(stack.enter_context(opened(request.getfixturevalue(f"{kind}_url"))))
        made.register(ApiKey(STAGE.api_key), STAGE.caller)
        yield made


def on(database: SqlDatabase) -> SqlStore:
    store = SqlStore(database)
    store.create_tables()
    return store


def add(store: Store, number: int, *, active: bool = False, era: datetime | None = None) -> None:
    """Store a connection that was made under an era."""
    loaded = store.load(Needs(binding=COORDINATE))
    made = make(number, loaded.now, era)
    assert store.commit(loaded, Changes((ConnectionWrite(None, made),)))
    if active:
        assert isinstance(record(store, Authorized(made.id)), Done)


def make(number: int, now: datetime, era: datetime | None) -> Connection:
    return create(
        id=ConnectionId(f"00000000-0000-4000-8000-{number:012x}"),
        coordinate=COORDINATE,
        data_packages=LABS,
        now=now,
        next_action=NextAction("https://connect.example/1", now + timedelta(hours=1)),
        era=era,
    )


def id_of(number: int) -> ConnectionId:
    return ConnectionId(f"00000000-0000-4000-8000-{number:012x}")


def left(store: Store) -> Snapshot:
    """Load the binding and the connections of the user."""
    return store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot


def stands(store: Store, number: int) -> Standing:
    loaded = store.load(Needs(connection=id_of(number)))
    assert loaded.snapshot.connection is not None
    era = present_era(loaded.snapshot.binding)
    return standing(loaded.snapshot.connection, loaded.now, era=era)


def initiate(store: Store, *, prefers: bool) -> None:
    commit_with_retries(
        store, STAGE.request_action(Initiate(STAGE.user, prefer_signup=prefers), 21)
    )


# --- Each row -----------------------------------------------------------------------------------


def test_tombstone_of_an_unknown_user_creates_a_binding(store: Store) -> None:
    assert isinstance(record(store, Tombstoned(COORDINATE)), Done)
    bound = left(store).binding
    assert bound is not None
    assert (bound.state, bound.user_id, bound.generation) == (AccountState.TOMBSTONED, None, 0)
    assert bound.swept


def test_tombstone_of_a_user_without_binding_revokes_connections(store: Store) -> None:
    add(store, 1, active=True)
    add(store, 2)
    assert isinstance(record(store, Tombstoned(COORDINATE)), Done)
    assert {each.status for each in left(store).connections} == {Status.REVOKED}


@pytest.mark.parametrize("graduated", [False, True])
def test_tombstone_of_a_bound_user_ends_binding_and_connection(
    store: Store, *, graduated: bool
) -> None:
    initiate(store, prefers=False)
    if graduated:
        assert isinstance(record(store, Graduated(COORDINATE)), Done)
    add(store, 1, active=True)
    assert isinstance(record(store, Tombstoned(COORDINATE)), Done)
    bound = left(store).binding
    assert bound is not None
    assert bound.state is AccountState.TOMBSTONED
    assert bound.era is not None
    assert stands(store, 1) is Standing.REVOKED


def test_repeated_tombstone_does_not_end_access_of_the_new_user(store: Store) -> None:
    happened = store.load(Needs()).now - timedelta(minutes=1)
    assert isinstance(record(store, Tombstoned(COORDINATE, happened)), Done)
    initiate(store, prefers=False)
    add(store, 1, active=True, era=present_era(left(store).binding))
    before = left(store)
    assert isinstance(record(store, Tombstoned(COORDINATE, happened)), Ignored)
    assert left(store) == before
    assert stands(store, 1) is Standing.ACTIVE


def test_second_tombstone_without_happened_at_is_not_a_repeat(store: Store) -> None:
    eras = set[datetime | None]()
    for number in (1, 2):
        assert isinstance(record(store, Tombstoned(COORDINATE)), Done)
        era = present_era(left(store).binding)
        eras.add(era)
        add(store, number, era=era)
    assert len(eras) == 2
    assert [stands(store, number) for number in (1, 2)] == [Standing.REVOKED, Standing.PENDING]


# --- What was under way -------------------------------------------------------------------------


def test_create_that_loses_race_to_a_tombstone_gives_no_access(store: Store) -> None:
    create_action = STAGE.actions()["create"]
    decided = create_action(store)
    assert isinstance(record(store, Tombstoned(COORDINATE)), Done)
    assert commit(store, decided)
    (late,) = left(store).connections
    loaded = store.load(Needs(connection=late.id))
    era = present_era(loaded.snapshot.binding)
    assert standing(late, loaded.now, era=era) is Standing.REVOKED
    assert not isinstance(decide_access(late, LABS[0], loaded.now, era=era), Granted)
    # The next tombstone sweeps it.
    assert isinstance(record(store, Tombstoned(COORDINATE)), Done)
    assert [each.status for each in left(store).connections] == [Status.REVOKED]


def test_concurrent_create_initiate_and_tombstone_give_no_access(store: Store) -> None:
    works = STAGE.actions()
    created = works["create"](store)
    commit_with_retries(store, works["initiate"])
    ended = works["tombstone"](store)
    assert commit(store, created)
    assert commit(store, ended)
    (late,) = left(store).connections
    loaded = store.load(Needs(connection=late.id))
    era = present_era(loaded.snapshot.binding)
    assert standing(late, loaded.now, era=era) is Standing.REVOKED


def test_authorization_stored_after_a_tombstone_gives_no_access(store: Store) -> None:
    add(store, 1)
    fact = Authorized(id_of(1))
    loaded = store.load(fact.needs())
    answer = record_fact(fact, loaded.snapshot, loaded.now)
    assert isinstance(answer, Done)
    tombstone = Tombstoned(COORDINATE)
    seen = store.load(tombstone.needs())
    gone = record_fact(tombstone, seen.snapshot, seen.now)
    assert isinstance(gone, Done)
    # The commit of the tombstone alone, before its sweep.
    assert store.commit(seen, gone.value)
    assert store.commit(loaded, answer.value)
    assert stands(store, 1) is Standing.REVOKED
    # The next fact about the coordinate sweeps first.
    assert isinstance(record(store, Authorized(id_of(1))), Refused)
    (swept,) = left(store).connections
    assert swept.status is Status.REVOKED


@pytest.mark.parametrize("graduated", [False, True])
def test_handoff_of_session_opened_before_tombstone_is_refused(
    store: Store, *, graduated: bool
) -> None:
    initiate(store, prefers=True)
    session_id = STAGE.request_action(Initiate(STAGE.user, prefer_signup=True), 22)
    commit_with_retries(store, session_id)
    waiting = _session_of(store)
    assert isinstance(record(store, Tombstoned(COORDINATE)), Done)
    if graduated:
        initiate_next = STAGE.request_action(Initiate(STAGE.user), 23)
        commit_with_retries(store, initiate_next)
        assert isinstance(record(store, Graduated(COORDINATE)), Done)
    bound = left(store).binding
    assert bound is not None
    user = bound.user_id or UserId("u-1")
    answer = record(store, HandoffCompleted(waiting, user))
    assert isinstance(answer, Refused)
    assert answer.problem.code == "BINDING_CHANGED"


def _session_of(store: Store) -> SessionId:
    action = STAGE.request_action(Initiate(STAGE.user, prefer_signup=True), 24)
    decided = action(store)
    assert commit(store, decided)
    (write,) = [each for each in decided.changes.writes if isinstance(each, SessionWrite)]
    return write.after.id


# --- The sweep ----------------------------------------------------------------------------------


class Killed(Exception):  # noqa: N818 - it stands for a killed worker
    """The worker was killed."""


class Dying:
    """A store whose worker dies at one of its commits, before or after it took effect."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self.store, self.left, self.after = store, at, after

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return self.store.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        stored = self.store.commit(loaded, changes, page)
        if self.left == 0:
            raise Killed
        return stored


MANY: Final = REVOCATION_BATCH + 50


def fill(store: Store, count: int) -> None:
    """Store many connections, the last two of them ACTIVE."""
    loaded = store.load(Needs(binding=COORDINATE))
    for first in range(1, count + 1, 1000):
        numbers = range(first, min(first + 1000, count + 1))
        made = tuple(ConnectionWrite(None, make(each, loaded.now, None)) for each in numbers)
        assert store.commit(loaded, Changes(made))
    for number in (count - 1, count):
        assert isinstance(record(store, Authorized(id_of(number))), Done)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [2, 3, 4])
@pytest.mark.parametrize("by", ["a fact", "a purge"])
def test_interrupted_tombstone_revokes_each_connection_only_once(
    database: SqlDatabase, at: int, by: str, *, after: bool
) -> None:
    store = on(database)
    fill(store, MANY)
    with pytest.raises(Killed):
        record(Dying(store, at, after=after), Tombstoned(COORDINATE))
    assert stands(store, 1) is stands(store, MANY) is Standing.REVOKED
    if by == "a purge":
        store.purge()
    else:
        record(store, Revoked(id_of(1), Actor.PATIENT))
    loaded = left(store)
    assert {each.status for each in loaded.connections} == {Status.REVOKED}
    assert loaded.binding is not None
    assert loaded.binding.swept
    told = [each for each in store.outbox() if each["kind"] == "connection.revoked"]
    assert len({str(each["id"]) for each in told}) == len(told) == MANY
    ended = [each for each in store.outbox() if each["kind"] == "AccessEnded"]
    assert len(ended) == 2


def test_tombstone_revokes_active_connections_first(database: SqlDatabase) -> None:
    store = on(database)
    fill(store, MANY)
    with pytest.raises(Killed):
        # The tombstone is the first commit, and the ACTIVE ones are the second.
        record(Dying(store, 2, after=True), Tombstoned(COORDINATE))
    revoked = [each.id for each in left(store).connections if each.status is Status.REVOKED]
    assert revoked == [id_of(MANY - 1), id_of(MANY)]


@pytest.mark.slow
def test_tombstone_cut_off_while_revoking_raises_unavailable(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = on(database)
    fill(store, MANY)
    # The tombstone is committed in time, and then the deadline has passed.
    monkeypatch.setattr(sweeping, "monotonic", lambda: inf)
    with deadline_scope(60), pytest.raises(StoreUnavailableError, match="cut off"):
        record(store, Tombstoned(COORDINATE))
    monkeypatch.undo()
    assert stands(store, MANY) is Standing.REVOKED
    happened = record(store, Tombstoned(COORDINATE))
    assert isinstance(happened, Done)
    assert {each.status for each in left(store).connections} == {Status.REVOKED}


@pytest.mark.parametrize("limit", [None, 1])
def test_memory_store_purge_finishes_an_interrupted_tombstone(limit: int | None) -> None:
    store = MemoryStore()
    fill(store, 3)
    with pytest.raises(Killed):
        record(Dying(store, 1, after=True), Tombstoned(COORDINATE))
    store.purge(limit=limit)
    assert {each.status for each in left(store).connections} == {Status.REVOKED}


def test_full_memory_store_still_records_a_tombstone() -> None:
    store = MemoryStore(capacity=1)
    other = RaceTenant.of(1, Settings())
    commit_with_retries(store, other.actions()["initiate"])
    elsewhere = STAGE.caller.coordinate(AppUserId("another"))
    assert isinstance(record(store, Tombstoned(elsewhere)), Done)
    assert isinstance(record(store, Tombstoned(COORDINATE)), Done)


@pytest.mark.parametrize("tries", [20, pytest.param(200, marks=pytest.mark.heavy)])
def test_tombstone_commits_while_a_client_creates_connections(store: Store, tries: int) -> None:
    numbers = iter(range(1, tries + 1))
    for _ in range(tries):
        fact = Tombstoned(COORDINATE)
        loaded = store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, loaded.now)
        add(store, next(numbers))
        assert isinstance(answer, Done)
        assert store.commit(loaded, answer.value)


@pytest.mark.heavy
def test_first_commit_of_a_tombstone_ends_4000_connections(database: SqlDatabase) -> None:
    store = on(database)
    fill(store, 4_000)
    with pytest.raises(Killed):
        record(Dying(store, 1, after=True), Tombstoned(COORDINATE))
    assert stands(store, 4_000) is Standing.REVOKED
    store.purge()
    assert {each.status for each in left(store).connections} == {Status.REVOKED}
    told = [each for each in store.outbox() if each["kind"] == "connection.revoked"]
    assert len({str(each["id"]) for each in told}) == len(told) == 4_000
