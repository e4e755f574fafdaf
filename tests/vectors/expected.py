"""What some of the vectors must say, written by hand from the rules.

The law of this module: **nothing here is computed**, so that a vector and the rule that it was
computed from cannot be wrong together.
"""

from __future__ import annotations

from typing import Final

EXPECTED: Final[dict[str, tuple[str, dict[str, object]]]] = {
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
    "deadline/PENDING/no-revokedAt": (
        "valid",
        {"deadline": "the hand-off's deadline", "nextDeadline": "2030-01-01T01:00:00Z"},
    ),
    "deadline/ACTION_REQUIRED/no-revokedAt": (
        "valid",
        {"deadline": "expiresAt", "nextDeadline": "2030-01-01T01:00:00Z"},
    ),
    "deadline/REVOKED/no-revokedAt": ("valid", {"deadline": "none", "nextDeadline": None}),
    "deadline/ACTIVE/a-revokedAt": ("valid", {"deadline": "none", "nextDeadline": None}),
    "standing/ACTIVE/a-revokedAt/before-the-deadline-or-none-set": (
        "valid",
        {"standing": "REVOKED", "nextDeadline": None},
    ),
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
    "connection/require_action/PENDING": ("valid", {"outcome": "ignored"}),
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
            "connection.version": 2,
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
    # Five minutes ahead is now, before the making is the making, and nothing goes back.
    "connection/clocks/authorize/five-minutes-ahead": (
        "valid",
        {"connection.authorizedAt": "2030-01-01T00:40:00Z"},
    ),
    "connection/clocks/revoke/five-minutes-ahead": (
        "valid",
        {"connection.revokedAt": "2030-01-01T00:40:00Z"},
    ),
    "connection/clocks/authorize/before-creation": (
        "valid",
        {
            "connection.authorizedAt": "2030-01-01T00:00:00Z",
            "connection.updatedAt": "2030-01-01T00:40:00Z",
        },
    ),
    "connection/clocks/revoke/before-creation": (
        "valid",
        {"connection.revokedAt": "2030-01-01T00:00:00Z"},
    ),
    "connection/clocks/revoke/ACTIVE/worker-behind": (
        "valid",
        {
            "connection.updatedAt": "2030-01-01T00:40:00Z",
            "connection.revokedAt": "2030-01-01T00:40:00Z",
        },
    ),
    "connection/clocks/reconnect/ACTION_REQUIRED/worker-behind": (
        "valid",
        {
            "connection.identity.createdAt": "2030-01-01T00:40:00Z",
            "connection.handoffDeadline": "2030-01-01T01:09:00Z",
        },
    ),
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
            "problem.details.headConnectionId": "00000000-0000-4000-8000-000000000002",
        },
    ),
    "authorization/head-further-on": (
        "invalid",
        {
            "problem.details.nextConnectionId": "00000000-0000-4000-8000-000000000002",
            "problem.details.headConnectionId": "00000000-0000-4000-8000-000000000003",
        },
    ),
    "recovery/head-further-on": (
        "invalid",
        {
            "problem.code": "CONNECTION_SUPERSEDED",
            "problem.details.headConnectionId": "00000000-0000-4000-8000-000000000003",
        },
    ),
    "recovery/EXPIRED/no-successor": (
        "valid",
        {
            "made": "minted",
            "connection.identity.id": "00000000-0000-4000-8000-000000000009",
            "connection.identity.predecessorId": "00000000-0000-4000-8000-000000000001",
            "connection.identity.position": 2,
            "connection.version": 1,
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
    "life/PENDING": ("valid", {"live": True}),
    "life/LAPSED": ("valid", {"live": False}),
    "life/ACTION_REQUIRED": ("valid", {"live": True}),
    "ending/PENDING": (
        "valid",
        {
            "ends": "its live hand-off",
            "effects": [
                {
                    "kind": "hand-off cancelled",
                    "connectionId": "00000000-0000-4000-8000-000000000001",
                }
            ],
        },
    ),
    "ending/ACTIVE/action-required": (
        "valid",
        {
            "ends": "the access that it gave",
            "effects": [
                {
                    "kind": "access ended",
                    "connectionId": "00000000-0000-4000-8000-000000000001",
                    "at": "2030-01-01T00:40:00Z",
                }
            ],
        },
    ),
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
    "merge/latest-version": ("valid", {"connection.version": 7}),
    "merge/reissued/swapped": ("valid", {"connection.updatedAt": "2030-01-01T00:40:00Z"}),
    "merge/two-reasons": ("valid", {"connection.actionRequiredReason": "consent_renewal"}),
    "merge/another-id": ("invalid", {"outcome": "error"}),
    "wire-status/LAPSED": ("valid", {"connection.status": "EXPIRED"}),
    "wire-status/ACTIVE/as-authorized": ("valid", {"connection.status": "AUTHORIZED"}),
    "stored-status/AUTHORIZED/no-revokedAt/authorizedAt-or-a-reason": (
        "acceptable",
        {"connection.status": "ACTIVE"},
    ),
    "stored-status/EXPIRED/no-revokedAt/authorizedAt-or-a-reason": (
        "valid",
        {"connection.status": "EXPIRED"},
    ),
    "stored-status/EXPIRED/no-revokedAt/neither-authorizedAt-nor-a-reason": (
        "valid",
        {"connection.status": "PENDING", "connection.handoffDeadline": "2030-01-01T00:00:00Z"},
    ),
    "stored-status/REVOKED/no-revokedAt/neither-authorizedAt-nor-a-reason": (
        "valid",
        {"connection.status": "REVOKED"},
    ),
    "stored-status/PENDING/a-revokedAt/authorizedAt-or-a-reason": (
        "valid",
        {"connection.status": "REVOKED", "connection.revokedAt": "2030-01-01T00:40:00Z"},
    ),
    "stored-status/expired-with-reason": ("valid", {"connection.status": "EXPIRED"}),
    "stored-status/unknown-status": ("invalid", {"member": "status", "fault": "INVALID"}),
    "stored-status/null-status": ("invalid", {"member": "status", "fault": "NULL"}),
    "stored-status/unknown-member": ("acceptable", {"connection.status": "ACTIVE"}),
    "stored-status/missing-revoked-at": ("acceptable", {"connection.revokedAt": None}),
    "stored-status/time-with-offset": (
        "acceptable",
        {"connection.identity.createdAt": "2030-01-01T00:00:00Z"},
    ),
    "stored-status/time-with-another-offset": (
        "invalid",
        {"member": "createdAt", "fault": "INVALID"},
    ),
    "stored-status/missing-member": ("invalid", {"member": "createdAt", "fault": "MISSING"}),
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
        {"binding.state": "ACTIVE", "binding.generation": 1, "binding.version": 2},
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
    "completion/created/before": ("valid", {"session.landedAt": "2030-01-01T00:00:00Z"}),
    "completion/clocks/five-minutes-ahead": (
        "valid",
        {"session.landedAt": "2030-01-01T00:01:00Z"},
    ),
    "completion/mistake/from-the-future": ("invalid", {"argument": "happenedAt"}),
    "tombstone/UNLINKED": ("valid", {"outcome": "ignored"}),
    "tombstone/TOMBSTONED": ("valid", {"outcome": "ignored"}),
    "tombstone/connection/ACTIVE": ("valid", {"binding.state": "TOMBSTONED"}),
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
"""The texts that are read, but written otherwise."""
