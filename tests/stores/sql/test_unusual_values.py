"""Tests of what a database may get wrong: long ids, similar ids, long chains, last instants."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    SessionId,
    UserId,
    format_time,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import PageKind
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import BindingWrite
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import as_async_store, record
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.races import commit_with_retries, fact_action
from curae_lifecycle.web.request import Request
from tests.stores.sql.worlds import SqlWorld
from tests.stores.twins import FEW, LONGEST, TWINS, check_all, unusual
from tests.support.page_rows import check_pages
from tests.support.patiently import PATIENCE
from tests.support.replaced_pages import check_replaced_pages
from tests.support.server import API_KEY, CALLER
from tests.support.sql.databases import Clocked
from tests.support.sql.works import CREATE, FIRST, USER, asks, minted
from tests.support.strategies import COORDINATE, START, at, uuid


class Place:
    """A world over the store in SQL on a fixed clock, for the checks of similar ids."""

    def __init__(self, database: SqlDatabase) -> None:
        self._world = SqlWorld(database)
        self._number = 0

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self._world.register(api_key, caller)

    def send(self, request: Request) -> Response:
        self._number += 1
        return self._world.handle(request, START, minted(self._number, START)).response

    def record_fact(self, fact: Fact) -> FactAnswer:
        return self._world.record(fact, START)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        self._world.replace_buckets(buckets)

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        return self._world.connection(connection_id)

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        return self._world.binding(coordinate)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.heavy),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.mark.slow
def test_nine_similar_ids_stay_distinct_in_a_database(database: SqlDatabase) -> None:
    check_all(Place(database), FEW)


@pytest.mark.heavy
def test_all_similar_ids_stay_distinct_in_a_database(database: SqlDatabase) -> None:
    check_all(Place(database), TWINS)


ODD = [
    "",
    " ",
    "\0",
    "\ud800",
    "x" * 5000,
    uuid(1) + " ",
    uuid(1) + "\0",
    uuid(1).upper() + "a",
    f" {uuid(1)}",
]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_sql_load_by_a_malformed_id_finds_nothing(database: SqlDatabase, odd: str) -> None:
    SqlStore(database).create_tables()
    store = SqlStore(Clocked(database))
    settle_all(store)
    for asked in (
        Needs(connection=ConnectionId(odd)),
        Needs(chain=ConnectionId(odd)),
        Needs(session=SessionId(odd)),
    ):
        snapshot = store.load(asked).snapshot
        assert (snapshot.connection, snapshot.session, snapshot.following) == (None, None, ())


def settle_all(store: SqlStore) -> None:
    """Store a connection and a session."""
    store.register(ApiKey(API_KEY), CALLER)
    commit_with_retries(store, asks(CREATE, 1))
    commit_with_retries(store, asks(Initiate(USER), 2))


@pytest.mark.parametrize(
    "text",
    ["\0", "a\0b", "\ud800", "\N{ANGSTROM SIGN}", "'; DROP TABLE curae_caller; --", "%s ? $1"],
    ids=ascii,
)
def test_ids_minted_by_the_server_are_stored_unchanged(database: SqlDatabase, text: str) -> None:
    # The server chooses the ids of apps and platform users. A caller takes no surrogate.
    store = SqlStore(Clocked(database))
    store.create_tables()
    app_id = CALLER.app_id if text == "\ud800" else AppId(text)
    caller = attrs.evolve(CALLER, app_id=app_id)
    store.register(ApiKey("cae_live_odd"), caller)
    assert store.caller_of(ApiKey("cae_live_odd").digest()) == caller
    coordinate = caller.coordinate(USER)
    bound = LimitedAccountAppBinding(
        coordinate=coordinate, user_id=UserId(text), state=AccountState.LIMITED, generation=1
    )
    needed = Needs(binding=coordinate)
    made = Changes((BindingWrite(None, bound),))
    assert store.commit(store.load(needed), made)
    assert store.load(needed).snapshot.binding == bound


def test_every_code_point_of_an_app_user_id_is_stored_unchanged(database: SqlDatabase) -> None:
    store = SqlStore(Clocked(database))
    store.create_tables()
    users = [AppUserId(text) for text in (LONGEST, *unusual()[::40])]
    made = [
        LimitedAccountAppBinding(
            coordinate=CALLER.coordinate(user),
            user_id=UserId(user),
            state=AccountState.LIMITED,
            generation=1,
        )
        for user in users
    ]
    nothing = store.load(Needs())
    assert store.commit(nothing, Changes(tuple([BindingWrite(None, each) for each in made])))
    for each in made:
        assert store.load(Needs(binding=each.coordinate)).snapshot.binding == each


def test_sql_store_accepts_the_longest_allowed_ids_and_packages(database: SqlDatabase) -> None:
    world = Place(database)
    world.register(ApiKey(API_KEY), attrs.evolve(CALLER, app_id=AppId(LONGEST)))
    headers = (("Authorization", f"Bearer {API_KEY}"), ("Idempotency-Key", "k" * 255))
    body = f'{{"appUserId": "{LONGEST}", "dataPackages": [{", ".join(PACKAGES)}]}}'.encode()
    assert (
        world.send(
            Request(method="POST", target="/api/sdk/v1/connections", headers=headers, body=body)
        ).status
        == 201
    )
    body = f'{{"appUserId": "{LONGEST}"}}'.encode()
    for path, sent in (
        ("initiate", (*headers[:1], ("Idempotency-Key", "k"))),
        ("graduation-handoff", headers[:1]),
    ):
        answer = world.send(
            Request(
                method="POST", target=f"/api/sdk/v1/curae-connect/{path}", headers=sent, body=body
            )
        )
        assert answer.status == 201


PACKAGES = [f'"{"p" * 61}_{number:02}"' for number in range(64)]


# --- Long chains --------------------------------------------------------------------------------


@pytest.mark.slow
def test_chain_of_200_loads_whole_and_a_tombstone_revokes_all(database: SqlDatabase) -> None:
    clocked = Clocked(database)
    store = SqlStore(clocked)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    commit_with_retries(store, asks(CREATE, 1))
    commit_with_retries(store, asks(Initiate(USER), 1001))
    for number in range(1, 200):
        # The buckets that every request charges fill up again.
        clocked.now += timedelta(minutes=1)
        commit_with_retries(store, fact_action(Revoked(ConnectionId(uuid(number)), Actor.UPSTREAM)))
        commit_with_retries(store, asks(Reconnect(ConnectionId(uuid(number))), number + 1))
    loaded = store.load(Needs(connection=FIRST)).snapshot
    assert loaded.successor is not None
    assert loaded.head is not None
    assert (loaded.successor.id, loaded.head.id) == (uuid(2), uuid(200))
    whole = store.load(Needs(chain=FIRST)).snapshot
    assert [each.id for each in whole.following] == [uuid(number) for number in range(2, 201)]
    half = store.load(Needs(chain=ConnectionId(uuid(101)))).snapshot
    assert len(half.following) == 99
    for number in range(300, 420):
        clocked.now += timedelta(minutes=1)
        commit_with_retries(store, asks(CREATE, number))
    posted = Statement("SELECT COUNT(*) FROM curae_outbox")
    before = int(str(database.rows(posted)[0][0]))
    gone = record(store, Tombstoned(COORDINATE), retry_policy=RetryPolicy(seconds=PATIENCE))
    assert isinstance(gone, Done)
    emitted = len(gone.value.effects) + len(gone.value.events)
    assert emitted > 200
    assert database.rows(posted)[0][0] == before + emitted
    left = store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot.connections
    assert len(left) == 320
    assert {each.status for each in left} == {Status.REVOKED}


# --- The last instants --------------------------------------------------------------------------

LAST = LAST_INSTANT - timedelta(minutes=45)


def test_sql_store_accepts_expiry_at_the_end_of_year_9999(database: SqlDatabase) -> None:
    clocked = Clocked(database, LAST)
    store = SqlStore(clocked)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    commit_with_retries(store, asks(CREATE, 1))
    commit_with_retries(store, asks(Initiate(USER), 2))
    commit_with_retries(store, fact_action(Authorized(FIRST, LAST_INSTANT)))
    stored = store.load(Needs(connection=FIRST)).snapshot.connection
    assert stored is not None
    assert stored.expires_at == LAST_INSTANT
    assert format_time(LAST_INSTANT) == "9999-12-31T23:59:59.999999Z"
    clocked.now = LAST_INSTANT - timedelta(microseconds=1)
    assert fact_action(Expired(FIRST))(store).changes.writes
    for now in (LAST_INSTANT - timedelta(microseconds=1), LAST_INSTANT):
        clocked.now = now
        loaded = store.load(Needs(connection=FIRST))
        assert (loaded.now, loaded.snapshot.connection) == (now, stored)
    store.purge()
    assert store.load(Needs(session=SessionId(uuid(1002)))).snapshot.session is not None


def test_sql_store_accepts_a_clock_at_the_start_of_year_1(database: SqlDatabase) -> None:
    clocked = Clocked(database, datetime.min.replace(tzinfo=START.tzinfo))
    store = SqlStore(clocked)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    commit_with_retries(store, asks(CREATE, 1))
    clocked.now += timedelta(microseconds=1)
    commit_with_retries(store, asks(Initiate(USER), 2))
    assert store.load(Needs(connection=FIRST)).snapshot.connection is not None
    store.purge()


# --- Expiry, and pages ----------------------------------------------------------------------------


def test_expired_rows_are_purged_five_minutes_later_not_before(database: SqlDatabase) -> None:
    clocked = Clocked(database)
    store = SqlStore(clocked)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    for number in range(3):
        commit_with_retries(store, asks(Initiate(USER), number))
    commit_with_retries(store, asks(GetConnection(FIRST), 9))

    def kept(minutes: float) -> list[object]:
        clocked.now = at(minutes)
        store.purge()
        tables = ("curae_record", "curae_log", "curae_page", "curae_bucket")
        return [database.rows(Statement(f"SELECT COUNT(*) FROM {each}"))[0][0] for each in tables]

    tick = 1 / 60_000_000
    # Four charges refill after four minutes in one bucket, and after 4/7 minutes in the other.
    assert kept(5 + 34 / 60) == [3, 1, 3, 2]
    assert kept(5 + 35 / 60) == [3, 1, 3, 1]
    assert kept(6 - tick) == [3, 1, 3, 1]
    assert kept(6) == [3, 0, 3, 1]
    assert kept(9) == [3, 0, 3, 1]
    assert kept(9 + tick) == [3, 0, 3, 0]
    assert kept(35 - tick) == [3, 0, 3, 0]
    assert kept(35) == [3, 0, 0, 0]
    assert kept(24 * 60 + 5 - tick) == [3, 0, 0, 0]
    assert kept(24 * 60 + 5) == [0, 0, 0, 0]


def test_purge_of_2500_rows_removes_all(database: SqlDatabase) -> None:
    store = SqlStore(Clocked(database))
    store.create_tables()
    put = "INSERT INTO curae_log (id, version, expires_at, document) VALUES (?, 1, ?, '')"
    rows = [Statement(put, (f"{number:064}", number // 3), 1) for number in range(2500)]
    assert database.run_transaction(rows)
    store.purge()
    assert not database.rows(Statement("SELECT id FROM curae_log"))


def test_hosted_page_is_found_until_it_expires_or_is_replaced(database: SqlDatabase) -> None:
    clocked = Clocked(database)
    store = SqlStore(clocked)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    commit_with_retries(store, asks(CREATE, 1))
    found = store.hosted_page("https://connect.example/1")
    assert found is not None
    assert (found.kind, found.subject, found.expires_at) == (PageKind.CONNECTION, FIRST, at(30))
    assert store.hosted_page("https://connect.example/2") is None
    clocked.now = at(30) - timedelta(microseconds=1)
    assert store.hosted_page("https://connect.example/1") == found
    clocked.now = at(30)
    assert store.hosted_page("https://connect.example/1") is None
    commit_with_retries(store, asks(Reconnect(FIRST), 2))
    commit_with_retries(store, asks(Reconnect(FIRST), 3))
    # The second reconnect gave the same successor another page.
    assert store.hosted_page("https://connect.example/2") is None
    later = store.hosted_page("https://connect.example/3")
    assert later is not None
    assert later.subject == uuid(2)
    # A page about a user names the bound user.
    commit_with_retries(store, asks(Initiate(USER), 4))
    commit_with_retries(store, asks(StartGraduation(USER), 5))
    bound = store.load(Needs(binding=COORDINATE)).snapshot.binding
    about = store.hosted_page("https://connect.example/5")
    assert bound is not None
    assert about is not None
    assert about.user_id == bound.user_id


def test_sql_store_purges_a_hosted_page_5_minutes_after_expiry(database: SqlDatabase) -> None:
    clocked = Clocked(database)
    store = SqlStore(clocked)
    store.create_tables()
    kept = Statement("SELECT * FROM curae_page")
    set_clock = partial(setattr, clocked, "now")
    check_pages(store, set_clock, lambda: [str(row) for row in database.rows(kept)])


def test_sql_store_refuses_a_fact_of_a_replaced_hosted_page(database: SqlDatabase) -> None:
    store = SqlStore(database)
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    run_sync(check_replaced_pages(as_async_store(store)))


def test_withdrawn_api_key_has_no_caller(database: SqlDatabase) -> None:
    store = SqlStore(database)
    store.create_tables()
    digest = ApiKey(API_KEY).digest()
    store.register(ApiKey(API_KEY), CALLER)
    assert store.caller_of(digest) == CALLER
    narrowed = attrs.evolve(CALLER, scopes=frozenset())
    SqlStore(database).register(ApiKey(API_KEY), narrowed)
    # The cached caller, until the next request loads the stored one.
    assert store.caller_of(digest) == CALLER
    assert store.load(Needs(), digest).caller == narrowed
    assert store.caller_of(digest) == narrowed
    store.withdraw(ApiKey(API_KEY))
    assert store.load(Needs(), digest).caller is None
    assert store.caller_of(digest) is None
