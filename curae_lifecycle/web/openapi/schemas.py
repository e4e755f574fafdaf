"""The shapes of bodies, headers and details, as JSON Schema.

The law of this module: **a shape is said once**; a test holds the answers of real traffic against
it. The schema of a request's body follows from its members, that of an answer from its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import EnumType
from typing import Final, get_type_hints

from curae_lifecycle.rules import problems, values
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection, Standing
from curae_lifecycle.rules.idempotency import IDEMPOTENCY_KEY_MAX_LENGTH
from curae_lifecycle.rules.problems import CATALOGUE, Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, RateLimited
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.wire_status import WireStatus
from curae_lifecycle.service import members
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations.account_state import etag
from curae_lifecycle.service.operations.operation import Operation, ProblemReply, Reply
from curae_lifecycle.service.status import PROBLEM_STATUS
from curae_lifecycle.web.json import Json
from curae_lifecycle.web.respond import format_rate_limit, format_rate_limit_policy
from curae_lifecycle.web.wire_format import to_camel_case

Schema = dict[str, Json]
"""A JSON schema, or another object of the document."""


def reference(kind: str, name: str) -> Schema:
    """A reference to a component.

    Args:
        kind: Which sort of component: `schemas`, `headers`.
        name: Its name there.
    """
    return {"$ref": f"#/components/{kind}/{name}"}


UUID: Final[Schema] = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
}
"""A UUID in any case, as it is read."""

_TEXT: Final[Schema] = {"type": "string"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time", "pattern": "Z$"}
_TIME_OR_NULL: Final[Schema] = {"type": ["string", "null"], "format": "date-time", "pattern": "Z$"}

_CONTROL: Final = r"\u0000-\u001f\u007f-\u009f\ud800-\udfff"
_WHITE: Final = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_APP_USER_ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": values.APP_USER_ID_MAX_LENGTH,
    "pattern": f"^[^{_CONTROL}{_WHITE}](?:[^{_CONTROL}]*[^{_CONTROL}{_WHITE}])?$",
    "description": "The app's own id of its user: opaque, compared exactly; no white space at "
    "either end, no control characters.",
}
_LONGEST: Final = IDEMPOTENCY_KEY_MAX_LENGTH
KEY_PATTERN: Final = (
    rf'^(?:[!#-~][!-~]{{0,{_LONGEST - 1}}}|"(?:[!#-\[\]-~]|\\["\\]){{1,{_LONGEST}}}")$'
)
"""The spellings of an idempotency key, bare or quoted."""


def object_of(properties: dict[str, Json], *, optional: tuple[str, ...] = ()) -> Schema:
    """An object with these members and no others.

    Args:
        properties: The members with their schemas.
        optional: Which of them may be absent.
    """
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def enum_of(words: Iterable[str]) -> Schema:
    """A string that is one of these."""
    return {"type": "string", "enum": [str(word) for word in words]}


_PACKAGES: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": values.DATA_PACKAGES_MAX_COUNT,
    "items": {
        "type": "string",
        "pattern": f"^[a-z][a-z0-9_]{{0,{values.DATA_PACKAGE_MAX_LENGTH - 1}}}$",
    },
    "description": "A set: neither order nor repetition matters; answers have it sorted.",
}
_SIGN_UP: Final = "Whether a user without an account is to sign up."
MEMBERS: Final[dict[Member[object], tuple[Schema, Json]]] = {
    members.CONNECTION_ID: (UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d01"),
    members.APP_USER_ID: (_APP_USER_ID, "user-1"),
    members.DATA_PACKAGES: (_PACKAGES, ["clinical_summary", "labs"]),
    members.PREFER_SIGNUP: ({"type": "boolean", "default": False, "description": _SIGN_UP}, True),
}
"""The schema of each member of a request, and an example."""

SHARED: Final[Schema] = {
    "Connection": object_of(
        {
            "id": UUID,
            "customerAccountId": UUID,
            "appUserId": _APP_USER_ID,
            "status": enum_of(WireStatus)
            | {"description": "A server spells one of ACTIVE and AUTHORIZED, which mean the same."},
            "dataPackages": _PACKAGES,
            "authorizedAt": _TIME_OR_NULL,
            "expiresAt": _TIME_OR_NULL,
            "revokedAt": _TIME_OR_NULL,
            "actionRequiredReason": {"type": ["string", "null"]},
            "createdAt": _TIME,
            "updatedAt": _TIME,
        }
    ),
    "CuraeConnectSession": object_of(
        {
            "id": UUID,
            "customerAccountId": UUID,
            "appUserId": _APP_USER_ID,
            "path": enum_of(EntryPath),
            "handoff": enum_of(HandoffState),
            "createdAt": _TIME,
            "expiresAt": _TIME,
            "landedAt": _TIME_OR_NULL,
        }
    ),
    "NextAction": object_of(
        {
            "type": {"const": "open_webview"},
            "url": {"type": "string", "format": "uri"},
            "expiresAt": _TIME,
        }
    )
    | {"description": "What the app must show the user; the URL can hold a secret."},
}
"""What answers are made of."""


def body_name(kind: type[Operation]) -> str:
    """The name of the schema of an operation's body."""
    return kind.__name__ if kind.rule.body else "Nothing"


