"""Schemas of bodies, headers and problems, as JSON Schema.

The law of this module: **a schema is written once**. The schema of a request's body follows from its
members, that of a reply from its fields, that of a problem from the catalogue. A test compares the
answers of real traffic with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import EnumType
from types import NoneType, UnionType
from typing import Final, Union, cast, get_args, get_origin, get_type_hints

from curae_lifecycle.rules import problems, values
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import IDEMPOTENCY_KEY_MAX_LENGTH
from curae_lifecycle.rules.problems import CATALOGUE, DetailValue, Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import Bucket, RateLimited
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.wire_status import WireStatus
from curae_lifecycle.service.json_schema import (
    APP_USER_ID,
    BOOLEAN,
    DATA_PACKAGES,
    INTEGER,
    TEXT,
    TIME,
    UUID,
    Json,
    Schema,
    array_of,
    enum_of,
    object_of,
    or_null,
)
from curae_lifecycle.service.operations.account_state import etag
from curae_lifecycle.service.operations.operation import Operation, Reply
from curae_lifecycle.service.problem_details import DETAILS
from curae_lifecycle.service.rulebook import reasons_of
from curae_lifecycle.service.status import PROBLEM_STATUS
from curae_lifecycle.web.respond import format_rate_limit, format_rate_limit_policy
from curae_lifecycle.web.wire_format import to_camel_case


def reference(kind: str, name: str) -> Schema:
    """Return a `$ref`, the JSON pointer to a component of the OpenAPI or AsyncAPI document.

    Args:
        kind: The kind of the component: `schemas`, `headers` or `messages`.
        name: The component's name.
    """
    return {"$ref": f"#/components/{kind}/{name}"}


_LONGEST: Final = IDEMPOTENCY_KEY_MAX_LENGTH
KEY_PATTERN: Final = (
    rf'^(?:[!#-~][!-~]{{0,{_LONGEST - 1}}}|"(?:[!#-\[\]-~]|\\["\\]){{1,{_LONGEST}}}")$'
)
"""The regular expression of the header `Idempotency-Key`: a key, bare or quoted."""

SHARED: Final[Schema] = {
    "Connection": object_of(
        {
            "id": UUID,
            "customerAccountId": UUID,
            "appUserId": APP_USER_ID,
            "status": enum_of(WireStatus)
            | {"description": "A server spells one of ACTIVE and AUTHORIZED, which mean the same."},
            "dataPackages": DATA_PACKAGES,
            "authorizedAt": or_null(TIME),
            "expiresAt": or_null(TIME),
            "revokedAt": or_null(TIME),
            "actionRequiredReason": or_null(TEXT),
            "createdAt": TIME,
            "updatedAt": TIME,
        }
    ),
    "CuraeConnectSession": object_of(
        {
            "id": UUID,
            "customerAccountId": UUID,
            "appUserId": APP_USER_ID,
            "path": enum_of(EntryPath),
            "handoff": enum_of(HandoffState),
            "createdAt": TIME,
            "expiresAt": TIME,
            "landedAt": or_null(TIME),
        }
    ),
    "NextAction": object_of(
        {
            "type": {"const": "open_webview"},
            "url": {"type": "string", "format": "uri"},
            "expiresAt": TIME,
        }
    )
    | {"description": "What the app must show the user; the URL can hold a secret."},
}
"""The schemas of connections, sessions and next actions in the API documents, by their names."""


def body_name(kind: type[Operation]) -> str:
    """Return the name of the schema of the request body of the operation `kind`.

    The name is `EmptyBody` if the body has no members.
    """
    return kind.__name__ if kind.rule.body else "EmptyBody"


def body_schema(kind: type[Operation]) -> Schema:
    """Return the schema of the request body of the operation `kind`: an object of its members."""
    body = kind.rule.body or ()
    optional = tuple(member.name for member in body if member.optional)
    return object_of({each.name: each.schema for each in body}, optional=optional)


def reply_schema(reply: type[Reply]) -> Schema:
    """Return the schema of a successful response's body: one member for each field of `reply`."""
    hints = get_type_hints(reply)
    shapes = {
        name: _schema_of(hints[name]) | _DESCRIPTIONS.get(name, {}) for name in reply.__match_args__
    }
    return object_of({to_camel_case(name): shape for name, shape in shapes.items()})


