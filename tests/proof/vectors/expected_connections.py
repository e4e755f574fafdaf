"""Expected answers of vectors of connections, chains and accounts, written by hand.

The law of this module: **nothing here is computed**, so a vector and its rule cannot be
wrong together.
"""

from __future__ import annotations

from typing import Final

EXPECTED: Final[dict[str, tuple[str, dict[str, object]]]] = {
    # A deadline is half-open: at the deadline it is over.
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
    "deadline/PENDING/no-revokedAt/made-under-the-present-era": (
        "valid",
        {"deadline": "the hand-off's deadline", "nextDeadline": "2030-01-01T01:00:00Z"},
    ),
    "deadline/ACTION_REQUIRED/no-revokedAt/made-under-the-present-era": (
        "valid",
        {"deadline": "expiresAt", "nextDeadline": "2030-01-01T01:00:00Z"},
    ),
    "deadline/REVOKED/no-revokedAt/made-under-the-present-era": (
        "valid",
        {"deadline": "none", "nextDeadline": None},
    ),
    "deadline/ACTIVE/a-revokedAt/made-under-the-present-era": (
        "valid",
        {"deadline": "none", "nextDeadline": None},
    ),
    "standing/ACTIVE/a-revokedAt/made-under-the-present-era/before-the-deadline-or-none-set": (
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
    # Five minutes ahead is now, before the creation is the creation, and nothing goes back.
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
            "connection.handoffDeadline": "2030-01-01T01:10:00Z",
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
    "page-fact/connection.authorize/live": (
        "valid",
        {
            "outcome": "done",
            "connection.status": "ACTIVE",
            "pages": [
                {
                    "url": "https://connect.example.com/h/2",
                    "kind": "connection",
                    "subject": "00000000-0000-4000-8000-000000000001",
                    "version": 2,
                }
            ],
        },
    ),
    "page-fact/connection.authorize/replaced": ("invalid", {"problem.code": "NOT_FOUND"}),
    "page-fact/connection.authorize/row-gone": ("invalid", {"problem.status": 404}),
    "page-fact/connection.authorize/none-named": ("valid", {"outcome": "done", "pages": []}),
    "page-fact/connection.authorize/repeated": ("valid", {"outcome": "ignored"}),
    "page-fact/connection.revoke/about-another": ("invalid", {"problem.code": "NOT_FOUND"}),
    "page-fact/handoff.complete/replaced": ("invalid", {"problem.code": "NOT_FOUND"}),
    "page-fact/handoff.complete/live": ("valid", {"session.handoff": "LANDED"}),
    "page-fact/binding.graduate/live": ("valid", {"binding.state": "ACTIVE"}),
    "page-fact/binding.graduate/made-while-no-user-was-bound": (
        "invalid",
        {"problem.code": "NOT_FOUND"},
    ),
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
    "standing/ACTIVE/no-revokedAt/made-under-another-era/before-the-deadline-or-none-set": (
        "valid",
        {"standing": "REVOKED", "nextDeadline": None},
    ),
    "access/other-era": ("invalid", {"outcome": "denied", "reason": "REVOKED"}),
    "connection/other-era/revoke/ACTIVE": ("valid", {"outcome": "ignored", "revokedNow": False}),
    "connection/other-era/authorize/PENDING": (
        "invalid",
        {"problem.code": "CONNECTION_NOT_PENDING"},
    ),
    "connection/other-era/reconnect/PENDING": (
        "valid",
        {"made": "minted", "connection.identity.era": "2030-01-01T00:00:00Z"},
    ),
    "completion/NEW_ACTIVE_SIGNUP_HANDOFF/waiting-made-under-another-era": (
        "invalid",
        {"problem.code": "BINDING_CHANGED"},
    ),
    "tombstone/UNLINKED": (
        "valid",
        {
            "binding.state": "TOMBSTONED",
            "binding.userId": None,
            "binding.generation": 0,
            "binding.era": "2030-01-01T00:40:00Z",
        },
    ),
    "tombstone/TOMBSTONED": ("valid", {"outcome": "done", "binding.era": "2030-01-01T00:40:00Z"}),
    "tombstone/copy": ("valid", {"outcome": "ignored"}),
    "tombstone/without-happened-at": ("valid", {"outcome": "done"}),
    "tombstone/era-would-repeat": ("valid", {"binding.era": "2030-01-01T00:40:00.000001Z"}),
    "tombstone/connection/ACTIVE": ("valid", {"binding.state": "TOMBSTONED"}),
    "completion/binding/LIMITED/same": ("invalid", {"problem.code": "BINDING_CHANGED"}),
    "completion/binding/ACTIVE/other": ("invalid", {"problem.code": "BINDING_CONFLICT"}),
    "completion/SILENT_LIMITED/waiting": ("invalid", {"problem.code": "HANDOFF_NOT_REQUIRED"}),
    "graduation-handoff/UNLINKED": ("invalid", {"problem.code": "BINDING_NOT_LIMITED"}),
    "graduation-handoff/LIMITED": ("valid", {"outcome": "done"}),
}
"""The verdict of a case, and members of its answer by their path."""
