"""Tests of races' tenants, their actions, and the scenarios in which races begin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.effects import HandoffCancelled
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, PageWrite, RateWrite
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.races import (
    SCENARIOS,
    Content,
    PendingCommit,
    RaceTenant,
    StoreArena,
    commit,
    commit_with_retries,
    fact_action,
)
from curae_lifecycle.testing.races.scenarios import START, CommitRefusedError, at
from curae_lifecycle.testing.request_store import RequestStore
from tests.support.strategies import pending

UNBOUND: Final = "no user is bound, one connection is pending"
BOUND: Final = "a user is bound, one connection is pending"
LAPSED: Final = "the pending connection has lapsed"
ACTIVE: Final = "one connection is active"
RECOVERED: Final = "a successor is pending"
REVOKED: Final = "a successor is revoked"
NINE: Final = "nine initiates were admitted"
ONE_LEFT: Final = "the key has one request left"


def numbered(content: Content) -> dict[str, str]:
    """Return contents with the number of each UUID in its place."""

    def number(found: re.Match[str]) -> str:
        return str(int(found[1], 16))

    uuid = re.compile(r"x{8}-0000-4000-8000-([0-9a-f]{12})")
    return {uuid.sub(number, name): uuid.sub(number, text) for name, text in content.items()}


def subset(content: Content, names: Mapping[str, str]) -> dict[str, str]:
    return {name: content.get(name, "absent") for name in names}


# --- Tenants ----------------------------------------------------------------------------------


def test_race_tenant_derives_all_its_values_from_its_number() -> None:
    settings = Settings(Environment.LIVE)
    tenant = RaceTenant.of(27, settings)
    caller = Caller(
        api_key_id=ApiKeyId("key-5a00001b"),
        app_id=AppId("app-5a00001b"),
        customer_account_id=CustomerAccountId("5a00001b-0000-4000-8000-00000000000a"),
        environment=Environment.LIVE,
        scopes=frozenset({"connection:write"}),
    )
    assert tenant == RaceTenant(
        caller=caller,
        api_key="cae_live_5a00001b",
        user=AppUserId("user-5a00001b"),
        id_prefix="5a00001b",
        page_url_prefix="https://connect.example/5a00001b/",
        settings=settings,
    )
    assert tenant.coordinate == Coordinate(
        environment=Environment.LIVE,
        app_id=caller.app_id,
        customer_account_id=caller.customer_account_id,
        app_user_id=tenant.user,
    )
    assert tenant.first == ConnectionId("5a00001b-0000-4000-8000-000000000001")
    assert tenant.second == ConnectionId("5a00001b-0000-4000-8000-000000000002")
    assert tenant.open_session_id == SessionId("5a00001b-0000-4000-8000-0000000003ed")
    assert tenant.page_url(4) == "https://connect.example/5a00001b/4"


@pytest.mark.parametrize("number", [0, 4, 999])
def test_race_tenant_numbers_only_its_own_hosted_pages(number: int) -> None:
    tenant, other = RaceTenant.of(27, Settings()), RaceTenant.of(28, Settings())
    digest = url_digest(tenant.page_url(number))
    assert tenant.page_number(digest) == number
    with pytest.raises(ValueError, match="not one of this tenant"):
        other.page_number(digest)


def test_new_ids_of_a_request_are_made_from_its_number() -> None:
    tenant = RaceTenant.of(27, Settings())
    assert tenant.new_ids(31, at(5)) == NewIds(
        connection_id=ConnectionId("5a00001b-0000-4000-8000-00000000001f"),
        session_id=SessionId("5a00001b-0000-4000-8000-000000000407"),
        user_id=UserId("user-31"),
        next_action=NextAction("https://connect.example/5a00001b/31", at(35)),
    )


def test_function_at_returns_the_race_start_plus_given_minutes() -> None:
    assert datetime(2026, 1, 1, tzinfo=UTC) == START == at(0)
    assert at(1.5) == START + timedelta(seconds=90)


# --- Actions ----------------------------------------------------------------------------------


class Scripted(MemoryStore):
    """A store that refuses its first commits, and writes down what each load and commit gets."""

    def __init__(self, refusals: int = 0, error: Exception | None = None) -> None:
        super().__init__()
        self.loads: list[tuple[Needs, str | None]] = []
        self.loaded: list[Loaded] = []
        self.commits: list[PendingCommit] = []
        self._refusals = refusals
        self._error = error

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.loads.append((needs, key_digest))
        self.loaded.append(super().load(needs, key_digest))
        return self.loaded[-1]

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.commits.append(PendingCommit(loaded, changes, page))
        if self._error is not None:
            raise self._error
        return len(self.commits) > self._refusals


TENANT: Final = RaceTenant.of(27, Settings())
CREATE: Final = CreateConnection(TENANT.user, (DataPackage("labs"),))


@pytest.mark.parametrize(
    ("operation", "key", "used"),
    [
        (CREATE, None, "k-31"),
        (CREATE, "k-9", "k-9"),
        (GetConnection(TENANT.first), "k-9", None),
        (StartGraduation(TENANT.user), "k-9", None),
    ],
)
def test_race_request_load_names_its_api_and_idempotency_key(
    operation: Operation, key: str | None, used: str | None
) -> None:
    store = Scripted()
    decided = TENANT.request_action(operation, 31, key)(store)
    assert decided.loaded is store.loaded[0]
    ((needs, digest),) = store.loads
    assert digest == TENANT.digest
    assert (None if needs.record is None else needs.record.key) == used
    assert needs.record is None or needs.record.owner == TENANT.caller.key_owner


def test_race_request_is_decided_with_the_tenants_settings() -> None:
    bucket = Bucket(name="platform", capacity=3, refill=1, seconds=60)
    tenant = attrs.evolve(TENANT, settings=Settings(buckets=(bucket,)))
    store = Scripted()
    decided = tenant.create_action(31)(store)
    assert [each.bucket for each in store.loads[0][0].buckets] == [bucket]
    assert decided.page is not None
    assert decided.page.digest == url_digest(tenant.page_url(31))
    assert decided.page.subject == f"{tenant.id_prefix}-0000-4000-8000-00000000001f"


def test_retry_of_a_charged_race_request_loads_no_bucket() -> None:
    settings = Settings(buckets=(Bucket(name="platform", capacity=3, refill=1, seconds=60),))
    action, store = attrs.evolve(TENANT, settings=settings).create_action(31), Scripted()
    request = RequestStore(store)
    charge = next(each for each in action(request).changes.writes if isinstance(each, RateWrite))
    request.charges = (charge,)
    assert action(request).changes.writes.count(charge) == 0
    assert [len(needs.buckets) for needs, _ in store.loads] == [1, 0]


def test_race_action_of_a_refused_fact_changes_nothing() -> None:
    arena = StoreArena(MemoryStore())
    tenant, (store, _) = arena.set_up(SCENARIOS[UNBOUND]), arena.stores()
    decided = fact_action(Authorized(tenant.first))(store)
    assert decided.loaded.now == at(20)
    (write,) = decided.changes.writes
    assert isinstance(write, ConnectionWrite)
    assert write.after.status == "ACTIVE"
    refused = fact_action(Authorized(tenant.second))(store)
    assert refused.changes == NO_CHANGES
    assert refused.is_empty


LOADED: Final = Loaded(Snapshot(connection=pending()), START)
CHANGES: Final = Changes(effects=(HandoffCancelled(TENANT.first),))
PAGE: Final = HostedPage("d", kind=PageKind.CONNECTION, subject=TENANT.first, expires_at=at(30))


@pytest.mark.parametrize(
    ("decided", "is_empty"),
    [
        (PendingCommit(LOADED, NO_CHANGES), True),
        (PendingCommit(LOADED, CHANGES), False),
        (PendingCommit(LOADED, NO_CHANGES, PAGE), False),
        (PendingCommit(LOADED, CHANGES, PAGE), False),
    ],
)
def test_pending_commit_is_empty_only_without_changes_and_page(
    decided: PendingCommit, *, is_empty: bool
) -> None:
    assert decided.is_empty is is_empty


def test_touched_values_of_a_commit_include_its_new_hosted_page() -> None:
    write = PageWrite(PAGE, attrs.evolve(PAGE, version=2))
    assert PendingCommit(LOADED, Changes((write,))).touched == (write,)
    assert PendingCommit(LOADED, Changes((write,)), PAGE).touched == (write, PageWrite(PAGE, PAGE))


def test_commit_returns_whether_the_store_accepted_it() -> None:
    store = Scripted(refusals=1)
    decided = PendingCommit(LOADED, CHANGES, PAGE)
    assert not commit(store, decided)
    assert commit(store, decided)
    assert store.commits == [decided, decided]


def test_commit_returns_false_if_the_store_is_unavailable() -> None:
    assert not commit(Scripted(error=StoreUnavailableError("gone")), PendingCommit(LOADED, CHANGES))
    with pytest.raises(RuntimeError, match="a bug"):
        commit(Scripted(error=RuntimeError("a bug")), PendingCommit(LOADED, CHANGES))


@pytest.mark.parametrize("refusals", [0, 1, 19])
def test_action_is_decided_again_until_its_commit_is_accepted(refusals: int) -> None:
    store = Scripted(refusals)
    tried = commit_with_retries(store, TENANT.create_action(31))
    assert tried == store.commits
    assert len(store.loads) == len(tried) == refusals + 1


def test_20th_refused_commit_of_an_action_raises_commit_refused() -> None:
    store = Scripted(refusals=20)
    with pytest.raises(CommitRefusedError) as found:
        commit_with_retries(store, TENANT.create_action(31))
    assert len(store.commits) == 20
    assert str(found.value).startswith("the store refused 20 commits ")


def test_action_without_changes_is_not_committed() -> None:
    store = Scripted()
    (tried,) = commit_with_retries(store, fact_action(Authorized(TENANT.first)))
    assert tried.is_empty
    assert store.commits == []


EFFECTS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "create": (
        UNBOUND,
        {
            "connection 11.status": "PENDING",
            "connection 11.identity.data_packages": "['labs']",
            "record k-11.state": "COMPLETED",
        },
    ),
    "get": (ONE_LEFT, {"bucket platform.full_at": "1767226980000000"}),
    "reconnect the first": (
        LAPSED,
        {"connection 13.identity.predecessor_id": "1", "record k-13.fingerprint": "reconnect"},
    ),
    "reconnect the second": (
        REVOKED,
        {"connection 14.identity.predecessor_id": "2", "record k-14.fingerprint": "reconnect"},
    ),
    "revoke the first": (
        UNBOUND,
        {"connection 1.revoked_by": "APP", "record k-15.fingerprint": "revoke"},
    ),
    "revoke the second": (
        RECOVERED,
        {"connection 2.revoked_by": "APP", "record k-16.fingerprint": "revoke"},
    ),
    "initiate": (
        UNBOUND,
        {
            "session 1017.path": "SILENT_LIMITED",
            "binding.user_id": "user-17",
            "record k-17.fingerprint": "initiate",
        },
    ),
    "initiate with the same key": (
        UNBOUND,
        {
            "session 1018.path": "SILENT_LIMITED",
            "binding.user_id": "user-18",
            "record k-17.fingerprint": "initiate",
        },
    ),
    "sign up": (
        UNBOUND,
        {
            "session 1019.path": "NEW_ACTIVE_SIGNUP_HANDOFF",
            "session 1019.coordinate.app_user_id": "user-xxxxxxxx",
            "record k-19.fingerprint": "initiate",
        },
    ),
    "graduation": (BOUND, {"limit graduation.instants": "[1767225660000000, 1767226800000000]"}),
    "the first is authorized": (
        LAPSED,
        {"connection 1.status": "ACTIVE", "connection 1.authorized_at": "2026-01-01T00:20:00Z"},
    ),
    "the second is authorized": (
        RECOVERED,
        {"connection 2.status": "ACTIVE", "connection 2.authorized_at": "2026-01-01T00:41:00Z"},
    ),
    "the first needs action": (
        ACTIVE,
        {
            "connection 1.status": "ACTION_REQUIRED",
            "connection 1.action_required_reason": "portal_login",
        },
    ),
    "the first expires": (ACTIVE, {"connection 1.status": "EXPIRED"}),
    "the patient revokes the first": (ACTIVE, {"connection 1.revoked_by": "PATIENT"}),
    "upstream revokes the second": (RECOVERED, {"connection 2.revoked_by": "UPSTREAM"}),
    "the hand-off is complete": (
        UNBOUND,
        {"session 1005.handoff": "LANDED", "binding.user_id": "user-9"},
    ),
    "graduated": (BOUND, {"binding.state": "ACTIVE", "binding.user_id": "user-3"}),
    "the page graduates": (BOUND, {"binding.state": "ACTIVE", "binding.user_id": "user-3"}),
    "the page authorizes the second": (RECOVERED, {"connection 2.status": "ACTIVE"}),
    "tombstone": (ACTIVE, {"binding.state": "TOMBSTONED"}),
}
"""For each action, a scenario in which it changes something, and what is stored afterwards."""

PAGES: Final = {
    "create": (PageKind.CONNECTION, 11),
    "reconnect the first": (PageKind.CONNECTION, 13),
    "reconnect the second": (PageKind.CONNECTION, 14),
    "initiate": (PageKind.SESSION, 17),
    "initiate with the same key": (PageKind.SESSION, 18),
    "sign up": (PageKind.SESSION, 19),
    "graduation": (PageKind.USER, 20),
}
"""The kind and number of the hosted page that an action opens."""

NAMED_PAGES: Final = {"the page graduates": 4, "the page authorizes the second": 2}
"""The number of the hosted page that an action names."""


@pytest.mark.parametrize("name", EFFECTS)
def test_each_race_action_changes_the_values_listed_for_it(name: str) -> None:
    scenario, effect = EFFECTS[name]
    arena = StoreArena(MemoryStore())
    tenant, (store, _) = arena.set_up(SCENARIOS[scenario]), arena.stores()
    decided = tenant.actions()[name](store)
    before = numbered(arena.content(tenant, decided.changes.writes))
    assert commit(store, decided)
    after = numbered(arena.content(tenant, decided.changes.writes))
    assert subset(after, effect) == effect
    assert subset(before, effect) != effect
    page = decided.page
    opened = None if page is None else (page.kind, page.digest)
    kind, number = PAGES.get(name, (None, 0))
    assert opened == (None if kind is None else (kind, url_digest(tenant.page_url(number))))
    named = [each.after.digest for each in decided.changes.writes if isinstance(each, PageWrite)]
    numbers = [NAMED_PAGES[name]] if name in NAMED_PAGES else []
    assert named == [url_digest(tenant.page_url(each)) for each in numbers]


def test_table_of_expected_changes_lists_every_race_action() -> None:
    assert [*TENANT.actions()] == [*EFFECTS]


# --- Scenarios --------------------------------------------------------------------------------

BEGINNINGS: Final[dict[str, tuple[float, dict[str, str]]]] = {
    UNBOUND: (
        20,
        {
            "connection 1.status": "PENDING",
            "connection 1.identity.created_at": "2026-01-01T00:00:00Z",
            "session 1005.handoff": "AWAITED",
            "session 1005.created_at": "2026-01-01T00:00:00Z",
            "binding.state": "absent",
        },
    ),
    BOUND: (
        20,
        {
            "connection 1.status": "PENDING",
            "session 1005.handoff": "absent",
            "binding.state": "LIMITED",
            "binding.user_id": "user-3",
            "limit graduation.instants": "[1767225660000000]",
        },
    ),
    LAPSED: (
        40,
        {
            "connection 1.status": "PENDING",
            "connection 1.handoff_deadline": "2026-01-01T00:30:00Z",
            "binding.user_id": "user-3",
            "connection 2.status": "absent",
            "limit initiate.instants": "[1767225600000000]",
        },
    ),
    ACTIVE: (
        20,
        {
            "connection 1.status": "ACTIVE",
            "connection 1.authorized_at": "2026-01-01T00:01:00Z",
            "binding.user_id": "user-3",
        },
    ),
    RECOVERED: (
        41,
        {
            "connection 2.status": "PENDING",
            "connection 2.identity.predecessor_id": "1",
            "connection 2.identity.created_at": "2026-01-01T00:40:00Z",
            "binding.user_id": "user-3",
        },
    ),
    REVOKED: (
        42,
        {
            "connection 2.status": "REVOKED",
            "connection 2.revoked_by": "APP",
            "connection 2.revoked_at": "2026-01-01T00:41:00Z",
            "session 1005.handoff": "AWAITED",
            "binding.user_id": "user-3",
        },
    ),
    NINE: (
        20,
        {
            "limit initiate.instants": str([1767226800000000] * 9),
            "record k-29.token": "absent",
            "record k-30.token": "1",
            "record k-38.token": "1",
        },
    ),
    ONE_LEFT: (20, {"bucket platform.full_at": "1767226920000000", "binding.state": "absent"}),
}
"""For each scenario, the minute of the race, and what is stored when it begins."""


@pytest.mark.parametrize("name", BEGINNINGS)
def test_each_race_scenario_begins_with_its_listed_values(name: str) -> None:
    minute, stored = BEGINNINGS[name]
    arena = StoreArena(MemoryStore())
    tenant, (store, _) = arena.set_up(SCENARIOS[name]), arena.stores()
    assert store.load(Needs()).now == at(minute)
    reference = arena.reference()
    again, (other, _) = (
        reference.set_up(attrs.evolve(SCENARIOS[name], before=lambda _: ())),
        (reference.stores()),
    )
    touched = [
        write
        for _, action in SCENARIOS[name].before(again)
        for each in commit_with_retries(other, action)
        for write in each.changes.writes
    ]
    assert subset(numbered(arena.content(tenant, touched)), stored) == stored


def test_table_of_initial_values_lists_every_race_scenario() -> None:
    assert [*SCENARIOS] == [*BEGINNINGS]
