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
    "beyond-the-plane longest longest-in-code-points name-of-a-prototype "
    "zero-width-space-at-the-end byte-order-mark-in-front old-white-space-at-the-end",
    "uuid": "lower-case nil",
    "data-packages": "one sorted digits-and-underscores most longest name-of-a-prototype one-letter",
    "time": "whole-second one-digit microsecond leap-day first last century-with-leap-day "
    "before-1970 last-of-its-day",
    "idempotency-key": "plain one every-visible-character quote-inside longest "
    "parameter-after-a-bare-key comma name-of-a-prototype",
    "authorization-header": "plain",
}
"""The valid texts of each syntax."""

ACCEPTABLE: Final = {
    "app-user-id": "",
    "uuid": "upper-case mixed-case",
    "data-packages": "unsorted repeated most-and-one-again order-of-code-points",
    "time": "trailing-zeros zero-fraction",
    "idempotency-key": "quoted quoted-longest white-space-around escaped-quote escaped-backslash "
    "white-space-around-quotes",
    "authorization-header": "lower-case-scheme two-spaces white-space-around upper-case-scheme "
    "every-visible-character",
}
"""The texts that are accepted and normalized."""

_NOT_JSON: Final = ("NOT_JSON", None)
_NO_OBJECT: Final = ("NOT_AN_OBJECT", None)

FAULTS: Final = {
    "initiate/lone-surrogate": ("INVALID", "appUserId"),
    "initiate/empty": _NOT_JSON,
    "initiate/not-json": _NOT_JSON,
    "initiate/two-documents": _NOT_JSON,
    "initiate/comment": _NOT_JSON,
    "initiate/not-a-number": _NOT_JSON,
    "initiate/number-beyond-doubles": _NOT_JSON,
    "initiate/byte-order-mark": _NOT_JSON,
    "initiate/too-deep": _NOT_JSON,
    "initiate/deepest": _NO_OBJECT,
    "initiate/list": _NO_OBJECT,
    "initiate/null-document": _NO_OBJECT,
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
    "revoke/null": _NO_OBJECT,
    "revoke/list": _NO_OBJECT,
    "initiate/name-of-a-prototype": ("UNKNOWN", None),
    "initiate/name-of-a-constructor": ("UNKNOWN", None),
    "initiate/user-in-a-prototype": ("UNKNOWN", None),
    "initiate/unknown-before-missing": ("UNKNOWN", None),
    "initiate/no-break-space": _NOT_JSON,
    "initiate/form-feed": _NOT_JSON,
    "initiate/trailing-comma": _NOT_JSON,
    "initiate/missing-comma": _NOT_JSON,
    "initiate/missing-colon": _NOT_JSON,
    "initiate/single-quotes": _NOT_JSON,
    "initiate/bare-name": _NOT_JSON,
    "initiate/unclosed-text": _NOT_JSON,
    "initiate/unclosed-object": _NOT_JSON,
    "initiate/unclosed-list": _NOT_JSON,
    "initiate/trailing-comma-of-a-list": _NOT_JSON,
    "initiate/upper-case-word": _NOT_JSON,
    "initiate/word-and-more": _NOT_JSON,
    "initiate/other-word": _NOT_JSON,
    "initiate/line-feed-in-a-text": _NOT_JSON,
    "initiate/last-control-character-in-a-text": _NOT_JSON,
    "initiate/unknown-escape": _NOT_JSON,
    "initiate/short-escape": _NOT_JSON,
    "initiate/escape-without-digits": _NOT_JSON,
    "initiate/integer-too-long": _NOT_JSON,
    "initiate/fraction-beyond-doubles": _NOT_JSON,
    "initiate/leading-zero": _NOT_JSON,
    "initiate/leading-plus": _NOT_JSON,
    "initiate/minus-alone": _NOT_JSON,
    "initiate/fraction-without-digits": _NOT_JSON,
    "initiate/exponent-without-digits": _NOT_JSON,
    "initiate/too-long": _NOT_JSON,
    "initiate/too-long-in-bytes": _NOT_JSON,
    "initiate/escaped-line-feed": ("INVALID", "appUserId"),
    "initiate/integer": ("INVALID", "appUserId"),
    "initiate/zero": ("INVALID", "appUserId"),
    "initiate/fraction-and-exponent": ("INVALID", "appUserId"),
    "initiate/tiny-exponent": ("INVALID", "appUserId"),
    "initiate/integer-of-400-digits": ("INVALID", "appUserId"),
    "initiate/longest-integer": ("INVALID", "appUserId"),
    "initiate/largest-fraction": ("INVALID", "appUserId"),
    "initiate/repeated-inside": ("INVALID", "appUserId"),
    "initiate/empty-user": ("INVALID", "appUserId"),
    "initiate/preference-of-null-after-a-bad-user": ("INVALID", "appUserId"),
    "initiate/repeated-by-an-escape": ("REPEATED", "appUserId"),
    "initiate/repeated-before-unknown": ("REPEATED", "appUserId"),
    "initiate/unknown-repeated-first": ("REPEATED", None),
    "initiate/repeated-second-first": ("REPEATED", "preferSignup"),
    "initiate/text-document": _NO_OBJECT,
    "initiate/true-document": _NO_OBJECT,
    "initiate/question-mark-in-front": _NOT_JSON,
    "initiate/control-character-before-a-letter": _NOT_JSON,
    "initiate/unopened-name": _NOT_JSON,
    "initiate/objects-too-deep": _NOT_JSON,
    "initiate/deepest-objects": ("UNKNOWN", None),
    "create/both-missing": ("MISSING", "appUserId"),
    "create/both-at-fault": ("INVALID", "appUserId"),
    "create/preference": ("UNKNOWN", None),
    "graduation/preference": ("UNKNOWN", None),
    "revoke/white-space": _NOT_JSON,
    "revoke/not-json": _NOT_JSON,
    "revoke/repeated": ("REPEATED", None),
    "revoke/body-before-id": _NO_OBJECT,
    "revoke/id-alone": ("INVALID", "connectionId"),
    "reconnect/member": ("UNKNOWN", None),
}
"""The fault and the member of each body that is refused."""
