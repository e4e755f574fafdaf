"""What each isolation level keeps, of a store that compares and of some that do not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sql_store
import sqlalchemy as sa
from sql_store import METADATA, SqlStore, is_passing, prepare
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from store import Conflict

from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.values import (
    SessionId,
    UserId,
)
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.operations.initiate import Initiate
from tests.wire.broken_stores import STORES
from tests.wire.judge import judge, take_stock
from tests.wire.postgres import database
from tests.wire.races import (
    LEVELS,
    RACES,
    START,
    USER,
    Kind,
    asks,
    at,
    happens,
    interleave,
    postgres_at,
    run,
    settle,
)
from tests.wire.running import ROOT, engine_of, sqlite


def test_the_page_names_every_store_race_and_level() -> None:
    assert published().keys() == {(store, race) for store in STORES_TRIED for race in RACES}
    assert {len(each) for each in published().values()} == {len(LEVELS)}


STORES_TRIED: dict[str, Kind] = {
    "the examples' store": SqlStore,
    "one that compares nothing": STORES["trusting"],
    "one that leaves out what only counts": STORES["lazy"],
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
        if refused == "both" and RACES[race].ended:
            broken += alive(engine)
    assert published()[store, race][LEVELS.index(level)] == refused
    # Where both were stored a law is broken, and nowhere else.
    assert bool(broken) == (refused == "both"), broken


def alive(engine: sa.Engine) -> list[str]:
    """The connections that outlived the end of all of them."""
    stock = take_stock(engine)
    return [f"{each.id} lives" for each in stock.connections if each.status is not Status.REVOKED]


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
