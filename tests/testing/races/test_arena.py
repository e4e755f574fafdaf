"""Tests of the arena of any store: its tenants, and the contents that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    RecordKey,
    in_flight_record,
)
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import RecordWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.races import (
    SCENARIOS,
    RaceTenant,
    Scenario,
    StoreArena,
    commit_with_retries,
)
from curae_lifecycle.testing.races.scenarios import at
from curae_lifecycle.testing.request_store import RequestStore
from tests.support.charging import ChargesOnlyApart

BUCKET: Final = Bucket(name="platform", capacity=100, refill=1, seconds=60)
SCENARIO: Final = Scenario(SCENARIOS["a successor is revoked"].before, 42, (BUCKET,))
CONNECTION: Final = "xxxxxxxx-0000-4000-8000-00000000000"
SESSION: Final = "xxxxxxxx-0000-4000-8000-0000000003"


class Recording(MemoryStore):
    """A store that writes down what each load needs, with the digest of its key."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[tuple[Needs, str | None]] = []

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.loads.append((needs, key_digest))
        return super().load(needs, key_digest)


def run(arena: StoreArena, tenant: RaceTenant, *names: str) -> list[Write]:
    """Run actions of a tenant one after the other; return what they touched."""
    store, actions = arena.stores()[0], tenant.actions()
    decided = [each for name in names for each in commit_with_retries(store, actions[name])]
    return [write for each in decided for write in each.touched]


def parts(content: Mapping[str, str]) -> list[str]:
    """Return the name of each value, in order."""
    return [*dict.fromkeys(name.partition(".")[0] for name in content)]


# --- Tenants ----------------------------------------------------------------------------------


def test_tenants_of_races_on_one_store_are_numbered_from_1() -> None:
    arena = StoreArena(MemoryStore())
    settings = Settings(buckets=(BUCKET,))
    tenants = [arena.set_up(SCENARIO) for _ in range(3)]
    assert tenants == [RaceTenant.of(number, settings) for number in (1, 2, 3)]


def test_later_races_on_a_store_skip_tenant_numbers_in_use() -> None:
    store = MemoryStore()
    for _ in range(3):
        StoreArena(store).set_up(SCENARIO)
    again = StoreArena(store).set_up(SCENARIO)
    assert again == RaceTenant.of(4, Settings(buckets=(BUCKET,)))


def test_race_set_up_runs_each_preparing_action_at_its_time() -> None:
    store = MemoryStore()
    arena = StoreArena(store)
    tenant = arena.set_up(SCENARIO)
    assert store.caller_of(ApiKey(tenant.api_key).digest()) == tenant.caller
    first, second = store.connection(tenant.first), store.connection(tenant.second)
    assert first is not None
    assert second is not None
    assert (first.identity.created_at, second.identity.created_at) == (at(0), at(40))
    assert second.revoked_at == at(41)
    assert arena.stores()[0].load(Needs()).now == at(42)


def test_both_actions_of_a_race_get_the_same_store() -> None:
    one, other = StoreArena(MemoryStore()).stores()
    assert one is other


def test_race_wraps_store_per_action_if_it_charges_before_commit() -> None:
    stores = StoreArena(ChargesOnlyApart()).stores()
    assert len(set(map(id, stores))) == len(stores)
    for each in stores:
        assert isinstance(each, RequestStore)
        assert each.caller_of("digest") is None


def test_reference_store_of_a_race_is_empty_before_its_set_up() -> None:
    store = MemoryStore()
    arena = StoreArena(store)
    tenant = arena.set_up(SCENARIO)
    reference = arena.reference()
    assert reference.content(tenant, ()) == {}
    again = reference.set_up(SCENARIO)
    assert again == tenant
    assert reference.content(again, ()) == arena.content(tenant, ())


# --- Contents ---------------------------------------------------------------------------------


def test_race_compares_values_that_no_action_wrote_too() -> None:
    arena = StoreArena(MemoryStore())
    content = arena.content(arena.set_up(SCENARIO), ())
    assert parts(content) == [
        "binding",
        f"connection {CONNECTION}1",
        f"successor of {CONNECTION}1",
        f"head of {CONNECTION}1",
        f"connection {CONNECTION}2",
        f"session {SESSION}ed",
        "page 1",
        "page 2",
        "page 5",
    ]
    assert content["binding.user_id"] == "user-3"
    assert content["binding.coordinate.app_user_id"] == "user-xxxxxxxx"
    assert content[f"successor of {CONNECTION}1.identity.id"] == f"{CONNECTION}2"
    assert content[f"head of {CONNECTION}1.identity.id"] == f"{CONNECTION}2"
    assert content[f"connection {CONNECTION}2.status"] == "REVOKED"
    assert content[f"connection {CONNECTION}2.identity.data_packages"] == "['labs']"
    assert content[f"session {SESSION}ed.handoff"] == "AWAITED"


