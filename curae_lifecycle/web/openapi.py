"""The API as an OpenAPI 3.1 document, for clients, gateways and fuzzers.

The law of this module: **the document says what the code does, because it is read from it**.
Paths, methods, scopes, keys and statuses come from the table `operation`; the problems of each
operation from the tables that refuse it; their members from the catalogue; the examples are
answers of `decide`. What stands only here is the shape of bodies and headers, and a test holds
the answers of real traffic against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from curae_lifecycle import __version__
from curae_lifecycle.rules.binding import (
    GRADUATION_HANDOFF,
    AccountState,
    LimitedAccountAppBinding,
)
from curae_lifecycle.rules.chain import RECOVERY
from curae_lifecycle.rules.connection import Actor, Connection, Standing, create
from curae_lifecycle.rules.credentials import PERMISSION, Caller
from curae_lifecycle.rules.idempotency import BEGIN, KEY_MAX, IdempotencyKey
from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.problems import (
    CATALOGUE,
    DetailValue,
    Fault,
    Problem,
    ProblemCode,
    type_uri,
)
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, Limited
from curae_lifecycle.rules.session import EntryPath, Handoff
from curae_lifecycle.rules.tables import Row
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.rules.values import (
    APP_USER_ID_MAX,
    DATA_PACKAGE_MAX,
    DATA_PACKAGES_MAX,
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    CustomerAccountId,
    DataPackage,
    Environment,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.rules.wire_status import WireStatus
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.operations.account_state import GetAccountState, etag
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import KeyUse, Operation, OperationRule
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.web.json import Json, parse_json
from curae_lifecycle.web.respond import limit_header, policy_header, respond
from curae_lifecycle.web.shapes import format_problem

Schema = dict[str, Json]


def openapi(settings: Settings = DEFAULT_SETTINGS) -> dict[str, Json]:
    """The document that describes the seven operations as a server with these settings has them.

    Args:
        settings: What the server chose; `type_base` shows in every problem's `type`.

    Returns:
        An OpenAPI 3.1 document: every status of every operation, every problem code with its
        members, every header, and an example of each.
    """
    paths: dict[str, Json] = {}
    for name in OperationName:
        rule = OPERATION_TABLE[name].outcome
        path = paths.setdefault(rule.path, {})
        assert isinstance(path, dict)  # noqa: S101 - this loop made it
        path[rule.method.lower()] = _operation(name, rule, settings)
    schemas = _SCHEMAS.copy()
    for code in ProblemCode:
        schemas[code.value] = _problem_schema(code, settings)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Connections of a patient's records to SDK apps",
            "summary": "Connect, recover and revoke; enter through the hosted pages.",
            "description": _DESCRIPTION,
            "version": __version__,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"apiKey": []}],
        "tags": [{"name": tag, "description": text} for tag, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key belongs to one app, one customer account and one "
                    "environment. It is opaque.",
                }
            },
            "schemas": schemas,
            "headers": _HEADERS,
        },
    }


def problem_codes(name: OperationName) -> tuple[ProblemCode, ...]:
    """Every problem code that an operation can be answered with, in the catalogue's order.

    The codes are read from the tables that refuse: the gates, the permission, the idempotency
    record, the recovery of a connection and the graduation hand-off.

    Args:
        name: The operation.
    """
    rule = OPERATION_TABLE[name].outcome
    codes = {ProblemCode.UNAUTHENTICATED, ProblemCode.BAD_REQUEST, ProblemCode.RATE_LIMITED}
    codes |= {_gate(Gate.ROOM), *_refusals(row for _, row in PERMISSION)}
    if rule.scope is None:
        codes.discard(ProblemCode.SCOPE_INSUFFICIENT)
    match rule.key:
        case KeyUse.NEEDED:
            codes |= {_gate(Gate.KEY_GIVEN), _gate(Gate.KEY_READABLE)}
            codes |= _refusals(row for _, row in BEGIN)
        case KeyUse.NOT_ALLOWED:
            codes.add(_gate(Gate.KEY_ALLOWED))
        case KeyUse.UNUSED:
            pass
    if "{connectionId}" in rule.path:
        codes.add(_gate(Gate.OWNERSHIP))
    if name is OperationName.RECONNECT:
        codes |= _refusals(row for _, row in RECOVERY)
    if name is OperationName.GRADUATION_HANDOFF:
        codes |= _refusals(row for _, row in GRADUATION_HANDOFF)
    return tuple(code for code in ProblemCode if code in codes)


def _refusals(rows: Iterable[Row[object]]) -> set[ProblemCode]:
    return {row.outcome.code for row in rows if isinstance(row.outcome, RefuseWith)}


def _gate(gate: Gate) -> ProblemCode:
    return refuse_at(gate).problem.code


# --- Operations ------------------------------------------------------------------------------

_DESCRIPTION: Final = (
    "Times are RFC 3339 and end in `Z`; intervals are half-open: at `expiresAt` it is over. "
    "Bodies are strict: an unknown, repeated or null member is refused with 400. A problem's "
    "`code` is the contract; its `title` and `detail` are for people and may change. A request "
    "with an `Idempotency-Key` that was answered before is answered the same again, byte for "
    "byte, for 24 hours."
)
_TAGS: Final = {
    "connections": "A patient's authorization for data packages to flow to one user of one app.",
    "curae-connect": "The hosted entry flow and the account behind it.",
}
_SUMMARIES: Final = {
    OperationName.CREATE_CONNECTION: "Create a pending connection",
    OperationName.GET_CONNECTION: "Get a connection",
    OperationName.RECONNECT: "Recover a connection that has lapsed, ended or needs action",
    OperationName.REVOKE: "Revoke a connection, for ever",
    OperationName.INITIATE: "Start a connect session",
    OperationName.ACCOUNT_STATE: "Get the state of a user's account",
    OperationName.GRADUATION_HANDOFF: "Start the graduation of a LIMITED account",
}
_BODIES: Final = {
    OperationName.CREATE_CONNECTION: "CreateConnection",
    OperationName.RECONNECT: "Nothing",
    OperationName.REVOKE: "Nothing",
    OperationName.INITIATE: "Initiate",
    OperationName.GRADUATION_HANDOFF: "StartGraduation",
}
_ANSWERS: Final = {
    OperationName.CREATE_CONNECTION: "ConnectionCreated",
    OperationName.GET_CONNECTION: "ConnectionShown",
    OperationName.RECONNECT: "ConnectionReconnected",
    OperationName.REVOKE: "ConnectionRevoked",
    OperationName.INITIATE: "SessionInitiated",
    OperationName.ACCOUNT_STATE: "AccountStateShown",
    OperationName.GRADUATION_HANDOFF: "GraduationStarted",
}


_WITH_A_CONNECTION: Final = (
    OperationName.GET_CONNECTION,
    OperationName.RECONNECT,
    OperationName.REVOKE,
)
_FOLLOWING: Final[dict[OperationName, tuple[OperationName, ...]]] = {
    **dict.fromkeys((OperationName.CREATE_CONNECTION, *_WITH_A_CONNECTION), _WITH_A_CONNECTION),
    OperationName.INITIATE: (OperationName.ACCOUNT_STATE,),
}


def _operation(name: OperationName, rule: OperationRule, settings: Settings) -> Schema:
    responses: dict[str, Json] = {str(rule.status): _success(name, settings)}
    if name is OperationName.ACCOUNT_STATE:
        responses["304"] = {
            "description": "The client knows this state already.",
            "headers": {
                "Cache-Control": _reference("headers", "Cache-Control"),
                "ETag": _reference("headers", "ETag"),
            },
        }
    codes = problem_codes(name)
    for status in sorted({CATALOGUE[code].outcome.status for code in codes}):
        of_status = [code for code in codes if CATALOGUE[code].outcome.status == status]
        responses[str(status)] = _problems(of_status, settings)
    path = rule.path.removeprefix("/api/sdk/v1/")
    described: Schema = {
        "operationId": _camel_case(name),
        "summary": _SUMMARIES[name],
        "description": " ".join(row.why for row in OPERATION_TABLE.rows if row.key == (name,)),
        "tags": [path.partition("/")[0]],
        "parameters": _parameters(name, rule),
        "responses": responses,
    }
    if rule.scope is not None:
        described["x-scope"] = rule.scope
    if name in _BODIES:
        described["requestBody"] = {
            "required": _BODIES[name] != "Nothing",
            "content": {
                "application/json": {
                    "schema": _reference("schemas", _BODIES[name]),
                    "example": _REQUESTS[name],
                }
            },
        }
    return described


def _camel_case(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(word.capitalize() for word in others)


def _parameters(name: OperationName, rule: OperationRule) -> list[Json]:
    parameters: list[Json] = []
    if "{connectionId}" in rule.path:
        parameters.append(
            {
                "name": "connectionId",
                "in": "path",
                "required": True,
                "description": "In any case; answers spell it in lower case.",
                "schema": _UUID,
                "example": _CONNECTION_ID,
            }
        )
    if rule.key is KeyUse.NEEDED:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": f"1 to {KEY_MAX} visible ASCII characters, bare or as a quoted "
                "string; within the API key, for 24 hours from its first use.",
                "schema": {"type": "string", "pattern": _KEY_PATTERN},
                "example": "4f1c6c1e-5b0a-4b6e-8f6e-2b8d4c1d9a10",
            }
        )
    if name is OperationName.ACCOUNT_STATE:
        parameters.append(
            {
                "name": "appUserId",
                "in": "query",
                "required": True,
                "schema": _APP_USER_ID,
                "example": "user-1",
            }
        )
        parameters.append(
            {
                "name": "If-None-Match",
                "in": "header",
                "description": "Entity tags of answers that the client holds, or `*`.",
                "schema": {"type": "string"},
                "example": etag(AccountState.LIMITED),
            }
        )
    return parameters


def _success(name: OperationName, settings: Settings) -> Schema:
    answers = {
        title: respond(decide(Call(_CALLER, asked, key), snapshot, _NOW, _FRESH), settings)
        for title, asked, key, snapshot in _asked(name)
    }
    told = {header for answer in answers.values() for header, _ in answer.response.headers}
    headers = [header for header in _HEADERS if header.lower() in told]
    described: Schema = {
        "description": f"{_SUMMARIES[name]}: done.",
        "headers": {header: _reference("headers", header) for header in headers},
        "content": {
            "application/json": {
                "schema": _reference("schemas", _ANSWERS[name]),
                "examples": {
                    title: {"value": _body(answer.response)} for title, answer in answers.items()
                },
            }
        },
    }
    return described | _links(name)


def _links(name: OperationName) -> Schema:
    # What can be asked next with what an answer or its request holds.
    following = _FOLLOWING.get(name, ())
    if not following:
        return {}
    parameters: Schema = {"connectionId": "$response.body#/connection/id"}
    if name is OperationName.INITIATE:
        parameters = {"appUserId": "$request.body#/appUserId"}
    links: Schema = {
        _camel_case(each): {"operationId": _camel_case(each), "parameters": parameters}
        for each in following
    }
    return {"links": links}


def _problems(codes: list[ProblemCode], settings: Settings) -> Schema:
    headers = [
        header for header, of_codes in _PROBLEM_HEADERS.items() if not of_codes.isdisjoint(codes)
    ]
    references: list[Json] = [_reference("schemas", code) for code in codes]
    schema: Schema = {
        "oneOf": references,
        "discriminator": {
            "propertyName": "code",
            "mapping": {code: f"#/components/schemas/{code}" for code in codes},
        },
    }
    return {
        "description": "; ".join(CATALOGUE[code].outcome.title for code in codes),
        "headers": {header: _reference("headers", header) for header in headers},
        "content": {
            "application/problem+json": {
                "schema": schema if len(codes) > 1 else references[0],
                "examples": {
                    code: {"value": format_problem(_example(code), settings.type_base)}
                    for code in codes
                },
            }
        },
    }


def _reference(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _body(response: Response) -> Json:
    return parse_json(response.body)


# --- Schemas ---------------------------------------------------------------------------------

_UUID: Final[Schema] = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
}
_TIME: Final[Schema] = {"type": "string", "format": "date-time", "pattern": "Z$"}
_TIME_OR_NULL: Final[Schema] = {"type": ["string", "null"], "format": "date-time", "pattern": "Z$"}

_CONTROL: Final = r"\u0000-\u001f\u007f-\u009f\ud800-\udfff"
_WHITE: Final = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_APP_USER_ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": APP_USER_ID_MAX,
    "pattern": f"^[^{_CONTROL}{_WHITE}](?:[^{_CONTROL}]*[^{_CONTROL}{_WHITE}])?$",
    "description": "The app's own id of its user: opaque, compared exactly; no white space at "
    "either end, no control characters.",
}
_KEY_PATTERN: Final = (
    rf'^(?:[!#-~][!-~]{{0,{KEY_MAX - 1}}}|"(?:[!#-\[\]-~]|\\["\\]){{1,{KEY_MAX}}}")$'
)


def _object(members: dict[str, Json], *, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": members,
        "required": [name for name in members if name not in optional],
        "additionalProperties": False,
    }


def _enum(values: Iterable[str]) -> Schema:
    return {"type": "string", "enum": [str(value) for value in values]}


_PARTS: Final = {
    "connection": _reference("schemas", "Connection"),
    "session": _reference("schemas", "CuraeConnectSession"),
    "nextAction": _reference("schemas", "NextAction"),
}
_PACKAGES: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": DATA_PACKAGES_MAX,
    "items": {"type": "string", "pattern": f"^[a-z][a-z0-9_]{{0,{DATA_PACKAGE_MAX - 1}}}$"},
    "description": "A set: neither order nor repetition matters; answers have it sorted.",
}
_SCHEMAS: Final[Schema] = {
    "CreateConnection": _object({"appUserId": _APP_USER_ID, "dataPackages": _PACKAGES}),
    "Initiate": _object(
        {
            "appUserId": _APP_USER_ID,
            "preferSignup": {
                "type": "boolean",
                "default": False,
                "description": "Whether a user without an account is to sign up.",
            },
        },
        optional=("preferSignup",),
    ),
    "StartGraduation": _object({"appUserId": _APP_USER_ID}),
    "Nothing": _object({}),
    "Connection": _object(
        {
            "id": _UUID,
            "customerAccountId": _UUID,
            "appUserId": _APP_USER_ID,
            "status": _enum(WireStatus)
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
    "CuraeConnectSession": _object(
        {
            "id": _UUID,
            "customerAccountId": _UUID,
            "appUserId": _APP_USER_ID,
            "path": _enum(EntryPath),
            "handoff": _enum(Handoff),
            "createdAt": _TIME,
            "expiresAt": _TIME,
            "landedAt": _TIME_OR_NULL,
        }
    ),
    "NextAction": _object(
        {
            "type": {"const": "open_webview"},
            "url": {"type": "string", "format": "uri"},
            "expiresAt": _TIME,
        }
    )
    | {"description": "What the app must show the user; the URL can hold a secret."},
    "ConnectionCreated": _object(
        {"connection": _PARTS["connection"], "nextAction": _PARTS["nextAction"]}
    ),
    "ConnectionShown": _object({"connection": _PARTS["connection"]}),
    "ConnectionReconnected": _object(
        {
            "connection": _PARTS["connection"],
            "previousConnectionId": _UUID,
            "nextAction": _PARTS["nextAction"],
        }
    ),
    "ConnectionRevoked": _object(
        {
            "connection": _PARTS["connection"],
            "revokedNow": {
                "type": "boolean",
                "description": "Whether it was this request that revoked.",
            },
        }
    ),
    "SessionInitiated": _object({"session": _PARTS["session"], "nextAction": _PARTS["nextAction"]}),
    "AccountStateShown": _object({"lifecycleState": _enum(AccountState)}),
    "GraduationStarted": _object({"nextAction": _PARTS["nextAction"]}),
}

_DETAILS: Final[dict[str, tuple[Schema, DetailValue]]] = {
    "member": ({"type": ["string", "null"]}, "dataPackages"),
    "fault": (_enum(Fault), Fault.MISSING),
    "scope": ({"type": "string"}, "connection:write"),
    "environment": (_enum(Environment), Environment.TEST),
    "connectionId": (_UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d01"),
    "nextConnectionId": (_UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d02"),
    "dataPackage": ({"type": "string"}, "clinical_summary"),
    "reason": ({"type": "string"}, "STILL_PENDING"),
    "standing": (_enum(Standing), Standing.REVOKED),
    "deadline": (_TIME, "2026-01-05T09:30:00Z"),
    "sessionId": (_UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d03"),
    "expiresAt": (_TIME, "2026-01-05T09:30:00Z"),
    "path": (_enum(EntryPath), EntryPath.SILENT_LIMITED),
    "lifecycleState": (_enum(AccountState), AccountState.UNLINKED),
    "retryAfter": ({"type": "integer", "minimum": 1, "description": "Whole seconds."}, 12),
    "differs": (_enum(("operation", "values")), "values"),
    "policy": ({"type": "string"}, INITIATE_LIMIT.name),
}
"""Each key of a problem's `details`, with an example."""


