"""The trail names every rule that decided, gate by gate, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from curae_lifecycle import (
    Actor,
    ApiKey,
    Authorized,
    ConnectionId,
    Environment,
    Expired,
    Graduated,
    Request,
    Revoked,
    Settings,
    serve,
)
from tests.proof.second.client import (
    CALLER,
    CONNECT,
    CONNECTIONS,
    HOUR,
    MINUTE,
    START,
    World,
    buckets,
    coordinate,
    id_of,
    in_memory,
)

ABSENT = "idempotency.absent"


def pending(world: World) -> str:
    return id_of(world.create())


def active(world: World) -> str:
    made = pending(world)
    world.authorize(made)
    return made


def recovered(world: World) -> str:
    """Return a lapsed connection that has a pending successor."""
    made = pending(world)
    world.step(HOUR)
    world.reconnect(made)
    return made


# A revocation's reach


def test_revoke_response_names_rule_revocation_reach_app(world: World) -> None:
    assert world.revoke(active(world)).rules == (
        ABSENT,
        "operation.revoke",
        "revocation-reach.app",
        "connection.revoke.active",
    )


@pytest.mark.parametrize("actor", Actor)
def test_revocation_fact_answer_names_reach_rule_of_its_actor(world: World, actor: Actor) -> None:
    made = ConnectionId(active(world))
    answer = world.record(Revoked(made, actor))
    assert answer.rules == (f"revocation-reach.{actor.value.lower()}", "connection.revoke.active")
    again = world.record(Revoked(made, actor))
    assert again.rules == (f"revocation-reach.{actor.value.lower()}", "connection.revoke.revoked")


def test_chain_revocation_answer_names_a_rule_per_connection(world: World) -> None:
    answer = world.record(Revoked(ConnectionId(recovered(world)), Actor.PATIENT))
    assert answer.rules == (
        "revocation-reach.patient",
        "connection.revoke.lapsed",
        "connection.revoke.pending",
    )


# What each operation adds


OPERATIONS: dict[str, tuple[Callable[[World], object], tuple[str, ...]]] = {
    "create": (lambda world: world.create().rules, (ABSENT, "operation.create-connection")),
    "get": (
        lambda world: world.send("GET", f"{CONNECTIONS}/{pending(world)}").rules,
        ("operation.get-connection",),
    ),
    "account state": (
        lambda world: world.send("GET", f"{CONNECT}/account-state?appUserId=ada").rules,
        ("operation.account-state",),
    ),
    "reconnect refused": (
        lambda world: world.reconnect(pending(world)).rules,
        (ABSENT, "operation.reconnect", "connection.reconnect.pending"),
    ),
    "reissue": (
        lambda world: world.reconnect(recovered(world)).rules,
        (ABSENT, "operation.reconnect", "connection.reconnect.lapsed", "recovery.lapsed.pending"),
    ),
    "initiate": (
        lambda world: world.initiate().rules,
        (
            ABSENT,
            "operation.initiate",
            "entry-path.unlinked.silent",
            "binding.provision.unlinked",
        ),
    ),
}


@pytest.mark.parametrize("case", OPERATIONS, ids=str)
def test_response_names_gate_rules_before_operation_rules(world: World, case: str) -> None:
    run, rules = OPERATIONS[case]
    assert run(world) == rules


def test_initiate_in_state_limited_names_one_entry_path_rule(world: World) -> None:
    world.initiate()
    rules = world.initiate().rules
    assert rules[:2] == (ABSENT, "operation.initiate")
    assert len(rules) == 3
    assert rules[2].startswith("entry-path.limited")


def test_graduation_handoff_response_names_no_idempotency_rule(world: World) -> None:
    rules = world.send("POST", f"{CONNECT}/graduation-handoff", {"appUserId": "ada"}).rules
    assert rules[0] == "operation.graduation-handoff"
    assert [each.partition(".")[0] for each in rules[1:]] == ["graduation-handoff"]


# What a gate says


def asked(world: World, *, key: str = "cae_live_k1", target: str = CONNECTIONS) -> tuple[str, ...]:
    """Return the trail of a create without a body and without an idempotency key."""
    lines = (("Authorization", f"Bearer {key}"),)
    request = Request(method="POST", target=target, headers=lines)
    return serve(world.store, request, world.ids, settings=world.settings).rules


def test_response_to_bad_api_key_or_path_names_one_gate_rule() -> None:
    world = in_memory()
    assert asked(world, key="cae_live_no") == ("request.credentials",)
    assert asked(world, target="/none") == ("request.route",)


def test_response_to_refused_permission_or_body_names_one_rule() -> None:
    world = in_memory()
    world.inner.register(ApiKey("cae_live_r"), attrs.evolve(CALLER, scopes=frozenset()))
    assert asked(world, key="cae_live_r") == ("permission.scope-missing",)
    assert asked(world) == ("request.body",)
    world.settings = Settings(environment=Environment.TEST)
    assert asked(world) == ("permission.wrong-environment",)


def test_response_to_idempotency_key_fault_names_one_gate_rule() -> None:
    world = in_memory()
    made = pending(world)
    assert asked(world, target=f"{CONNECTIONS}/{made}:revoke") == ("request.key-required",)
    twice = world.send("POST", CONNECTIONS, {}, key="'", headers=(("Idempotency-Key", "b"),))
    assert twice.rules == ("request.body",)
    revoke = f"{CONNECTIONS}/{made}:revoke"
    invalid = world.send("POST", revoke, {}, headers=(("Idempotency-Key", "b"),))
    assert invalid.rules == ("request.key-invalid",)
    refused = world.send(
        "POST",
        f"{CONNECT}/graduation-handoff",
        {"appUserId": "ada"},
        headers=(("Idempotency-Key", "b"),),
    )
    assert refused.rules == ("request.key-not-allowed",)


def test_response_429_names_only_the_bucket_or_limit_gate(world: World) -> None:
    for _ in range(10):
        world.initiate()
    assert world.initiate().rules == ("request.limit",)
    world.settings = buckets(("platform", 1, 1, 60))
    world.create()
    assert world.create().rules == ("request.buckets",)


def test_rules_named_for_an_unknown_id_end_with_ownership_gate(world: World) -> None:
    unknown = "00000000-0000-4000-8000-00000000ffff"
    assert world.revoke(unknown).rules == (ABSENT, "operation.revoke", "request.ownership")
    assert world.authorize(unknown).rules == ("request.ownership",)


def test_replay_or_key_reuse_names_only_one_idempotency_rule(world: World) -> None:
    world.create(key="k")
    again, reused = world.create(key="k"), world.create("ben", key="k")
    assert again.replayed
    assert len(again.rules) == len(reused.rules) == 1
    assert again.rules[0].startswith("idempotency.completed")
    assert reused.rules[0].startswith("idempotency.completed")
    assert again.rules != reused.rules


# Facts


def test_fact_answer_names_rules_of_its_tables_and_no_gate_rules(world: World) -> None:
    made = ConnectionId(pending(world))
    assert world.record(Authorized(made)).rules == ("connection.authorize.pending",)
    assert world.record(Expired(made)).rules == ("connection.expire.active",)
    again = world.record(Expired(made)).rules
    assert again[0] == "connection.expire.expired"
    assert [each.partition(".")[0] for each in again] == ["connection", "expiry-record"]
    assert world.record(Graduated(coordinate())).rules == ("binding.graduate.unlinked",)


def test_authorizing_a_connection_with_successor_names_one_rule(world: World) -> None:
    old = recovered(world)
    (rule,) = world.authorize(old, happened_at=START + MINUTE).rules
    assert rule.startswith("authorization.")


def test_handoff_answer_names_completion_and_binding_rules(world: World) -> None:
    session = id_of(world.initiate(prefer_signup=True))
    first, second = world.complete(session).rules
    assert first.startswith("completion.")
    assert second == "binding.complete-sign-up.unlinked"
    (again,) = world.complete(session).rules
    assert again.startswith("completion.")


def test_tombstone_answer_names_one_rule_and_no_revocations(world: World) -> None:
    active(world)
    assert world.tombstone(happened_at=START).rules == ("binding.tombstone.unlinked",)
    (copy,) = world.tombstone(happened_at=START).rules
    assert copy.startswith("tombstone-report.")