def test_race_compares_each_written_value_once() -> None:
    arena = StoreArena(MemoryStore())
    tenant = arena.set_up(SCENARIO)
    untouched = parts(arena.content(tenant, ()))
    touched = run(arena, tenant, "get", "initiate")
    content = arena.content(tenant, [*touched, *touched])
    assert [each for each in parts(content) if each not in untouched] == [
        "bucket platform",
        "limit initiate",
        f"session {SESSION}f9",
        "record k-17",
        "page 17",
    ]
    assert {*parts(content)} > {*untouched}
    assert content["record k-17.key.owner.api_key_id"] == "key-xxxxxxxx"
    assert content["record k-17.state"] == "COMPLETED"
    assert content[f"session {SESSION}f9.path"] == "SILENT_LIMITED"


def test_race_compares_operation_and_response_of_idempotency_key() -> None:
    arena = StoreArena(MemoryStore())
    tenant = arena.set_up(SCENARIO)
    content = arena.content(tenant, run(arena, tenant, "initiate"))
    assert content["record k-17.fingerprint"] == "initiate"
    response = content["record k-17.response"]
    assert response.startswith(f"""['201', '{{"session":{{"id":"{SESSION}f9",""")
    assert tenant.id_prefix not in response


def test_race_compares_an_in_flight_record_without_a_response() -> None:
    arena = StoreArena(MemoryStore())
    tenant = arena.set_up(SCENARIO)
    key = RecordKey(tenant.caller.key_owner, IdempotencyKey("k-99"))
    attempt = Attempt(
        key,
        fingerprint=Fingerprint("revoke", "0" * 64),
        token=1,
        first_used_at=at(42),
        started_at=at(42),
        rules=(),
    )
    write = RecordWrite(key, None, in_flight_record(attempt))
    assert arena.stores()[0].commit(Loaded(Snapshot(), at(42)), Changes((write,)))
    content = arena.content(tenant, [write])
    assert content["record k-99.response"] == "['None']"
    assert content["record k-99.fingerprint"] == "revoke"


def test_race_compares_a_hosted_page_under_its_page_number() -> None:
    arena = StoreArena(MemoryStore())
    tenant = arena.set_up(SCENARIO)
    content = arena.content(tenant, run(arena, tenant, "create"))
    page = {name: text for name, text in content.items() if name.startswith("page 11.")}
    assert page == {
        "page 11.expires_at": "2026-01-01T01:12:00Z",
        "page 11.format": "1",
        "page 11.kind": "connection",
        "page 11.subject": f"{CONNECTION[:-1]}0b",
        "page 11.version": "1",
    }


def test_race_does_not_compare_a_replaced_hosted_page() -> None:
    arena = StoreArena(MemoryStore())
    tenant = arena.set_up(SCENARIOS["a user is bound, one connection is pending"])
    content = arena.content(tenant, run(arena, tenant, "graduation"))
    assert [each for each in parts(content) if each.startswith("page")] == ["page 1", "page 20"]


def test_race_compares_graduation_page_only_until_graduation() -> None:
    arena = StoreArena(MemoryStore())
    tenant = arena.set_up(SCENARIOS["a user is bound, one connection is pending"])
    assert "page 4" in parts(arena.content(tenant, ()))
    assert "page 4" not in parts(arena.content(tenant, run(arena, tenant, "the page graduates")))


def test_race_finds_tenants_equal_after_the_same_actions() -> None:
    arena = StoreArena(MemoryStore())
    one, other = arena.set_up(SCENARIO), arena.set_up(SCENARIO)
    names = "initiate", "create", "revoke the first"
    first = arena.content(one, run(arena, one, *names))
    second = arena.content(other, run(arena, other, *names))
    assert first == second
    assert one.id_prefix not in str(first)


class LoadsNoBinding(MemoryStore):
    """A store that loads the binding of a page of connections only if it is named."""

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        loaded = super().load(needs, key_digest)
        if needs.connections is None or needs.binding is not None:
            return loaded
        return attrs.evolve(loaded, snapshot=attrs.evolve(loaded.snapshot, binding=None))


def test_race_comparison_loads_the_binding_by_its_coordinate() -> None:
    arena = StoreArena(LoadsNoBinding())
    content = arena.content(arena.set_up(SCENARIO), ())
    assert content["binding.user_id"] == "user-3"


def test_race_comparison_loads_values_with_the_tenants_api_key() -> None:
    store = Recording()
    arena = StoreArena(store)
    tenant = arena.set_up(SCENARIO)
    touched = run(arena, tenant, "initiate")
    store.loads.clear()
    arena.content(tenant, touched)
    digests = {digest for needs, digest in store.loads if needs.record or needs.buckets}
    assert digests == {tenant.digest}