def _problem_schema(code: ProblemCode, settings: Settings) -> Schema:
    kind = CATALOGUE[code].outcome
    members: dict[str, Json] = {
        "type": {"const": type_uri(code, settings.type_base)},
        "title": {"type": "string"},
        "status": {"const": kind.status},
        "detail": {"type": "string"},
        "code": {"const": code},
        "details": _object({name: _DETAILS[name][0] for name in kind.details}),
        "retryable": {"const": kind.retryable},
    }
    if code is not ProblemCode.NOT_FOUND:
        members["instance"] = {"type": "string", "format": "uri-reference"}
    return _object(members, optional=("instance",)) | {"description": kind.title}


def _example(code: ProblemCode) -> Problem:
    return Problem(code, tuple(_DETAILS[name][1] for name in CATALOGUE[code].outcome.details))


_LIMITED: Final = Limited((), INITIATE_LIMIT, 12_000_000)
_HEADERS: Final[Schema] = {
    "Cache-Control": {
        "description": "`no-store` where the body holds the URL of a hosted page or a limit "
        "refused; `private, no-cache` for an account's state.",
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "The same for every account in this state.",
        "schema": {"type": "string"},
        "example": etag(AccountState.LIMITED),
    },
    "Retry-After": {
        "description": "Whole seconds after which the same request may fare better.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 12,
    },
    "RateLimit": {
        "description": "The limit that refused: what is left, and for how many seconds.",
        "schema": {"type": "string"},
        "example": limit_header(_LIMITED),
    },
    "RateLimit-Policy": {
        "description": "The limit that refused: how many requests in how many seconds.",
        "schema": {"type": "string"},
        "example": policy_header(INITIATE_LIMIT),
    },
    "WWW-Authenticate": {"schema": {"const": "Bearer"}, "example": "Bearer"},
}
_LIMITS: Final = frozenset({ProblemCode.RATE_LIMITED})
_PROBLEM_HEADERS: Final = {
    "Cache-Control": _LIMITS,
    "Retry-After": _LIMITS | {ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT},
    "RateLimit": _LIMITS,
    "RateLimit-Policy": _LIMITS,
    "WWW-Authenticate": frozenset({ProblemCode.UNAUTHENTICATED}),
}


