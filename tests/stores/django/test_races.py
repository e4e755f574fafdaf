"""Tests of races on Django's connections: late commits conflict and decide again."""

from __future__ import annotations

import json
from functools import partial
from typing import TypeVar

import pytest
from django.db import connections
from psycopg import IsolationLevel

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.codec import Storable, load
from curae_lifecycle.stores.django.database import DjangoDatabase
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.laws import check_rate_limit
from curae_lifecycle.testing.races import SCENARIOS, StoreArena, race_all
from curae_lifecycle.testing.store_invariants import check_store
from curae_lifecycle.web.json import parse_json
from curae_lifecycle.web.request import Request
from tests.support.django_project import at_once, database
from tests.support.served import MINT, PATIENCE
from tests.support.server import API_KEY, CALLER
from tests.support.server import request as ask
from tests.support.strategies import COORDINATE

LEVELS = {
    "read committed": IsolationLevel.READ_COMMITTED,
    "repeatable read": IsolationLevel.REPEATABLE_READ,
    "serializable": IsolationLevel.SERIALIZABLE,
}
SETTINGS = Settings(buckets=(Bucket(name="platform", capacity=1000, refill=500, seconds=1),))
Stored = TypeVar("Stored", bound=Storable)


def registered(alias: str) -> SqlStore:
    store = SqlStore(DjangoDatabase(alias), SETTINGS)
    store.register(ApiKey(API_KEY), CALLER)
    return store


@pytest.mark.slow
@pytest.mark.parametrize(
    "url", ["sqlite", pytest.param("postgres", marks=pytest.mark.heavy)], indirect=True
)
@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(
            each, marks=() if each == "nine initiates were admitted" else pytest.mark.heavy
        )
        for each in SCENARIOS
    ],
)
def test_concurrent_django_requests_and_facts_are_serializable(url: str, scene: str) -> None:
    with database(url) as alias:
        arena = StoreArena(SqlStore(DjangoDatabase(alias)))
        every = [*race_all(arena, SCENARIOS[scene])]
        assert len(every) >= 100
        assert [each for each in every if each.differences] == []


def judge(alias: str) -> None:
    """Check the laws on everything that is stored."""
    sessions = stored(alias, CuraeConnectSession, "session")
    check_store(
        stored(alias, Connection, "connection"),
        sessions=sessions,
        bindings=stored(alias, LimitedAccountAppBinding, "binding"),
        now=SqlStore(DjangoDatabase(alias)).load(Needs(), "").now,
    )
    of_user = [each for each in sessions if each.coordinate == COORDINATE]
    check_rate_limit([each.created_at for each in of_user])


def stored(alias: str, kind: type[Stored], table: str) -> list[Stored]:
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT document FROM curae_{table}")  # noqa: S608 - a word of ours
        return [load(kind, parse_json(document)) for (document,) in cursor.fetchall()]


def counted(alias: str, table: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM curae_{table}")  # noqa: S608 - the same
        (number,) = cursor.fetchone()
    return int(number)


@pytest.mark.slow
@pytest.mark.parametrize(
    "level", ["", *[pytest.param(level, marks=pytest.mark.heavy) for level in LEVELS]]
)
def test_concurrent_django_retries_run_once_and_obey_rate_limit(
    level: str, request: pytest.FixtureRequest
) -> None:
    # SQLite has one isolation level and takes its lock with the first write.
    url = request.getfixturevalue("postgres_url" if level else "sqlite_url")
    options: dict[str, object] = {}
    if level:
        options["isolation_level"] = LEVELS[level]
    with database(url, options=options) as alias:
        store = registered(alias)
        visits = [ask("initiate", key=f"visit-{number}") for number in range(20)]
        statuses = [each.status for each in send(alias, store, visits)]
        assert sorted(statuses) == [201] * 10 + [429] * 10
        assert counted(alias, "session") == 10

        # One key twenty times: one execution, replayed to all.
        made = send(alias, store, [ask("create", key="create")] * 20)
        assert {each.status for each in made} == {201}
        assert len({each.body for each in made}) == 1
        assert counted(alias, "connection") == 1

        # Reconnect under twenty keys: one successor, whose URL each request renews.
        id_ = json.loads(made[0].body)["connection"]["id"]
        record(store, Revoked(ConnectionId(id_), Actor.APP), retry_policy=PATIENCE)
        before = counted(alias, "outbox")
        again = [ask("reconnect", id=id_, key=f"again-{number}") for number in range(20)]
        recovered = send(alias, store, again)
        assert {each.status for each in recovered} == {201}
        assert len({json.loads(each.body)["connection"]["id"] for each in recovered}) == 1
        assert counted(alias, "connection") == 2
        # One event for the creation; an effect and an event for each other request.
        assert counted(alias, "outbox") - before == 1 + 19 * 2
        judge(alias)


def send(alias: str, store: SqlStore, requests: list[Request]) -> list[Response]:
    """Send all requests at once."""
    works = [
        partial(serve, store, each, MINT, SETTINGS, retry_policy=PATIENCE) for each in requests
    ]
    return [each.response for each in at_once(alias, works)]


@pytest.mark.slow
def test_concurrent_create_tables_on_django_creates_them_once(url: str) -> None:
    with database(url, migrated=False) as alias:
        # If two connections switch a new file to WAL at once, SQLite refuses one.
        connections[alias].ensure_connection()
        at_once(alias, [SqlStore(DjangoDatabase(alias)).create_tables] * 8)
        assert counted(alias, "connection") == 0
