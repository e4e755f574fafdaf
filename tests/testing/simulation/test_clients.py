"""Tests of the clients of a simulated world: their API keys, their users and their requests."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import count
from random import Random

import pytest

from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey
from curae_lifecycle.rules.values import AppUser, ConnectionId, Environment
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.simulation.clients import (
    PACKAGES,
    Client,
    Population,
    User,
    uuid_of,
)
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.testing.simulation.mishaps import Dice, Mishap, WorldProfile
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from tests.support.strategies import START, uuid

USERS = 4
OPERATIONS: dict[str, type[Operation]] = {
    "create": CreateConnection,
    "get": GetConnection,
    "reconnect": Reconnect,
    "revoke": Revoke,
    "initiate": Initiate,
    "account-state": GetAccountState,
    "graduation": StartGraduation,
}
WITHOUT_KEY = {"get", "account-state", "graduation"}


class Apps:
    """Three apps: the first two share a customer account. Each user stays for a day on average."""

    def __init__(self, *mishaps: Mishap) -> None:
        profile = WorldProfile(
            rates=dict.fromkeys(mishaps, 1.0),
            requests_per_hour=1,
            users=USERS,
            days_of_a_user=1,
            settings=DEFAULT_SETTINGS,
        )
        self.store = MemoryStore(DEFAULT_SETTINGS)
        self.journal = Journal()
        self.population = Population(
            3,
            dice=Dice(Random(0), profile),  # noqa: S311 - a world's dice, no secret
            numbers=count(1),
            journal=self.journal,
            store=self.store,
            now=START,
        )
        self.client = self.population.clients[0]

    def users(self, client: Client, now: timedelta = timedelta(0)) -> set[str]:
        """Return the names of the users that a client draws."""
        return {self.population.pick_user(client, START + now).name for _ in range(100)}

    def user(self, *known: ConnectionId) -> User:
        """Return a user of the first app, which knows the ids of these connections."""
        user = self.population.pick_user(self.client, START)
        user.connections.clear()
        user.ids_known_by(self.client).extend(known)
        return user

    def read(self, request: Request) -> Call | Decision:
        api_key = bearer(request)
        assert api_key is not None
        caller = self.store.caller_of(api_key.digest())
        return read(request, caller=caller, now=START, settings=DEFAULT_SETTINGS)

    def requests(self, operation: str, user: User) -> list[Request]:
        """Return many requests of the first app for a user."""
        key = None if operation in WITHOUT_KEY else "k-1"
        request = self.population.request
        drawn = [request(operation, self.client, user, key=key, now=START) for _ in range(200)]
        return [each for each in drawn if each is not None]


# --- API keys and users -----------------------------------------------------------------------


def test_client_has_a_read_and_a_write_api_key_per_environment() -> None:
    apps = Apps()
    live, test, write = Environment.LIVE, Environment.TEST, frozenset({CONNECTION_WRITE})
    for number, client in enumerate(apps.population.clients):
        callers = [apps.store.caller_of(ApiKey(key).digest()) for key in client.keys]
        granted = [caller and (caller.environment, caller.scopes) for caller in callers]
        assert granted == [(live, write), (live, frozenset()), (test, write), (test, frozenset())]
        assert client.caller == callers[0]
        assert {caller and caller.app_id for caller in callers} == {f"app-{number}"}
        ids = [caller and caller.api_key_id for caller in callers]
        assert ids == [f"key-{number}-{which}" for which in ("w", "r", "tw", "tr")]


def test_pair_of_clients_shares_a_customer_account_and_users() -> None:
    apps = Apps()
    first, second, third = apps.population.clients
    assert first.caller.customer_account_id == second.caller.customer_account_id
    assert first.caller.customer_account_id != third.caller.customer_account_id
    assert apps.users(first) == apps.users(second)
    assert apps.users(first) & apps.users(third) == set()
    assert len(apps.users(first)) == len(apps.users(third)) == USERS


def test_simulated_user_has_live_environment_and_clients_account() -> None:
    apps = Apps()
    user, account = apps.user(), apps.client.caller.customer_account_id
    assert user.app_user == AppUser(Environment.LIVE, account, user.name)
    assert user.app_user == apps.client.caller.coordinate(user.name).app_user


def test_departed_app_users_are_replaced_by_new_users() -> None:
    apps = Apps()
    before = apps.users(apps.client)
    after = apps.users(apps.client, timedelta(days=100))
    assert len(before) == len(after) == USERS
    assert before & after == set()


def test_departing_app_user_is_dropped_with_its_log_lines() -> None:
    apps = Apps()
    user = apps.user()
    assert user.gone_at > START
    apps.journal.add(user.app_user, START, apps.requests("create", user)[0])
    before = user.gone_at - timedelta(microseconds=1)
    names = {apps.population.pick_user(apps.client, before).name for _ in range(100)}
    assert user.name in names
    log, keys = ([*apps.journal.lines(each)] for each in (user.app_user, None))
    assert len(log) == len(keys) + 1
    names = {apps.population.pick_user(apps.client, user.gone_at).name for _ in range(100)}
    assert user.name not in names
    assert [*apps.journal.lines(user.app_user)] == keys


def test_connection_id_known_to_one_app_is_unknown_to_another() -> None:
    apps = Apps()
    user, second = apps.user(), apps.population.clients[1]
    user.ids_known_by(apps.client).append(ConnectionId(uuid(1)))
    assert user.ids_known_by(apps.client) == [uuid(1)]
    assert user.ids_known_by(second) == []


# --- Requests ---------------------------------------------------------------------------------


def test_reconnect_is_the_most_frequent_operation() -> None:
    population = Apps().population
    drawn = Counter(population.draw_operation() for _ in range(2000))
    assert drawn.keys() == OPERATIONS.keys()
    assert drawn.most_common(1)[0][0] == "reconnect"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_request_without_mishaps_parses_as_the_given_operation(operation: str) -> None:
    apps = Apps()
    user = apps.user(ConnectionId(uuid(1)))
    for request in apps.requests(operation, user):
        call = apps.read(request)
        assert isinstance(call, Call)
        assert type(call.operation) is OPERATIONS[operation]
        assert call.caller == apps.client.caller
        if call.needs.binding is not None:
            assert call.needs.binding == apps.client.caller.coordinate(user.name)
        else:
            assert call.needs.connection == uuid(1)


def test_create_requests_cover_every_set_of_data_packages() -> None:
    apps = Apps()
    calls = [apps.read(request) for request in apps.requests("create", apps.user())]
    operations = [call.operation for call in calls if isinstance(call, Call)]
    named = {
        frozenset(each.data_packages) for each in operations if isinstance(each, CreateConnection)
    }
    assert len(named) == 7
    assert frozenset().union(*named) == {*PACKAGES}


@pytest.mark.parametrize("operation", ["get", "reconnect", "revoke"])
def test_client_sends_no_connection_request_without_a_known_id(operation: str) -> None:
    apps = Apps()
    assert apps.requests(operation, apps.user()) == []
    assert apps.population.pick_connection_id(apps.client, apps.user(), START) is None


def test_newest_known_connection_id_is_drawn_most_often() -> None:
    apps = Apps()
    ids = [ConnectionId(uuid(number)) for number in range(3)]
    user = apps.user(*ids)
    pick = apps.population.pick_connection_id
    drawn = Counter(pick(apps.client, user, START) for _ in range(1000))
    assert drawn.keys() == {*ids}
    assert drawn[ids[-1]] > 600


# --- Mishaps ----------------------------------------------------------------------------------


def test_foreign_id_mishap_draws_unknown_or_other_clients_id() -> None:
    apps = Apps(Mishap.FOREIGN_ID)
    own = ConnectionId(uuid(1))
    user = apps.user(own)
    theirs = ConnectionId(uuid(2))
    for other in apps.population.clients[1:]:
        for _ in range(100):
            apps.population.pick_user(other, START).connections[other.caller.app_id] = [theirs]
    drawn = {apps.population.pick_connection_id(apps.client, user, START) for _ in range(300)}
    unknown = {ConnectionId(uuid_of(0xF, number)) for number in range(1000)}
    assert own not in drawn
    assert theirs in drawn
    assert len(drawn & unknown) > 50
    assert drawn <= {theirs, *unknown}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_wrong_api_key_is_unknown_or_another_key_of_the_client(operation: str) -> None:
    apps = Apps(Mishap.WRONG_API_KEY)
    requests = apps.requests(operation, apps.user(ConnectionId(uuid(1))))
    used = {dict(request.headers)["Authorization"] for request in requests}
    others = (*apps.client.keys[1:], "cae_live_nobody")
    assert used == {f"Bearer {key}" for key in others}
    assert apps.store.caller_of(ApiKey("cae_live_nobody").digest()) is None


@pytest.mark.parametrize("operation", OPERATIONS)
def test_request_broken_by_a_mishap_parses_only_if_it_is_a_get(operation: str) -> None:
    apps = Apps(Mishap.BROKEN_REQUEST)
    requests = apps.requests(operation, apps.user(ConnectionId(uuid(1))))
    # A read may have an idempotency key, which does nothing.
    read = [each for each in requests if isinstance(apps.read(each), Call)]
    assert {each.method for each in read} <= {"GET"}
    assert len(read) < 0.5 * len(requests)
    assert len({request.target for request in requests}) > 4