_REVOKED_NOW: Final[Schema] = {"description": "Whether it was this request that revoked."}
_DESCRIPTIONS: Final = {"revoked_now": _REVOKED_NOW}
_TYPES: Final[Mapping[object, Schema]] = {
    Connection: reference("schemas", "Connection"),
    CuraeConnectSession: reference("schemas", "CuraeConnectSession"),
    values.NextAction: reference("schemas", "NextAction"),
    values.ConnectionId: UUID,
    values.SessionId: UUID,
    bool: BOOLEAN,
    int: INTEGER,
    str: TEXT,
    datetime: TIME,
}


def _schema_of(kind: object) -> Schema:
    """Return the schema of a field's type; an empty one for a type that it does not know."""
    if isinstance(kind, EnumType):
        words: list[object] = list(kind)
        return enum_of(map(str, words))
    origin, arguments = get_origin(kind), cast("tuple[object, ...]", get_args(kind))
    if origin in {Union, UnionType}:
        kinds = [each for each in arguments if each is not NoneType]
        schema = _schema_of(kinds[0]) if len(kinds) == 1 else {}
        return or_null(schema) if NoneType in arguments else schema
    if origin is tuple:
        return array_of(_schema_of(arguments[0]))
    # A NewType that has no schema has the one of its supertype.
    return _TYPES.get(kind) or _TYPES.get(getattr(kind, "__supertype__", None), {})


def problem_name(code: ProblemCode) -> str:
    """Return the name of the schema of a problem, such as `IdempotencyKeyInFlight`."""
    return "".join(word.capitalize() for word in code.split("_"))


def problem_schema(code: ProblemCode, type_base: str) -> Schema:
    """Return the schema of a problem: the members of RFC 9457 and `code`, `details`, `retryable`.

    Args:
        code: The problem's code.
        type_base: The base URI of the problem's `type`.
    """
    kind = CATALOGUE[code].outcome
    properties: dict[str, Json] = {
        "type": {"const": problems.type_uri(code, type_base)},
        "title": TEXT,
        "status": {"const": PROBLEM_STATUS[kind.kind].outcome.status},
        "detail": TEXT,
        "code": {"const": code},
        "details": object_of({name: _detail_schema(code, name) for name in kind.details}),
        "retryable": {"const": kind.retryable},
    }
    if code is not ProblemCode.NOT_FOUND:
        properties["instance"] = {"type": "string", "format": "uri-reference"}
    return object_of(properties, optional=("instance",)) | {"description": Problem(code).title}


def _detail_schema(code: ProblemCode, name: str) -> Schema:
    reasons = reasons_of(code) if name == "reason" else ()
    return enum_of(reasons) if reasons else DETAILS[name].schema


def example_problem(code: ProblemCode, given: Mapping[str, DetailValue] | None = None) -> Problem:
    """Build an example of the problem with a code, for the OpenAPI document or a terminal.

    Args:
        code: The problem's code.
        given: The values of some details, by name; the others get example values.
    """
    values = given or {}
    names = CATALOGUE[code].outcome.details
    details = [values[it] if it in values else _example_detail(code, it) for it in names]
    return Problem(code, tuple(details))


def _example_detail(code: ProblemCode, name: str) -> DetailValue:
    reasons = reasons_of(code) if name == "reason" else ()
    return reasons[0] if reasons else DETAILS[name].example


EXAMPLE_BUCKET: Final = Bucket("platform", capacity=100, refill=50, seconds=1)
"""The rate-limit bucket in examples, if the settings have none."""

_LIMITED: Final = RateLimited((), EXAMPLE_BUCKET, 20_000)
HEADERS: Final[Schema] = {
    "Cache-Control": {
        "description": "`no-store` where the body holds the URL of a hosted page or a limit "
        "refused; `private, no-cache` for an account's state.",
        "schema": TEXT,
    },
    "ETag": {
        "description": "The same for every account in this state.",
        "schema": TEXT,
        "example": etag(AccountState.LIMITED),
    },
    "Retry-After": {
        "description": "Whole seconds after which the same request may fare better.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 12,
    },
    "RateLimit": {
        "description": "The limit that refused: what is left, and for how many seconds.",
        "schema": TEXT,
        "example": format_rate_limit(_LIMITED),
    },
    "RateLimit-Policy": {
        "description": "The limit that refused: how many requests in how many seconds.",
        "schema": TEXT,
        "example": format_rate_limit_policy(EXAMPLE_BUCKET),
    },
    "WWW-Authenticate": {"schema": {"const": "Bearer"}, "example": "Bearer"},
}
"""The OpenAPI descriptions of all response headers, by header name."""
