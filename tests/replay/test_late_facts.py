"""Late facts, skewed clocks and replaced buckets in logs of traffic."""

from __future__ import annotations

import pytest

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.json_schema import Json
from tests.support.logs import (
    LAND,
    REVOKE,
    A,
    B,
    C,
    answers,
    created,
    fact,
    got,
    last,
    member,
    registered,
    time,
    told,
    with_,
    written,
)


def test_late_fact_keeps_happened_at_and_sets_updated_at_to_now() -> None:
    authorized = fact(40, "connection.authorize", happenedAt=time(5))
    revoked = fact(50, "connection.revoke", actor="PATIENT", happenedAt=time(6))
    first = last(A, authorized, got(41))
    assert member(first, "connection.status") == "ACTIVE"
    assert member(first, "connection.authorizedAt") == time(5)
    assert member(first, "connection.updatedAt") == time(40)
    second = last(A, authorized, revoked, got(51))
    assert member(second, "connection.revokedAt") == time(6)
    assert member(second, "connection.updatedAt") == time(50)


@pytest.mark.parametrize(
    ("said", "recorded"),
    [(time(9), 9), (time(14), 9), (time(0.9), 1), (time(-60 * 24 * 365), 1)],
)
def test_happened_at_in_a_log_is_clamped_to_creation_and_now(said: str, recorded: float) -> None:
    revoked = last(A, with_(REVOKE, "fact", happenedAt=said), got(10))
    assert member(revoked, "connection.revokedAt") == time(recorded)
    assert member(revoked, "connection.updatedAt") == time(9)
    landed = last(B, with_(LAND, "fact", happenedAt=said))
    assert told(landed) == ("done", None)


def test_handoff_reported_after_expiry_is_done_if_it_was_in_time() -> None:
    assert told(last(B, fact(31, "handoff.complete", happenedAt=time(30)))) == ("done", None)


def test_account_graduation_dated_before_its_binding_is_recorded() -> None:
    assert told(last(C, fact(2, "binding.graduate", happenedAt=time(0)))) == ("done", None)


def test_wrong_environment_is_reported_before_missing_scope() -> None:
    lines = [registered("cae_test_k2", environment="test", scope="other:read")]
    lines.append(created(1, api_key="cae_test_k2"))
    assert told(answers(*lines, environment=Environment.LIVE)[-1]) == (403, "WRONG_ENVIRONMENT")


def bucket(name: str, capacity: int, refill: int = 1, seconds: int = 60) -> Json:
    return {"name": name, "capacity": capacity, "refill": refill, "seconds": seconds}


def test_buckets_line_in_a_log_replaces_all_buckets_by_full_ones() -> None:
    full = written(1, buckets=[bucket("b", 1)])
    assert told(last(full, created(1), got(1)))[0] == 429
    assert told(last(full, created(1), full, got(1)))[0] == 200
    assert told(last(full, created(1), written(1, buckets=[]), got(1)))[0] == 200
