"""The document, made of the operations and the tables.

The law of this module: **the document says what the code does, because it is read from it**.
Paths, methods, scopes, keys, members and statuses come from the operations; the problems of each
from the tables that refuse it; their members from the catalogue; the examples are answers of
`decide`.
"""

from __future__ import annotations

from typing import Final, get_type_hints

from curae_lifecycle import __version__
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import KEY_MAX
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service.members import APP_USER_ID, CONNECTION_ID, Member
from curae_lifecycle.service.operations.account_state import etag
from curae_lifecycle.service.operations.operation import BASE_PATH, KeyUse, Operation, Reply
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.status import NOT_MODIFIED, status_of
from curae_lifecycle.web.json import Json, parse_json
from curae_lifecycle.web.openapi.examples import successes
from curae_lifecycle.web.openapi.problems import problem_codes
from curae_lifecycle.web.openapi.schemas import (
    HEADERS,
    KEY_PATTERN,
    MEMBERS,
    SHARED,
    Schema,
    body_name,
    body_schema,
    example_problem,
    member_schema,
    problem_schema,
    reference,
    reply_schema,
)
from curae_lifecycle.web.shapes import format_problem


def openapi(settings: Settings = DEFAULT_SETTINGS) -> dict[str, Json]:
    """The document that describes the operations as a server with these settings has them.

    Args:
        settings: What the server chose; `type_base` shows in every problem's `type`.

    Returns:
        An OpenAPI 3.1 document: every status of every operation, every problem code with its
        members, every header, and an example of each.
    """
    paths: dict[str, Json] = {}
    for kind in settings.operations:
        path = paths.setdefault(kind.rule.path, {})
        assert isinstance(path, dict)  # noqa: S101 - this loop made it
        path[kind.rule.method.lower()] = _operation(kind, settings)
    schemas: Schema = {
        **{body_name(kind): body_schema(kind) for kind in settings.operations},
        **SHARED,
        **{kind.reply.__name__: reply_schema(kind.reply) for kind in settings.operations},
        **{code.value: problem_schema(code, settings.type_base) for code in ProblemCode},
    }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Connections of a patient's records to SDK apps",
            "summary": "Connect, recover and revoke; enter through the hosted pages.",
            "description": _DESCRIPTION,
            "version": __version__,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"platformApiKey": []}],
        "tags": [{"name": tag, "description": text} for tag, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "platformApiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key belongs to one app, one customer account and one "
                    "environment. It is opaque.",
                }
            },
            "schemas": schemas,
            "headers": HEADERS,
        },
    }


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


def _operation(kind: type[Operation], settings: Settings) -> Schema:
    rule = kind.rule
    responses: dict[str, Json] = {str(rule.status): _success(kind, settings)}
    if rule.tags:
        responses[str(NOT_MODIFIED)] = {
            "description": "The client knows this state already.",
            "headers": {
                "Cache-Control": reference("headers", "Cache-Control"),
                "ETag": reference("headers", "ETag"),
            },
        }
    codes = problem_codes(kind)
    for status in sorted({status_of(Problem(code)) for code in codes}):
        of_status = [code for code in codes if status_of(Problem(code)) == status]
        responses[str(status)] = _problems(of_status, settings)
    described: Schema = {
        "operationId": _camel_case(rule.name),
        "summary": rule.summary,
        "description": rule.why,
        "tags": [rule.path.removeprefix(f"{BASE_PATH}/").partition("/")[0]],
        "parameters": _parameters(kind),
        "responses": responses,
    }
    if rule.scope is not None:
        described["x-scope"] = rule.scope
    if rule.body is not None:
        example = {each.name: MEMBERS[each][1] for each in rule.body if each in MEMBERS}
        described["requestBody"] = {
            "required": bool(rule.body),
            "content": {
                "application/json": {
                    "schema": reference("schemas", body_name(kind)),
                    "example": example,
                }
            },
        }
    return described


def _camel_case(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(word.capitalize() for word in others)


def _parameters(kind: type[Operation]) -> list[Json]:
    rule = kind.rule
    parameters: list[Json] = [
        {
            "name": member.name,
            "in": "path",
            "required": True,
            "description": "In any case; answers spell it in lower case.",
            "schema": member_schema(member),
            "example": MEMBERS[member][1],
        }
        for member in rule.ids
    ]
    if rule.key is KeyUse.NEEDED:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": f"1 to {KEY_MAX} visible ASCII characters, bare or as a quoted "
                "string; within the API key, for 24 hours from its first use.",
                "schema": {"type": "string", "pattern": KEY_PATTERN},
                "example": "4f1c6c1e-5b0a-4b6e-8f6e-2b8d4c1d9a10",
            }
        )
    parameters.extend(map(_query_parameter, rule.query))
    if rule.tags:
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


def _query_parameter(member: Member[str]) -> Schema:
    return {
        "name": member.name,
        "in": "query",
        "required": True,
        "schema": member_schema(member),
        "example": MEMBERS[member][1],
    }


def _success(kind: type[Operation], settings: Settings) -> Schema:
    answers = successes(kind, settings)
    sent = {header for answer in answers.values() for header, _ in answer.headers}
    headers = [header for header in HEADERS if header.lower() in sent]
    described: Schema = {
        "description": f"{kind.rule.summary}: done.",
        "headers": {header: reference("headers", header) for header in headers},
        "content": {
            "application/json": {
                "schema": reference("schemas", kind.reply.__name__),
                "examples": {
                    title: {"value": parse_json(answer.body)} for title, answer in answers.items()
                },
            }
        },
    }
    links = _links(kind.reply, settings)
    if links:
        described["links"] = links
    return described


def _links(reply: type[Reply], settings: Settings) -> Schema:
    # What can be asked next with what an answer or its request holds.
    links: Schema = {}
    held = set(get_type_hints(reply).values())
    for each in settings.operations:
        if Connection in held and CONNECTION_ID in each.rule.ids:
            parameters: Schema = {"connectionId": "$response.body#/connection/id"}
        elif CuraeConnectSession in held and APP_USER_ID in each.rule.query:
            parameters = {"appUserId": "$request.body#/appUserId"}
        else:
            continue
        name = _camel_case(each.rule.name)
        links[name] = {"operationId": name, "parameters": parameters}
    return links


def _problems(codes: list[ProblemCode], settings: Settings) -> Schema:
    headers = [
        header for header, of_codes in _PROBLEM_HEADERS.items() if not of_codes.isdisjoint(codes)
    ]
    references: list[Json] = [reference("schemas", code) for code in codes]
    schema: Schema = {
        "oneOf": references,
        "discriminator": {
            "propertyName": "code",
            "mapping": {code: f"#/components/schemas/{code}" for code in codes},
        },
    }
    return {
        "description": "; ".join(Problem(code).title for code in codes),
        "headers": {header: reference("headers", header) for header in headers},
        "content": {
            "application/problem+json": {
                "schema": schema if len(codes) > 1 else references[0],
                "examples": {
                    code: {"value": format_problem(example_problem(code), settings.type_base)}
                    for code in codes
                },
            }
        },
    }


_LIMITS: Final = frozenset({ProblemCode.RATE_LIMITED})
_PROBLEM_HEADERS: Final = {
    "Cache-Control": _LIMITS,
    "Retry-After": _LIMITS | {ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT},
    "RateLimit": _LIMITS,
    "RateLimit-Policy": _LIMITS,
    "WWW-Authenticate": frozenset({ProblemCode.UNAUTHENTICATED}),
}
