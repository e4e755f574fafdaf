"""Tests of a purge in batches of a few rows, and of erased users it cannot purge whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import attrs
import pytest

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import record_fact
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.keys import coordinate_key
from curae_lifecycle.stores.outbox import coordinate_subject
from curae_lifecycle.stores.sql import purging, storing
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.erasing import erase
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
from curae_lifecycle.stores.sql.storing import EARLIEST
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.stores.formats import VALUES
from tests.stores.sql.expiring import put_row
from tests.stores.sql.posting import post
from tests.support.serving import fake_time, run_async
from tests.support.sql.databases import Clocked, Counted, Failing
from tests.support.strategies import COORDINATE, START, pending, uuid

USERS = [attrs.evolve(COORDINATE, app_user_id=AppUserId(f"gone-{number}")) for number in range(5)]

BOUND, *_ = [
    each
    for each in VALUES["LimitedAccountAppBinding"]
    if isinstance(each, LimitedAccountAppBinding)
]


@attrs.define
class Deleting(Clocked):
    """A database that notes how many rows of a table each transaction leaves."""

    left: list[object] = attrs.field(factory=list[object])

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        committed = super().run_transaction(statements)
        if statements and statements[0].text.startswith("DELETE FROM curae_record"):
            self.left.append(count(self, "curae_record"))
        return committed


@pytest.fixture
def database(sqlite_database: SqlDatabase) -> Deleting:
    SqlStore(sqlite_database).create_tables()
    return Deleting(sqlite_database)


def count(database: Clocked, table: str, where: str = "1 = 1") -> object:
    return database.rows(Statement(f"SELECT COUNT(*) FROM {table} WHERE {where}"))[0][0]


def purge_later(database: Clocked) -> None:
    """Purge with every message delivered and every erasure due."""
    database.run_transaction([Statement("DELETE FROM curae_outbox")])
    database.run_transaction([Statement("UPDATE curae_erasure SET due_at = 0")])
    SqlStore(database).purge()


def begin_sweep(database: Clocked, number: int) -> None:
    """Store a connection of a user and a tombstone, and leave the sweep to a purge."""
    store, user = SqlStore(database), USERS[number]
    made = pending(number=number + 1)
    own = attrs.evolve(made, identity=attrs.evolve(made.identity, coordinate=user))
    assert store.commit(store.load(Needs()), Changes((ConnectionWrite(None, own),)))
    fact = Tombstoned(user)
    loaded = store.load(fact.needs())
    answer = record_fact(fact, loaded.snapshot, START)
    assert isinstance(answer, Done)
    assert store.commit(loaded, answer.value)


def test_purge_deletes_expired_rows_in_batches(
    database: Deleting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "_PURGE_BATCH", 2)
    for number in range(5):
        assert database.run_transaction([put_row("curae_record", f"{number}", number)])
    SqlStore(database).purge()
    assert database.left == [3, 1, 0]


def test_purge_begins_each_batch_where_the_last_one_ended(
    sqlite_database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "_PURGE_BATCH", 2)
    counted = Counted(sqlite_database)
    SqlStore(counted).create_tables()
    for number in range(5):
        assert sqlite_database.run_transaction([put_row("curae_record", f"{number}", number)])
    SqlStore(counted).purge()
    begun = [each.values[0] for each in counted.read if "FROM curae_record" in each.text]
    assert begun == [EARLIEST, 1, 3]
    deleted = [each for (each, *_) in counted.changed if "FROM curae_record" in each.text]
    assert [each.values[0] for each in deleted] == begun


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "text", ["SELECT expires_at FROM curae_record", "DELETE FROM curae_record"]
)
def test_purge_retries_a_batch_while_the_database_is_down(
    database: Deleting, monkeypatch: pytest.MonkeyPatch, text: str, *, is_async: bool
) -> None:
    fake_time(monkeypatch)
    assert database.run_transaction([put_row("curae_record", "0", 0)])
    failing = Failing(database, text, 3)
    if is_async:
        asyncio.run(AsyncSqlStore(ThreadedDatabase(failing)).purge())
    else:
        SqlStore(failing).purge()
    assert (failing.times, count(database, "curae_record")) == (0, 0)


@attrs.frozen
class Slow:
    """An async database whose statements take nine seconds each, as its own timeout allows."""

    database: Clocked

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    async def rows(self, statement: Statement) -> Rows:
        await asyncio.sleep(9)
        return self.database.rows(statement)

    async def run_ddl(self, statements: Sequence[Statement]) -> None:
        self.database.run_ddl(statements)

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        await asyncio.sleep(9)
        return self.database.run_transaction(statements)


def test_async_purge_is_not_cut_off_at_request_time_limit(
    database: Deleting, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_time(monkeypatch)
    assert database.run_transaction([put_row("curae_record", "0", 0)])
    run_async(AsyncSqlStore(Slow(database)).purge())
    assert count(database, "curae_record") == 0


def test_purge_raises_after_a_minute_of_failures(
    database: Deleting, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = fake_time(monkeypatch)
    failing = Failing(database, "DELETE FROM curae_record", 10**6)
    with pytest.raises(StoreUnavailableError, match=r"at a batch .+: down"):
        SqlStore(failing).purge()
    assert 59 < time.passed <= 60


def test_purge_finishes_tombstones_that_fill_several_batches(
    database: Deleting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "_ROWS_PER_STATEMENT", 2)
    for number in range(len(USERS)):
        begin_sweep(database, number)
    assert {coordinate_key(user)[0].isdigit() for user in USERS} == {False, True}
    SqlStore(database).purge()
    assert count(database, "curae_binding", "unswept = 1") == 0
    assert count(database, "curae_connection", "document LIKE '%\"REVOKED\"%'") == len(USERS)


def test_purge_deletes_erased_users_that_fill_several_batches(
    database: Deleting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "_ROWS_PER_STATEMENT", 2)
    for user in USERS:
        erase(database, user)
    purge_later(database)
    assert [count(database, f"curae_{each}") for each in ("erasure", "binding")] == [0, 0]


def test_purge_warns_of_a_tombstoned_connection_in_newer_format(
    database: Deleting, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (0, 1):
        begin_sweep(database, number)
    newer = "UPDATE curae_connection SET document = '{\"format\":99}' WHERE id = ?"
    assert database.run_transaction([Statement(newer, (uuid(1),), 1)])
    SqlStore(database).purge()
    left = database.rows(Statement("SELECT id FROM curae_binding WHERE unswept = 1"))
    assert [*left] == [(coordinate_key(USERS[0]),)]
    (message,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert message.startswith("a sweep is left to a newer release: ")
    assert "99" in message


@pytest.mark.parametrize("left", ["a sweep", "an erasure"])
def test_purge_warns_of_a_binding_in_a_newer_format(
    left: str, database: Deleting, caplog: pytest.LogCaptureFixture
) -> None:
    if left == "a sweep":
        begin_sweep(database, 0)
    else:
        erase(database, USERS[0])
    assert database.run_transaction(
        [Statement("UPDATE curae_binding SET document = '{\"format\":99}'", (), 1)]
    )
    purge_later(database)
    (message,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert message.startswith(f"{left} is left to a newer release: ")
    assert "99" in message


@pytest.mark.parametrize(
    ("table", "id_"),
    [("curae_connection", uuid(1)), ("curae_binding", coordinate_key(USERS[0]))],
)
@pytest.mark.parametrize("document", ['{"format":1}', "{", '"secret"'])
def test_purge_logs_and_skips_a_tombstone_with_a_malformed_row(
    database: Deleting, caplog: pytest.LogCaptureFixture, table: str, id_: str, document: str
) -> None:
    for number in range(len(USERS)):
        begin_sweep(database, number)
    spoil = f"UPDATE {table} SET document = ? WHERE id = ?"
    assert database.run_transaction([Statement(spoil, (document, id_), 1)])
    SqlStore(database).purge()
    left = database.rows(Statement("SELECT id FROM curae_binding WHERE unswept = 1"))
    assert [*left] == [(coordinate_key(USERS[0]),)]
    (message,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert message.startswith("a sweep is left: a row is malformed: ")
    assert message.rpartition(": ")[2] in {*Fault}
    assert "secret" not in message


def test_purge_logs_and_keeps_erased_user_with_malformed_binding(
    database: Deleting, caplog: pytest.LogCaptureFixture
) -> None:
    for user in USERS:
        erase(database, user)
    spoil = "UPDATE curae_binding SET document = '{' WHERE id = ?"
    # The first one that the purge reads.
    assert database.run_transaction([Statement(spoil, (min(map(coordinate_key, USERS)),), 1)])
    purge_later(database)
    assert [count(database, f"curae_{each}") for each in ("erasure", "binding")] == [1, 1]
    (message,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert message == "an erasure is left: a row is malformed: the document: NOT_JSON"


def test_purge_deletes_erasure_rows_of_users_without_a_binding(database: Deleting) -> None:
    for user in USERS[:3]:
        erase(database, user)
    keys = sorted(map(coordinate_key, USERS[:3]))
    for key in keys[:2]:
        gone = "DELETE FROM curae_binding WHERE id = ?"
        assert database.run_transaction([Statement(gone, (key,), 1)])
    purge_later(database)
    assert [count(database, f"curae_{each}") for each in ("erasure", "binding")] == [0, 0]


def bind_another_user(database: Clocked) -> None:
    """Bind a user to the coordinate of the erased one."""
    store = SqlStore(database)
    loaded = store.load(Needs(binding=COORDINATE))
    before = loaded.snapshot.binding
    assert before is not None
    after = attrs.evolve(BOUND, version=before.version + 1, era=before.era)
    assert store.commit(loaded, Changes((BindingWrite(before, after),)))


def test_purge_deletes_erased_user_despite_next_users_message(database: Deleting) -> None:
    store = SqlStore(database)
    assert store.commit(store.load(Needs()), Changes((ConnectionWrite(None, pending()),)))
    erase(database, COORDINATE)
    database.run_transaction([Statement("DELETE FROM curae_outbox")])
    database.run_transaction([Statement("UPDATE curae_erasure SET due_at = 0")])
    bind_another_user(database)
    post(database, coordinate_subject(COORDINATE))
    store.purge()
    tables = ("connection", "erasure", "binding", "outbox")
    assert [count(database, f"curae_{each}") for each in tables] == [0, 0, 1, 1]


def test_purge_of_erased_user_clears_user_id_in_a_kept_binding(database: Deleting) -> None:
    store = SqlStore(database)
    assert store.commit(store.load(Needs()), Changes((BindingWrite(None, BOUND),)))
    erase(database, COORDINATE)
    binding = store.load(Needs(binding=COORDINATE)).snapshot.binding
    assert binding is not None
    assert binding.user_id is not None
    # It was made after the tombstone, in the era that the tombstone began.
    made = pending()
    later = attrs.evolve(made, identity=attrs.evolve(made.identity, era=binding.era))
    assert store.commit(store.load(Needs()), Changes((ConnectionWrite(None, later),)))
    purge_later(database)
    cleared = store.load(Needs(binding=COORDINATE)).snapshot.binding
    assert cleared == attrs.evolve(binding, user_id=None, version=binding.version + 1)
