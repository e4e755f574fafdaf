"""Ids that look alike are different ids in every store, and over every request path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
import service
from redis_limits import RedisLimits
from sql_store import SqlStore
from store import rate_key

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.values import AppUserId, UserId
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import BindingWrite, BucketKey, Changes, LimitKey
from curae_lifecycle.service.facts.fact import FactNeeds
from curae_lifecycle.service.operations.graduation_handoff import GraduationStarted, StartGraduation
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import Request
from tests.strategies import uuid
from tests.twins import (
    FEW,
    LONGEST,
    TWINS,
    app,
    check_all,
    check_users,
    owner,
    unusual,
)
from tests.wire.running import PATIENCE, ROOT, Behind, engine_of, running_server, sqlite
from tests.wire.twins import NOW, Served, Stored
from tests.wire.valkey import valkey


def test_twins_are_kept_apart_in_sqlite(sqlite_url: str) -> None:
    in_sql(sqlite_url, FEW)


@pytest.mark.heavy
@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_all_twins_are_kept_apart_in_a_database(
    database: str, request: pytest.FixtureRequest
) -> None:
    in_sql(request.getfixturevalue(database), TWINS)


def in_sql(url: str, twins: tuple[str, ...]) -> None:
    with engine_of(url) as engine, engine.begin() as connection:
        check_all(Stored(SqlStore(connection)), twins)


def test_twins_are_kept_apart_with_their_limits_in_redis(sqlite_url: str) -> None:
    with (
        valkey() as kept,
        redis.Redis.from_url(kept.url) as client,
        engine_of(sqlite_url) as engine,
        engine.begin() as connection,
    ):
        check_all(Stored(RedisLimits(SqlStore(connection), client.execute_command)), FEW)
        assert client.dbsize() > len(FEW)


# Django is set up once for a whole process, so its own store is asked in another one; below, one
# is asked over a socket.
@pytest.mark.heavy
@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_all_twins_are_kept_apart_by_django(database: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(database)
    done = subprocess.run(
        [sys.executable, "-m", "tests.wire.twins", "all"],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- Whatever an id may hold ----------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_every_code_point_of_an_app_user_id_comes_back_from_a_database(
    database: str, request: pytest.FixtureRequest
) -> None:
    users = [AppUserId(text) for text in (LONGEST, *unusual())]
    made = [
        LimitedAccountAppBinding(owner().coordinate(user), UserId(user), AccountState.LIMITED, 1)
        for user in users
    ]
    url: str = request.getfixturevalue(database)
    with engine_of(url) as engine, engine.begin() as connection:
        store = SqlStore(connection)
        store.store(Changes(tuple([BindingWrite(None, each) for each in made])))
        for each in made:
            loaded = store.load_fact(FactNeeds(binding=each.coordinate)).binding
            assert loaded == each


def test_the_key_of_a_limit_fits_into_an_index_whatever_the_app_user_s_id_is() -> None:
    # PostgreSQL takes no more than 2704 bytes; what the server itself names is up to it.
    user = owner().coordinate(AppUserId(LONGEST)).app_user
    for key in (LimitKey(user, "initiate"), BucketKey(owner().key_owner, "platform")):
        assert sum(len(part.encode()) for part in rate_key(key).values()) < 1500
    ask = StartGraduation(AppUserId(LONGEST))
    subject = service.page_subject(
        Call(owner(), ask, None), GraduationStarted(service.mint(NOW).next_action)
    )
    assert subject is not None
    assert len(subject.encode()) < 1500


# --- Over a socket --------------------------------------------------------------------------


def served(app_name: str, url: str, directory: Path, twins: tuple[str, ...]) -> None:
    with running_server(app_name, url, directory) as server, engine_of(url) as engine:
        place = Served(server, Behind(server.control, engine))
        check_users(place, twins)
        check_pages(place, twins)


def check_pages(place: Served, twins: tuple[str, ...]) -> None:
    """A hosted page of one twin is no page of another: what is finished there is its own."""
    one = app(place, "pages", owner(customer_account_id=uuid(0xAE)))
    for number, user in enumerate(twins[:3]):
        created = json.loads(one.create(user).body)
        entered = json.loads(one.initiate(user, signup=True).body)
        others = [one.state(each) for each in twins if each != user]
        assert finish(place, created["nextAction"]["url"]).status == 200
        assert finish(place, entered["nextAction"]["url"]).status == 200
        shown = json.loads(one.get(f"connections/{created['connection']['id']}").body)
        assert shown["connection"]["status"] == "ACTIVE"
        assert one.state(user) == "ACTIVE"
        assert [one.state(each) for each in twins if each != user] == others
        assert others.count("ACTIVE") == number
    # A graduation is of the user whose page it is.
    limited, twin = twins[3:5]
    for each in (limited, twin):
        assert one.initiate(each).status == 201
    path = "curae-connect/graduation-handoff"
    headers = (("Authorization", f"Bearer {one.api_key}"),)
    body = json.dumps({"appUserId": limited}).encode()
    started = place.send(Request("POST", f"/api/sdk/v1/{path}", headers, body))
    assert finish(place, json.loads(started.body)["nextAction"]["url"]).status == 200
    assert (one.state(limited), one.state(twin)) == ("ACTIVE", "LIMITED")


def finish(place: Served, url: str) -> Response:
    return place.send(Request("POST", f"{urlsplit(url).path}/finish"))


def test_twins_are_kept_apart_over_a_socket(tmp_path: Path) -> None:
    served("django", sqlite(tmp_path), tmp_path, FEW)


@pytest.mark.heavy
@pytest.mark.parametrize("app_name", ["fastapi", "flask", "django"])
@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_twins_are_kept_apart_over_every_socket(
    app_name: str, database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    served(app_name, request.getfixturevalue(database), tmp_path, TWINS)
