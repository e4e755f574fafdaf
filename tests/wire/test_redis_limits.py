"""Rate limits in Redis: together or not at all, never dropped early, never admitting too much."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import attrs
import pytest
import redis
import sqlalchemy as sa
from redis_limits import CLOCKS_APART, RedisLimits, drop_at
from sql_store import RECORDS, SqlStore
from store import Conflict, format_value, rate_key

import curae_lifecycle as curae
from curae_lifecycle.rules import ratelimit, values
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, BucketState, Policy, RateState
from curae_lifecycle.rules.values import AppId, CustomerAccountId
from curae_lifecycle.service import changes
from curae_lifecycle.service.changes import NO_CHANGES, Changes, RateKey, RateWrite
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.testing.conformance import run
from tests.wire.running import Behind, conformance_server, engine_of, running_server, sqlite
from tests.wire.valkey import valkey

NOW: Final = datetime(2030, 1, 5, 9, tzinfo=UTC)
BUCKET: Final = curae.Bucket("platform", 100, 50, 1)


# --- One store ------------------------------------------------------------------------------


def test_a_decision_charges_all_its_limits_or_none(engine: sa.Engine, client: redis.Redis) -> None:
    who = caller()
    bucket, limit = keys_of(who)
    first = charge(bucket, BUCKET, None), charge(limit, INITIATE_LIMIT, None)
    with engine.begin() as connection:
        store = limits(connection, client, who)
        assert held(store, who) == (None, None)
        store.store(Changes(first))
        assert held(store, who) == (first[0].after, first[1].after)
        # The bucket is as it was read and the log is not: neither moves. So the other way round.
        for late in (
            (charge(bucket, BUCKET, first[0].after), charge(limit, INITIATE_LIMIT, None)),
            (charge(bucket, BUCKET, None), charge(limit, INITIATE_LIMIT, first[1].after)),
        ):
            with pytest.raises(Conflict):
                store.store(Changes(late))
            assert held(store, who) == (first[0].after, first[1].after)
        store.store(NO_CHANGES)
        assert held(store, who) == (first[0].after, first[1].after)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    given = os.environ.get("CURAE_TEST_REDIS_URL")
    if given is not None:
        yield given
        return
    with valkey() as server:
        yield server.url


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    with engine_of(sqlite(tmp_path)) as made:
        yield made


def unused() -> str:
    """An id that no other run has used on a server that is given."""
    return str(UUID(bytes=secrets.token_bytes(16)))


def caller() -> curae.Caller:
    """Somebody whom no other test knows."""
    return curae.Caller(
        values.ApiKeyId(f"key-{unused()}"),
        AppId("app-1"),
        CustomerAccountId(unused()),
        curae.Environment.TEST,
        frozenset({CONNECTION_WRITE}),
    )


def keys_of(who: curae.Caller) -> tuple[changes.BucketKey, changes.LimitKey]:
    user = values.AppUser(who.environment, who.customer_account_id, values.AppUserId("ada"))
    return changes.BucketKey(who.key_owner, "platform"), changes.LimitKey(user, "initiate")


def limits(connection: sa.Connection, client: redis.Redis, who: curae.Caller) -> RedisLimits:
    store = RedisLimits(SqlStore(connection), client.execute_command)
    store.register(curae.ApiKey(f"cae_test_{who.api_key_id}"), who)
    assert store.caller(curae.ApiKey(f"cae_test_{who.api_key_id}")) == who
    return store


def held(store: RedisLimits, who: curae.Caller) -> tuple[RateState | None, RateState | None]:
    bucket, limit = keys_of(who)
    loaded = store.load(Needs(None, (bucket,), limit, None, None))
    return loaded.buckets[0], loaded.limit


def charge(key: RateKey, policy: Policy, before: RateState | None, at: datetime = NOW) -> RateWrite:
    after = ratelimit.admit_one(
        policy, ratelimit.fresh_state(policy) if before is None else before, at
    )
    assert isinstance(after, ratelimit.LogState | BucketState)
    return RateWrite(key, policy, before, after)


def name(who: curae.Caller, key: RateKey) -> str:
    return f"rate:{{{who.customer_account_id}}}:{json.dumps(rate_key(key))}"


def test_a_request_that_no_limit_concerns_asks_redis_nothing(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        store = RedisLimits(SqlStore(connection), never)
        assert store.load(Needs(None, (), None, None, None)).buckets == ()
        store.store(NO_CHANGES)
        assert store.purge(NOW) == 0
        store.open_page("https://connect.example/1", "session 1")
        assert store.page("https://connect.example/1") == "session 1"
        assert store.caller(None) is None


def never(*command: str | int) -> object:
    raise AssertionError(command)


def test_redis_drops_a_state_once_it_means_nothing_and_never_before(
    engine: sa.Engine, client: redis.Redis
) -> None:
    who = caller()
    bucket, limit = keys_of(who)
    at = NOW + timedelta(microseconds=1)
    charged = charge(bucket, BUCKET, None, at), charge(limit, INITIATE_LIMIT, None, at)
    with engine.begin() as connection:
        store = limits(connection, client, who)
        store.store(Changes(charged))
        for write in charged:
            dropped = client.pexpiretime(name(who, write.key))
            assert isinstance(dropped, int)
            assert dropped == drop_at(write)
            meaningless = datetime.fromtimestamp(dropped / 1000, UTC) - CLOCKS_APART
            late = meaningless - write.expires_at
            assert timedelta(0) <= late < timedelta(milliseconds=1)
        # What its clock says is over is gone at once.
        past = charge(bucket, BUCKET, charged[0].after, NOW)
        gone = attrs.evolve(past, after=BucketState(1))
        store.store(Changes((gone,)))
        assert held(store, who) == (None, charged[1].after)


def test_the_limits_of_one_account_are_kept_on_one_node_of_a_cluster() -> None:
    seen: list[str] = []
    who = caller()

    def listen(*command: str | int) -> object:
        seen.extend(str(part) for part in command[1:])
        return [None for _ in command[1:]]

    class Known(SqlStore):
        def caller(self, api_key: curae.ApiKey | None) -> curae.Caller | None:
            return who if api_key is None else None

    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        store = RedisLimits(Known(connection), listen)
        store.caller(None)
        held(store, who)
    engine.dispose()
    tags = {key[key.index("{") + 1 : key.index("}")] for key in seen}
    assert len(seen) == 2
    assert tags == {who.customer_account_id}


def initiate(who: curae.Caller, number: int) -> curae.Request:
    return curae.Request(
        "POST",
        "/api/sdk/v1/curae-connect/initiate",
        (
            ("authorization", f"Bearer cae_test_{who.api_key_id}"),
            ("idempotency-key", f"visit-{number}"),
        ),
        b'{"appUserId": "ada"}',
    )


def answer(store: RedisLimits, request: curae.Request, at: datetime) -> int:
    call = curae.read(
        request, store.caller(curae.bearer(request)), at, curae.Settings(buckets=(BUCKET,))
    )
    assert not isinstance(call, curae.Decision)
    new_ids = curae.NewIds(
        curae.ConnectionId(unused()),
        curae.SessionId(unused()),
        curae.UserId(unused()),
        curae.NextAction("https://connect.example/1", at + timedelta(minutes=30)),
    )
    answered = curae.respond(curae.decide(call, store.load(curae.needs(call)), at, new_ids))
    store.store(answered.changes)
    return answered.response.status


def lose_the_database(lost: bool) -> None:  # noqa: FBT001 - there is nothing else to say
    if lost:
        raise OSError


def test_law_10_holds_where_the_database_fails_after_the_charge(
    engine: sa.Engine, client: redis.Redis
) -> None:
    who = caller()
    with engine.begin() as connection:
        limits(connection, client, who)
    admitted: list[int] = []
    for number in range(20):
        with suppress(OSError), engine.begin() as connection:
            store = RedisLimits(SqlStore(connection), client.execute_command)
            status = answer(store, initiate(who, number), NOW)
            lose_the_database(number % 4 == 0)
            admitted.append(status)
    # Ten were charged: the first ten, of which three were never stored.
    assert admitted.count(201) == 7
    with engine.begin() as connection:
        kept = connection.execute(sa.select(sa.func.count()).select_from(RECORDS)).scalar_one()
        assert kept == 7
        store = RedisLimits(SqlStore(connection), client.execute_command)
        assert store.caller(curae.bearer(initiate(who, 0))) == who
        log = held(store, who)[1]
        assert isinstance(log, ratelimit.LogState)
        assert len(log.instants) == 10
        assert answer(store, initiate(who, 21), NOW + timedelta(seconds=60)) == 201


def test_a_redis_that_is_gone_admits_nobody(engine: sa.Engine) -> None:
    who = caller()
    with valkey() as server, redis.Redis.from_url(server.url) as client:
        with engine.begin() as connection:
            limits(connection, client, who)
        server.kill()
        with engine.begin() as connection, pytest.raises(redis.ConnectionError):
            answer(RedisLimits(SqlStore(connection), client.execute_command), initiate(who, 1), NOW)
        server.start()
        with engine.begin() as connection:
            store = RedisLimits(SqlStore(connection), client.execute_command)
            assert answer(store, initiate(who, 1), NOW) == 201


def test_what_was_charged_outlives_a_crash_of_redis(engine: sa.Engine) -> None:
    who = caller()
    with valkey() as server, redis.Redis.from_url(server.url) as client:
        for number in range(11):
            with engine.begin() as connection:
                store = limits(connection, client, who)
                assert answer(store, initiate(who, number), NOW) == (201 if number < 10 else 429)
            server.kill()
            server.start()
        bucket, limit = keys_of(who)
        assert (
            client.get(name(who, limit))
            == format_value(ratelimit.LogState.of((NOW,) * 10)).encode()
        )
        assert client.get(name(who, bucket)) is not None


# --- Two servers ----------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["fastapi", "flask", "django"])
def test_ten_of_twenty_initiates_at_once_are_admitted_by_two_servers_together(
    app: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each has a database of its own, so Redis alone can hold them to ten.
    monkeypatch.setenv("REDIS_URL", redis_url)
    who = caller()
    urls = [sqlite(tmp_path / place) for place in ("here", "there")]
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
    with (
        running_server(app, urls[0], tmp_path / "here") as here,
        running_server(app, urls[1], tmp_path / "there") as there,
        ThreadPoolExecutor(20) as pool,
    ):
        for server in (here, there):
            with engine_of(server.url) as engine, engine.begin() as connection:
                SqlStore(connection).register(curae.ApiKey(f"cae_test_{who.api_key_id}"), who)
        servers = [here, there] * 10
        answers = pool.map(lambda number: servers[number].send(initiate(who, number)), range(20))
        statuses = sorted(each.status for each in answers)
        assert statuses == [201] * 10 + [429] * 10
        with engine_of(here.url) as engine:
            Behind(here.control, engine).pass_time(timedelta(seconds=60))
        assert here.send(initiate(who, 20)).status == 201


# --- The whole kit --------------------------------------------------------------------------


@attrs.frozen
class BehindRedis:
    """Full buckets, also in Redis."""

    behind: Behind
    client: redis.Redis

    def replace_buckets(self, buckets: tuple[curae.Bucket, ...] | None) -> None:
        self.behind.replace_buckets(buckets)
        for key in list(self.client.scan_iter("rate:*")):
            if b"initiate" not in key and b"graduation" not in key:
                self.client.delete(key)


@pytest.mark.heavy
@pytest.mark.parametrize("app", ["fastapi", "flask"])
def test_the_whole_kit_on_an_example_with_its_limits_in_redis(
    app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with valkey() as kept, redis.Redis.from_url(kept.url) as client:
        monkeypatch.setenv("REDIS_URL", kept.url)
        url = sqlite(tmp_path)
        with running_server(app, url, tmp_path) as server, engine_of(url) as engine:
            behind = Behind(server.control, engine)
            whole = conformance_server(server, behind)
            hooked = attrs.evolve(
                whole, replace_buckets=BehindRedis(behind, client).replace_buckets
            )
            seen = run(hooked, seed="1")
            assert not seen.failed, str(seen)
            # One needs a server of one environment; the other a clock that no test moves.
            assert len(seen.not_run) == 2, str(seen)
            assert client.dbsize() > 0
