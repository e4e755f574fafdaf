"""What each isolation level keeps, of a store that compares and of some that do not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
import service
import sql_store
import sqlalchemy as sa
from sql_store import METADATA, SqlStore, is_passing, prepare
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError
from store import Conflict

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    CustomerAccountId,
    DataPackage,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, fact_needs, record_fact
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.web.respond import respond
from tests.wire.broken_stores import STORES
from tests.wire.judge import judge
from tests.wire.postgres import database
from tests.wire.running import ROOT, engine_of, sqlite

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
CALLER = Caller(
    ApiKeyId("key-1"),
    AppId("app-1"),
    CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"),
    Environment.LIVE,
    frozenset({"connection:write"}),
)
USER = AppUserId("user-1")
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")

Work = Callable[[SqlStore], Changes]
"""Loads and decides, and says what is to be stored."""

Kind = type[SqlStore]


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def asks(operation: Operation, key: str, when: datetime) -> Work:
    """A request that was read."""
    call = Call(CALLER, operation, IdempotencyKey(key))

    def work(store: SqlStore) -> Changes:
        decision = decide(call, store.load(needs(call)), when, service.mint(when))
        return respond(decision).changes

    return work


def happens(fact: Fact, when: datetime) -> Work:
    """A fact that is recorded."""

    def work(store: SqlStore) -> Changes:
        answer = record_fact(fact, store.load_fact(fact_needs(fact)), when)
        return answer.value if isinstance(answer, Done) else NO_CHANGES

    return work


def run(engine: sa.Engine, work: Work) -> Changes:
    """Do something with nobody beside it."""
    with engine.begin() as connection:
        store = SqlStore(connection)
        changes = work(store)
        store.store(changes)
    return changes


def settle(engine: sa.Engine, work: Work) -> int:
    """Do it again for as long as somebody else is faster; how often that was."""
    retries = 0
    while True:
        try:
            run(engine, work)
        except (Conflict, DBAPIError) as error:
            if not is_passing(error):
                raise
            retries += 1
        else:
            return retries


def connect(engine: sa.Engine) -> ConnectionId:
    """A connection that was created at the start."""
    made = run(engine, asks(CreateConnection(USER, (DataPackage("labs"),)), "made", START))
    return ConnectionId(str(made.events[0].subject_id))


# --- Two transactions at once ---------------------------------------------------------------


@attrs.frozen
class Race:
    """Two that read the same and write, and what shows that both were stored wrongly.

    Attributes:
        before: Makes what both read, and returns the two.
        after: What follows where both were stored.
    """

    before: Callable[[sa.Engine], tuple[Work, Work]]
    after: Callable[[sa.Engine], None] = lambda _: None


def late_authorization(engine: sa.Engine) -> tuple[Work, Work]:
    id_ = connect(engine)
    late = Authorized(id_, happened_at=at(20))
    return happens(late, at(40)), asks(Reconnect(id_), "recovery", at(40))


def reconnect_then_late(engine: sa.Engine) -> tuple[Work, Work]:
    late, recovery = late_authorization(engine)
    return recovery, late


def authorize_the_successor(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        query = sa.text("SELECT id FROM connection WHERE predecessor_id IS NOT NULL")
        successor = connection.execute(query).scalar_one_or_none()
    if successor is not None:
        run(engine, happens(Authorized(ConnectionId(successor)), at(41)))


def two_reconnects(engine: sa.Engine) -> tuple[Work, Work]:
    id_ = connect(engine)
    return asks(Reconnect(id_), "one", at(40)), asks(Reconnect(id_), "two", at(40))


def one_key_twice(engine: sa.Engine) -> tuple[Work, Work]:
    del engine
    return asks(Initiate(USER), "one", at(1)), asks(Initiate(USER), "one", at(1))


def an_old_key_twice(engine: sa.Engine) -> tuple[Work, Work]:
    # Its first record, of a 404, is past its retention, so a new one replaces it.
    nobody = ConnectionId("00000000-0000-4000-8000-000000000001")
    run(engine, asks(Reconnect(nobody), "one", START))
    create, later = CreateConnection(USER, (DataPackage("labs"),)), at(24 * 60)
    return asks(create, "one", later), asks(create, "one", later)


def tenth_and_eleventh(engine: sa.Engine) -> tuple[Work, Work]:
    for number in range(9):
        run(engine, asks(Initiate(USER), f"earlier-{number}", START))
    return asks(Initiate(USER), "tenth", START), asks(Initiate(USER), "eleventh", START)


RACES = {
    "a late authorization, then a reconnect": Race(late_authorization, authorize_the_successor),
    "a reconnect, then a late authorization": Race(reconnect_then_late, authorize_the_successor),
    "two reconnects": Race(two_reconnects),
    "one key, twice": Race(one_key_twice),
    "one old key, twice": Race(an_old_key_twice),
    "a tenth initiate and an eleventh": Race(tenth_and_eleventh),
}


def interleave(engine: sa.Engine, kind: Kind, first: Work, second: Work) -> str:
    """Both load; the first stores; the second waits for it, and then goes on.

    Returns:
        How one of the two was refused: Conflict or PostgreSQL's code; `both` where neither was.
    """
    with engine.connect() as one, engine.connect() as two:
        stores = kind(one), kind(two)
        changes = first(stores[0]), second(stores[1])
        stores[0].store(changes[0])
        pid = two.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        endings: list[str | None] = []
        thread = threading.Thread(target=lambda: endings.append(finish(two, stores[1], changes[1])))
        thread.start()
        wait_for(engine, pid, thread)
        endings.append(finish(one, stores[0], NO_CHANGES))
        thread.join()
    refused = [each for each in endings if each is not None]
    assert len(refused) < 2, refused
    return refused[0] if refused else "both"


def finish(connection: sa.Connection, store: SqlStore, changes: Changes) -> str | None:
    try:
        store.store(changes)
        connection.commit()
    except Conflict:
        connection.rollback()
        return "Conflict"
    except DBAPIError as error:
        connection.rollback()
        if not is_passing(error):
            raise
        return str(getattr(error.orig, "sqlstate", ""))
    return None


def wait_for(engine: sa.Engine, pid: int, thread: threading.Thread) -> None:
    """Return when the other transaction waits for a lock, or is over."""
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE pid = :pid AND NOT granted")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
        while thread.is_alive() and not watching.execute(waiting, {"pid": pid}).scalar_one():
            thread.join(0.001)


@contextmanager
def postgres_at(url: str, level: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, isolation_level=level)
    METADATA.drop_all(engine)
    METADATA.create_all(engine)
    try:
        yield engine
    finally:
        engine.dispose()


STORES_TRIED: dict[str, Kind] = {
    "the examples' store": SqlStore,
    "one that compares nothing": STORES["trusting"],
    "one that leaves out what changes nothing": STORES["lazy"],
}
PAGE = (ROOT / "docs" / "isolation.md").read_text(encoding="utf-8")


def published() -> dict[tuple[str, str], list[str]]:
    """What the page says of each store and race, level by level."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines()]
    return {(row[0], row[1]): row[2:] for row in rows if row and row[0] in STORES_TRIED}


