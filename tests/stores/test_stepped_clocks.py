"""Section 5 of the rules on every store: clocks that are stepped, and buckets with new numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import count
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.request import Request
from tests.stores.redis.charging import unused
from tests.stores.sql.conftest import mariadb_server, mariadb_url, opened
from tests.support.redis_limits import limited, redis_url
from tests.support.served import MINT, PATIENCE, Clock
from tests.support.sql.databases import Clocked

__all__ = ["mariadb_server", "mariadb_url", "redis_url"]

BASE: Final = "/api/sdk/v1/curae-connect"
SECOND: Final = timedelta(seconds=1)
TOLERANCE: Final = timedelta(minutes=5)
STEPS: Final = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=365))
SMALL: Final = Bucket(name="b", capacity=2, refill=1, seconds=1)
"""A bucket that fills in two seconds."""


@attrs.define
class World:
    """A store with one API key, on a clock of the test's own."""

    store: Store
    step: Callable[[timedelta], None]
    secret: str
    numbers: Iterator[int] = attrs.field(factory=lambda: count(1))

    def ask(self, *buckets: Bucket) -> Response:
        """Ask for an account state, on a server with these buckets."""
        target = f"{BASE}/account-state?appUserId=ada"
        return self.send(Request("GET", target, self._headers()), buckets)

    def initiate(self) -> Response:
        """Send an initiate of the app user."""
        key = ("idempotency-key", f"visit-{next(self.numbers)}")
        request = Request(
            method="POST",
            target=f"{BASE}/initiate",
            headers=(*self._headers(), key),
            body=b'{"appUserId": "ada"}',
        )
        return self.send(request, ())

    def send(self, request: Request, buckets: tuple[Bucket, ...]) -> Response:
        return serve(
            self.store,
            request=request,
            id_factory=MINT,
            settings=Settings(buckets=buckets),
            retry_policy=PATIENCE,
        ).response

    def admitted(self, bucket: Bucket, tries: int = 9) -> int:
        """Return how many of some requests in a row a bucket admits."""
        return [self.ask(bucket).status for _ in range(tries)].count(200)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.secret}"),)


