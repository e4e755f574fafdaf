"""Expected answers of vectors of keys, limits, requests and texts, written by hand.

The law of this module: **nothing here is computed**, so a vector and its rule cannot be
wrong together.
"""

from __future__ import annotations

from typing import Final

EXPECTED: Final[dict[str, tuple[str, dict[str, object]]]] = {
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
    # It fills in 70/3 seconds, so the last state that it believes is full 323 1/3 seconds later.
    "token-bucket/odd/clock-put-right/believed/1": (
        "invalid",
        {"retryAfterMicroseconds": 303_333_334, "availableBefore": [0]},
    ),
    "token-bucket/odd/clock-put-right/not-believed/1": (
        "valid",
        {"outcome": "admitted", "availableBefore": [7]},
    ),
    "token-bucket/platform/clock-put-right/a-year/3": ("valid", {"outcome": "admitted"}),
    "token-bucket/platform/clock-put-right/window/1": (
        "invalid",
        {"retryAfterMicroseconds": 1_000_000},
    ),
    "several-limits/clock-put-right": ("invalid", {"policy": "odd"}),
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
                "type": "https://curaeai.com/problems/rate-limited",
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
    "problem-status/conflict": ("valid", {"status": 409, "kept": True}),
    "problem-status/mismatch": ("valid", {"status": 422, "kept": False}),
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
"""The verdict of a case, and members of its answer by their path."""

SYNTAX: Final = {
    "app-user-id": "plain one inner-space no-break-space-inside case-kept not-normalised "
    "beyond-the-plane longest longest-in-code-points",
    "uuid": "lower-case nil",
    "data-packages": "one sorted digits-and-underscores most longest",
    "time": "whole-second one-digit microsecond leap-day first last",
    "idempotency-key": "plain one every-visible-character quote-inside longest",
    "authorization-header": "plain",
}
"""The valid texts of each syntax."""

ACCEPTABLE: Final = {
    "app-user-id": "",
    "uuid": "upper-case mixed-case",
    "data-packages": "unsorted repeated most-and-one-again",
    "time": "trailing-zeros zero-fraction",
    "idempotency-key": "quoted quoted-longest white-space-around escaped-quote escaped-backslash",
    "authorization-header": "lower-case-scheme two-spaces white-space-around",
}
"""The texts that are accepted and normalized."""