@pytest.fixture(scope="module")
def races_url(postgres_server: sa.URL) -> Iterator[str]:
    with database(postgres_server) as url:
        yield url


def test_the_page_names_every_store_race_and_level() -> None:
    assert published().keys() == {(store, race) for store in STORES_TRIED for race in RACES}
    assert {len(each) for each in published().values()} == {len(LEVELS)}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("race", RACES)
@pytest.mark.parametrize("store", STORES_TRIED)
def test_a_race_on_postgresql_ends_as_the_page_says(
    races_url: str, store: str, race: str, level: str
) -> None:
    with postgres_at(races_url, level) as engine:
        first, second = RACES[race].before(engine)
        refused = interleave(engine, STORES_TRIED[store], first, second)
        RACES[race].after(engine)
        broken = judge(engine, at(24 * 60))
    assert published()[store, race][LEVELS.index(level)] == refused
    # Where both were stored a law is broken, and nowhere else.
    assert bool(broken) == (refused == "both"), broken


@pytest.mark.parametrize("level", LEVELS)
def test_whoever_is_refused_tries_again_and_exactly_ten_are_admitted(
    races_url: str, level: str
) -> None:
    with postgres_at(races_url, level) as engine:
        initiate_at_once(engine)
        assert admitted(engine) == 10
        assert judge(engine, at(1)) == []