KINDS: Final = (
    "memory",
    "sqlite",
    "postgres",
    pytest.param("mariadb", marks=pytest.mark.mariadb),
    "redis",
)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A world on each kind of store."""
    kind: str = request.param
    # Redis drops states by its own clock.
    start = Clock()()
    secret = f"cae_test_{unused()}"
    caller = Caller(
        api_key_id=ApiKeyId(unused()),
        app_id=AppId("app-1"),
        customer_account_id=CustomerAccountId(unused()),
        environment=Environment.TEST,
        scopes=frozenset({CONNECTION_WRITE}),
    )
    with ExitStack() as stack:
        if kind in ("memory", "redis"):
            memory = MemoryStore(clock=lambda: start)
            memory.register(ApiKey(secret), caller)
            store: Store = memory
            if kind == "redis":
                url = str(request.getfixturevalue("redis_url"))
                store = stack.enter_context(limited("waiting", memory, url))

            def step(by: timedelta) -> None:
                now: datetime = memory.clock() + by
                memory.clock = lambda: now
        else:
            url = str(request.getfixturevalue(f"{kind}_url"))
            database = Clocked(stack.enter_context(opened(url)), start)
            sql = SqlStore(database)
            sql.create_tables()
            sql.register(ApiKey(secret), caller)
            store = sql

            def step(by: timedelta) -> None:
                database.now += by

        yield World(store, step, secret)


def retry_after(response: Response) -> timedelta:
    """Return the whole seconds that a 429 asks for."""
    assert response.status == 429
    return int(dict(response.headers)["retry-after"]) * SECOND


# --- Clocks that are stepped -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("by", STEPS)
def test_bucket_refills_as_usual_after_the_clock_is_corrected(world: World, by: timedelta) -> None:
    assert world.ask(SMALL).status == 200
    world.step(by)
    assert world.ask(SMALL).status == 200
    world.step(-by)
    first = world.ask(SMALL)
    if by > TOLERANCE + 2 * SECOND:
        # One request at once, and one more for each second.
        assert first.status == 200
        assert retry_after(world.ask(SMALL)) == SECOND
    else:
        wait = retry_after(first)
        assert wait <= TOLERANCE + 2 * SECOND
        world.step(wait - SECOND)
        assert world.ask(SMALL).status == 429
    world.step(SECOND)
    assert world.admitted(SMALL) == 1


@pytest.mark.slow
@pytest.mark.parametrize("by", STEPS)
def test_bucket_is_full_after_a_slow_clock_is_corrected(world: World, by: timedelta) -> None:
    world.step(-by)
    assert world.admitted(SMALL) == 2
    world.step(by)
    assert world.admitted(SMALL) == 2


@pytest.mark.slow
@pytest.mark.parametrize("apart", [timedelta(milliseconds=5), SECOND, timedelta(minutes=4)])
def test_servers_with_skewed_clocks_admit_only_the_capacity(world: World, apart: timedelta) -> None:
    bucket = Bucket(name="b", capacity=3, refill=1, seconds=600)
    statuses: list[int] = []
    for _ in range(4):
        statuses.append(world.ask(bucket).status)
        world.step(apart)
        statuses.append(world.ask(bucket).status)
        world.step(-apart)
    assert statuses.count(200) == 3
    # A bucket that fills within the distance of the clocks is not reset either.
    quick = Bucket(name="quick", capacity=1, refill=1000, seconds=1)
    world.step(apart)
    assert world.admitted(quick) == 1
    world.step(-apart)
    assert world.admitted(quick) == 0


@pytest.mark.slow
def test_rate_limit_log_counts_requests_admitted_by_a_fast_clock(world: World) -> None:
    hour = timedelta(hours=1)
    world.step(hour)
    assert [world.initiate().status for _ in range(4)] == [201] * 4
    world.step(-hour)
    answers = [world.initiate() for _ in range(7)]
    assert [each.status for each in answers] == [201] * 6 + [429]
    world.step(60 * SECOND)
    assert [world.initiate().status for _ in range(7)] == [201] * 6 + [429]
    world.step(hour)
    assert [world.initiate().status for _ in range(11)] == [201] * 10 + [429]


# --- New numbers -----------------------------------------------------------------------------


def test_new_bucket_settings_start_with_a_full_bucket(world: World) -> None:
    daily = Bucket(name="platform", capacity=3, refill=3, seconds=86_400)
    assert world.admitted(daily) == 3
    assert world.admitted(Bucket(name="platform", capacity=5, refill=5, seconds=60)) == 5


OTHERS: Final = (
    Bucket(name="platform", capacity=4, refill=1, seconds=3600),
    Bucket(name="platform", capacity=3, refill=2, seconds=3600),
    Bucket(name="platform", capacity=3, refill=1, seconds=7200),
)


@pytest.mark.slow
@pytest.mark.parametrize("new", OTHERS)
def test_restoring_old_bucket_settings_does_not_refill_a_bucket(world: World, new: Bucket) -> None:
    old = Bucket(name="platform", capacity=3, refill=1, seconds=3600)
    assert world.admitted(old) == 3
    assert world.admitted(new) == new.capacity
    # To change back fills nothing again.
    assert world.admitted(old) == 0
    assert world.admitted(new) == 0


@pytest.mark.slow
@pytest.mark.parametrize("new", OTHERS)
def test_servers_with_old_and_new_buckets_admit_both_capacities(world: World, new: Bucket) -> None:
    old = Bucket(name="platform", capacity=3, refill=1, seconds=3600)
    statuses = [world.ask(bucket).status for _ in range(6) for bucket in (old, new)]
    assert statuses.count(200) == old.capacity + new.capacity
