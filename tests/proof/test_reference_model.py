"""Tests of the reference model alone: tombstones, wrong clocks, chains and owners."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from tests.proof.reference.facts import coordinate_of, standing, touch
from tests.proof.reference.model import Model
from tests.proof.reference.traffic import traffic
from tests.proof.reference.values import format_time

START: Final = datetime(2026, 3, 1, 9, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
TICK: Final = timedelta(microseconds=1)
SKEW: Final = 5 * MINUTE
DECADES: Final = timedelta(days=30 * 365)
CONNECTIONS: Final = "/api/sdk/v1/connections"
ACCOUNT: Final = "11111111-aaaa-4bbb-8ccc-000000000001"
OWNER: Final = {"appId": "app-1", "customerAccountId": ACCOUNT}
OTHER_OWNERS: Final = [
    {**OWNER, "appId": "App-1"},
    {**OWNER, "appId": "app-1\u200b"},
    {**OWNER, "customerAccountId": "22222222-aaaa-4bbb-8ccc-000000000002"},
    {**OWNER, "environment": "test"},
]
TWINS: Final = ["\u00dcser", "user", "U\u0308ser\u200b", "\uff35\u0308ser", "u\u0308ser"]
"""Users that only an exact comparison tells from `U\u0308ser`."""


class Log:
    """A log that is written line by line, and the model that answers it."""

    def __init__(self) -> None:
        self.model = Model()
        self.now = START
        self.count = 0
        self.register(OWNER)

    def line(self, **line: object) -> dict[str, object]:
        self.count += 1
        raw = json.dumps({"at": format_time(self.now), **line}).encode()
        return self.model.line(raw, self.count)

    def register(self, owner: Mapping[str, str]) -> None:
        key = {"apiKey": "cae_live_k1", "scopes": ["connection:write"], **owner}
        assert self.line(register=key)["outcome"] == "done"

    def request(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> dict[str, object]:
        headers = {"Authorization": "Bearer cae_live_k1"}
        headers["Idempotency-Key"] = key or f"k-{self.count}"
        request = {"method": method, "path": path, "headers": headers, "body": body}
        return self.line(request=request)

    def create(self, user: str = "user-1") -> str:
        body = {"appUserId": user, "dataPackages": ["labs"]}
        answer = self.request("POST", CONNECTIONS, body)
        return str(json.loads(str(answer["body"]))["connection"]["id"])

    def reconnect(self, connection_id: str) -> str:
        answer = self.request("POST", f"{CONNECTIONS}/{connection_id}:reconnect")
        return str(json.loads(str(answer["body"]))["connection"]["id"])

    def fact(self, kind: str, **fact: object) -> str:
        """Record a fact; return its outcome or code, or `broken`."""
        answer = self.line(fact={"type": kind, **fact})
        return "broken" if "error" in answer else str(answer["code"] or answer["outcome"])

    def bind(self, user: str = "user-1") -> None:
        body = {"appUserId": user}
        answer = self.request("POST", "/api/sdk/v1/curae-connect/initiate", body)
        assert answer["status"] == 201

    def tombstone(self, user: str = "user-1", happened: datetime | None = None) -> str:
        when = {} if happened is None else {"happenedAt": format_time(happened)}
        return self.fact("binding.tombstone", **OWNER, appUserId=user, **when)

    def revoked_at(self, connection_id: str) -> datetime | None:
        return self.model.connections[connection_id]["revoked_at"]

    def granted(self, connection_id: str) -> object:
        ask = {"type": "access", "connectionId": connection_id, "dataPackage": "labs"}
        return self.line(ask=ask)["granted"]


def test_tombstone_revokes_every_connection_of_its_user() -> None:
    log = Log()
    log.bind()
    before, active, pending, other = (log.create(user) for user in ["user-1"] * 3 + ["user-2"])
    for connection in [before, active, other]:
        log.fact("connection.authorize", connectionId=connection)
    log.now += MINUTE
    log.fact("connection.revoke", connectionId=before, actor="APP")
    successor = log.reconnect(before)
    log.now += MINUTE
    assert log.tombstone(happened=log.now - 90 * timedelta(seconds=1)) == "done"
    assert log.revoked_at(before) == START + MINUTE
    assert log.revoked_at(active) == log.revoked_at(pending) == log.now - 1.5 * MINUTE
    assert log.revoked_at(successor) == START + MINUTE  # it was made after that
    assert [log.granted(each) for each in [active, other]] == [False, True]
    shown = json.loads(str(log.request("GET", f"{CONNECTIONS}/{active}")["body"]))["connection"]
    assert [shown["status"], shown["updatedAt"]] == ["REVOKED", format_time(log.now)]


def test_duplicate_tombstone_revokes_no_connection() -> None:
    log = Log()
    unbound = log.create()
    assert log.tombstone(happened=START) == "done"
    log.bind()
    later = log.create()
    assert log.tombstone(happened=START) == "ignored"
    assert [log.revoked_at(unbound), log.revoked_at(later)] == [START, None]
    assert log.tombstone() == "done"
    assert log.revoked_at(later) == START


@pytest.mark.parametrize("twin", TWINS)
def test_tombstone_spares_a_user_with_a_similar_id(twin: str) -> None:
    log = Log()
    log.bind(twin)
    spared = log.create("U\u0308ser")
    ended = log.create(twin)
    assert log.tombstone(twin) == "done"
    assert [log.revoked_at(spared), log.revoked_at(ended)] == [None, START]


@pytest.mark.parametrize(
    ("ahead", "authorized"),
    [
        (-MINUTE, START + MINUTE),
        (-3 * MINUTE, START),
        (-DECADES, START),
        (TICK, START + 2 * MINUTE),
        (SKEW, START + 2 * MINUTE),
        (SKEW + TICK, None),
    ],
)
def test_happened_at_is_clamped_between_creation_and_now(
    ahead: timedelta, authorized: datetime | None
) -> None:
    log = Log()
    connection = log.create()
    log.now += 2 * MINUTE
    happened = format_time(log.now + ahead)
    outcome = log.fact("connection.authorize", connectionId=connection, happenedAt=happened)
    assert outcome == ("broken" if authorized is None else "done")
    assert log.model.connections[connection]["authorized_at"] == authorized


@pytest.mark.parametrize(
    ("happened", "ends", "outcome"),
    [
        (SKEW, TICK, "done"),
        (SKEW, timedelta(), "broken"),
        (-MINUTE, timedelta(), "broken"),
        (-MINUTE, TICK, "done"),
        (timedelta(), DECADES, "done"),
    ],
)
def test_expires_at_must_be_after_the_clamped_authorization(
    happened: timedelta, ends: timedelta, outcome: str
) -> None:
    log = Log()
    fact = {"happenedAt": format_time(START + happened), "expiresAt": format_time(START + ends)}
    assert log.fact("connection.authorize", connectionId=log.create(), **fact) == outcome


def test_expires_at_not_after_authorization_breaks_the_log_line() -> None:
    log = Log()
    revoked = log.create()
    log.fact("connection.revoke", connectionId=revoked, actor="APP")
    for connection in [revoked, "99999999-0000-4000-8000-000000000000"]:
        ends = {"connectionId": connection, "expiresAt": format_time(START)}
        assert log.fact("connection.authorize", **ends) == "broken"


def test_handoff_fact_dated_before_its_session_is_accepted() -> None:
    log = Log()
    body = {"appUserId": "user-1", "preferSignup": True}
    log.request("POST", "/api/sdk/v1/curae-connect/initiate", body)
    fact = {"sessionId": next(iter(log.model.sessions)), "userId": "u-1"}
    assert log.fact("handoff.complete", **fact, happenedAt=format_time(START - MINUTE)) == "done"


def test_chain_revocation_never_predates_a_connections_creation() -> None:
    log = Log()
    first = log.create()
    log.now += 31 * MINUTE
    second = log.reconnect(first)
    happened = format_time(START + MINUTE)
    fact = {"connectionId": first, "actor": "PATIENT", "happenedAt": happened}
    assert log.fact("connection.revoke", **fact) == "done"
    assert log.revoked_at(first) == START + MINUTE
    assert log.revoked_at(second) == START + 31 * MINUTE


def test_require_action_on_a_pending_connection_is_ignored() -> None:
    log = Log()
    fact = {"connectionId": log.create(), "reason": "portal_login"}
    assert log.fact("connection.require_action", **fact) == "ignored"


def test_refused_reconnect_names_the_successor_and_chain_head() -> None:
    log = Log()
    chain = [log.create()]
    for _ in range(3):
        log.fact("connection.revoke", connectionId=chain[-1], actor="APP")
        chain.append(log.reconnect(chain[-1]))
    body = log.request("POST", f"{CONNECTIONS}/{chain[0]}:reconnect")["body"]
    problem = json.loads(str(body))
    assert problem["type"] == "https://curaeai.com/problems/connection-superseded"
    assert problem["details"] == {
        "connectionId": chain[0],
        "nextConnectionId": chain[1],
        "headConnectionId": chain[3],
    }


@pytest.mark.parametrize("status", ["PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED"])
def test_stored_revoked_at_makes_any_status_count_as_revoked(status: str) -> None:
    log = Log()
    connection = log.model.connections[log.create()]
    connection["status"], connection["revoked_at"] = status, START
    assert standing(connection, START) == "REVOKED"
    assert not log.granted(connection["id"])


def test_connection_updated_at_never_goes_back() -> None:
    log = Log()
    connection = log.model.connections[log.create()]
    touch(connection, START - MINUTE)
    assert connection["updated_at"] == START
    assert coordinate_of(connection) == ("live", "app-1", ACCOUNT, "user-1")


@pytest.mark.parametrize("other", OTHER_OWNERS, ids=lambda owner: str(sorted(owner.items())))
def test_api_key_owners_share_no_idempotency_record_or_bucket(other: dict[str, str]) -> None:
    log = Log()
    log.line(buckets=[{"name": "small", "capacity": 1, "refill": 1, "seconds": 3600}])
    body = {"appUserId": "user-1", "dataPackages": ["labs"]}
    answers = []
    for owner in [OWNER, other, OWNER]:
        log.register(owner)
        answers.append(log.request("POST", CONNECTIONS, body, "k-1")["status"])
        answers.append(log.request("POST", CONNECTIONS, body, "k-1")["status"])
    assert answers == [201, 429, 201, 429, 429, 429]
    log.line(buckets=[])
    assert log.request("POST", CONNECTIONS, body, "k-1")["replayed"]


def test_replaced_rate_limit_buckets_start_full() -> None:
    log = Log()
    small = {"name": "small", "capacity": 1, "refill": 1, "seconds": 3600}
    statuses = []
    for _ in range(2):
        log.line(buckets=[small])
        statuses += [log.request("GET", f"{CONNECTIONS}/{ACCOUNT}")["status"] for _ in range(2)]
    assert statuses == [404, 429, 404, 429]


@pytest.mark.heavy
def test_generated_traffic_contains_long_connection_chains() -> None:
    def longest(seed: int) -> int:
        model = Model()
        for number, raw in enumerate(traffic(seed, 1200), 1):
            model.line(raw, number)
        length = dict.fromkeys(model.connections, 1)
        for connection in model.connections.values():  # in the order of their making
            if connection["previous"] is not None:
                length[connection["id"]] = length[connection["previous"]] + 1
        return max(length.values())

    assert any(longest(seed) > 100 for seed in range(16, 28))
