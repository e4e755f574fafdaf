"""The documented outcomes of each target's inputs, all of which must occur."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, get_args, get_type_hints

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import Record, StoredResponse
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service.response import Response, ResponseReference


def faults(*members: str) -> set[str]:
    """Return every fault of a document and its members."""
    whole = {"NOT_JSON", "NOT_AN_OBJECT", "UNKNOWN", "REPEATED"}
    parts = product(members, ("MISSING", "NULL", "INVALID", "REPEATED"))
    found = {f"document {fault}" for fault in whole} | {f"{name} {fault}" for name, fault in parts}
    return {"value", *found} - {"preferSignup MISSING"}


def members_of(kind: type, within: str = "") -> Iterator[str]:
    """Yield the path of every member of a stored value."""
    for name, hint in get_type_hints(kind).items():
        if name in attrs.fields_dict(kind):
            yield f"{within}{name}"
            parts = {hint, *get_args(hint)}
            if StoredResponse in parts:
                parts = {Response, ResponseReference}
            for part in parts:
                if isinstance(part, type) and attrs.has(part):
                    yield from members_of(part, f"{within}{name}.")


def stored(kind: type) -> set[str]:
    """Return every fault of a stored value."""
    return stored_members(*members_of(kind))


def stored_members(*paths: str) -> set[str]:
    """Return every fault of a stored document with these members."""
    faults_of_members = {f"{path} INVALID" for path in ("format", *paths)}
    whole = ("document NOT_JSON", "document INVALID", "a newer form")
    return {"value", *whole, *faults_of_members}


NULLABLE: Final = {"authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason"}
CONNECTION: Final = {
    *("id", "customerAccountId", "appUserId", "status", "dataPackages", "createdAt"),
    *("updatedAt", *NULLABLE),
}
OUTCOMES: Final[dict[str, set[str]]] = {
    "json": {"value", "document NOT_JSON"},
    "create": faults("appUserId", "dataPackages"),
    "initiate": faults("appUserId", "preferSignup"),
    "graduation": faults("appUserId"),
    "nothing": faults(),
    # An absent member is null there, and unknown members are skipped.
    "connection": faults(*CONNECTION)
    - {"document UNKNOWN"}
    - {f"{name} {fault}" for name in NULLABLE for fault in ("NULL", "MISSING")},
    "stored-connection": stored(Connection),
    "stored-session": stored(CuraeConnectSession),
    "stored-binding": stored(LimitedAccountAppBinding),
    "stored-record": stored(Record),
    "stored-log": stored_members("instants"),
    "stored-bucket": stored_members("full_at", "part"),
    "time": {"value", "not time"},
    "uuid": {"value", "not id"},
    "app-user-id": {"value", "not appUserId"},
    "opaque": {"value", "not text"},
    "key": {"value", "not idempotencyKey"},
    "packages": {"value", "document NOT_JSON", "not dataPackages"},
    "http": {
        *("200", "201", "304", "UNAUTHENTICATED", "NOT_FOUND", "BAD_REQUEST"),
        *("IDEMPOTENCY_KEY_REQUIRED", "IDEMPOTENCY_KEY_INVALID", "IDEMPOTENCY_KEY_NOT_ALLOWED"),
        "BINDING_NOT_LIMITED",
    },
    "authorization": {"value", "nobody"},
    "if-none-match": {"any", "known", "unknown"},
    "rate-headers": {"value", "not name", "not limit", "not seconds", "not capacity", "not refill"},
    "log": {"value", "1 broken"},
}