# --- Examples --------------------------------------------------------------------------------

_NOW: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
_CONNECTION_ID: Final = "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d01"
_CALLER: Final = Caller(
    ApiKeyId("example"),
    AppId("app-1"),
    CustomerAccountId("0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"),
    Environment.LIVE,
    frozenset({"connection:write"}),
)
_USER: Final = AppUserId("user-1")
_COORDINATE: Final = _CALLER.coordinate(_USER)
_PACKAGE_EXAMPLES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))
_FRESH: Final = NewIds(
    ConnectionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d02"),
    SessionId("6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d03"),
    UserId("user-of-the-platform"),
    NextAction("https://connect.example/6b7f2a52", _NOW + timedelta(minutes=30)),
)
_REQUESTS: Final[dict[OperationName, Json]] = {
    OperationName.CREATE_CONNECTION: {
        "appUserId": _USER,
        "dataPackages": list(_PACKAGE_EXAMPLES),
    },
    OperationName.RECONNECT: {},
    OperationName.REVOKE: {},
    OperationName.INITIATE: {"appUserId": _USER, "preferSignup": True},
    OperationName.GRADUATION_HANDOFF: {"appUserId": _USER},
}

_Asked = tuple[str, Operation, IdempotencyKey | None, Snapshot]


def _asked(name: OperationName) -> list[_Asked]:
    # For each example of a success: its title, what is asked, and what was loaded for it.
    connection, key = _connection(), IdempotencyKey("k-1")
    examples: list[_Asked] = [
        ("created", CreateConnection(_USER, _PACKAGE_EXAMPLES), key, Snapshot()),
        ("shown", GetConnection(connection.id), None, Snapshot(connection=connection)),
        ("recovered", Reconnect(connection.id), key, Snapshot(connection=_revoked(connection))),
        ("revoked", Revoke(connection.id), key, Snapshot(connection=connection)),
        ("revokedBefore", Revoke(connection.id), key, Snapshot(connection=_revoked(connection))),
        ("existingActiveHandoff", Initiate(_USER), key, _bound(AccountState.ACTIVE)),
        ("newActiveSignupHandoff", Initiate(_USER, prefer_signup=True), key, Snapshot()),
        ("silentLimited", Initiate(_USER), key, Snapshot()),
        ("limited", GetAccountState(_USER), None, _bound(AccountState.LIMITED)),
        ("started", StartGraduation(_USER), None, _bound(AccountState.LIMITED)),
    ]
    return [each for each in examples if operation_name(each[1]) is name]


def _connection() -> Connection:
    return create(
        id=ConnectionId(_CONNECTION_ID),
        coordinate=_COORDINATE,
        data_packages=_PACKAGE_EXAMPLES,
        now=_NOW - timedelta(days=1),
        next_action=NextAction("https://connect.example/0", _NOW + timedelta(minutes=5)),
    )


def _revoked(connection: Connection) -> Connection:
    return revoke(connection, _NOW - timedelta(hours=1), actor=Actor.APP).value


def _bound(state: AccountState) -> Snapshot:
    return Snapshot(binding=LimitedAccountAppBinding(_COORDINATE, UserId("u-1"), state, 1))
