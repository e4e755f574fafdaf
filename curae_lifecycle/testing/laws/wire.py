"""Laws 13 and 16: what may stand in a response, and that every response is a documented one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final, cast

from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws.law import LawBrokenError
from curae_lifecycle.web.wire_format import to_camel_case

_SESSION: Final = frozenset(
    {
        *("id", "customerAccountId", "appUserId", "path", "handoff"),
        *("createdAt", "expiresAt", "landedAt"),
    }
)
_CONNECTION: Final = frozenset(
    {
        *("id", "customerAccountId", "appUserId", "status", "dataPackages", "actionRequiredReason"),
        *("authorizedAt", "expiresAt", "revokedAt", "createdAt", "updatedAt"),
    }
)
_NEXT_ACTION: Final = frozenset({"type", "url", "expiresAt"})
_PROBLEM: Final = frozenset(["type", "title", "status", "detail", "code", "details", "retryable"])
_BODIES: Final[Mapping[str, frozenset[str]]] = {
    "create-connection": frozenset({"connection", "nextAction"}),
    "get-connection": frozenset({"connection"}),
    "reconnect": frozenset({"connection", "previousConnectionId", "nextAction"}),
    "revoke": frozenset({"connection", "revokedNow"}),
    "initiate": frozenset({"session", "nextAction"}),
    "account-state": frozenset({"lifecycleState"}),
    "graduation-handoff": frozenset({"nextAction"}),
}
"""What each operation answers; any other one answers what its reply holds."""

_SUCCESSES: Final = frozenset({200, 201})
_PARTS: Final = {"connection": _CONNECTION, "session": _SESSION, "nextAction": _NEXT_ACTION}

CODES: Final[Mapping[str, tuple[int, bool, tuple[str, ...]]]] = {
    "BAD_REQUEST": (400, False, ("member", "fault")),
    "IDEMPOTENCY_KEY_REQUIRED": (400, False, ()),
    "IDEMPOTENCY_KEY_INVALID": (400, False, ()),
    "IDEMPOTENCY_KEY_NOT_ALLOWED": (400, False, ()),
    "UNAUTHENTICATED": (401, False, ()),
    "SCOPE_INSUFFICIENT": (403, False, ("scope",)),
    "WRONG_ENVIRONMENT": (403, False, ("environment",)),
    "CONNECTION_ACCESS_DENIED": (403, False, ("connectionId", "dataPackage", "reason")),
    "NOT_FOUND": (404, False, ()),
    "CONNECTION_NOT_RECONNECTABLE": (409, False, ("connectionId", "reason")),
    "CONNECTION_SUPERSEDED": (409, False, ("connectionId", "nextConnectionId", "headConnectionId")),
    "CONNECTION_NOT_PENDING": (409, False, ("connectionId", "standing")),
    "HANDOFF_LAPSED": (409, False, ("connectionId", "deadline")),
    "SESSION_EXPIRED": (409, False, ("sessionId", "expiresAt")),
    "HANDOFF_NOT_REQUIRED": (409, False, ("sessionId", "path")),
    "BINDING_CHANGED": (409, False, ("lifecycleState",)),
    "BINDING_CONFLICT": (409, False, ("lifecycleState",)),
    "BINDING_NOT_LIMITED": (409, False, ("lifecycleState",)),
    "IDEMPOTENCY_KEY_IN_FLIGHT": (409, True, ("retryAfter",)),
    "IDEMPOTENCY_OUTCOME_UNKNOWN": (409, False, ()),
    "IDEMPOTENCY_KEY_FORGOTTEN": (409, False, ()),
    "IDEMPOTENCY_KEY_REUSED": (422, False, ("differs",)),
    "RATE_LIMITED": (429, True, ("policy", "retryAfter")),
    "INTERNAL": (500, True, ()),
}
"""The status of each problem, whether a retry may help, and the keys of its details."""

Operations = tuple[type[Operation], ...]


def check_wire_members(
    body: bytes | str | Mapping[str, object], *, operations: Operations = OPERATIONS
) -> None:
    """Law 13: a response of these operations has the listed members and no others.

    Its body is bytes, text or parsed; an empty one (304) has no members.
    """
    document = parsed(13, body) if isinstance(body, bytes | str) else body
    if "code" in document:
        _check_problem_members(document)
        return
    if document and frozenset(document) not in _bodies(operations):
        raise LawBrokenError(13, "no response has these members", listed(document))
    for name, members in _PARTS.items():
        if name in document:
            _check_members(as_object(13, document[name], name), members, name)


@cache
def _bodies(operations: Operations) -> frozenset[frozenset[str]]:
    return frozenset(
        _BODIES.get(each.rule.name, frozenset(map(to_camel_case, each.reply.__match_args__)))
        for each in operations
    )


@cache
def _successes(operations: Operations) -> frozenset[int]:
    others = (each.rule for each in operations if each.rule.name not in _BODIES)
    return _SUCCESSES.union(rule.status for rule in others)


def _check_problem_members(document: Mapping[str, object]) -> None:
    code = document["code"]
    known = CODES.get(code) if isinstance(code, str) else None
    if known is None:
        raise LawBrokenError(13, f"the code {code!r} is not listed", "code")
    # The server's own URI of the occurrence; a 404 tells nothing apart, so it has none.
    optional = frozenset({"instance"} if code != "NOT_FOUND" else ())
    _check_members(document, members=_PROBLEM, where="problem", optional=optional)
    details = as_object(13, document["details"], "details")
    _check_members(details, frozenset(known[2]), f"details of {code}")


def _check_members(
    document: Mapping[str, object],
    members: frozenset[str],
    where: str,
    optional: frozenset[str] = frozenset(),
) -> None:
    unlisted = document.keys() - members - optional
    if unlisted:
        raise LawBrokenError(13, f"not listed: {listed(unlisted)}", where)
    missing = members - document.keys()
    if missing:
        raise LawBrokenError(13, f"missing: {listed(missing)}", where)


def check_documented(response: Response, *, operations: Operations = OPERATIONS) -> None:
    """Law 16: whatever was asked, the answer is a documented one.

    It is the answer of one of these operations to any request, however malformed.

    Raises:
        LawBrokenError: Neither a success nor a problem of the catalogue with its own status,
            media type and `retryable`. Law 13: its members are not the listed ones.
    """
    where = f"status {response.status}"
    if response.status == 304:  # noqa: PLR2004 - HTTP's own number
        if response.body:
            raise LawBrokenError(16, "a 304 has a body", where)
        return
    document = parsed(16, response.body)
    if not document:
        raise LawBrokenError(16, "the body is empty", where)
    check_wire_members(document, operations=operations)
    if "code" not in document:
        if response.status not in _successes(operations):
            raise LawBrokenError(16, "no problem, and no status of success either", where)
        return
    status, retryable, _ = CODES[str(document["code"])]
    if not response.status == document["status"] == status:
        raise LawBrokenError(16, f"{document['code']} is answered with {status}", where)
    if document["retryable"] is not retryable:
        raise LawBrokenError(16, f"{document['code']} has retryable {retryable}", where)
    kinds = [value for name, value in response.headers if name.lower() == "content-type"]
    if kinds != ["application/problem+json"]:
        raise LawBrokenError(16, f"a problem with the media type {kinds}", where)


def parsed(law: int, body: bytes | str) -> Mapping[str, object]:
    """The object that a body holds, empty for an empty body; anything else breaks `law`."""
    if not body:
        return {}
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        raise LawBrokenError(law, "the body is no JSON", "body") from None
    return as_object(law, value, "body")


def as_object(law: int, value: object, where: str) -> Mapping[str, object]:
    """A value that must be an object; anything else breaks `law`."""
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    raise LawBrokenError(law, "it is no object", where)


def listed(names: Iterable[str]) -> str:
    """Names of members, in order."""
    return ", ".join(sorted(names))
