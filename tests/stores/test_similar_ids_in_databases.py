"""Tests that similar ids stay distinct in every database and over every request path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.values import AppUserId, UserId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import BindingWrite
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.request import Request
from tests.stores.twin_places import Served, Stored
from tests.stores.twins import FEW, LONGEST, TWINS, app, check_all, check_users, owner, unusual
from tests.support.strategies import uuid
from tests.support.wire.running import Behind, engine_of, running_server, sqlite
from tests.support.wire.visiting import pressed


@pytest.mark.slow
def test_similar_ids_stay_distinct_in_sqlite(sqlite_url: str) -> None:
    in_sql(sqlite_url, FEW)


@pytest.mark.heavy
@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_every_pair_of_similar_ids_stays_distinct_in_a_database(
    database: str, request: pytest.FixtureRequest
) -> None:
    in_sql(request.getfixturevalue(database), TWINS)


def in_sql(url: str, twins: tuple[str, ...]) -> None:
    with engine_of(url) as engine:
        check_all(Stored(SqlStore(SqlDatabase(engine))), twins)


# --- Every code point of an id --------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_every_code_point_of_an_id_is_stored_unchanged(
    database: str, request: pytest.FixtureRequest
) -> None:
    users = [AppUserId(text) for text in (LONGEST, *unusual())]
    made = [
        LimitedAccountAppBinding(
            coordinate=owner().coordinate(user),
            user_id=UserId(user),
            state=AccountState.LIMITED,
            generation=1,
        )
        for user in users
    ]
    url: str = request.getfixturevalue(database)
    with engine_of(url) as engine:
        store = SqlStore(SqlDatabase(engine))
        loaded = store.load(Needs())
        for each in made:
            assert store.commit(loaded, Changes((BindingWrite(None, each),)))
        for each in made:
            assert store.load(Needs(binding=each.coordinate)).snapshot.binding == each


# --- Over a socket --------------------------------------------------------------------------


def served(app_name: str, url: str, directory: Path, twins: tuple[str, ...]) -> None:
    with running_server(app_name, url, directory) as server, engine_of(url) as engine:
        place = Served(server, Behind(server.control, engine))
        check_users(place, twins)
        check_pages(place, twins)


def check_pages(place: Served, twins: tuple[str, ...]) -> None:
    """Check that finishing a page of one user changes no similar user."""
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
    # A graduation changes only the user of its page.
    limited, twin = twins[3:5]
    for each in (limited, twin):
        assert one.initiate(each).status == 201
    path = "curae-connect/graduation-handoff"
    headers = (("Authorization", f"Bearer {one.api_key}"),)
    body = json.dumps({"appUserId": limited}).encode()
    started = place.send(
        Request(method="POST", target=f"/api/sdk/v1/{path}", headers=headers, body=body)
    )
    assert finish(place, json.loads(started.body)["nextAction"]["url"]).status == 200
    assert (one.state(limited), one.state(twin)) == ("ACTIVE", "LIMITED")


def finish(place: Served, url: str) -> Response:
    return place.send(pressed(url, "finish"))


@pytest.mark.slow
def test_similar_ids_stay_distinct_in_the_django_example_server(tmp_path: Path) -> None:
    served("django", url=sqlite(tmp_path), directory=tmp_path, twins=FEW)


@pytest.mark.heavy
@pytest.mark.parametrize("app_name", ["fastapi", "flask", "django"])
@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_similar_ids_stay_distinct_in_every_example_server(
    app_name: str, database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    served(app_name, url=request.getfixturevalue(database), directory=tmp_path, twins=TWINS)
