"""Tests of the batches of a SQL store with one value more than a batch holds, on both kinds."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import AppUserId, ConnectionId, SessionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import HandoffCancelled
from curae_lifecycle.service.facts.fact import record_fact
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import PageKind
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import ConnectionWrite, SessionWrite, Write
from curae_lifecycle.stores.keys import coordinate_key, key_of
from curae_lifecycle.stores.outbox import Delivery, coordinate_subject
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.erasing import erase
from curae_lifecycle.stores.sql.statement import Rows, Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.stores.sql.expiring import EXPIRING_TABLES, put_row
from tests.stores.sql.kinds import Async, Blocking, Kind
from tests.stores.sql.posting import post
from tests.support.chains import store_chain
from tests.support.sql.databases import Clocked, with_driver, without_driver
from tests.support.strategies import COORDINATE, START, pending, uuid

PURGE_BATCH: Final = 1000
ROWS_PER_STATEMENT: Final = 100
MESSAGES_PER_STATEMENT: Final = 100
STATEMENTS_AT_ONCE: Final = 50
REVOCATION_BATCH: Final = 16
LARGEST_DELIVERY: Final = 1000
DEAD_PER_PAGE: Final = 100


@attrs.define
class Bounded(Clocked):
    """A database that fails after a number of reads, so that an endless loop fails its test."""

    reads_left: int = 3000

    def shown(self, rows: Rows) -> Rows:
        self.reads_left -= 1
        assert self.reads_left, "a loop does not end"
        return super().shown(rows)


@pytest.fixture
def clocked(database: SqlDatabase) -> Clocked:
    made = Bounded(database)
    SqlStore(made).create_tables()
    return made


@pytest.fixture(params=["blocking", "async"])
def kind(request: pytest.FixtureRequest, clocked: Clocked, url: str) -> Kind:
    if request.param == "blocking":
        return Blocking(clocked)
    return Async(clocked, without_driver(url))


def count(database: Clocked, table: str, where: str = "1 = 1") -> object:
    return database.rows(Statement(f"SELECT 0, COUNT(*) FROM {table} WHERE {where}"))[0][1]


def counts(database: Clocked, *names: str) -> list[object]:
    return [count(database, f"curae_{name}") for name in names]


def deliver_all(database: Clocked) -> None:
    """Empty the outbox, and let the time pass after which a purge deletes erased rows."""
    assert database.run_transaction([Statement("DELETE FROM curae_outbox")])
    database.now = START + timedelta(minutes=6)


# --- Purges ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("table", EXPIRING_TABLES)
@pytest.mark.parametrize("extra", [0, 1])
def test_purge_deletes_all_expired_rows_even_above_batch_size(
    clocked: Clocked, kind: Kind, table: str, extra: int
) -> None:
    rows = [put_row(table, f"{number:064}", number) for number in range(PURGE_BATCH + extra)]
    assert clocked.run_transaction(rows)
    kind.purge()
    assert count(clocked, table) == 0


@pytest.mark.slow
def test_purge_finishes_all_tombstones_even_above_batch_size(clocked: Clocked, kind: Kind) -> None:
    store = SqlStore(clocked)
    for number in range(ROWS_PER_STATEMENT + 1):
        user = attrs.evolve(COORDINATE, app_user_id=AppUserId(f"gone-{number}"))
        fact = Tombstoned(user)
        loaded = store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, START)
        assert isinstance(answer, Done)
        assert store.commit(loaded, answer.value)
    assert count(clocked, "curae_binding", "unswept = 1") == ROWS_PER_STATEMENT + 1
    kind.purge()
    assert count(clocked, "curae_binding", "unswept = 1") == 0


@pytest.mark.slow
def test_purge_deletes_all_erased_users_even_above_batch_size(clocked: Clocked, kind: Kind) -> None:
    for number in range(ROWS_PER_STATEMENT + 1):
        erase(clocked, attrs.evolve(COORDINATE, app_user_id=AppUserId(f"gone-{number}")))
    assert counts(clocked, "erasure", "binding") == [ROWS_PER_STATEMENT + 1] * 2
    deliver_all(clocked)
    kind.purge()
    assert counts(clocked, "erasure", "binding") == [0, 0]


def store_user(database: Clocked, connections: int, sessions: int) -> None:
    """Store connections and sessions of a user, each with a hosted page that does not expire."""
    store = SqlStore(database)
    made = [pending(number=number) for number in range(1, connections + 1)]
    begun = [session(number) for number in range(1, sessions + 1)]
    writes: tuple[Write, ...] = (
        *[ConnectionWrite(None, each) for each in made],
        *[SessionWrite(None, each) for each in begun],
    )
    assert store.commit(store.load(Needs()), Changes(writes))
    subjects = [
        *[key_of(PageKind.CONNECTION, each.id) for each in made],
        *[key_of(PageKind.SESSION, each.id) for each in begun],
    ]
    pages = [put_row("curae_page", subject, 2**62) for subject in subjects]
    assert database.run_transaction(pages)


def session(number: int) -> CuraeConnectSession:
    return CuraeConnectSession(
        # No connection has the same id.
        id=SessionId(uuid(1000 + number)),
        coordinate=COORDINATE,
        path=EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF,
        handoff=HandoffState.AWAITED,
        created_at=START,
        expires_at=START + timedelta(hours=1),
        landed_at=None,
        user_id=None,
    )


USER: Final = ("connection", "session", "page", "binding", "erasure")


@pytest.mark.parametrize("extra", [0, 1])
def test_purge_deletes_erased_user_with_more_rows_than_a_batch(
    clocked: Clocked, kind: Kind, extra: int
) -> None:
    number = ROWS_PER_STATEMENT + extra
    store_user(clocked, connections=number, sessions=number)
    erased = erase(clocked, COORDINATE)
    assert (erased.connections, erased.sessions) == (number, number)
    assert counts(clocked, *USER) == [number, number, 2 * number, 1, 1]
    deliver_all(clocked)
    kind.purge()
    assert counts(clocked, *USER) == [0] * len(USER)


@pytest.mark.parametrize(
    "subject",
    [session(1).id, coordinate_subject(COORDINATE)],
    ids=["session", "user"],
)
def test_purge_keeps_erased_user_while_outbox_messages_wait(
    clocked: Clocked, kind: Kind, subject: str
) -> None:
    store_user(clocked, connections=ROWS_PER_STATEMENT, sessions=1)
    erase(clocked, COORDINATE)
    deliver_all(clocked)
    post(clocked, subject)
    kind.purge()
    assert counts(clocked, *USER) == [ROWS_PER_STATEMENT, 1, ROWS_PER_STATEMENT + 1, 1, 1]
    deliver_all(clocked)
    kind.purge()
    assert counts(clocked, *USER) == [0] * len(USER)


def test_erase_counts_waiting_outbox_messages_about_the_user(clocked: Clocked) -> None:
    store_user(clocked, connections=ROWS_PER_STATEMENT, sessions=1)
    post(clocked, session(1).id, coordinate_subject(COORDINATE), "another user")
    erased = erase(clocked, COORDINATE)
    waiting = count(clocked, "curae_outbox")
    assert isinstance(waiting, int)
    assert erased.waiting == waiting - 1 > ROWS_PER_STATEMENT + 2


@pytest.mark.parametrize("places", [(2,), (0, 1, 2)])
def test_purge_leaves_bindings_of_a_newer_format_unchanged(
    clocked: Clocked, kind: Kind, places: tuple[int, ...]
) -> None:
    users = [attrs.evolve(COORDINATE, app_user_id=AppUserId(f"gone-{number}")) for number in "123"]
    for user in users:
        erase(clocked, user)
    newer = [sorted(map(coordinate_key, users))[place] for place in places]
    put = "UPDATE curae_binding SET document = '{\"format\":2}', unswept = 1 WHERE id = ?"
    assert clocked.run_transaction([Statement(put, (key,), 1) for key in newer])
    deliver_all(clocked)
    kind.purge()
    left = clocked.rows(Statement("SELECT id, unswept FROM curae_binding ORDER BY id"))
    assert [*left] == [(key, 1) for key in newer]
    assert count(clocked, "curae_erasure") == len(newer)


# --- Facts ----------------------------------------------------------------------------------


def active(connection: Connection) -> Connection:
    return attrs.evolve(
        connection,
        status=Status.ACTIVE,
        authorized_at=connection.updated_at,
        handoff_deadline=None,
    )


@pytest.mark.parametrize("are_active", [False, True])
@pytest.mark.parametrize("extra", [0, 1])
def test_tombstone_revokes_all_connections_even_above_batch_size(
    clocked: Clocked, kind: Kind, extra: int, *, are_active: bool
) -> None:
    number = REVOCATION_BATCH + extra
    made = [pending(number=each) for each in range(1, number + 1)]
    writes = [ConnectionWrite(None, active(each) if are_active else each) for each in made]
    assert kind.commit(Changes(tuple(writes)))
    assert isinstance(kind.record(Tombstoned(COORDINATE)), Done)
    snapshot = kind.load(Needs(connections=ConnectionsPage(COORDINATE)))
    assert [each.status for each in snapshot.connections] == [Status.REVOKED] * number
    assert count(clocked, "curae_binding", "unswept = 0") == 1


@pytest.mark.parametrize("extra", [0, 1])
def test_revocation_ends_a_whole_chain_longer_than_a_batch(
    clocked: Clocked, kind: Kind, extra: int
) -> None:
    # A batch is as many connections behind the one of the fact.
    chain = store_chain(SqlStore(clocked), 1 + REVOCATION_BATCH + extra)
    assert isinstance(kind.record(Revoked(chain[0].id, Actor.PATIENT)), Done)
    snapshot = kind.load(Needs(connections=ConnectionsPage(COORDINATE)))
    assert [each.status for each in snapshot.connections] == [Status.REVOKED] * len(chain)


# --- Messages -------------------------------------------------------------------------------


def cancellations(number: int) -> Changes:
    return Changes(
        effects=tuple([HandoffCancelled(ConnectionId(uuid(each))) for each in range(number)])
    )


@pytest.mark.parametrize("extra", [0, 1])
def test_commit_stores_messages_that_fill_or_exceed_one_insert(
    clocked: Clocked, kind: Kind, extra: int
) -> None:
    number = MESSAGES_PER_STATEMENT + extra
    assert kind.commit(cancellations(number))
    stored = SqlStore(clocked).outbox()
    assert [each["connectionId"] for each in stored] == [uuid(each) for each in range(number)]


@pytest.mark.slow
def test_outbox_delivers_a_full_batch_and_then_the_last_message(
    clocked: Clocked, kind: Kind
) -> None:
    number = LARGEST_DELIVERY + 1
    assert kind.commit(cancellations(number))
    seen: list[Delivery] = []
    # The lease is long, because a worker delivers only in the first half of it.
    settings = DeliverySettings(batch=LARGEST_DELIVERY, lease=3600.0)
    assert [kind.deliver(settings, seen) for _ in range(3)] == [LARGEST_DELIVERY, 1, 0]
    assert [each.document["connectionId"] for each in seen] == [*map(uuid, range(number))]
    assert count(clocked, "curae_outbox") == 0


def test_outbox_list_dead_returns_100_messages_then_the_rest(clocked: Clocked, kind: Kind) -> None:
    assert kind.commit(cancellations(DEAD_PER_PAGE + 1))
    assert clocked.run_transaction([Statement("UPDATE curae_outbox SET due_at = NULL")])
    rows = clocked.rows(Statement("SELECT id, 0 FROM curae_outbox ORDER BY id"))
    numbers = [row[0] for row in rows]
    page = kind.dead()
    assert [each.number for each in page] == numbers[:DEAD_PER_PAGE]
    assert [each.number for each in kind.dead(page[-1].number)] == numbers[DEAD_PER_PAGE:]


# --- Transactions ---------------------------------------------------------------------------


def check_transaction(database: Clocked, kind: Kind, number: int) -> None:
    """Check that a transaction is atomic, whichever statement fails."""
    insert = partial(
        Statement, "INSERT INTO curae_log (id, version, expires_at, document) VALUES (?, 1, 0, '')"
    )
    rows = [insert((f"{each:064}",), 1) for each in range(number)]
    missing = Statement("UPDATE curae_log SET version = 2 WHERE id = ?", ("none",), 1)
    for place in (0, STATEMENTS_AT_ONCE - 1, number - 1):
        assert not kind.run_transaction([*rows[:place], missing, *rows[place + 1 :]])
        assert count(database, "curae_log") == 0
    assert kind.run_transaction(rows)
    assert count(database, "curae_log") == number


@pytest.mark.parametrize("extra", [0, 1])
def test_transaction_over_the_size_of_a_batch_is_atomic(
    clocked: Clocked, kind: Kind, extra: int
) -> None:
    check_transaction(clocked, kind, STATEMENTS_AT_ONCE + extra)


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.parametrize("extra", [0, 1])
def test_asyncpg_transaction_over_the_size_of_a_batch_is_atomic(
    clocked: Clocked, url: str, extra: int
) -> None:
    kind = Async(clocked, with_driver(url, "asyncpg"))
    check_transaction(clocked, kind, STATEMENTS_AT_ONCE + extra)
