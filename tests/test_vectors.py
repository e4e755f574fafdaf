"""The vectors say what the rules say, all of it, and what these lines expect by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, standing
from curae_lifecycle.rules.idempotency import Record, record_standing
from curae_lifecycle.rules.merge import merge
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.tables import Table
from curae_lifecycle.rules.values import format_time, parse_time
from curae_lifecycle.service.gates import ORDER, Ask
from curae_lifecycle.service.rulebook import TABLES, find_rule
from curae_lifecycle.stores.codec import Storable, load
from curae_lifecycle.web.json import Json
from tests.vectors import VERSION, Verdict, vectors
from tests.vectors.cases import cell_id, stored

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "vectors"
TEXTS = vectors()

Object = dict[str, Json]
DOCUMENTS = cast("dict[str, Object]", {name: json.loads(text) for name, text in TEXTS.items()})
CASES = {
    cast("str", case["id"]): case
    for document in DOCUMENTS.values()
    for case in cast("list[Object]", document["cases"])
}

# --- The documents -------------------------------------------------------------------------


def test_the_committed_files_are_what_the_package_computes() -> None:
    committed = {
        path.name: path.read_bytes().decode("ascii") for path in sorted(FOLDER.glob("*.json"))
    }
    assert committed.keys() == TEXTS.keys()
    for name, text in TEXTS.items():
        assert committed[name] == text, f"{name} is stale: python -m curae_lifecycle vectors"


def test_they_are_the_same_each_time() -> None:
    assert vectors() == TEXTS


def test_the_readme_names_every_file() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"`([a-z-]+\.json)`", readme)) == sorted(TEXTS)


def test_every_document_has_its_members_and_nothing_else() -> None:
    for file, document in DOCUMENTS.items():
        assert document.keys() == {"name", "version", "law", "cases"}
        assert f"{document['name']}.json" == file
        assert document["version"] == VERSION == 1
        assert re.fullmatch(r"[A-Z][^\n]+\.", cast("str", document["law"]))
        assert TEXTS[file].endswith("}\n")


def test_every_case_has_its_members_and_nothing_else() -> None:
    for case in CASES.values():
        assert case.keys() - {"comment"} == {"id", "input", "answer", "rule", "verdict"}
        assert case["verdict"] in list(Verdict)
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", cast("str", case["id"]))


def test_ids_are_unique() -> None:
    counted = sum(len(cast("list[Object]", document["cases"])) for document in DOCUMENTS.values())
    assert counted == len(CASES) == 840


def test_every_id_begins_with_its_document() -> None:
    for document in DOCUMENTS.values():
        for case in cast("list[Object]", document["cases"]):
            assert cast("str", case["id"]).split("/")[0] == document["name"]


def test_every_rule_that_is_named_stands_in_a_table() -> None:
    for case in CASES.values():
        answer = cast("Object", case["answer"])
        for rule in [case["rule"], *cast("list[Json]", answer.get("rules", []))]:
            assert rule is None or find_rule(cast("str", rule)) is not None


# --- The cells -----------------------------------------------------------------------------

STILL = "refused by its standing before the recovery table is asked"
NOBODY = "nobody is bound, so no user can be the bound one"
ITSELF = "a tombstone names no user: it is always the bound one's"
UNREACHABLE = {
    "recovery/PENDING/no-successor": STILL,
    "recovery/PENDING/successor-PENDING": STILL,
    "recovery/PENDING/successor-anything-else": STILL,
    "recovery/ACTIVE/no-successor": STILL,
    "recovery/ACTIVE/successor-PENDING": STILL,
    "recovery/ACTIVE/successor-anything-else": STILL,
    "expiry-record/PENDING": "a pending connection lapses, it does not expire",
    "expiry-record/REVOKED": "a revoked connection does not expire",
    "binding/provision/UNLINKED/same-user": NOBODY,
    "binding/complete-sign-up/UNLINKED/same-user": NOBODY,
    "binding/graduate/UNLINKED/same-user": NOBODY,
    "binding/tombstone/UNLINKED/same-user": NOBODY,
    "binding/provision/TOMBSTONED/same-user": "a mistake that raises before the table is asked",
    "binding/tombstone/LIMITED/other-user-or-none-bound": ITSELF,
    "binding/tombstone/ACTIVE/other-user-or-none-bound": ITSELF,
    "binding/tombstone/TOMBSTONED/other-user-or-none-bound": ITSELF,
    "request/room-in-the-store": "only a store can be full; no decision asks",
}
"""The cells that no function can reach, each with the reason."""

SILENT = {"authorization/no-successor": "connection.authorize.pending"}
"""The cells that let pass without a word in the trail, and the rule that then decides."""

CELLS = {
    cell_id(name, key): row
    for name, page in TABLES.items()
    # Every page is a table; the protocol shows only what a page prints.
    for key, row in cast("Table[tuple[()], object]", page)
}


def test_every_cell_that_a_function_can_reach_is_there() -> None:
    assert len(CELLS) == sum(len(page) for page in TABLES.values())
    assert CELLS.keys() - CASES.keys() == UNREACHABLE.keys()


def test_rules_without_a_cell_that_can_be_reached() -> None:
    reached = {row.rule for cell, row in CELLS.items() if cell not in UNREACHABLE}
    assert {row.rule for row in CELLS.values()} - reached == {
        "recovery.pending",
        "recovery.active",
        "expiry-record.pending",
        "expiry-record.revoked",
        "request.room",
    }


@pytest.mark.parametrize("cell", sorted(CELLS.keys() - UNREACHABLE.keys()))
def test_a_cell_is_decided_by_its_own_rule(cell: str) -> None:
    case = CASES[cell]
    row = CELLS[cell]
    trail = cast("list[str]", cast("Object", case["answer"]).get("rules", [case["rule"]]))
    if isinstance(row.outcome, Ask):
        found = find_rule(cast("str", case["rule"]))
        assert found is not None
        assert found.table.name in row.outcome.table.split(", ")
    elif cell in SILENT:
        assert trail == [SILENT[cell]]
    else:
        assert row.rule in trail
    assert case["rule"] in trail


def test_every_gate_of_a_request_that_asks_another_table_is_known() -> None:
    asking = [row.rule for _, row in ORDER if isinstance(row.outcome, Ask)]
    assert asking == ["request.permission", "request.idempotency", "request.rule"]


# --- What the inputs hold ------------------------------------------------------------------


def snake(value: Json) -> Json:
    if isinstance(value, dict):
        return {
            re.sub("[A-Z]", lambda it: "_" + it[0].lower(), k): snake(v) for k, v in value.items()
        }
    return [snake(part) for part in value] if isinstance(value, list) else value


def test_stored_values_can_be_loaded_again() -> None:
    kinds: dict[str, type[Storable]] = {
        "connection": Connection,
        "successor": Connection,
        "left": Connection,
        "right": Connection,
        "binding": LimitedAccountAppBinding,
        "session": CuraeConnectSession,
        "record": Record,
    }
    loaded = 0
    for case in CASES.values():
        for member, value in cast("Object", case["input"]).items():
            if member in kinds and value is not None:
                again = load(kinds[member], snake(value))
                assert json.loads(json.dumps(stored(again))) == value
                loaded += 1
    assert loaded == 523


def run_standing(given: Object) -> Object:
    connection = load(Connection, snake(given["connection"]))
    return {"standing": standing(connection, parse_time("now", given["now"]))}


def run_record_standing(given: Object) -> Object:
    record = load(Record, snake(given["record"]))
    return {"standing": record_standing(record, parse_time("now", given["now"]))}


def run_access(given: Object) -> Object:
    connection = load(Connection, snake(given["connection"]))
    package = cast("str", given["dataPackage"])
    decision = decide_access(connection, package, parse_time("now", given["now"]))
    if not isinstance(decision, Granted):
        return {"outcome": "denied", "reason": decision.reason}
    until = decision.valid_until
    return {"outcome": "granted", "validUntil": None if until is None else format_time(until)}


def run_merge(given: Object) -> Object:
    left, right = (load(Connection, snake(given[side])) for side in ("left", "right"))
    if left.identity != right.identity:
        return {"outcome": "error"}
    joined = json.dumps(stored(merge(left, right)))
    return {"outcome": "done", "connection": cast("Json", json.loads(joined))}


@pytest.mark.parametrize(
    ("document", "run"),
    [
        ("standing.json", run_standing),
        ("record-standing.json", run_record_standing),
        ("access.json", run_access),
        ("merge.json", run_merge),
    ],
)
def test_an_input_holds_all_that_its_answer_depends_on(
    document: str, run: Callable[[Object], Object]
) -> None:
    for case in cast("list[Object]", DOCUMENTS[document]["cases"]):
        assert run(cast("Object", case["input"])).items() <= cast("Object", case["answer"]).items()


def test_a_merge_is_the_same_both_ways_round() -> None:
    pairs = {name: case for name, case in CASES.items() if name.startswith("merge/")}
    statuses = ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")
    for name, case in pairs.items():
        first, second = name.split("/")[1:3] if name.count("/") == 2 else (name, "")
        if first in statuses:
            assert case["answer"] == pairs[f"merge/{second}/{first}"]["answer"]
        elif second != "swapped":
            assert case["answer"] == pairs[f"{name}/swapped"]["answer"]


# --- By hand -------------------------------------------------------------------------------

EXPECTED: dict[str, tuple[str, dict[str, object]]] = {
    # A deadline is half-open: at it, it is over.
    "standing/boundary/PENDING/before": ("valid", {"standing": "PENDING"}),
    "standing/boundary/PENDING/at": ("valid", {"standing": "LAPSED"}),
    "standing/boundary/PENDING/after": ("valid", {"standing": "LAPSED"}),
    "standing/boundary/ACTIVE/before": ("valid", {"standing": "ACTIVE"}),
    "standing/boundary/ACTIVE/at": (
        "valid",
        {"standing": "EXPIRED", "nextDeadline": "2030-01-01T01:00:00Z"},
    ),
    "standing/boundary/ACTION_REQUIRED/at": ("valid", {"standing": "EXPIRED"}),
    "standing/no-deadline/ACTIVE": ("valid", {"standing": "ACTIVE", "nextDeadline": None}),
    "connection/authorize/PENDING": (
        "valid",
        {
            "outcome": "done",
            "connection.status": "ACTIVE",
            "connection.authorizedAt": "2030-01-01T00:40:00Z",
        },
    ),
    "connection/authorize/LAPSED": (
        "invalid",
        {"problem.code": "HANDOFF_LAPSED", "problem.status": 409},
    ),
    "connection/authorize/ACTIVE": ("valid", {"outcome": "ignored"}),
    "connection/authorize/REVOKED": (
        "invalid",
        {"problem.code": "CONNECTION_NOT_PENDING", "problem.details.standing": "REVOKED"},
    ),
    "connection/boundary/authorize/PENDING/before": ("valid", {"outcome": "done"}),
    "connection/boundary/authorize/PENDING/at": ("invalid", {"problem.code": "HANDOFF_LAPSED"}),
    "connection/late/deadline/before": (
        "valid",
        {
            "connection.authorizedAt": "2030-01-01T00:59:59.999999Z",
            "connection.updatedAt": "2030-01-02T01:00:00Z",
        },
    ),
    "connection/late/deadline/at": ("invalid", {"outcome": "refused"}),
    "connection/late/require_action/ACTIVE": (
        "valid",
        {
            "connection.status": "ACTION_REQUIRED",
            "connection.actionRequiredReason": "token_refresh_failed",
        },
    ),
    "connection/require_action/ACTION_REQUIRED": ("valid", {"outcome": "ignored"}),
    "connection/require_action/REVOKED": ("valid", {"outcome": "ignored"}),
    "connection/expire/PENDING": ("valid", {"outcome": "ignored"}),
    "connection/expire/LAPSED": ("valid", {"outcome": "ignored"}),
    "connection/revoke/ACTIVE": (
        "valid",
        {
            "revokedNow": True,
            "connection.revokedAt": "2030-01-01T00:40:00Z",
            "connection.revokedBy": "PATIENT",
        },
    ),
    "connection/revoke/REVOKED": ("valid", {"outcome": "ignored", "revokedNow": False}),
    "connection/reconnect/PENDING": ("invalid", {"problem.details.reason": "STILL_PENDING"}),
    "connection/reconnect/ACTIVE": ("invalid", {"problem.details.reason": "ALREADY_ACTIVE"}),
    "connection/boundary/reconnect/ACTIVE/before": (
        "invalid",
        {"problem.code": "CONNECTION_NOT_RECONNECTABLE"},
    ),
    "connection/boundary/reconnect/ACTIVE/at": (
        "valid",
        {"made": "minted", "connection.status": "PENDING"},
    ),
    "connection/expires-at/at": ("invalid", {"outcome": "error", "argument": "expiresAt"}),
    "connection/expires-at/after": ("valid", {"outcome": "done"}),
    "connection/mistake/revoke/from-the-future": ("invalid", {"argument": "happenedAt"}),
    "connection/mistake/expire/before-creation": ("invalid", {"argument": "happenedAt"}),
    "expiry-record/ACTIVE": (
        "valid",
        {
            "outcome": "done",
            "connection.status": "EXPIRED",
            "rules": ["connection.expire.expired", "expiry-record.active"],
        },
    ),
    "expiry-record/EXPIRED": ("valid", {"outcome": "ignored"}),
    "authorization/successor-PENDING": (
        "invalid",
        {
            "problem.code": "CONNECTION_SUPERSEDED",
            "problem.details.nextConnectionId": "00000000-0000-4000-8000-000000000002",
        },
    ),
    "recovery/EXPIRED/no-successor": (
        "valid",
        {
            "made": "minted",
            "connection.identity.id": "00000000-0000-4000-8000-000000000009",
            "connection.identity.predecessorId": "00000000-0000-4000-8000-000000000001",
            "connection.handoffDeadline": "2030-01-01T01:10:00Z",
        },
    ),
    "recovery/EXPIRED/successor-PENDING": (
        "valid",
        {"made": "reissued", "connection.identity.id": "00000000-0000-4000-8000-000000000002"},
    ),
    "recovery/REVOKED/successor-anything-else": (
        "invalid",
        {"problem.code": "CONNECTION_SUPERSEDED"},
    ),
    "recovery/successor-deadline/before": ("valid", {"made": "reissued"}),
    "recovery/successor-deadline/at": ("invalid", {"problem.code": "CONNECTION_SUPERSEDED"}),
    "revocation-reach/APP": ("valid", {"reach": "that connection"}),
    "revocation-reach/PATIENT": ("valid", {"reach": "that connection and every later one"}),
    "access/boundary/before": (
        "valid",
        {"outcome": "granted", "validUntil": "2030-01-01T01:00:00Z"},
    ),
    "access/boundary/at": ("invalid", {"outcome": "denied", "reason": "EXPIRED"}),
    "access/ACTIVE/package-not-granted": ("invalid", {"reason": "PACKAGE_NOT_GRANTED"}),
    "access/PENDING/package-not-granted": ("invalid", {"reason": "PENDING"}),
    "merge/ACTIVE/REVOKED": ("valid", {"connection.status": "REVOKED"}),
    "merge/EXPIRED/ACTION_REQUIRED": ("valid", {"connection.status": "EXPIRED"}),
    "merge/earliest-revocation": (
        "valid",
        {"connection.revokedAt": "2030-01-01T00:01:00Z", "connection.revokedBy": "PATIENT"},
    ),
    "merge/earliest-authorization": (
        "valid",
        {
            "connection.authorizedAt": "2030-01-01T00:00:00Z",
            "connection.updatedAt": "2030-01-01T00:40:00Z",
        },
    ),
    "merge/earliest-end": ("valid", {"connection.expiresAt": "2030-01-01T00:59:59.999999Z"}),
    "merge/latest-deadline": ("valid", {"connection.handoffDeadline": "2030-01-01T02:00:00Z"}),
    "merge/reissued/swapped": ("valid", {"connection.updatedAt": "2030-01-01T00:40:00Z"}),
    "merge/two-reasons": ("valid", {"connection.actionRequiredReason": "consent_renewal"}),
    "merge/another-id": ("invalid", {"outcome": "error"}),
    "wire-status/LAPSED": ("valid", {"connection.status": "EXPIRED"}),
    "wire-status/ACTIVE/as-authorized": ("valid", {"connection.status": "AUTHORIZED"}),
    "stored-status/AUTHORIZED": ("acceptable", {"connection.status": "ACTIVE"}),
    "stored-status/lapsed": ("valid", {"connection.status": "PENDING"}),
    "stored-status/expired-with-reason": ("valid", {"connection.status": "EXPIRED"}),
    "stored-status/unknown-status": ("invalid", {"member": "status", "fault": "INVALID"}),
    "stored-status/null-status": ("invalid", {"member": "status", "fault": "NULL"}),
    "stored-status/unknown-member": ("invalid", {"member": None, "fault": "UNKNOWN"}),
    "stored-status/missing-member": ("invalid", {"member": "revokedAt", "fault": "MISSING"}),
    "entry-path/UNLINKED/preferSignup-true": (
        "valid",
        {
            "session.path": "NEW_ACTIVE_SIGNUP_HANDOFF",
            "session.handoff": "AWAITED",
            "binding": None,
        },
    ),
    "entry-path/LIMITED/preferSignup-true": (
        "valid",
        {"session.path": "SILENT_LIMITED", "binding.userId": "u-1"},
    ),
    "entry-path/ACTIVE/preferSignup-true": (
        "valid",
        {"session.path": "EXISTING_ACTIVE_HANDOFF", "session.landedAt": "2030-01-01T00:00:00Z"},
    ),
    "entry-path/TOMBSTONED/preferSignup-true": (
        "valid",
        {"binding.userId": "u-2", "binding.generation": 2},
    ),
    "binding/graduate/LIMITED/same-user": (
        "valid",
        {"binding.state": "ACTIVE", "binding.generation": 1},
    ),
    "binding/graduate/LIMITED/other-user-or-none-bound": (
        "invalid",
        {"problem.code": "BINDING_CONFLICT"},
    ),
    "binding/mistake/the-tombstoned-user-again": ("invalid", {"argument": "userId"}),
    "completion/boundary/before": (
        "valid",
        {"session.handoff": "LANDED", "session.landedAt": "2030-01-01T00:29:59.999999Z"},
    ),
    "completion/boundary/at": ("invalid", {"problem.code": "SESSION_EXPIRED"}),
    "completion/late/before": ("valid", {"outcome": "done", "binding.state": "ACTIVE"}),
    "completion/late/at": ("invalid", {"problem.code": "SESSION_EXPIRED"}),
    "completion/created/before": ("invalid", {"argument": "happenedAt"}),
    "completion/binding/LIMITED/same": ("invalid", {"problem.code": "BINDING_CHANGED"}),
    "completion/binding/ACTIVE/other": ("invalid", {"problem.code": "BINDING_CONFLICT"}),
    "completion/SILENT_LIMITED/waiting": ("invalid", {"problem.code": "HANDOFF_NOT_REQUIRED"}),
    "graduation-handoff/UNLINKED": ("invalid", {"problem.code": "BINDING_NOT_LIMITED"}),
    "graduation-handoff/LIMITED": ("valid", {"outcome": "done"}),
    # A day from the first use, a minute's lease.
    "record-standing/lease/execute/before": ("valid", {"standing": "in flight, lease running"}),
    "record-standing/lease/execute/at": ("valid", {"standing": "in flight, lease over"}),
    "record-standing/lease/unknown/at": ("valid", {"standing": "unknown"}),
    "record-standing/retention/COMPLETED/before": (
        "valid",
        {"standing": "completed", "recordExpiresAt": "2030-01-02T00:00:00Z"},
    ),
    "record-standing/retention/COMPLETED/at": ("valid", {"standing": "absent, or retention over"}),
    "record-standing/clock-that-steps-back": ("valid", {"standing": "in flight, lease over"}),
    "idempotency/first-use": ("valid", {"outcome": "execute", "token": 1}),
    "idempotency/retention/before": ("valid", {"outcome": "replay", "response.status": 200}),
    "idempotency/retention/at": (
        "valid",
        {"outcome": "execute", "token": 2, "firstUsedAt": "2030-01-02T00:00:00Z"},
    ),
    "idempotency/retention/other/before": (
        "invalid",
        {
            "problem.code": "IDEMPOTENCY_KEY_REUSED",
            "problem.status": 422,
            "problem.details.differs": "values",
        },
    ),
    "idempotency/other-operation/completed": ("invalid", {"problem.details.differs": "operation"}),
    "idempotency/lease/execute/before": (
        "invalid",
        {
            "problem.code": "IDEMPOTENCY_KEY_IN_FLIGHT",
            "problem.retryable": True,
            "problem.details.retryAfter": 1,
        },
    ),
    "idempotency/lease/execute/at": (
        "valid",
        {"outcome": "execute", "token": 2, "firstUsedAt": "2030-01-01T00:00:00Z"},
    ),
    "idempotency/lease/unknown/at": (
        "invalid",
        {"problem.code": "IDEMPOTENCY_OUTCOME_UNKNOWN", "problem.retryable": False},
    ),
    "idempotency/retry-after/before": ("invalid", {"problem.details.retryAfter": 11}),
    "idempotency/retry-after/at": ("invalid", {"problem.details.retryAfter": 10}),
    "idempotency/forgotten/same-fingerprint": (
        "invalid",
        {"problem.code": "IDEMPOTENCY_KEY_FORGOTTEN"},
    ),
    "attempt/lease/complete/before": ("valid", {"record.state": "COMPLETED"}),
    "attempt/lease/complete/at": ("invalid", {"outcome": "lease lost"}),
    "attempt/token-of-another-life/complete": ("invalid", {"outcome": "lease lost"}),
    "attempt/no-record/release": ("invalid", {"outcome": "lease lost"}),
    "attempt/lease/renew/before": ("valid", {"record.leaseUntil": "2030-01-01T00:01:59.999999Z"}),
    "record-upkeep/resolve-as-not-executed/unknown": ("valid", {"record.state": "RELEASED"}),
    "record-upkeep/forget/completed": (
        "valid",
        {"record.state": "FORGOTTEN", "record.response": None},
    ),
    "kept-response/404": ("valid", {"kept": True}),
    "kept-response/422": ("invalid", {"kept": False}),
    # Ten in any half-open minute.
    "exact-log/used/9": ("valid", {"outcome": "admitted", "availableBefore": [1]}),
    "exact-log/used/10": (
        "invalid",
        {
            "outcome": "limited",
            "retryAfterMicroseconds": 51_000_000,
            "headers.retry-after": "51",
            "headers.ratelimit": '"initiate";r=0;t=51',
            "headers.ratelimit-policy": '"initiate";q=10;w=60',
        },
    ),
    "exact-log/window/burst/before": (
        "invalid",
        {"retryAfterMicroseconds": 1, "headers.retry-after": "1"},
    ),
    "exact-log/window/burst/at": ("valid", {"availableBefore": [10]}),
    "exact-log/window/spread/at": ("valid", {"availableBefore": [1]}),
    "exact-log/cost/11/at": ("invalid", {"outcome": "error", "most": 10}),
    "exact-log/cost/0/at": ("invalid", {"argument": "cost"}),
    "token-bucket/platform/used/3": ("invalid", {"retryAfterMicroseconds": 1_000_000}),
    "token-bucket/odd/used/7": (
        "invalid",
        {"retryAfterMicroseconds": 3_333_334, "headers.ratelimit-policy": '"odd";q=7;w=24'},
    ),
    "token-bucket/odd/wait/before": ("invalid", {"retryAfterMicroseconds": 1}),
    "token-bucket/odd/wait/at": ("valid", {"outcome": "admitted"}),
    "token-bucket/one/refilled/before": ("invalid", {"availableBefore": [0]}),
    "token-bucket/one/refilled/at": ("valid", {"availableBefore": [1]}),
    "several-limits/longest-wait-first": (
        "invalid",
        {"policy": "one", "retryAfterMicroseconds": 60_000_000},
    ),
    "several-limits/equal-waits": ("invalid", {"policy": "twin"}),
    "several-limits/quoted-name": ("invalid", {"headers.ratelimit": '"a \\"b\\" \\\\ c";r=0;t=1'}),
    "permission/another-environment/scope-missing": (
        "invalid",
        {"problem.code": "WRONG_ENVIRONMENT"},
    ),
    "permission/environment-served/scope-missing": (
        "invalid",
        {"problem.code": "SCOPE_INSUFFICIENT"},
    ),
    "permission/read/live": ("valid", {"outcome": "done"}),
    "permission/read/test": ("invalid", {"problem.code": "WRONG_ENVIRONMENT"}),
    "request/credentials": (
        "invalid",
        {
            "status": 401,
            "headers": [
                ["content-type", "application/problem+json"],
                ["www-authenticate", "Bearer"],
            ],
        },
    ),
    "request/ownership": ("invalid", {"status": 404, "body.details": {}}),
    "request/the-app-users-limit": (
        "invalid",
        {
            "status": 429,
            "headers": [
                ["content-type", "application/problem+json"],
                ["cache-control", "no-store"],
                ["retry-after", "60"],
                ["ratelimit-policy", '"initiate";q=10;w=60'],
                ["ratelimit", '"initiate";r=0;t=60'],
            ],
        },
    ),
    "request/replay-at-the-limit": ("valid", {"status": 201, "replayed": True}),
    "operation/revoke": ("valid", {"status": 200, "replayed": False}),
    "operation/initiate": ("valid", {"status": 201}),
    "entity-tag/weak": ("valid", {"status": 304, "body": ""}),
    "entity-tag/other": ("valid", {"status": 200, "body": '{"lifecycleState":"UNLINKED"}'}),
    "problems/RATE_LIMITED": (
        "valid",
        {
            "document": {
                "type": "https://example.com/problems/rate-limited",
                "status": 429,
                "code": "RATE_LIMITED",
                "details": {"policy": "initiate", "retryAfter": 12},
                "retryable": True,
            }
        },
    ),
    "problems/instance/INTERNAL": ("valid", {"document.instance": "/occurrences/1"}),
    "problems/instance/NOT_FOUND": (
        "valid",
        {
            "document": {
                "type": "https://errors.example.org/not-found",
                "status": 404,
                "code": "NOT_FOUND",
                "details": {},
                "retryable": False,
            }
        },
    ),
    "uuid/upper-case": ("acceptable", {"value": "0f8fad5b-d9cb-469f-a165-70867728950e"}),
    "data-packages/repeated": ("acceptable", {"value": ["labs"]}),
    "time/trailing-zeros": ("acceptable", {"value": "2030-01-01T00:00:00.5Z"}),
    "idempotency-key/quoted": ("acceptable", {"key": "k-1"}),
    "idempotency-key/escaped-quote": ("acceptable", {"key": 'k"1'}),
    "authorization-header/lower-case-scheme": (
        "acceptable",
        {"sha256": "080cb06149c13f3d544acff51c913edf530e3ddfffdd3f82547c8429e5a72334"},
    ),
}


def member(answer: Json, path: str) -> Json:
    for name in path.split("."):
        answer = cast("Object", answer)[name]
    return answer


@pytest.mark.parametrize("case_id", EXPECTED)
def test_a_case_says_what_is_expected_by_hand(case_id: str) -> None:
    verdict, expected = EXPECTED[case_id]
    case = CASES[case_id]
    assert case["verdict"] == verdict
    assert {path: member(case["answer"], path) for path in expected} == expected


SYNTAX = {
    "app-user-id": "plain one inner-space no-break-space-inside case-kept not-normalised "
    "beyond-the-plane longest longest-in-code-points",
    "uuid": "lower-case nil",
    "data-packages": "one sorted digits-and-underscores most longest",
    "time": "whole-second one-digit microsecond leap-day first last",
    "idempotency-key": "plain one every-visible-character quote-inside longest",
    "authorization-header": "plain",
}
ACCEPTABLE = {
    "app-user-id": "",
    "uuid": "upper-case mixed-case",
    "data-packages": "unsorted repeated most-and-one-again",
    "time": "trailing-zeros zero-fraction",
    "idempotency-key": "quoted quoted-longest white-space-around escaped-quote escaped-backslash",
    "authorization-header": "lower-case-scheme two-spaces white-space-around",
}


@pytest.mark.parametrize("name", SYNTAX)
def test_what_is_valid_and_what_is_acceptable_by_hand(name: str) -> None:
    def told(verdict: Verdict) -> list[str]:
        cases = cast("list[Object]", DOCUMENTS[f"{name}.json"]["cases"])
        return [cast("str", it["id"]).split("/")[1] for it in cases if it["verdict"] == verdict]

    assert told(Verdict.VALID) == SYNTAX[name].split()
    assert told(Verdict.ACCEPTABLE) == ACCEPTABLE[name].split()
    assert len(told(Verdict.INVALID)) > 5


def test_a_revocation_reaches_the_chain_or_not() -> None:
    for actor, answers in (("APP", 1), ("UPSTREAM", 1), ("PATIENT", 3), ("PLATFORM", 3)):
        answer = cast("Object", CASES[f"revocation-reach/{actor}"]["answer"])
        told = cast("list[Object]", answer["answers"])
        assert [it["outcome"] for it in told] == ["done"] * answers
        again = cast("Object", CASES[f"revocation-reach/{actor}/again"]["answer"])
        first, *_ = cast("list[Object]", again["answers"])
        assert first["outcome"] == "ignored"


def value(case_id: str) -> str:
    return cast("str", cast("Object", CASES[case_id]["answer"])["values"])


def test_only_the_values_of_a_body_count() -> None:
    body = "request-body/"
    plain = value(f"{body}initiate/plain")
    same = {value(f"{body}initiate/{word}") for word in ("false", "escapes")}
    assert same == {plain}
    preferred = value(f"{body}initiate/preference")
    assert value(f"{body}initiate/order-and-space") == preferred != plain
    in_order = value(f"{body}create/plain")
    assert value(f"{body}create/packages-in-any-order") == in_order
    assert value(f"{body}revoke/absent") == value(f"{body}revoke/empty-object")


def test_the_faults_of_a_body_by_hand() -> None:
    faults = {
        word.removeprefix("request-body/"): (
            member(case["answer"], "problem.details.fault"),
            member(case["answer"], "problem.details.member"),
        )
        for word, case in CASES.items()
        if word.startswith("request-body/") and case["verdict"] == "invalid"
    }
    not_json = ("NOT_JSON", None)
    no_object = ("NOT_AN_OBJECT", None)
    assert faults == {
        "initiate/lone-surrogate": ("INVALID", "appUserId"),
        "initiate/empty": not_json,
        "initiate/not-json": not_json,
        "initiate/two-documents": not_json,
        "initiate/comment": not_json,
        "initiate/not-a-number": not_json,
        "initiate/number-beyond-doubles": not_json,
        "initiate/byte-order-mark": not_json,
        "initiate/too-deep": not_json,
        "initiate/deepest": no_object,
        "initiate/list": no_object,
        "initiate/null-document": no_object,
        "initiate/missing": ("MISSING", "appUserId"),
        "initiate/unknown": ("UNKNOWN", None),
        "initiate/other-case": ("UNKNOWN", None),
        "initiate/repeated": ("REPEATED", "appUserId"),
        "initiate/unknown-repeated": ("REPEATED", None),
        "initiate/null": ("NULL", "appUserId"),
        "initiate/null-preference": ("NULL", "preferSignup"),
        "initiate/text-preference": ("INVALID", "preferSignup"),
        "initiate/number-preference": ("INVALID", "preferSignup"),
        "create/no-packages": ("INVALID", "dataPackages"),
        "create/packages-missing": ("MISSING", "dataPackages"),
        "create/packages-null": ("NULL", "dataPackages"),
        "revoke/member": ("UNKNOWN", None),
        "revoke/null": no_object,
        "revoke/list": no_object,
    }


def test_the_targets_by_hand() -> None:
    state = "request-target/"
    assert len({value(f"{state}{word}") for word in ("user", "encoded-name")}) == 1
    assert value(f"{state}other-parameters") == value(f"{state}user")
    assert value(f"{state}plus-is-a-space") != value(f"{state}percent")
    codes = {
        "missing": ("BAD_REQUEST", "MISSING"),
        "empty": ("BAD_REQUEST", "INVALID"),
        "no-value": ("BAD_REQUEST", "INVALID"),
        "repeated": ("BAD_REQUEST", "REPEATED"),
        "not-utf-8": ("BAD_REQUEST", "INVALID"),
        "space-at-the-end": ("BAD_REQUEST", "INVALID"),
        "connection-without-hyphens": ("BAD_REQUEST", "INVALID"),
        "connection-no-uuid": ("BAD_REQUEST", "INVALID"),
        "no-such-path": ("NOT_FOUND", None),
        "trailing-slash": ("NOT_FOUND", None),
        "other-action": ("NOT_FOUND", None),
        "action-by-get": ("NOT_FOUND", None),
    }
    for word, expected in codes.items():
        problem = cast("Object", member(CASES[f"{state}{word}"]["answer"], "problem"))
        assert (problem["code"], cast("Object", problem["details"]).get("fault")) == expected


def test_a_pending_connection_heals_where_its_hand_off_landed_in_time() -> None:
    for word, status in (("before", "ACTIVE"), ("at", "EXPIRED"), ("after", "EXPIRED")):
        answer = CASES[f"operation/get-connection/landed/{word}"]["answer"]
        shown = cast("Object", json.loads(cast("str", member(answer, "body"))))
        assert member(shown, "connection.status") == status


def test_a_foreign_id_answers_byte_for_byte_like_an_unknown_one() -> None:
    assert CASES["request/another-app"]["answer"] == CASES["request/ownership"]["answer"]
