"""Tests of limits in Redis: charged first, all or none, returned if nothing was stored."""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import attrs
import pytest
import redis

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    INITIATE_LIMIT,
    Bucket,
    BucketState,
    LogState,
    Policy,
    RateState,
    admit_one,
    fresh_state,
)
from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import (
    Loaded,
    StoreFullError,
    StoreUnavailableError,
    StoreUnchangedError,
)
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.redis import limits
from curae_lifecycle.stores.redis.clients import create_client
from curae_lifecycle.stores.redis.limits import AsyncRedisLimitsStore, RedisLimitsStore
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.testing.conformance import run
from curae_lifecycle.web.json import MalformedError
from tests.stores.redis.charging import BUCKET, Wavering, Who, client, known, who
from tests.support.databases.valkey import valkey
from tests.support.kit import needing
from tests.support.logs_of_windows import WINDOWS, charge_log
from tests.support.patiently import PATIENCE
from tests.support.redis_limits import AtOnce, limited, redis_url
from tests.support.served import NOT_THERE, Clock, Served

__all__ = ["client", "redis_url", "who"]

# --- Charged ----------------------------------------------------------------------------------


def test_ten_initiates_charge_redis_bucket_and_app_user_limit(who: Who) -> None:
    assert who.held() == (None, None)
    assert [who.initiate(number).status for number in range(11)] == [201] * 10 + [429]
    # The app user's limit refused, so the bucket was not charged.
    assert who.charged() == (10, 10)
    # A replay charges the bucket alone and commits nothing to the inner store.
    who.inner.before = [unasked]
    assert who.initiate(0).status == 201
    assert who.charged() == (11, 10)
    who.inner.before = []
    who.inner.now += timedelta(seconds=60)
    assert who.initiate(11).status == 201


def unasked() -> bool:
    raise AssertionError("there is nothing to commit")


def test_redis_charges_all_limits_of_a_request_or_none(who: Who) -> None:
    loads = Needs(
        record=None, buckets=(who.bucket_key,), limit=who.limit_key, connection=None, binding=None
    )
    loaded = who.store.load(loads, who.api_key.digest())
    admitted = charges(who, loaded, BUCKET)
    # The log changed since it was read, so the bucket is not charged.
    assert who.initiate(1).status == 201
    assert not who.store.commit(loaded, admitted)
    assert who.charged() == (1, 1)
    # The bucket has too few tokens by then, so the log is not charged.
    loaded = who.store.load(loads, who.api_key.digest())
    assert not who.store.commit(
        loaded, charges(who, loaded, Bucket(name="platform", capacity=1, refill=50, seconds=1))
    )
    assert who.charged() == (1, 1)
    assert who.store.commit(loaded, charges(who, loaded, BUCKET))
    assert who.charged() == (2, 2)


def charges(who: Who, loaded: Loaded, bucket: Bucket) -> Changes:
    """Build only the charges of an initiate."""
    held, log = loaded.snapshot.buckets[0], loaded.snapshot.limit
    after = curae_admitted(INITIATE_LIMIT, log, loaded.now)
    return Changes(
        (
            RateWrite(key=who.limit_key, policy=INITIATE_LIMIT, before=log, after=after),
            # The script computes the new state.
            RateWrite(key=who.bucket_key, policy=bucket, before=held, after=FULL_BUCKET),
        )
    )


def curae_admitted(rule: Policy, state: RateState | None, now: datetime) -> RateState:
    after = admit_one(rule, fresh_state(rule) if state is None else state, now)
    assert not isinstance(after, int)
    return after


def test_redis_bucket_changed_since_load_is_charged_anyway(who: Who) -> None:
    loads = Needs(buckets=(who.bucket_key,))
    both = [who.store.load(loads, who.api_key.digest()) for _ in range(2)]
    for loaded in both:
        assert loaded.snapshot.buckets == (None,)
        changes = Changes(
            (RateWrite(key=who.bucket_key, policy=BUCKET, before=None, after=FULL_BUCKET),)
        )
        assert who.store.commit(loaded, changes)
    assert who.charged() == (2, 0)


@pytest.mark.slow
def test_ten_of_twenty_concurrent_initiates_are_admitted(who: Who) -> None:
    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(each.status for each in pool.map(who.initiate, range(20)))
    assert statuses == [201] * 10 + [429] * 10
    assert who.charged() == (10, 10)


# --- Given back -------------------------------------------------------------------------------


def test_redis_charge_is_refunded_if_the_wrapped_store_conflicts(who: Who) -> None:
    seen: list[tuple[int, int]] = []

    def conflict() -> bool:
        seen.append(who.charged())
        return False

    who.inner.before = [conflict, conflict]
    assert who.initiate(1).status == 201
    # Each attempt charged, and returned its charge.
    assert seen == [(1, 1), (1, 1)]
    assert who.charged() == (1, 1)


