"""The identifiers of the platform's reference; the rows of the page must name all of them.

The reference is not part of this project, so the list is written by hand. A member is named with its
object, because `status` of a connection and `status` of a problem are two members.
"""

from __future__ import annotations

from typing import Final

IDENTIFIERS: Final[dict[str, tuple[str, ...]]] = {
    "operations": ("reconnect", "revoke", "initiate"),
    "the request's line": ("POST", "/api/sdk/v1/connections/{connectionId}:reconnect"),
    "parameters": ("connectionId", "preferSignup", "customerAccountId", "appUserId"),
    "headers": ("Authorization", "Bearer", "Idempotency-Key", "Content-Type"),
    "media types": ("application/json", "application/problem+json"),
    "security": ("platformApiKey", "cae_live_", "connection:write"),
    "members of the answer": ("connection", "previousConnectionId", "nextAction"),
    "members of a connection": (
        "connection.id",
        "connection.customerAccountId",
        "connection.appUserId",
        "connection.status",
        "connection.dataPackages",
        "connection.authorizedAt",
        "connection.expiresAt",
        "connection.revokedAt",
        "connection.actionRequiredReason",
        "connection.createdAt",
        "connection.updatedAt",
    ),
    "members of a next action": ("nextAction.type", "nextAction.url", "nextAction.expiresAt"),
    "members of a problem": (
        "problem.type",
        "problem.title",
        "problem.status",
        "problem.detail",
        "problem.instance",
        "problem.code",
        "problem.details",
        "problem.retryable",
    ),
    "statuses of a connection": ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED"),
    "other words": ("open_webview", "clinical_summary", "LIMITED", "completeHandoff"),
    "types": ("CuraeConnectSession", "LimitedAccountAppBinding"),
    "paths": (
        "Path A",
        "Path B",
        "Path C",
        "EXISTING_ACTIVE_HANDOFF",
        "NEW_ACTIVE_SIGNUP_HANDOFF",
        "SILENT_LIMITED",
    ),
    "numbers": ("10", "minute"),
}
"""The identifiers by kind. Statuses are spelled as on the wire."""

LISTED: Final = tuple(name for names in IDENTIFIERS.values() for name in names)
"""All identifiers, in that order."""


def word(identifier: str) -> str:
    """Return an identifier as a program spells it: a member without its object."""
    owner, _, member = identifier.partition(".")
    return member if owner in {"connection", "nextAction", "problem"} and member else identifier
