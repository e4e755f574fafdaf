"""Tests of examples with rate limits in Redis: servers that share nothing else share the limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4  # noqa: TID251 - an account that no other test has

import attrs
import pytest
import redis

from curae_lifecycle import Bucket, Request
from curae_lifecycle.testing.conformance import ApiKeyRequest, run
from tests.docs.examples.test_conformance import NOT_HERE, PER_CHECK, half_of_checks
from tests.support.databases.valkey import valkey
from tests.support.wire.running import Behind, conformance_server, engine_of, running_server, sqlite

APPS = (
    "fastapi",
    *(pytest.param(app, marks=pytest.mark.heavy) for app in ("flask", "asgi", "django")),
)


@pytest.fixture
def redis_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a fresh server, set for the examples."""
    with valkey() as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        yield server.url


@pytest.mark.slow
@pytest.mark.parametrize("app", APPS)
def test_two_servers_together_admit_ten_of_twenty_initiates(
    app: str, redis_url: str, tmp_path: Path
) -> None:
    # Each server has its own database, so only Redis can limit them together.
    urls = [sqlite(tmp_path / place) for place in ("here", "there")]
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
    wanted = ApiKeyRequest("app-1", str(uuid4()))
    with (
        running_server(app, urls[0], tmp_path / "here") as here,
        running_server(app, urls[1], tmp_path / "there") as there,
        engine_of(urls[0]) as one,
        engine_of(urls[1]) as other,
        ThreadPoolExecutor(20) as pool,
    ):
        behind = Behind(here.control, one)
        api_key = behind.make_key(wanted)
        assert Behind(there.control, other).make_key(wanted) == api_key
        servers = [here, there] * 10
        answers = pool.map(
            lambda number: servers[number].send(initiate(api_key, number)), range(20)
        )
        assert sorted(each.status for each in answers) == [201] * 10 + [429] * 10
        behind.pass_time(timedelta(seconds=60))
        assert here.send(initiate(api_key, 20)).status == 201
        with redis.Redis.from_url(redis_url) as client:
            assert client.dbsize() == 1


def initiate(api_key: str, number: int) -> Request:
    headers = (("Authorization", f"Bearer {api_key}"), ("Idempotency-Key", f"visit-{number}"))
    body = json.dumps({"appUserId": "ada"}).encode()
    return Request(
        method="POST", target="/api/sdk/v1/curae-connect/initiate", headers=headers, body=body
    )


WITH_REDIS: Final = ("fastapi", "flask")
"""The examples with each kind of client; together they run every check."""


@attrs.frozen
class BehindRedis:
    """Refill the buckets in Redis too; wait for the limits of app users."""

    behind: Behind
    client: redis.Redis

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        self.behind.replace_buckets(buckets)
        self.behind.pass_time(timedelta(seconds=60))
        self.client.flushdb()


@pytest.mark.heavy
@pytest.mark.parametrize("app", WITH_REDIS)
def test_example_server_with_redis_limits_passes_conformance(
    app: str, redis_url: str, tmp_path: Path
) -> None:
    url = sqlite(tmp_path)
    with (
        redis.Redis.from_url(redis_url) as client,
        running_server(app, url, tmp_path) as server,
        engine_of(url) as engine,
    ):
        behind = Behind(server.control, engine)
        whole = conformance_server(server, behind)
        hooked = attrs.evolve(whole, replace_buckets=BehindRedis(behind, client).replace_buckets)
        names = half_of_checks(app, "redis")
        seen = run(hooked, only=names, seed="1", timeout=PER_CHECK)
        assert not seen.failed, str(seen)
        # One needs a server of one environment, the other a clock that no test moves.
        assert {each.check for each in seen.not_run} == NOT_HERE.intersection(names), str(seen)
        assert client.dbsize() > 0