def test_refunding_a_redis_charge_keeps_charges_made_after_it(who: Who) -> None:
    def others_come() -> bool:
        for number in range(3):
            assert who.initiate(f"other-{number}").status == 201
        assert who.charged() == (5, 5)
        return False

    assert who.initiate("earlier").status == 201
    who.inner.before = [others_come, lambda: True, lambda: True, lambda: True]
    assert who.initiate("late").status == 201
    assert who.charged() == (5, 5)


def test_refund_restores_rate_limit_log_entry_dropped_by_charge(who: Who) -> None:
    for number in range(10):
        assert who.initiate(number).status == 201
    who.inner.now += timedelta(seconds=60)
    _, log = who.held()
    who.inner.before = [lambda: False]
    assert who.initiate(10, RetryPolicy(attempts=1)).status == 500
    assert who.held()[1] == log


def test_refund_to_deleted_redis_keys_changes_nothing(who: Who) -> None:
    def emptied() -> bool:
        for key in who.client.scan_iter("curae:*"):
            who.client.delete(key)
        return False

    who.inner.before = [emptied]
    assert who.initiate(1).status == 201
    assert who.charged() == (1, 1)


def test_store_unchanged_error_refunds_the_redis_charge(who: Who) -> None:
    def wait() -> bool:
        raise StoreUnchangedError("a lock was not free in time")

    who.inner.before = [wait, wait]
    assert who.initiate(1).status == 201
    assert who.charged() == (1, 1)


@pytest.mark.parametrize("mistake", ["full", "mistaken"])
def test_full_or_failing_wrapped_store_refunds_the_redis_charge(who: Who, mistake: str) -> None:
    def refuse() -> bool:
        if mistake == "full":
            caller = who.caller
            raise StoreFullError(
                kind="session",
                capacity=1,
                environment=caller.environment,
                customer_account_id=caller.customer_account_id,
            )
        raise ArgumentError("new_ids", "new")

    who.inner.before = [refuse]
    if mistake == "full":
        assert who.initiate(1).status == 500
    else:
        with pytest.raises(ArgumentError):
            who.initiate(1)
    assert who.charged() == (0, 0)


def test_commit_of_unknown_outcome_does_not_refund_redis_charge(who: Who) -> None:
    def lose() -> bool:
        raise StoreUnavailableError("it is gone")

    who.inner.before = [lose]
    assert who.initiate(1).status == 201
    assert who.charged() == (2, 2)


def test_law_10_redis_admits_only_ten_initiates_if_commits_fail(who: Who) -> None:
    def lose() -> bool:
        raise StoreUnavailableError("it is gone")

    once = RetryPolicy(attempts=1)
    statuses: list[int] = []
    for number in range(20):
        who.inner.before = [lose] if number % 4 == 0 else []
        statuses.append(who.initiate(number, once).status)
    # The first ten were charged; three of them were never stored.
    assert statuses[:10].count(201) == 7
    assert set(statuses[10:]) == {429}
    who.inner.now += timedelta(seconds=60)
    assert who.initiate(21).status == 201


# --- Commands and keys ------------------------------------------------------------------------


def test_request_without_rate_limits_sends_no_redis_command() -> None:
    store = RedisLimitsStore(Wavering(), Never())
    loaded = store.load(Needs(), "")
    assert loaded.snapshot.buckets == ()
    assert store.commit(loaded, NO_CHANGES)
    fact = store.load(Needs())
    assert store.commit(fact, NO_CHANGES)
    assert store.caller_of("") is None


def test_async_request_without_rate_limits_skips_redis() -> None:
    store = AsyncRedisLimitsStore(AtOnce(Wavering()), AwaitedNever())

    async def ask() -> None:
        loaded = await store.load(Needs(), "")
        assert loaded.snapshot.buckets == ()
        assert await store.commit(loaded, NO_CHANGES)
        assert await store.commit(await store.load(Needs()), NO_CHANGES)
        assert await store.caller_of("") is None

    asyncio.run(ask())


class AwaitedNever:
    """An async client that fails if it is used."""

    async def execute_command(self, *command: str | int) -> object:
        raise AssertionError(command)


class Never:
    """A client that fails if it is used."""

    def execute_command(self, *command: str | int) -> object:
        raise AssertionError(command)


@pytest.mark.parametrize("wrong_by", [-365, 0, 365])
def test_redis_bucket_expires_five_minutes_after_it_refills(who: Who, wrong_by: int) -> None:
    # The clock of Redis may show any time.
    who.inner.now += timedelta(days=wrong_by)
    started = time.monotonic()
    assert who.initiate(1).status == 201
    bucket, log = who.held()
    assert isinstance(bucket, BucketState)
    assert isinstance(log, LogState)
    overs = {bucket.full_at, to_epoch_microseconds(log.instants[0] + timedelta(seconds=60))}
    kept = sorted(milliseconds_kept(who, key) for key in keys_of(who))
    passed = (time.monotonic() - started) * 1000
    for over, left in zip(sorted(overs), kept, strict=True):
        wanted = (over - to_epoch_microseconds(who.inner.now)) / 1000 + 300_000
        assert wanted - passed - 1 <= left <= wanted + 1
    # A returned charge leaves an expiry.
    who.inner.before = [lambda: False]
    assert who.initiate(2, RetryPolicy(attempts=1)).status == 500
    assert all(milliseconds_kept(who, key) > 0 for key in keys_of(who))


