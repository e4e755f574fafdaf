"""Tests of what a store with its limits in Redis sends to Redis and to the other store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import pytest
from redis.exceptions import NoScriptError

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    INITIATE_LIMIT,
    Bucket,
    BucketState,
    LogState,
)
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.effects import HandoffCancelled
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, RateWrite
from curae_lifecycle.stores.contract import (
    AsyncStore,
    Loaded,
    Store,
    StoreUnchangedError,
)
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.keys import key_of, rate_key
from curae_lifecycle.stores.redis.limits import AsyncRedisLimitsStore, RedisLimitsStore
from curae_lifecycle.stores.redis.scripts import CHARGE, GIVE_BACK
from tests.support.redis_limits import AtOnce
from tests.support.server import CALLER, ID
from tests.support.strategies import COORDINATE, START, pending

NOW: Final = datetime(1970, 1, 1, 0, 0, 10, 5, UTC)
PLATFORM: Final = Bucket(name="platform", capacity=100, refill=50, seconds=1)
OTHER: Final = Bucket(name="other", capacity=9, refill=1, seconds=1)
BUCKET_KEY: Final = BucketKey(CALLER.key_owner, PLATFORM)
LIMIT_KEY: Final = LimitKey(COORDINATE.app_user, "initiate")
EARLIER: Final = LogState.of([NOW - timedelta(seconds=1)])
LOG: Final = LogState.of([NOW])
BOTH: Final = LogState(EARLIER + LOG)
ACCOUNT: Final = key_of(CALLER.customer_account_id)
NAMES: Final = [f"curae:{{{ACCOUNT}}}:{rate_key(key)}" for key in (BUCKET_KEY, LIMIT_KEY)]
CHARGES: Final = (
    RateWrite(key=LIMIT_KEY, policy=INITIATE_LIMIT, before=None, after=LOG),
    RateWrite(key=BUCKET_KEY, policy=PLATFORM, before=None, after=FULL_BUCKET),
)
BECAME: Final = "1 10 20005 0 10 5 0 0 0 0"
PAGE: Final = HostedPage(
    digest=url_digest("https://connect.example/1"),
    kind=PageKind.CONNECTION,
    subject=ID,
    expires_at=START,
)


class Recorder:
    """The other store: it notes what it is asked, and commits as the test says."""

    def __init__(self, *, stores: bool = True, error: Exception | None = None) -> None:
        self.stores = stores
        self.error = error
        self.loads: list[tuple[Needs, str | None]] = []
        self.commits: list[tuple[Loaded, Changes, HostedPage | None]] = []
        self.loaded = Loaded(Snapshot(connection=pending()), NOW, CALLER, seen="versions")

    def caller_of(self, key_digest: str) -> Caller | None:
        return CALLER if key_digest == "a-key" else None

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.loads.append((needs, key_digest))
        return self.loaded

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.commits.append((loaded, changes, page))
        if self.error is not None:
            raise self.error
        return self.stores


@attrs.define
class Client:
    """A client that notes each command as Redis reads it, and gives the test's replies."""

    replies: list[object]
    sent: list[list[str]] = attrs.field(factory=list)

    def execute_command(self, *command: str | int) -> object:
        self.sent.append([str(part) for part in command])
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


@attrs.frozen
class AsyncClient:
    """An async view of a client."""

    client: Client

    async def execute_command(self, *command: str | int) -> object:
        return self.client.execute_command(*command)


@attrs.frozen
class Waiting:
    """A blocking view of an async store."""

    store: AsyncStore

    def caller_of(self, key_digest: str) -> Caller | None:
        return asyncio.run(self.store.caller_of(key_digest))

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return asyncio.run(self.store.load(needs, key_digest))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        return asyncio.run(self.store.commit(loaded, changes, page))


