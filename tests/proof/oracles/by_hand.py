"""Every table as written by hand in the tests of the modules, in the words of its page."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.problems import ProblemCode
from tests.proof.oracles.accounts import USERS
from tests.rules import (
    test_access,
    test_attempt,
    test_binding,
    test_chain,
    test_connection,
    test_credentials,
    test_idempotency,
    test_problems,
    test_session,
    test_triggers,
    test_wire_status,
)
from tests.support.specimens import Key

RECOVERIES: Final = {
    "mint": "mint a successor",
    "reissue": "reissue the successor",
    "superseded": "refuse CONNECTION_SUPERSEDED",
}
API: Final = "/api/sdk/v1"
WRITE: Final = "connection:write"


def one(table: dict[str, str]) -> dict[Key, str]:
    """Return a table of one axis."""
    return {(cell,): word for cell, word in table.items()}


def refusing(table: dict[Key, str]) -> dict[Key, str]:
    """Return a table whose refusals are written as codes."""
    codes = ProblemCode.__members__
    return {cell: f"refuse {word}" if word in codes else word for cell, word in table.items()}


BY_HAND: Final[dict[str, dict[Key, str]]] = {
    "deadline": test_connection.DEADLINES,
    "standing": test_connection.STANDINGS,
    "connection": test_triggers.CELLS,
    "expiry-record": one(test_triggers.EXPIRY_RECORDS),
    "authorization": one(test_triggers.AUTHORIZATIONS),
    "recovery": {cell: RECOVERIES[word] for cell, word in test_chain.RECOVERIES.items()},
    "revocation-reach": one(test_chain.REACHES),
    "life": one(test_chain.LIVES),
    "ending": one(test_triggers.ENDINGS),
    "access": {
        cell: word if word == "grant" else f"deny {word}"
        for cell, word in test_access.CELLS.items()
    },
    "entry-path": {
        (state, preference): f"{path}, hand-off {handoff}, {USERS[state, user]}"
        for state, preference, path, handoff, user, _ in test_session.PATHS
    },
    "binding": refusing(
        {cell: word.removesuffix(" new") for cell, word in test_binding.CELLS.items()}
    ),
    "tombstone-report": one(test_binding.TOMBSTONE_REPORTS),
    "completion": refusing(
        {(path, state): word for (state, path), word in test_session.COMPLETIONS.items()}
    ),
    "graduation-handoff": one(test_binding.GRADUATIONS),
    "record-standing": test_idempotency.STANDINGS,
    "idempotency": refusing(test_idempotency.CELLS),
    "attempt": test_attempt.CELLS,
    "record-upkeep": {(act, record): word for (record, act), word in test_attempt.UPKEEP.items()},
    "permission": refusing(test_credentials.CELLS),
    "request": {
        ("credentials",): "refuse UNAUTHENTICATED",
        ("path and method",): "refuse NOT_FOUND",
        ("environment and scope",): "see permission",
        ("path ids, query and body",): "refuse BAD_REQUEST",
        ("no key where none is allowed",): "refuse IDEMPOTENCY_KEY_NOT_ALLOWED",
        ("a key where one is needed",): "refuse IDEMPOTENCY_KEY_REQUIRED",
        ("a key that can be read",): "refuse IDEMPOTENCY_KEY_INVALID",
        ("the platform's buckets",): "refuse RATE_LIMITED",
        ("the key's record",): "see idempotency",
        ("the app user's limit",): "refuse RATE_LIMITED",
        ("ownership",): "refuse NOT_FOUND",
        ("the rule itself",): "see the tables of the operation",
        ("room in the store",): "refuse INTERNAL",
    },
    "operation": {
        ("create-connection",): f"POST {API}/connections → 201; {WRITE}, key needed, no limit",
        ("get-connection",): (
            f"GET {API}/connections/{{connectionId}} → 200; no scope, key not looked at, no limit"
        ),
        ("reconnect",): (
            f"POST {API}/connections/{{connectionId}}:reconnect → 201; "
            f"{WRITE}, key needed, no limit"
        ),
        ("revoke",): (
            f"POST {API}/connections/{{connectionId}}:revoke → 200; {WRITE}, key needed, no limit"
        ),
        ("initiate",): (
            f"POST {API}/curae-connect/initiate → 201; {WRITE}, key needed, 10 a minute"
        ),
        ("account-state",): (
            f"GET {API}/curae-connect/account-state → 200; no scope, key not looked at, no limit"
        ),
        ("graduation-handoff",): (
            f"POST {API}/curae-connect/graduation-handoff → 201; "
            f"{WRITE}, key not allowed, 10 a minute"
        ),
    },
    "problems": {
        (code,): f"{kind}, {'retryable' if again else 'final'}, "
        f"details: {', '.join(details) or 'none'}"
        for code, (kind, again, _, details) in test_problems.EXPECTED.items()
    },
    "problem-status": one(test_problems.STATUSES),
    "wire-status": one(test_wire_status.SPELLINGS),
    "stored-status": test_wire_status.READINGS,
}
