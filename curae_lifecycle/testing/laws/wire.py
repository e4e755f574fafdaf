"""Laws 13 and 16: the members of responses, and the documented responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final, cast

from curae_lifecycle.rules.problems import CATALOGUE, Problem
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.status import status_of
from curae_lifecycle.testing.laws.law import LawBrokenError
from curae_lifecycle.web.json import MalformedError, has_duplicate_keys, parse_json
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
"""The members of each operation's response body.

The body of any other operation has the fields of its reply.
"""

_SUCCESSES: Final = frozenset({200, 201})
_PARTS: Final = {"connection": _CONNECTION, "session": _SESSION, "nextAction": _NEXT_ACTION}
_LISTS: Final = {"connections": _CONNECTION, "sessions": _SESSION}

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
"""The documented problems by code: status, whether it is retryable, and the keys of its details.

`check_wire_members` and `check_documented` compare responses with them. A code that is not listed
here is looked up in `rules.problems.CATALOGUE`, the problems that the rules themselves know.
"""

_CATALOGUE_CODES: Final[Mapping[str, tuple[int, bool, tuple[str, ...]]]] = {
    code: (status_of(Problem(code)), row.outcome.retryable, row.outcome.details)
    for code, row in CATALOGUE.items()
}
_KNOWN_CODES: Final = {**_CATALOGUE_CODES, **CODES}

Operations = tuple[type[Operation], ...]


def check_wire_members(
    body: bytes | str | Mapping[str, object], *, operations: Operations = OPERATIONS
) -> None:
    """Check law 13: a response body has the members of its kind of response and no others.

    Args:
        body: The body as bytes, text or a parsed object. Empty bytes or text, such as the body of a
            304, are accepted.
        operations: The classes of the operations that the server serves. The body must be that of
            a success of one of them, or a problem.

    Raises:
        LawBrokenError: A member is missing, unexpected or repeated. Or a member is an object where
            none is allowed, or is not one where it must be. Or the body is not a JSON object.
    """
    if isinstance(body, bytes | str) and not body:
        return
    document = parse_object(13, body) if isinstance(body, bytes | str) else body
    if "code" in document:
        _check_problem_members(document)
        return
    names = frozenset(document)
    if names not in _bodies(operations):
        raise LawBrokenError(13, "no response has these members", format_names(document))
    if names in _BODIES.values():
        # The reply of an operation that the server adds may hold objects.
        _check_plain(document, document.keys() - _PARTS.keys())
    for name, members in _PARTS.items():
        if name in document:
            _check_members(require_object(13, document[name], name), members, name)
    for name, members in _LISTS.items():
        items = document.get(name)
        for item in cast("list[object]", items) if isinstance(items, list) else ():
            _check_members(require_object(13, item, name), members, name)


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
    known = _KNOWN_CODES.get(code) if isinstance(code, str) else None
    if known is None:
        raise LawBrokenError(13, f"the code {code!r} is not listed", "code")
    # A URI of the occurrence would tell an unknown id from another tenant's, so a 404 has none.
    optional = frozenset({"instance"} if code != "NOT_FOUND" else ())
    _check_members(document, members=_PROBLEM, where="problem", optional=optional)
    details = require_object(13, document["details"], "details")
    _check_members(details, frozenset(known[2]), f"details of {code}")


def _check_members(
    document: Mapping[str, object],
    members: frozenset[str],
    where: str,
    optional: frozenset[str] = frozenset(),
) -> None:
    unlisted = document.keys() - members - optional
    if unlisted:
        raise LawBrokenError(13, f"not listed: {format_names(unlisted)}", where)
    missing = members - document.keys()
    if missing:
        raise LawBrokenError(13, f"missing: {format_names(missing)}", where)
    _check_plain(document, document.keys() - {"details"})


def _check_plain(document: Mapping[str, object], names: Iterable[str]) -> None:
    # An object would have members that are not listed.
    for name in names:
        value = document[name]
        items = cast("list[object]", value) if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list) for item in items):
            raise LawBrokenError(13, "must hold no object", name)


def check_documented(response: Response, *, operations: Operations = OPERATIONS) -> None:
    """Check law 16: the response to any request, however malformed, is a documented one.

    Args:
        response: The response.
        operations: The classes of the operations that the server serves.

    Raises:
        LawBrokenError: The response is neither a success of an operation nor a documented problem.
            Or the status or `retryable` of a problem is not the documented one. Or the media type
            is wrong. Or law 13 is broken: the body has a missing or unexpected member, as
            `check_wire_members` checks it.
    """
    where = f"status {response.status}"
    if response.status == 304:  # noqa: PLR2004 - HTTP's own number
        if response.body:
            raise LawBrokenError(16, "a 304 has a body", where)
        return
    document = parse_object(16, response.body)
    if not document:
        raise LawBrokenError(16, "the body is empty", where)
    check_wire_members(document, operations=operations)
    if "code" not in document:
        if response.status not in _successes(operations):
            raise LawBrokenError(
                16, "the body is no problem, and the status is not one of success", where
            )
        _check_media_type(response, "application/json", where)
        return
    status, retryable, _ = _KNOWN_CODES[str(document["code"])]
    if not response.status == document["status"] == status:
        raise LawBrokenError(16, f"{document['code']} must have the status {status}", where)
    if document["retryable"] is not retryable:
        raise LawBrokenError(16, f"{document['code']} must have retryable {retryable}", where)
    _check_media_type(response, "application/problem+json", where)


def _check_media_type(response: Response, expected: str, where: str) -> None:
    kinds = [value for name, value in response.headers if name.lower() == "content-type"]
    # Parameters such as the charset are allowed.
    if [kind.partition(";")[0].strip().lower() for kind in kinds] != [expected]:
        raise LawBrokenError(16, f"the media type must be {expected}, not {kinds}", where)


def parse_object(law: int, body: bytes | str) -> Mapping[str, object]:
    """Parse a body that must be a JSON object; an empty body counts as an empty object.

    Args:
        law: The number of the law to report in the error.
        body: The body.

    Raises:
        LawBrokenError: The body is not a JSON object, as `read_json` reads it.
    """
    if not body:
        return {}
    value, fault = read_json(body)
    if fault:
        raise LawBrokenError(law, fault, "body")
    return require_object(law, value, "body")


def read_json(body: bytes | str) -> tuple[object, str]:
    """Parse a body that must be strict JSON, which every client reads in the same way.

    Such JSON is in UTF-8. It has no byte order mark, no NaN or infinity and no repeated member.

    Returns:
        The value and an empty text; or None and what is wrong with the body.
    """
    try:
        value = parse_json(body)
    except MalformedError:
        return None, "the body is not JSON in UTF-8, or has a byte order mark, NaN or Infinity"
    return (None, "a member is repeated") if has_duplicate_keys(value) else (value, "")


def require_object(law: int, value: object, where: str) -> Mapping[str, object]:
    """Return a value that must be a JSON object.

    Args:
        law: The number of the law to report in the error.
        value: The value, as parsed from JSON.
        where: The place of the value in the response, to report in the error.

    Raises:
        LawBrokenError: The value is not an object.
    """
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    raise LawBrokenError(law, "it is not an object", where)


def format_names(names: Iterable[str]) -> str:
    """Return names of members as one text, in alphabetical order, with commas between them."""
    return ", ".join(sorted(names))