@pytest.fixture(params=[False, True], ids=["blocking", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def store_of(inner: Recorder, client: Client, *, is_async: bool) -> Store:
    if is_async:
        return Waiting(AsyncRedisLimitsStore(AtOnce(inner), AsyncClient(client)))
    return RedisLimitsStore(inner, client)


# --- Loading ----------------------------------------------------------------------------------


def test_redis_limits_store_finds_callers_in_the_wrapped_store(*, is_async: bool) -> None:
    store = store_of(Recorder(), Client([]), is_async=is_async)
    assert (store.caller_of("a-key"), store.caller_of("other")) == (CALLER, None)


def test_wrapped_store_loads_all_values_but_the_rate_limits(*, is_async: bool) -> None:
    inner = Recorder()
    other = BucketKey(CALLER.key_owner, OTHER)
    client = Client([[b"1 10 20005 3 10 5 0 0 0 0", None, f"1 {EARLIER.hex()} {LOG.hex()}"]])
    needs = Needs(buckets=(BUCKET_KEY, other), limit=LIMIT_KEY, page="a-digest")
    loaded = store_of(inner, client, is_async=is_async).load(needs, "a-key")
    assert inner.loads == [(Needs(page="a-digest"), "a-key")]
    assert client.sent == [["MGET", NAMES[0], f"curae:{{{ACCOUNT}}}:{rate_key(other)}", NAMES[1]]]
    states = (BucketState(10_020_005, 3), None)
    snapshot = Snapshot(connection=pending(), buckets=states, limit=BOTH)
    assert loaded == Loaded(snapshot, NOW, CALLER, seen=inner.loaded)


def test_redis_loads_app_user_limit_even_without_buckets(*, is_async: bool) -> None:
    store = store_of(Recorder(), Client([[f"1 {LOG.hex()}"]]), is_async=is_async)
    snapshot = store.load(Needs(limit=LIMIT_KEY)).snapshot
    assert (snapshot.buckets, snapshot.limit) == ((), LOG)


def test_redis_reply_with_too_few_values_raises(*, is_async: bool) -> None:
    store = store_of(Recorder(), Client([[None]]), is_async=is_async)
    with pytest.raises(ValueError, match="zip"):
        store.load(Needs(buckets=(BUCKET_KEY,), limit=LIMIT_KEY))
    # The charge says of one bucket only what it became.
    store = store_of(Recorder(stores=False), Client([[]]), is_async=is_async)
    with pytest.raises(ValueError, match="zip"):
        store.commit(loaded_by(Recorder()), Changes((*CHARGES, CONNECTION)))


def test_newer_redis_format_error_names_stored_and_known_format(*, is_async: bool) -> None:
    store = store_of(Recorder(), Client([["2 5 later"]]), is_async=is_async)
    with pytest.raises(NewerFormatError) as newer:
        store.load(Needs(limit=LIMIT_KEY))
    assert (newer.value.kind, newer.value.stored, newer.value.known) == ("LogState", 2, 1)


# --- Committing -------------------------------------------------------------------------------


CONNECTION: Final = ConnectionWrite(None, pending())


def loaded_by(inner: Recorder) -> Loaded:
    return attrs.evolve(inner.loaded, seen=inner.loaded)


@pytest.mark.parametrize(
    "others",
    [
        Changes((CONNECTION,)),
        Changes(effects=(HandoffCancelled(pending().id),)),
        Changes(events=(Event(EventKind.CONNECTION_CREATED, pending(), START),)),
    ],
)
@pytest.mark.parametrize("charges", [(), CHARGES])
@pytest.mark.parametrize("page", [None, PAGE])
def test_wrapped_store_commits_all_changes_but_the_charges(
    others: Changes, charges: tuple[RateWrite, ...], page: HostedPage | None, *, is_async: bool
) -> None:
    inner = Recorder()
    store = store_of(inner, Client([[BECAME]]), is_async=is_async)
    assert store.commit(loaded_by(inner), others + Changes(charges), page)
    assert inner.commits == [(inner.loaded, others, page)]


def test_wrapped_store_commits_a_hosted_page_without_changes(*, is_async: bool) -> None:
    inner = Recorder()
    store = store_of(inner, Client([[BECAME]]), is_async=is_async)
    assert store.commit(loaded_by(inner), Changes(CHARGES), PAGE)
    assert inner.commits == [(inner.loaded, NO_CHANGES, PAGE)]


def test_commit_of_another_stores_snapshot_raises_argument_error(*, is_async: bool) -> None:
    store = store_of(Recorder(), Client([]), is_async=is_async)
    with pytest.raises(ArgumentError) as refused:
        store.commit(Recorder().loaded, NO_CHANGES)
    assert refused.value.argument == "loaded"
    assert refused.value.allowed == "a result of this store's load"


# --- Charging ---------------------------------------------------------------------------------


def test_redis_scripts_get_the_documented_keys_and_arguments(*, is_async: bool) -> None:
    inner = Recorder(stores=False)
    client = Client([[BECAME.encode()], None])
    store = store_of(inner, client, is_async=is_async)
    assert not store.commit(loaded_by(inner), Changes((*CHARGES, CONNECTION)))
    instant, token, most = ["10", "5", "0"], ["0", "20000", "0"], ["2", "0", "0"]
    log = f"1 {LOG.hex()}"
    charge = [*instant, "300000", "1", "50", *token, *most, "", log, "360000"]
    give_back = [*instant, "1", "50", *token, BECAME, "", log, LOG.hex()]
    assert client.sent == [
        ["EVALSHA", CHARGE.digest, "2", *NAMES, *charge],
        ["EVALSHA", GIVE_BACK.digest, "2", *NAMES, *give_back],
    ]


def test_rate_limit_log_charge_sends_old_and_new_state_to_redis(*, is_async: bool) -> None:
    client = Client([[]])
    store = store_of(Recorder(), client, is_async=is_async)
    write = RateWrite(key=LIMIT_KEY, policy=INITIATE_LIMIT, before=EARLIER, after=BOTH)
    assert store.commit(loaded_by(Recorder()), Changes((write,)))
    before, after = f"1 {EARLIER.hex()}", f"1 {EARLIER.hex()} {LOG.hex()}"
    assert client.sent[0][-3:] == [before, after, "360000"]


def test_charge_of_one_bucket_sends_redis_only_that_buckets_key(*, is_async: bool) -> None:
    client = Client([[BECAME], None])
    store = store_of(Recorder(stores=False), client, is_async=is_async)
    assert not store.commit(loaded_by(Recorder()), Changes((CHARGES[1], CONNECTION)))
    assert [each[2:4] for each in client.sent] == [["1", NAMES[0]]] * 2
    assert (client.sent[0][-1], client.sent[1][-1]) == ("0", BECAME)


def test_charge_refused_by_redis_commits_nothing(*, is_async: bool) -> None:
    inner, client = Recorder(), Client([None])
    assert not store_of(inner, client, is_async=is_async).commit(
        loaded_by(inner), Changes((*CHARGES, CONNECTION))
    )
    assert inner.commits == []
    assert len(client.sent) == 1


def test_charge_is_refunded_if_the_wrapped_store_changed_nothing(*, is_async: bool) -> None:
    conflicting = Client([[BECAME], None])
    store = store_of(Recorder(stores=False), conflicting, is_async=is_async)
    changes = Changes((*CHARGES, CONNECTION))
    assert not store.commit(loaded_by(Recorder()), changes)
    client = Client([[BECAME], None])
    failing = Recorder(error=StoreUnchangedError("a lock was not free in time"))
    with pytest.raises(StoreUnchangedError):
        store_of(failing, client, is_async=is_async).commit(loaded_by(failing), changes)
    assert client.sent == conflicting.sent


def test_script_that_redis_does_not_know_is_sent_as_text(*, is_async: bool) -> None:
    inner = Recorder()
    client = Client([NoScriptError(), [BECAME]])
    store = store_of(inner, client, is_async=is_async)
    assert store.commit(loaded_by(inner), Changes(CHARGES))
    first, second = client.sent
    assert first[:2] == ["EVALSHA", CHARGE.digest]
    assert second == ["EVAL", CHARGE.text, *first[2:]]


def test_rate_limit_log_expiry_is_rounded_up_to_a_millisecond(*, is_async: bool) -> None:
    inner = Recorder()
    inner.loaded = attrs.evolve(inner.loaded, now=NOW - timedelta(microseconds=1))
    client = Client([[BECAME]])
    assert store_of(inner, client, is_async=is_async).commit(loaded_by(inner), Changes(CHARGES))
    assert client.sent[0][-1] == "360001"
