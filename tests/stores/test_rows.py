"""Tests of values as rows: queries, and snapshots from rows in any order."""

from __future__ import annotations

import json
import random
from typing import Final

import attrs
import pytest
from hypothesis import given

import curae_lifecycle as curae
from curae_lifecycle import ApiKey, MemoryStore, Settings
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import IdempotencyKey, RecordKey
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    Coordinate,
    SessionId,
    to_epoch_microseconds,
)
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.snapshot import ChainPart, ConnectionsPage, Needs, Snapshot
from curae_lifecycle.service.writes import (
    ConnectionWrite,
    PageWrite,
    RateWrite,
    RecordWrite,
    Write,
)
from curae_lifecycle.stores.callers import format_caller, parse_caller
from curae_lifecycle.stores.codec import dump
from curae_lifecycle.stores.keys import (
    coordinate_key,
    page_subject_key,
    rate_key,
    record_key,
)
from curae_lifecycle.stores.rows import (
    Row,
    RowQuery,
    build_row_query,
    page_row,
    row_of,
    snapshot_of,
)
from curae_lifecycle.testing import strategies
from curae_lifecycle.web.json import MalformedError, format_json
from tests.support.instants import commit_writes, handle_at
from tests.support.memory import revoked_chain
from tests.support.server import API_KEY, CALLER, ID, PACKAGES, USER, call, request
from tests.support.serving import Numbered
from tests.support.strategies import COORDINATE, START, at, pending, uuid

# --- Callers --------------------------------------------------------------------------------


@pytest.mark.slow
@given(strategies.coordinates())
def test_parsing_a_formatted_caller_returns_an_equal_caller(coordinate: Coordinate) -> None:
    scopes = frozenset({"b", "a", coordinate.app_user_id})
    caller = attrs.evolve(
        CALLER, app_id=coordinate.app_id, environment=coordinate.environment, scopes=scopes
    )
    assert parse_caller(format_caller(caller)) == caller


def test_equal_callers_are_formatted_to_the_same_text() -> None:
    scopes = [f"scope-{number}" for number in range(30)]
    text = format_caller(attrs.evolve(CALLER, scopes=frozenset(scopes)))
    assert json.loads(text)["scopes"] == sorted(scopes)


# --- Rows -----------------------------------------------------------------------------------


PLATFORM: Final = Bucket(name="platform", capacity=9, refill=1, seconds=1)


def written() -> list[Write]:
    """Return the writes of an initiate and a create, and of a recovery."""
    store, writes = MemoryStore(Settings(buckets=(PLATFORM,))), list[Write]()
    store.register(ApiKey(API_KEY), CALLER)
    for number, operation in enumerate(("initiate", "create"), 1):
        asked = request(operation, key=f"k-{number}")
        writes += handle_at(store, asked, START, new_ids=Numbered(number)(START)).changes.writes
    chain = revoked_chain(2)
    return [*writes, ConnectionWrite(None, chain[1])]


def test_sql_row_has_the_kind_and_key_of_its_value() -> None:
    rows = [row_of(write) for write in written()]
    session, binding = "CuraeConnectSession", "LimitedAccountAppBinding"
    bucket, log = BucketKey(CALLER.key_owner, PLATFORM), LimitKey(COORDINATE.app_user, "initiate")
    record = [RecordKey(CALLER.key_owner, IdempotencyKey(f"k-{number}")) for number in (1, 2)]
    assert sorted((row.kind, row.key) for row in rows) == sorted(
        [
            ("BucketState", rate_key(bucket)),
            ("LogState", rate_key(log)),
            (session, uuid(1001)),
            (binding, coordinate_key(COORDINATE)),
            ("Record", record_key(record[0])),
            ("BucketState", rate_key(bucket)),
            ("Connection", uuid(2)),
            ("Record", record_key(record[1])),
            ("Connection", uuid(2)),
        ]
    )


def test_sql_row_has_the_document_and_expiry_of_its_value() -> None:
    for write in written():
        row = row_of(write)
        assert row.document == format_json(dump(write.after)).decode()
        if isinstance(write, RecordWrite):
            assert row.expires_at == to_epoch_microseconds(at(24 * 60))
        elif isinstance(write, RateWrite):
            assert row.expires_at == to_epoch_microseconds(write.expires_at)
        else:
            assert row.expires_at is None


def test_only_connection_and_session_rows_hold_coordinate_keys() -> None:
    user = coordinate_key(COORDINATE)
    for write in written():
        row = row_of(write)
        has_user = row.kind in {"Connection", "CuraeConnectSession"}
        assert row.user == (user if has_user else None)


def test_connection_row_carries_its_place_in_the_chain() -> None:
    places = [
        (row.predecessor, row.root, row.position)
        for row in (row_of(ConnectionWrite(None, each)) for each in revoked_chain(3))
    ]
    first, second = uuid(1), uuid(2)
    assert places == [(None, first, 1), (first, first, 2), (second, first, 3)]


