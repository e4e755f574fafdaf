"""Tests of when a purge deletes a row, and of purges that meet a change, on both kinds of store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor, Status
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores import deadline, sweeping
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.retry import ATTEMPT_GRACE_SECONDS, DEFAULT_RETRY_POLICY
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.erasing import erase
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.stores.sql.expiring import EXPIRING_TABLES, put_row
from tests.support.chains import store_chain
from tests.support.logs_of_windows import KEY, WINDOWS, charge_log
from tests.support.server import API_KEY, CALLER, request
from tests.support.serving import FakeTime, fake_time, run_async
from tests.support.sql.databases import Clocked
from tests.support.strategies import COORDINATE, START, TICK, pending

MINT = RandomIds("https://connect.example/")
LAST = to_epoch_microseconds(START - timedelta(minutes=5))
"""The last expiry at which a row is deleted."""


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("table", EXPIRING_TABLES)
def test_purge_deletes_a_row_five_minutes_after_its_expiry(
    database: SqlDatabase, table: str, *, is_async: bool
) -> None:
    clocked = Clocked(database)
    store = SqlStore(clocked)
    store.create_tables()
    # With its fraction, a bucket is full one microsecond after its `full_at`.
    last = LAST - 1 if table == "curae_bucket" else LAST
    for key, expires_at in (("before", last - 1), ("at", last), ("after", last + 1)):
        assert clocked.run_transaction([put_row(table, key, expires_at)])
    if is_async:
        asyncio.run(AsyncSqlStore(ThreadedDatabase(clocked)).purge())
    else:
        store.purge()
    left = clocked.rows(Statement(f"SELECT id FROM {table}"))
    assert [*left] == [("after",)]


def test_purge_keeps_rate_limit_log_until_longest_window_ends(database: SqlDatabase) -> None:
    clocked = Clocked(database)
    store = SqlStore(clocked)
    store.create_tables()
    assert [charge_log(store, policy) for policy in WINDOWS] == [True] * 3
    clocked.now = START + timedelta(days=1, minutes=5) - TICK
    store.purge()
    assert store.load(Needs(limit=KEY)).snapshot.limit is not None
    clocked.now += TICK
    store.purge()
    assert store.load(Needs(limit=KEY)).snapshot.limit is None


# --- Changes beside a purge -------------------------------------------------------------------


@attrs.define
class Rival(Clocked):
    """A database in which something happens once, right before a transaction with some text."""

    happen: Callable[[], object] = lambda: None
    before: str = "DELETE FROM curae_erasure"

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        if any(self.before in each.text for each in statements):
            happen, self.happen = self.happen, lambda: None
            happen()
        return super().run_transaction(statements)


@pytest.fixture
def rival(database: SqlDatabase) -> Rival:
    """Return a database with the key of an app."""
    made = Rival(database)
    store = SqlStore(made)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    return made


def initiate(database: Rival, key: str) -> None:
    """Bind a new user if none is bound, and make a session."""
    answer = serve(SqlStore(database), request("initiate", key=key), MINT)
    assert answer.response.status == 201


def count(database: Clocked, table: str) -> object:
    return database.rows(Statement(f"SELECT COUNT(*) FROM {table}"))[0][0]


def purge_delivered(database: Clocked, *, is_async: bool) -> None:
    """Purge six minutes later, with every message delivered."""
    database.now += timedelta(minutes=6)
    database.run_transaction([Statement("DELETE FROM curae_outbox")])
    if is_async:
        asyncio.run(AsyncSqlStore(ThreadedDatabase(database)).purge())
    else:
        SqlStore(database).purge()


@attrs.define
class Slow(Clocked):
    """A database whose transactions take three seconds each."""

    time: FakeTime = attrs.field(factory=FakeTime)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        self.time.passed += 3
        return super().run_transaction(statements)


def test_erasure_is_not_cut_off_at_the_time_limit_of_requests(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = fake_time(monkeypatch)
    for module in (sweeping, deadline):
        monkeypatch.setattr(module, "monotonic", time.monotonic)
    slow = Slow(database, time=time)
    store = SqlStore(slow)
    store.create_tables()
    loaded = store.load(Needs())
    assert store.commit(loaded, Changes((ConnectionWrite(None, pending()),)))
    assert erase(slow, COORDINATE).connections == 1
    assert time.passed > DEFAULT_RETRY_POLICY.seconds + ATTEMPT_GRACE_SECONDS


@pytest.mark.parametrize("is_async", [False, True])
def test_purge_of_an_erased_user_keeps_a_user_bound_meanwhile(
    rival: Rival, *, is_async: bool
) -> None:
    initiate(rival, "k-1")
    erase(rival, COORDINATE)
    rival.happen = lambda: initiate(rival, "k-2")
    purge_delivered(rival, is_async=is_async)
    purge_delivered(rival, is_async=is_async)
    assert [count(rival, f"curae_{each}") for each in ("binding", "session", "erasure")] == [
        1,
        1,
        0,
    ]
    binding = SqlStore(rival).load(Needs(binding=COORDINATE)).snapshot.binding
    assert binding is not None
    assert binding.state is AccountState.LIMITED


def test_binding_tombstoned_during_a_purge_is_purged_by_the_next(rival: Rival) -> None:
    initiate(rival, "k-1")
    erase(rival, COORDINATE)
    rival.happen = lambda: record(SqlStore(rival), Tombstoned(COORDINATE))
    for rows in (1, 0):
        purge_delivered(rival, is_async=False)
        assert [count(rival, f"curae_{each}") for each in ("binding", "erasure")] == [rows, rows]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("state", [AccountState.LIMITED, AccountState.ACTIVE])
def test_purge_about_to_clear_a_user_id_keeps_a_new_binding(
    rival: Rival, state: AccountState, *, is_async: bool
) -> None:
    initiate(rival, "k-1")
    erase(rival, COORDINATE)
    # A connection that is made after the tombstone keeps the binding's row.
    assert serve(SqlStore(rival), request("create", key="k-2"), MINT).response.status == 201
    store, bound = SqlStore(rival), list[Snapshot]()

    def bind() -> None:
        initiate(rival, "k-3")
        if state is AccountState.ACTIVE:
            assert isinstance(record(store, Graduated(COORDINATE)), Done)
        bound.append(store.load(Needs(binding=COORDINATE)).snapshot)

    rival.happen, rival.before = bind, "UPDATE curae_binding"
    purge_delivered(rival, is_async=is_async)
    assert bound == [store.load(Needs(binding=COORDINATE)).snapshot]
    assert bound[0].binding is not None
    assert bound[0].binding.state is state


@pytest.mark.parametrize("is_async", [False, True])
def test_purge_deletes_a_user_erased_while_the_clock_was_ahead(
    rival: Rival, *, is_async: bool
) -> None:
    initiate(rival, "k-1")
    rival.now += timedelta(days=30)
    erase(rival, COORDINATE)
    rival.now -= timedelta(days=30)
    rival.run_transaction([Statement("DELETE FROM curae_outbox")])
    SqlStore(rival).purge()
    # The clock may have been put right just now, and requests may be in flight.
    assert (count(rival, "curae_session"), count(rival, "curae_erasure")) == (1, 1)
    purge_delivered(rival, is_async=is_async)
    assert (count(rival, "curae_binding"), count(rival, "curae_erasure")) == (0, 0)


@pytest.mark.parametrize("is_async", [False, True])
def test_purge_of_erased_user_keeps_rows_made_after_a_tombstone(
    rival: Rival, *, is_async: bool
) -> None:
    store = SqlStore(rival)
    initiate(rival, "k-1")
    erase(rival, COORDINATE)
    assert isinstance(record(store, Tombstoned(COORDINATE)), Done)
    initiate(rival, "k-2")
    assert serve(store, request("create", key="k-3"), MINT).response.status == 201
    purge_delivered(rival, is_async=is_async)
    assert (count(rival, "curae_connection"), count(rival, "curae_session")) == (1, 1)


@pytest.mark.parametrize("is_async", [False, True])
def test_erasure_recorded_during_a_purge_is_done_by_next_purge(
    rival: Rival, *, is_async: bool
) -> None:
    initiate(rival, "k-1")
    erase(rival, COORDINATE)
    initiate(rival, "k-2")
    rival.happen = lambda: erase(rival, COORDINATE)
    purge_delivered(rival, is_async=is_async)
    assert (count(rival, "curae_session"), count(rival, "curae_erasure")) == (1, 1)
    purge_delivered(rival, is_async=is_async)
    assert (count(rival, "curae_session"), count(rival, "curae_erasure")) == (0, 0)


@pytest.mark.parametrize("is_async", [False, True])
def test_purge_deletes_a_user_that_two_callers_erased_at_once(
    rival: Rival, *, is_async: bool
) -> None:
    initiate(rival, "k-1")

    def erase_again() -> None:
        # This session was made after the tombstone of the first call only.
        initiate(rival, "k-2")
        rival.now += timedelta(minutes=1)
        erase(rival, COORDINATE)

    rival.happen, rival.before = erase_again, "INSERT INTO curae_erasure"
    erase(rival, COORDINATE)
    rival.database.run_transaction([Statement("DELETE FROM curae_outbox")])
    rival.now += timedelta(minutes=4, seconds=30)
    SqlStore(rival).purge()
    assert [count(rival, f"curae_{each}") for each in ("session", "erasure")] == [2, 1]
    purge_delivered(rival, is_async=is_async)
    assert [count(rival, f"curae_{each}") for each in ("binding", "session", "erasure")] == [
        0,
        0,
        0,
    ]


# --- A purge of many erased rows that is cut off ------------------------------------------------


ROWS = 100
"""How many connections or sessions one transaction of a purge deletes, at most."""


@attrs.define
class Stopping(Clocked):
    """A database that notes the rows that each transaction deletes, and stops after some.

    Attributes:
        left: How many transactions that delete connections are left before the process is killed.
    """

    left: int = 1000
    sizes: list[int] = attrs.field(factory=list[int])

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        deleting = [each for each in statements if "DELETE FROM curae_connection" in each.text]
        if deleting:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.sizes.append(sum(len(each.values) for each in deleting))
        return super().run_transaction(statements)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("left", [0, 1, 2])
def test_purge_of_many_erased_rows_is_resumed_after_a_kill(
    database: SqlDatabase, left: int, *, is_async: bool
) -> None:
    stopping = Stopping(database, left=left)
    store = SqlStore(stopping)
    store.create_tables()
    store_chain(store, 2 * ROWS + 1)
    assert erase(stopping, COORDINATE).connections == 2 * ROWS + 1
    with pytest.raises(KeyboardInterrupt):
        purge_delivered(stopping, is_async=is_async)
    assert count(stopping, "curae_connection") == (2 - left) * ROWS + 1
    assert count(stopping, "curae_erasure") == 1
    stopping.left = 1000
    purge_delivered(stopping, is_async=is_async)
    assert [count(stopping, f"curae_{each}") for each in ("connection", "erasure", "binding")] == [
        0,
        0,
        0,
    ]
    assert stopping.sizes == [ROWS, ROWS, 1]


@attrs.define
class Sized(Clocked):
    """A database that notes how many connections each transaction changes."""

    sizes: list[int] = attrs.field(factory=list[int])

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        self.sizes.append(sum("UPDATE curae_connection" in each.text for each in statements))
        return super().run_transaction(statements)


def test_erasure_revokes_at_most_16_connections_per_transaction(
    sqlite_database: SqlDatabase,
) -> None:
    sized = Sized(sqlite_database)
    store = SqlStore(sized)
    store.create_tables()
    store_chain(store, 2 * sweeping.REVOCATION_BATCH + 1)
    sized.sizes.clear()
    erase(sized, COORDINATE)
    assert sum(sized.sizes) == 2 * sweeping.REVOCATION_BATCH + 1
    assert max(sized.sizes) == sweeping.REVOCATION_BATCH == 16


def test_chain_revocation_changes_at_most_17_rows_at_once(
    sqlite_database: SqlDatabase,
) -> None:
    sized = Sized(sqlite_database)
    store = SqlStore(sized)
    store.create_tables()
    chain = store_chain(store, 49)
    sized.sizes.clear()
    record(store, Revoked(chain[0].id, Actor.PATIENT))
    assert sized.sizes == [16, 16, 17]


# --- Patience -----------------------------------------------------------------------------------


@attrs.define
class Locked(Clocked):
    """A database whose connections are locked until half a minute has passed."""

    time: FakeTime = attrs.field(kw_only=True)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        if any("UPDATE curae_connection" in each.text for each in statements):
            self.time.passed += 3
            if self.time.passed < 30:
                raise StoreUnavailableError("a row is locked")
        return super().run_transaction(statements)


@attrs.frozen
class Awaited:
    """A blocking database as an async one, without threads."""

    database: Locked

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    async def rows(self, statement: Statement) -> Rows:
        return self.database.rows(statement)

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.database.run_ddl(statements)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return self.database.run_transaction(statements)


def erase_user(locked: Locked) -> None:
    erase(locked, COORDINATE)


def purge_unfinished_sweep(locked: Locked) -> None:
    interrupted_sweep(locked)
    SqlStore(locked).purge()


def purge_unfinished_sweep_async(locked: Locked) -> None:
    interrupted_sweep(locked)
    run_async(AsyncSqlStore(Awaited(locked)).purge(), locked.time)


def interrupted_sweep(locked: Locked) -> None:
    with pytest.raises(StoreUnavailableError):
        record(SqlStore(locked), Tombstoned(COORDINATE))
    assert locked.time.passed < 10


@pytest.mark.parametrize("job", [erase_user, purge_unfinished_sweep, purge_unfinished_sweep_async])
def test_erase_and_purge_succeed_after_half_minute_database_lock(
    sqlite_database: SqlDatabase, monkeypatch: pytest.MonkeyPatch, job: Callable[[Locked], None]
) -> None:
    locked = Locked(sqlite_database, time=fake_time(monkeypatch))
    store = SqlStore(locked)
    store.create_tables()
    store_chain(SqlStore(sqlite_database), 3)
    job(locked)
    assert 30 <= locked.time.passed < 60
    found = store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot
    assert found.binding is not None
    assert found.binding.swept
    assert [each.status for each in found.connections] == [Status.REVOKED] * 3
