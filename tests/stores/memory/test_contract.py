"""Tests of `MemoryStore` as a store of `serve`: snapshots, atomic commits and delivery."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Final

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle import ApiKey, ArgumentError, MemoryStore, Settings, Store
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.effects import HandoffCancelled
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import ConnectionWrite, RateWrite, RecordWrite
from curae_lifecycle.stores.contract import StoreFullError
from curae_lifecycle.web.respond import respond
from tests.support.instants import commit_writes
from tests.support.page_rows import check_pages
from tests.support.server import API_KEY, CALLER, ID, PACKAGES, USER, call, new_ids
from tests.support.serving import DIGEST, Clock
from tests.support.strategies import COORDINATE, START, TICK, at, pending, uuid

CREATE: Final = call(CreateConnection(USER, PACKAGES))


class Made:
    """A store on a clock that the test moves, and the changes that it delivered."""

    def __init__(self, capacity: int = 100) -> None:
        self.clock = Clock()
        self.delivered: list[Changes] = []
        settings = Settings(buckets=(Bucket(name="platform", capacity=2, refill=1, seconds=60),))
        self.store = MemoryStore(
            settings, capacity=capacity, clock=self.clock, deliver=self.delivered.append
        )
        self.store.register(ApiKey(API_KEY), CALLER)
        assert commit_writes(self.store, (ConnectionWrite(None, pending()),))

    def create(self, number: int) -> tuple[Changes, HostedPage]:
        """Decide to create a connection on the stored state; return the changes and the page."""
        asked = attrs.evolve(
            CREATE, key=IdempotencyKey(f"k-{number}"), settings=self.store.settings
        )
        loaded = self.store.load(asked.needs, DIGEST)
        decision = decide(
            asked, snapshot=loaded.snapshot, now=loaded.now, new_ids=new_ids(number, loaded.now)
        )
        page = HostedPage(
            digest=url_digest(f"url-{number}"),
            kind=PageKind.CONNECTION,
            subject=uuid(number),
            expires_at=at(30),
        )
        return respond(decision).changes, page


def test_memory_store_satisfies_the_store_protocol() -> None:
    store: Store = MemoryStore()
    assert store.caller_of(DIGEST) is None
    assert store.load(Needs(), DIGEST).now.tzinfo is UTC


def test_caller_is_found_only_by_its_api_key_digest() -> None:
    made = Made()
    assert made.store.caller_of(DIGEST) == CALLER
    assert made.store.caller_of(API_KEY) is None
    assert made.store.load(Needs(), API_KEY).caller is None


def test_withdrawn_api_key_is_unknown_and_may_be_withdrawn_again() -> None:
    made = Made()
    for _ in range(2):
        made.store.withdraw(ApiKey(API_KEY))
        assert made.store.load(Needs(), DIGEST).caller is None


def test_memory_store_load_returns_snapshot_caller_and_time() -> None:
    made = Made()
    made.clock.pass_time(60)
    for asked in (CREATE, call(GetConnection(ID), None), call(Initiate(USER))):
        loaded = made.store.load(asked.needs, DIGEST)
        assert (loaded.caller, loaded.now) == (CALLER, at(1))
        assert loaded.snapshot == made.store.load(asked.needs).snapshot
    assert made.store.load(call(GetConnection(ID)).needs, DIGEST).snapshot.connection


FACTS: Final[list[Fact]] = [
    curae.Authorized(ID),
    curae.Revoked(ID, curae.Actor.PATIENT),
    curae.HandoffCompleted(curae.SessionId(uuid(1001)), curae.UserId("u-1")),
    curae.Graduated(COORDINATE, None),
    curae.Tombstoned(COORDINATE),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.kind)
def test_memory_store_load_for_fact_returns_snapshot_and_time(fact: Fact) -> None:
    made = Made()
    made.clock.pass_time(60)
    loaded = made.store.load(fact.needs())
    assert loaded.now == at(1)
    assert loaded.snapshot == made.store.load(fact.needs()).snapshot


def test_clock_without_time_zone_raises_argument_error() -> None:
    store = MemoryStore(clock=lambda: datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake
    with pytest.raises(ArgumentError, match="now: must be an aware datetime"):
        store.load(Needs(), DIGEST)
    with pytest.raises(ArgumentError, match="now: must be an aware datetime"):
        store.load(curae.Expired(ID).needs())


@pytest.mark.parametrize("ask", ["request", "fact"])
def test_memory_store_load_purges_expired_values(ask: str) -> None:
    made = Made()
    changes, page = made.create(2)
    assert made.store.commit(made.store.load(Needs(), DIGEST), changes, page)
    made.clock.now = at(24 * 60 + 5)
    for _ in range(16):
        if ask == "request":
            made.store.load(Needs(), DIGEST)
        else:
            made.store.load(curae.Expired(ID).needs())
    assert made.store.purge(made.clock.now) == 0, "the record and the bucket are gone"
    assert made.store._pages._expiries == []


# --- Commit ---------------------------------------------------------------------------------


def test_commit_stores_writes_and_hosted_page_and_calls_deliver() -> None:
    made = Made()
    loaded = made.store.load(CREATE.needs, DIGEST)
    changes, page = made.create(2)
    assert made.store.commit(loaded, changes, page)
    assert made.store.connection(curae.ConnectionId(uuid(2))) is not None
    assert made.store.hosted_page("url-2") == page
    assert made.delivered == [changes]


def test_conflicting_commit_stores_and_delivers_nothing() -> None:
    made = Made()
    loaded = made.store.load(CREATE.needs, DIGEST)
    (first, first_page), (second, second_page) = made.create(2), made.create(3)
    assert made.store.commit(loaded, first, first_page)
    assert not made.store.commit(loaded, second, second_page), "both charged the same bucket"
    assert made.store.connection(curae.ConnectionId(uuid(3))) is None
    assert (made.store.hosted_page("url-3"), made.delivered) == (None, [first])


def test_commit_to_a_full_store_stores_and_delivers_nothing() -> None:
    made = Made(capacity=1)
    changes, page = made.create(2)
    with pytest.raises(StoreFullError):
        made.store.commit(made.store.load(Needs(), DIGEST), changes, page)
    assert (made.store.hosted_page("url-2"), made.delivered) == (None, [])


def test_hosted_page_expires_by_the_clock_of_the_store() -> None:
    made = Made()
    changes, page = made.create(2)
    made.store.commit(made.store.load(Needs(), DIGEST), changes, page)
    made.clock.now = at(30) - TICK
    assert made.store.hosted_page("url-2") == page
    made.clock.now = at(30)
    assert made.store.hosted_page("url-2") is None


def test_memory_store_purges_hosted_page_5_minutes_after_expiry() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    held = store._pages
    parts = (held._by_digest, held._by_subject, held._expiries)

    def rows() -> list[str]:
        assert len({len(each) for each in parts[:2]}) == 1
        return [str(attrs.astuple(page)) for page in held._by_digest.values()]

    check_pages(store, partial(setattr, clock, "now"), rows)
    assert [len(each) for each in parts] == [0, 0, 0]


def test_memory_store_load_purges_expired_hosted_pages() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    page = HostedPage(
        digest=url_digest("url"), kind=PageKind.USER, subject="a subject", expires_at=at(30)
    )
    assert store.commit(store.load(Needs(), DIGEST), NO_CHANGES, page)
    clock.now = at(35) - TICK
    for _ in range(16):
        store.load(Needs(), DIGEST)
    assert len(store._pages._by_digest) == 1
    clock.now = at(35)
    for _ in range(16):
        store.load(Needs(), DIGEST)
    assert len(store._pages._by_digest) == 0


def test_changes_without_effects_or_events_are_not_delivered() -> None:
    made = Made()
    changes, _ = made.create(2)
    only = Changes(
        tuple(each for each in changes.writes if isinstance(each, RecordWrite | RateWrite))
    )
    assert made.store.commit(made.store.load(Needs(), DIGEST), only)
    assert made.delivered == []


@pytest.mark.parametrize(
    "changes",
    [
        Changes(effects=(HandoffCancelled(ID),)),
        Changes(events=(Event(EventKind.CONNECTION_CREATED, pending(), START),)),
    ],
    ids=["effects", "events"],
)
def test_changes_with_only_effects_or_only_events_are_delivered(changes: Changes) -> None:
    made = Made()
    assert made.store.commit(made.store.load(Needs(), DIGEST), changes)
    assert made.delivered == [changes]


def test_deliver_callback_runs_while_the_commit_lock_is_held() -> None:
    made = Made()
    free: list[bool] = []

    def look(_: Changes) -> None:
        with ThreadPoolExecutor(1) as other:
            taken = other.submit(made.store._lock.acquire, blocking=False)
            free.append(taken.result())

    made.store.deliver = look
    changes, page = made.create(2)
    made.store.commit(made.store.load(Needs(), DIGEST), changes, page)
    assert free == [False]


def test_store_without_deliver_callback_commits() -> None:
    store = MemoryStore(clock=lambda: START)
    write = ConnectionWrite(None, pending())
    assert store.commit(store.load(Needs(), DIGEST), Changes((write,)))
    assert store.connection(ID) == pending()
