"""Two transactions that race for what both read, step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import attrs
import service
import sqlalchemy as sa
from sql_store import METADATA, SqlStore, is_passing
from sqlalchemy.exc import DBAPIError
from store import Conflict

from curae_lifecycle.rules.connection import Actor
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
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, fact_needs, record_fact
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.web.respond import respond

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
        ended: Whether every connection must be REVOKED in the end.
    """

    before: Callable[[sa.Engine], tuple[Work, Work]]
    after: Callable[[sa.Engine], None] = lambda _: None
    ended: bool = False


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


def revoked_and_recovered(engine: sa.Engine) -> tuple[Work, Work]:
    # The patient revoked the second one; the first is revoked with its chain, while the second,
    # the head, is recovered once more.
    first = connect(engine)
    second = ConnectionId(
        str(run(engine, asks(Reconnect(first), "recovery", at(40))).events[0].subject_id)
    )
    run(engine, happens(Revoked(second, Actor.APP), at(41)))
    whole = happens(Revoked(first, Actor.PATIENT), at(42))
    return asks(Reconnect(second), "again", at(42)), whole


def created_and_tombstoned(engine: sa.Engine) -> tuple[Work, Work]:
    run(engine, asks(Initiate(USER), "user", START))
    create = CreateConnection(USER, (DataPackage("labs"),))
    return asks(create, "made", at(1)), happens(Tombstoned(CALLER.coordinate(USER)), at(1))


def recovered_and_tombstoned(engine: sa.Engine) -> tuple[Work, Work]:
    run(engine, asks(Initiate(USER), "user", START))
    id_ = connect(engine)
    run(engine, happens(Revoked(id_, Actor.PATIENT), at(1)))
    gone = happens(Tombstoned(CALLER.coordinate(USER)), at(2))
    return asks(Reconnect(id_), "recovery", at(2)), gone


def tombstoned_and_authorized(engine: sa.Engine) -> tuple[Work, Work]:
    run(engine, asks(Initiate(USER), "user", START))
    gone = happens(Tombstoned(CALLER.coordinate(USER)), at(2))
    return gone, happens(Authorized(connect(engine)), at(2))


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
    "a recovery of the head, then the whole chain's revocation": Race(
        revoked_and_recovered, ended=True
    ),
    "a create, then a tombstone": Race(created_and_tombstoned, ended=True),
    "a reconnect, then a tombstone": Race(recovered_and_tombstoned, ended=True),
    "a tombstone, then an authorization": Race(tombstoned_and_authorized, ended=True),
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
