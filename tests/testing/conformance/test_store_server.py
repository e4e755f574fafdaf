"""Tests of the kit's server around a store: its hooks, its clock and its hosted pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId, Coordinate, Environment, SessionId
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.store_server import (
    START,
    _Declined,
    server_for_store,
)
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys
from tests.support.charging import MemoryChargingStore
from tests.testing.conformance.by_hand import ACCOUNT, context
from tests.testing.conformance.store_world import MINUTE, OTHER_START, WANTED, Bare, ReadOnly, World

# --- Hooks and clock ------------------------------------------------------------------------

OF_METHODS = ("withdraw", "finish", "cancel", "purge", "outbox")


def test_kit_server_has_a_hook_only_if_its_store_has_the_method() -> None:
    whole, bare = server_for_store(MemoryStore()), server_for_store(Bare())
    assert all(getattr(whole, name) is not None for name in OF_METHODS)
    assert all(getattr(bare, name) is None for name in OF_METHODS)
    for server in (whole, bare):
        assert server.environment is None
        assert server.turn_clock_back is not None
        assert server.change_key_id is not None
        assert server.race_rounds == 5


@pytest.mark.parametrize(
    ("make", "start"), [(MemoryStore, START), (Bare, OTHER_START), (ReadOnly, OTHER_START)]
)
def test_simulated_clock_starts_at_the_time_of_a_read_only_clock(
    make: Callable[[], StoreWithApiKeys], start: datetime
) -> None:
    world = World(make())
    assert world.date() == start == world.hooks.clock()
    world.hook("pass_time", MINUTE)
    world.hook("pass_time", MINUTE)
    assert world.date() == start + 2 * MINUTE == world.hooks.clock()
    world.hook("turn_clock_back", 3 * MINUTE)
    assert world.date() == start - MINUTE == world.hooks.clock()


class Purging(MemoryStore):
    """A store that notes the instants of its purges."""

    def __init__(self) -> None:
        super().__init__()
        self.purges: list[datetime] = []

    def purge(self, now: datetime | None = None, limit: int | None = None) -> int:
        self.purges.append(self.clock())
        return super().purge(now, limit)


def test_purge_uses_the_time_of_the_simulated_clock() -> None:
    store = Purging()
    world = World(store)
    world.hook("pass_time", MINUTE)
    assert store.purges == [START + MINUTE]
    world.hook("purge")
    assert store.purges == [START + MINUTE] * 2


def test_store_with_a_read_only_clock_purges_by_its_own_time() -> None:
    store = ReadOnly()
    world = World(store)
    world.hook("pass_time", MINUTE)
    assert store.purges == []
    world.hook("purge")
    assert store.purges == [None]


# --- API keys -------------------------------------------------------------------------------


def caller(world: World, key: str) -> Caller:
    found = world.store.caller_of(ApiKey(key).digest())
    assert found is not None
    return found


@pytest.mark.parametrize("environment", Environment)
def test_made_api_key_has_the_requested_caller(environment: Environment) -> None:
    world = World()
    wanted = ApiKeyRequest("app-7", ACCOUNT, environment, scopes=frozenset({"x"}))
    keys = [world.server.make_key(wanted) for _ in range(2)]
    assert keys == [f"cae_{environment}_2", f"cae_{environment}_3"]
    callers = [caller(world, each) for each in keys]
    assert len({each.api_key_id for each in callers}) == 2
    for each in callers:
        assert (each.app_id, each.customer_account_id) == ("app-7", ACCOUNT)
        assert (each.environment, each.scopes) == (environment, frozenset({"x"}))


def test_api_key_registered_again_keeps_its_id() -> None:
    world = World()
    before = caller(world, world.key)
    world.hook("register_again", world.key, ApiKeyRequest("other", ACCOUNT))
    after = caller(world, world.key)
    assert (after.app_id, after.api_key_id) == ("other", before.api_key_id)


def test_changing_an_api_keys_id_gives_it_an_unused_id() -> None:
    world = World()
    ids = {
        caller(world, world.key).api_key_id,
        caller(world, world.server.make_key(WANTED)).api_key_id,
    }
    for _ in range(2):
        world.hook("change_key_id", world.key, WANTED)
        after = caller(world, world.key)
        assert after.app_id == "app"
        assert after.api_key_id not in ids
        ids.add(after.api_key_id)


def test_withdrawn_api_key_gets_401_and_others_still_work() -> None:
    world = World()
    other = world.server.make_key(WANTED)
    world.hook("withdraw", world.key)
    assert world.send(world.app.account_state("u")).status == 401
    assert world.send(App(other, WANTED, context()).account_state("u")).status == 200


@pytest.mark.parametrize(("environment", "status"), [(None, 200), ("test", 200), ("live", 403)])
def test_server_of_one_environment_refuses_keys_of_the_other(
    environment: str | None, status: int
) -> None:
    only = None if environment is None else Environment(environment)
    server = server_for_store(MemoryStore(), only)
    assert server.environment is only
    key = server.make_key(ApiKeyRequest("app", ACCOUNT, Environment.TEST))
    sent = App(key, WANTED, context()).account_state("u")
    assert server.send(sent).status == status


# --- Facts and access -----------------------------------------------------------------------


def test_data_package_is_readable_only_between_grant_and_expiry() -> None:
    world = World()
    connection_id, _ = world.created()
    assert world.hook("may_read", connection_id, "labs") is False
    assert world.hook("authorize", connection_id, MINUTE) == "done"
    assert world.hook("may_read", connection_id, "labs") is True
    assert world.hook("may_read", connection_id, "genome") is False
    world.hook("pass_time", MINUTE)
    assert world.hook("may_read", connection_id, "labs") is False


def test_data_package_of_an_unknown_connection_is_unreadable() -> None:
    world = World()
    assert world.hook("may_read", "c0ffee00-0000-4000-8000-00000000dead", "labs") is False


def test_package_may_not_be_read_after_a_tombstone() -> None:
    world = World()
    world.body(world.app.initiate("u"))
    connection_id, _ = world.created()
    world.hook("authorize", connection_id, None)
    assert world.hook("may_read", connection_id, "labs") is True
    assert world.hook("tombstone", coordinate()) == "done"
    assert world.hook("may_read", connection_id, "labs") is False


def test_tombstone_ends_reading_before_connection_is_revoked() -> None:
    world = World()
    world.body(world.app.initiate("u"))
    connection_id, _ = world.created()
    world.hook("authorize", connection_id, None)
    fact = Tombstoned(coordinate())
    loaded = world.store.load(fact.needs())
    answer = fact.judge(loaded.snapshot, START + MINUTE)
    assert isinstance(answer, Done)
    # `record` would also revoke the connection, which is still ACTIVE here.
    assert world.store.commit(loaded, answer.value)
    assert world.hook("may_read", connection_id, "labs") is False


def coordinate() -> Coordinate:
    return App("", WANTED, context()).coordinate("u")


# --- Buckets --------------------------------------------------------------------------------

TWO = (Bucket(name="two", capacity=2, refill=1, seconds=3600),)


def admitted(world: World, count: int) -> list[int]:
    return [world.send(world.app.account_state("u")).status for _ in range(count)]


def test_replace_buckets_hook_gives_full_buckets_each_time() -> None:
    world = World()
    for _ in range(2):
        world.hook("replace_buckets", TWO)
        assert admitted(world, 3) == [200, 200, 429]
    world.hook("replace_buckets", None)
    assert admitted(world, 3) == [200] * 3


def test_replaced_buckets_also_limit_requests_that_write() -> None:
    world = World()
    for _ in range(2):
        world.hook("replace_buckets", TWO)
        made = [world.send(world.app.create("u")).status for _ in range(3)]
        assert made == [201, 201, 429]


def test_replacing_buckets_does_not_reset_a_users_rate_limit() -> None:
    world = World()
    for number in range(11):
        world.hook("replace_buckets", TWO)
        assert world.send(world.app.initiate("u")).status == (429 if number == 10 else 201)


class Charging(MemoryChargingStore):
    """A store that charges buckets apart, and notes what it is told to charge and commit."""

    def __init__(self) -> None:
        super().__init__()
        self.charged: list[tuple[str, bool]] = []
        self.loads: list[Loaded] = []

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        self.loads.append(loaded)
        for each in charges:
            assert isinstance(each.key, BucketKey)
            self.charged.append((each.key.bucket.name, durable))
        return super().charge(loaded, charges, durable=durable)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.loads.append(loaded)
        return super().commit(loaded, changes, page)


def test_hook_replaces_buckets_of_a_store_charging_before_commit() -> None:
    store = Charging()
    world = World(store)
    world.hook("replace_buckets", TWO)
    assert admitted(world, 1) == [200]
    assert world.send(world.app.create("u")).status == 201
    # Only a request that commits nothing else needs a durable charge.
    assert [durable for _, durable in store.charged] == [True, False]
    assert len({name for name, _ in store.charged} - {"two"}) == 1
    assert admitted(world, 1) == [429]
    world.hook("replace_buckets", TWO)
    assert admitted(world, 3) == [200, 200, 429]
    assert len(store.loads) > 4
    assert all(isinstance(each, Loaded) for each in store.loads)


# --- Hosted pages ---------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["finish", "cancel"])
def test_finishing_or_cancelling_an_unknown_page_returns_gone(hook: str) -> None:
    assert World().hook(hook, "https://connect.example/none") == "gone"


def version(world: World, url: str) -> int:
    """Return the number of writes of a page: a fact that names it is one."""
    assert isinstance(world.store, MemoryStore)
    page = world.store.hosted_page(url)
    assert page is not None
    return page.version


def test_finished_page_of_a_connection_authorizes_it() -> None:
    world = World()
    connection_id, url = world.created()
    other, _ = world.created()
    assert world.hook("finish", url) == "done"
    assert (world.status(connection_id), world.status(other)) == ("ACTIVE", "PENDING")
    assert version(world, url) == 2
    assert world.hook("finish", url) == "ignored"


def test_cancelled_page_of_a_connection_revokes_as_the_patient() -> None:
    store = MemoryStore()
    world = World(store)
    connection_id, url = world.created()
    assert world.hook("cancel", url) == "done"
    assert world.status(connection_id) == "REVOKED"
    connection = store.connection(ConnectionId(connection_id))
    assert connection is not None
    assert connection.revoked_by is Actor.PATIENT
    assert version(world, url) == 2


def test_cancelling_the_page_of_an_active_connection_is_ignored() -> None:
    world = World()
    connection_id, url = world.created()
    world.hook("authorize", connection_id, None)
    assert world.hook("cancel", url) == "ignored"
    assert world.status(connection_id) == "ACTIVE"
    fact = _Declined(ConnectionId(connection_id), Actor.PATIENT)
    ignored = Ignored(NO_CHANGES, ("a finished page cancels nothing",))
    assert world.hooks.record_fact(fact) == ignored


def test_finishing_a_sign_up_page_completes_it_and_binds_a_user() -> None:
    world = World()
    made = world.body(world.app.initiate("u", prefer_signup=True))
    url = made["nextAction"]["url"]
    assert world.hook("cancel", url) == "ignored"
    assert world.hook("finish", url) == "done"
    store = world.store
    assert isinstance(store, MemoryStore)
    session = store.session(SessionId(made["session"]["id"]))
    assert session is not None
    assert session.landed_at is not None
    bound = store.binding(coordinate())
    assert bound is not None
    assert str(bound.user_id).startswith("user-")
    assert version(world, url) == 2
    assert world.hook("finish", url) == "ignored"


def test_finishing_a_graduation_page_makes_only_its_user_active() -> None:
    world = World()
    world.body(world.app.initiate("u"))
    world.body(world.app.initiate("v"))
    url = world.body(world.app.graduate("u"))["nextAction"]["url"]
    assert world.hook("cancel", url) == "ignored"
    assert (world.state("u"), world.state("v")) == ("LIMITED", "LIMITED")
    assert world.hook("finish", url) == "done"
    assert (world.state("u"), world.state("v")) == ("ACTIVE", "LIMITED")
    assert version(world, url) == 2
    assert world.hook("finish", url) == "ignored"


# --- The outbox -----------------------------------------------------------------------------


def outbox(world: World) -> Sequence[object]:
    return cast("Sequence[object]", world.hook("outbox"))


def test_outbox_of_a_store_in_memory_has_its_messages_in_order() -> None:
    delivered: list[Changes] = []
    world = World(MemoryStore(deliver=delivered.append))
    assert outbox(world) == []
    first, _ = world.created("u")
    assert len(outbox(world)) == len(delivered) == 1
    assert isinstance(delivered[0], Changes)
    second, _ = world.created("v")
    seen = [json.dumps(each) for each in outbox(world)]
    assert [first in seen[0], second in seen[-1]] == [True, True]
    assert len(delivered) == 2


def test_kit_collects_outbox_messages_of_a_plain_memory_store() -> None:
    world = World(MemoryStore())
    connection_id, _ = world.created()
    (message,) = outbox(world)
    assert connection_id in json.dumps(message)


def test_outbox_spells_active_status_authorized_if_configured() -> None:
    world = World(MemoryStore(Settings(active_spelling="AUTHORIZED")))
    connection_id, _ = world.created()
    world.hook("authorize", connection_id, None)
    assert '"AUTHORIZED"' in json.dumps(outbox(world))
    assert '"ACTIVE"' not in json.dumps(outbox(world))


class WithOutbox(Bare):
    """A store with an outbox that a test can read."""

    def outbox(self) -> list[object]:
        return [{"kind": "own"}]


def test_outbox_hook_calls_the_outbox_method_of_the_store() -> None:
    assert outbox(World(WithOutbox())) == [{"kind": "own"}]


# --- Errors ---------------------------------------------------------------------------------


class Failing(Bare):
    """A store whose optional methods raise."""

    def fail(self, *arguments: object) -> object:
        raise LookupError(len(arguments))

    withdraw = hosted_page = purge = outbox = fail


@pytest.mark.parametrize(
    ("hook", "method", "count"),
    [
        ("withdraw", "withdraw", 1),
        ("finish", "hosted_page", 1),
        ("cancel", "hosted_page", 1),
        ("purge", "purge", 0),
        ("outbox", "outbox", 0),
    ],
)
def test_error_of_a_store_names_the_method_that_raised(hook: str, method: str, count: int) -> None:
    world = World(Failing())
    arguments = ("text",) if count else ()
    with pytest.raises(LookupError) as raised:
        world.hook(hook, *arguments)
    assert raised.value.args == (count,)
    assert raised.value.__notes__ == [f"the store's method {method} raised this"]


class FailingPurge(MemoryStore):
    """A store on a simulated clock whose purge raises."""

    def purge(self, now: datetime | None = None, limit: int | None = None) -> int:
        raise LookupError(now, limit)


def test_error_of_a_failing_purge_names_the_stores_purge_method() -> None:
    with pytest.raises(LookupError) as raised:
        World(FailingPurge()).hook("purge")
    assert raised.value.__notes__ == ["the store's method purge raised this"]