def body_schema(kind: type[Operation]) -> Schema:
    """The schema of an operation's body: its members, and nothing else."""
    body = kind.rule.body or ()
    optional = tuple(member.name for member in body if member.optional)
    # A member that nobody described here may be anything.
    shapes: Schema = {each.name: MEMBERS[each][0] if each in MEMBERS else {} for each in body}
    return object_of(shapes, optional=optional)


def reply_schema(reply: type[Reply]) -> Schema:
    """The schema of an answer: one member for each field of the reply."""
    hints = get_type_hints(reply)
    shapes = {name: _of_type(hints[name]) | _SAID.get(name, {}) for name in reply.__match_args__}
    return object_of({to_camel_case(name): shape for name, shape in shapes.items()})


_REVOKED_NOW: Final[Schema] = {"description": "Whether it was this request that revoked."}
_SAID: Final = {"revoked_now": _REVOKED_NOW}
_TYPES: Final[Mapping[object, Schema]] = {
    Connection: reference("schemas", "Connection"),
    CuraeConnectSession: reference("schemas", "CuraeConnectSession"),
    values.NextAction: reference("schemas", "NextAction"),
    values.ConnectionId: UUID,
    values.SessionId: UUID,
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    str: _TEXT,
    datetime: _TIME,
    datetime | None: _TIME_OR_NULL,
}


def _of_type(kind: object) -> Schema:
    if isinstance(kind, EnumType):
        words: list[object] = list(kind)
        return enum_of(map(str, words))
    return _TYPES.get(kind, {})


def problem_schema(code: ProblemCode, type_base: str) -> Schema:
    """The schema of a problem: the members of RFC 9457 and ours.

    Args:
        code: The problem's code.
        type_base: The base URI of its `type`.
    """
    kind = CATALOGUE[code].outcome
    properties: dict[str, Json] = {
        "type": {"const": problems.type_uri(code, type_base)},
        "title": _TEXT,
        "status": {"const": PROBLEM_STATUS[kind.kind].outcome.status},
        "detail": _TEXT,
        "code": {"const": code},
        "details": object_of({name: DETAILS[name][0] for name in kind.details}),
        "retryable": {"const": kind.retryable},
    }
    if code is not ProblemCode.NOT_FOUND:
        properties["instance"] = {"type": "string", "format": "uri-reference"}
    return object_of(properties, optional=("instance",)) | {"description": Problem(code).title}


DETAILS: Final[dict[str, tuple[Schema, problems.DetailValue]]] = {
    "member": ({"type": ["string", "null"]}, "dataPackages"),
    "fault": (enum_of(problems.Fault), problems.Fault.MISSING),
    "scope": (_TEXT, "connection:write"),
    "environment": (enum_of(values.Environment), values.Environment.TEST),
    "connectionId": (UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d01"),
    "nextConnectionId": (UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d02"),
    "headConnectionId": (UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d04"),
    "dataPackage": (_TEXT, "clinical_summary"),
    "reason": (_TEXT, "STILL_PENDING"),
    "standing": (enum_of(Standing), Standing.REVOKED),
    "deadline": (_TIME, "2026-01-05T09:30:00Z"),
    "sessionId": (UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d03"),
    "expiresAt": (_TIME, "2026-01-05T09:30:00Z"),
    "path": (enum_of(EntryPath), EntryPath.SILENT_LIMITED),
    "lifecycleState": (enum_of(AccountState), AccountState.UNLINKED),
    "retryAfter": ({"type": "integer", "minimum": 1, "description": "Whole seconds."}, 12),
    "differs": (enum_of(("operation", "values")), "values"),
    "policy": (_TEXT, INITIATE_LIMIT.name),
}
"""Each key of a problem's `details`, with an example."""


def example_reply(code: ProblemCode) -> ProblemReply:
    """An answer with a problem, with a plausible value for each of its details."""
    values = tuple(DETAILS[name][1] for name in CATALOGUE[code].outcome.details)
    limited = _LIMITED if code is ProblemCode.RATE_LIMITED else None
    return ProblemReply(Problem(code, values), limited)


def _header(description: str, schema: Schema, example: Json) -> Schema:
    return {"description": description, "schema": schema, "example": example}


_WAIT: Final = "Whole seconds after which the same request may fare better."
_LEFT: Final = "The limit that refused: what is left, and for how many seconds."
_POLICY: Final = "The limit that refused: how many requests in how many seconds."
_LIMITED: Final = RateLimited((), INITIATE_LIMIT, 12_000_000)
HEADERS: Final[Schema] = {
    "Cache-Control": {
        "description": "`no-store` where the body holds the URL of a hosted page or a limit "
        "refused; `private, no-cache` for an account's state.",
        "schema": _TEXT,
    },
    "ETag": _header("The same for every account in this state.", _TEXT, etag(AccountState.LIMITED)),
    "Retry-After": _header(_WAIT, {"type": "integer", "minimum": 1}, 12),
    "RateLimit": _header(_LEFT, _TEXT, format_rate_limit(_LIMITED)),
    "RateLimit-Policy": _header(_POLICY, _TEXT, format_rate_limit_policy(INITIATE_LIMIT)),
    "WWW-Authenticate": {"schema": {"const": "Bearer"}, "example": "Bearer"},
}
"""The headers of answers, described."""