def initiate_at_once(engine: sa.Engine) -> int:
    """Twenty initiates from four threads; how often one had to begin again."""
    retries: list[int] = []

    def client(mine: int) -> None:
        works = [asks(Initiate(USER), f"{mine} {number}", START) for number in range(5)]
        retries.extend(settle(engine, work) for work in works)

    threads = [threading.Thread(target=client, args=(mine,)) for mine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(retries) == 20
    return sum(retries)


def admitted(engine: sa.Engine) -> int:
    with engine.begin() as connection:
        return len(connection.execute(sa.text("SELECT id FROM connect_session")).all())


# --- SQLite ---------------------------------------------------------------------------------


@contextmanager
def sqlite_that_begins(directory: Path, statement: str) -> Iterator[sa.Engine]:
    """A SQLite file as the examples have it, but for how a transaction begins."""
    engine = sa.create_engine(sqlite(directory))
    prepare(engine)
    event.remove(engine, "begin", sql_store._take_the_write_lock)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(statement))
    METADATA.create_all(engine)
    try:
        yield engine
    finally:
        engine.dispose()


def test_sqlite_that_begins_deferred_is_refused_in_the_middle(tmp_path: Path) -> None:
    with sqlite_that_begins(tmp_path, "BEGIN DEFERRED") as engine:
        with engine.connect() as one, engine.connect() as two:
            stores = SqlStore(one), SqlStore(two)
            works = [asks(Initiate(USER), f"key-{number}", START) for number in range(2)]
            changes = [work(store) for work, store in zip(works, stores, strict=True)]
            stores[0].store(changes[0])
            one.commit()
            # At once, however long it may wait: what it read is no longer the newest.
            with pytest.raises(OperationalError, match="database is locked") as refused:
                stores[1].store(changes[1])
            assert is_passing(refused.value)
        assert judge(engine, at(1)) == []


def test_sqlite_that_begins_immediate_makes_everybody_wait_and_nobody_is_refused(
    tmp_path: Path,
) -> None:
    with engine_of(sqlite(tmp_path)) as engine:
        assert initiate_at_once(engine) == 0
        assert admitted(engine) == 10
        assert judge(engine, at(1)) == []


def test_without_transactions_on_sqlite_half_a_handoff_is_stored(tmp_path: Path) -> None:
    with sqlite_that_begins(tmp_path, "SELECT 1") as engine:
        assert half_a_handoff(engine)


def test_without_transactions_on_postgresql_half_a_handoff_is_stored(races_url: str) -> None:
    with postgres_at(races_url, "AUTOCOMMIT") as engine:
        assert half_a_handoff(engine)


def test_in_a_transaction_no_half_of_a_handoff_is_stored(races_url: str) -> None:
    with postgres_at(races_url, "READ COMMITTED") as engine:
        assert not half_a_handoff(engine)


def half_a_handoff(engine: sa.Engine) -> list[str]:
    """A sign-up lands while another call binds the user; the laws that are broken then."""
    waits = run(engine, asks(Initiate(USER, prefer_signup=True), "sign-up", START))
    session = SessionId(str(waits.events[0].subject_id))
    landing = happens(HandoffCompleted(session, UserId("user-9")), at(1))

    def land_while_another_call_binds() -> None:
        with engine.begin() as connection:
            store = SqlStore(connection)
            changes = landing(store)
            run(engine, asks(Initiate(USER), "silent", at(1)))
            store.store(changes)

    with pytest.raises(Conflict):
        land_while_another_call_binds()
    return judge(engine, at(1))