def test_repr_of_a_row_hides_its_value() -> None:
    for write in written():
        assert "user-1" not in repr(row_of(write))


# --- Queries and snapshots ------------------------------------------------------------------


class Rows:
    """The rows of some values, found by a query in any order."""

    def __init__(self, *connections: Connection) -> None:
        settings = Settings(
            buckets=(
                Bucket(name="platform", capacity=9, refill=1, seconds=1),
                Bucket(name="other", capacity=9, refill=1, seconds=1),
            )
        )
        self.store = MemoryStore(settings)
        self.store.register(ApiKey(API_KEY), CALLER)
        self.rows: dict[tuple[str, str], Row] = {}
        self._keep(tuple(ConnectionWrite(None, each) for each in connections))
        sign_up = b'{"appUserId": "user-1", "preferSignup": true}'
        self._ask(request("initiate", key="first", body=sign_up), 50)
        self._ask(request("initiate", key="k-1"), 51)

    def _ask(self, asked: curae.Request, number: int) -> None:
        answer = handle_at(self.store, asked, START, new_ids=Numbered(number)(START))
        assert answer.response.status == 201
        self._note(answer.changes.writes)

    def _keep(self, writes: tuple[Write, ...]) -> None:
        assert commit_writes(self.store, writes)
        self._note(writes)

    def _note(self, writes: tuple[Write, ...]) -> None:
        for write in writes:
            row = row_of(write)
            self.rows[row.kind, row.key] = row

    def found(self, asked: Needs, order: int) -> dict[tuple[str, str], str]:
        """Return the rows that a query selects."""
        need = build_row_query(asked)
        named = {*need.keys}
        for name, row in self.rows.items():
            if row.kind == "Connection" and self._is_wanted(row, need):
                named.add(name)
        for owned in (
            ("CuraeConnectSession", need.session or ""),
            ("Connection", need.connection or need.chain or ""),
        ):
            if owned in self.rows:
                named.add(("LimitedAccountAppBinding", self.rows[owned].user or ""))
        return shuffled({name: self.rows[name] for name in named if name in self.rows}, order)

    def _is_wanted(self, row: Row, need: RowQuery) -> bool:
        position = row.position or 0
        if need.chain is not None:
            first = self.rows.get(("Connection", need.chain))
            if first is not None and first.root == row.root and position > (first.position or 0):
                return True
        if need.connection is not None:
            asked = self.rows.get(("Connection", need.connection))
            head = max(each.position or 0 for each in self.rows.values() if each.root == row.root)
            if row.predecessor == need.connection:
                return True
            if asked is not None and asked.root == row.root and position == head:
                return True
        return need.user is not None and row.user == need.user


def shuffled(rows: dict[tuple[str, str], Row], order: int) -> dict[tuple[str, str], str]:
    """Return the documents of some rows in a shuffled order."""
    documents = [(name, row.document) for name, row in sorted(rows.items())]
    random.Random(order).shuffle(documents)  # noqa: S311 - no secret
    return dict(documents)


THREE: Final = revoked_chain(3)
STRANGER: Final = attrs.evolve(
    pending(number=9),
    identity=attrs.evolve(
        pending(number=9).identity,
        coordinate=attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2")),
    ),
)
UNKNOWN: Final = ConnectionId(uuid(77))


def elsewhere(connection: Connection) -> Connection:
    """Copy a connection into another chain."""

    def other(connection_id: ConnectionId) -> ConnectionId:
        return ConnectionId(connection_id.replace("0000", "ffff", 1))

    its = connection.identity
    before = its.predecessor_id
    moved = attrs.evolve(
        its,
        id=other(its.id),
        root_id=other(its.root_id),
        predecessor_id=None if before is None else other(before),
    )
    return attrs.evolve(connection, identity=moved)


EVERY: Final = (*THREE, STRANGER, *map(elsewhere, THREE))

OPERATIONS: Final[list[Operation]] = [
    CreateConnection(USER, PACKAGES),
    Initiate(USER),
    Initiate(AppUserId("nobody")),
    Reconnect(UNKNOWN),
    *[Reconnect(each.id) for each in THREE],
    *[GetConnection(each.id) for each in THREE],
]
FACTS: Final[list[Fact]] = [
    *[curae.Authorized(each) for each in (THREE[0].id, THREE[1].id, THREE[2].id, UNKNOWN)],
    *[
        curae.Revoked(each, curae.Actor.PATIENT)
        for each in (THREE[0].id, THREE[1].id, THREE[2].id, UNKNOWN)
    ],
    curae.HandoffCompleted(curae.SessionId(uuid(1050)), curae.UserId("u-1")),
    curae.HandoffCompleted(curae.SessionId(uuid(1077)), curae.UserId("u-1")),
    curae.Graduated(COORDINATE, None),
    curae.Graduated(attrs.evolve(COORDINATE, app_user_id=AppUserId("nobody")), None),
    curae.Tombstoned(COORDINATE),
    curae.Tombstoned(STRANGER.identity.coordinate),
]