def test_redis_keeps_a_rate_limit_log_for_its_longest_window(who: Who) -> None:
    assert [charge_log(who.store, policy, who.limit_key) for policy in WINDOWS] == [True] * 3
    (key,) = keys_of(who)
    minutes_kept = milliseconds_kept(who, key) / 60_000
    assert 24 * 60 < minutes_kept <= 24 * 60 + 5.1


def milliseconds_kept(who: Who, key: str) -> int:
    """Return how much longer Redis keeps a key, in milliseconds; below zero for ever."""
    kept = who.client.pttl(key)
    assert isinstance(kept, int)
    return kept


def keys_of(who: Who) -> list[str]:
    """Return the keys of an account."""
    tag = key_of(who.caller.customer_account_id)
    return [key.decode() for key in who.client.scan_iter(f"curae:{{{tag}}}:*")]


def test_redis_keys_and_values_contain_no_id_in_plain_text(who: Who) -> None:
    assert who.initiate(1).status == 201
    keys = keys_of(who)
    assert len(keys) == 2
    for key in keys:
        # The account is the hash tag of the cluster slot; the rest is hex digits.
        assert re.fullmatch(r"curae:\{[0-9a-f]{64}\}:[0-9a-f]{64}", key)
        text = who.client.get(key)
        assert isinstance(text, bytes)
        assert re.fullmatch(rb"[0-9a-f -]+", text)


def test_redis_state_in_newer_format_is_refused_and_kept(who: Who) -> None:
    for number, kind in ((0, "BucketState"), (1, "LogState")):
        assert who.initiate(f"first-{number}").status == 201
        loads = Needs(
            record=None,
            buckets=(who.bucket_key,),
            limit=who.limit_key,
            connection=None,
            binding=None,
        )
        loaded = who.store.load(loads, who.api_key.digest())
        key = limits._name((who.bucket_key, who.limit_key)[number])
        who.client.set(key, "2 5 later")
        with pytest.raises(NewerFormatError, match=kind):
            who.store.load(loads, who.api_key.digest())
        assert who.initiate(f"second-{number}").status == 500
        assert not who.store.commit(loaded, charges(who, loaded, BUCKET))
        assert who.client.get(key) == b"2 5 later"
        who.client.delete(key)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    "damaged",
    [
        " ",
        "x",
        "0 5",
        "1",
        "1 2",
        "1 five 0 0 0 0 0 0 0 0",
        "1 5 0 -1 0 0 0 0 0 0",
        f"1 {'f' * 15}",
        b"1 \xff",
    ],
)
def test_damaged_redis_state_raises_malformed_error(
    damaged: str | bytes, number: int, who: Who
) -> None:
    who.client.set(limits._name((who.bucket_key, who.limit_key)[number]), damaged)
    with pytest.raises(MalformedError):
        who.held()


def test_redis_rate_limit_log_after_year_9999_is_malformed(who: Who) -> None:
    who.client.set(limits._name(who.limit_key), f"1 7{'f' * 15}")
    with pytest.raises(MalformedError):
        who.held()


def test_charge_in_redis_state_of_newer_format_is_not_refunded(
    who: Who, caplog: pytest.LogCaptureFixture
) -> None:
    names = [limits._name(key) for key in (who.bucket_key, who.limit_key)]
    newer: list[bytes] = []

    def renewed() -> bool:
        # Everything that this release wrote, and more.
        for name in names:
            text = who.client.get(name)
            assert isinstance(text, bytes)
            newer.append(b"2" + text[1:] + b" more")
            who.client.set(name, newer[-1])
        return False

    who.inner.before = [renewed]
    assert who.initiate(1).status == 500
    assert "a request failed: NewerFormatError at" in caplog.text
    assert who.client.mget(names) == newer


def test_redis_client_with_decode_responses_charges_each_request(redis_url: str) -> None:
    with (
        redis.Redis.from_url(redis_url, decode_responses=True) as client,
        known("waiting", redis_url, client) as made,
    ):
        who = attrs.evolve(made, store=RedisLimitsStore(made.inner, client))
        assert who.initiate(1).status == 201
        who.inner.before = [lambda: False]
        assert who.initiate(2).status == 201
        assert who.charged() == (2, 2)


# --- The whole kit ----------------------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["waiting", "awaited"])
def test_redis_limits_store_passes_every_conformance_check(kind: str) -> None:
    clock = Clock()
    with valkey() as server, create_client(server.url, timeout=PATIENCE) as client:
        inner = MemoryStore(clock=clock)
        with limited(kind, inner, server.url) as store:
            served = Served(store=store, registry=inner, clock=clock, fill=client.flushall)
            seen = run(served.server(), seed="1")
        assert not seen.failed, str(seen)
        # One check needs a server of one environment, the other a front that sets the date.
        left = {"permission.wrong-environment", "idempotency.dates", *needing(*NOT_THERE)}
        assert {each.check for each in seen.not_run} == left
        assert client.dbsize() > 0