@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize("operation", OPERATIONS, ids=repr)
def test_sql_rows_parse_to_the_snapshot_that_memory_store_loads(
    operation: Operation, order: int
) -> None:
    rows = Rows(*EVERY)
    asked = attrs.evolve(call(operation), settings=rows.store.settings).needs
    expected = rows.store.load(asked).snapshot
    assert snapshot_of(asked, rows.found(asked, order)) == expected
    assert snapshot_of(asked, shuffled(rows.rows, order)) == expected, "others are not looked at"


@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize("fact", FACTS, ids=repr)
def test_sql_rows_for_a_fact_parse_to_memory_stores_snapshot(fact: Fact, order: int) -> None:
    rows = Rows(*EVERY)
    asked, expected = fact.needs(), rows.store.load(fact.needs()).snapshot
    for found in (rows.found(asked, order), shuffled(rows.rows, order)):
        assert snapshot_of(asked, found) == expected


def test_load_query_for_the_caller_alone_selects_no_other_rows() -> None:
    assert build_row_query(Needs()) == RowQuery(keys=())
    assert snapshot_of(Needs(), {}) == Snapshot()


def test_row_query_for_a_connection_list_has_start_and_limit() -> None:
    key, user = RecordKey(CALLER.key_owner, IdempotencyKey("k-1")), coordinate_key(COORDINATE)
    page = ConnectionsPage(COORDINATE, after=THREE[0].id, limit=2)
    assert build_row_query(Needs(record=key, connections=page)) == RowQuery(
        keys=(("Record", record_key(key)), ("LimitedAccountAppBinding", user)),
        user=user,
        after=THREE[0].id,
        limit=2,
    )


def test_row_query_is_for_the_whole_chain_unless_a_part_is_asked() -> None:
    first = THREE[0].id
    whole = RowQuery(keys=(("Connection", first),), chain=first)
    assert build_row_query(Needs(chain=first)) == whole
    part = build_row_query(Needs(chain=first, chain_part=ChainPart(2, 5)))
    assert part == attrs.evolve(whole, chain_before=5, chain_limit=2)


@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize(
    ("after", "limit"), [(None, None), (None, 2), (THREE[0].id, None), (THREE[1].id, 2)]
)
def test_sql_rows_of_a_list_page_parse_to_memory_stores_snapshot(
    after: ConnectionId | None, limit: int | None, order: int
) -> None:
    rows = Rows(*EVERY)
    asked = Needs(connections=ConnectionsPage(COORDINATE, after, limit))
    expected = rows.store.load(asked).snapshot
    assert expected.connections
    assert expected.binding is not None
    for found in (rows.found(asked, order), shuffled(rows.rows, order)):
        assert snapshot_of(asked, found) == expected


def test_hosted_page_is_loaded_unchanged_from_its_sql_row() -> None:
    page = HostedPage(
        digest=url_digest("https://connect.example/1"),
        kind=PageKind.CONNECTION,
        subject=ID,
        expires_at=at(30),
    )
    row = page_row(page)
    assert row == row_of(PageWrite(page, page))
    assert row == Row(
        kind="HostedPage",
        key=page.digest,
        document=format_json(dump(page)).decode(),
        expires_at=to_epoch_microseconds(at(30)),
        subject=page_subject_key(page),
    )
    asked = Needs(page=page.digest)
    assert build_row_query(asked).keys == ((row.kind, row.key),)
    assert snapshot_of(asked, {(row.kind, row.key): row.document}).page == page


@pytest.mark.parametrize("text", ["\u00e9", "x" * 100, "\0", "\ud800"])
def test_row_query_for_a_malformed_id_has_an_empty_key(text: str) -> None:
    connection_id, session_id = ConnectionId(text), SessionId(text)
    for needs, expected in (
        (Needs(connection=connection_id), RowQuery(keys=(("Connection", ""),), connection="")),
        (Needs(chain=connection_id), RowQuery(keys=(("Connection", ""),), chain="")),
        (Needs(session=session_id), RowQuery(keys=(("CuraeConnectSession", ""),), session="")),
    ):
        assert build_row_query(needs) == expected
        assert snapshot_of(needs, {}) == Snapshot()


def test_error_of_a_malformed_row_names_the_invalid_member() -> None:
    rows = Rows(pending())
    asked = call(GetConnection(ID)).needs
    found = rows.found(asked, 0)
    name = "Connection", ID
    found[name] = found[name].replace("PENDING", "WAITING")
    with pytest.raises(MalformedError, match="status"):
        snapshot_of(asked, found)
