"""The OpenAPI document of some operations.

The law of this module: **the document is read from the code, so that it describes what the code
does**. Paths, methods, scopes, keys, members and statuses come from the operations, the problems of
each operation from the tables that refuse it, the members of a problem from the catalogue, and the
examples from `decide`.
"""

from __future__ import annotations

import json
from typing import Final, cast, get_type_hints
from uuid import UUID, uuid5

from curae_lifecycle import __version__
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import IDEMPOTENCY_KEY_MAX_LENGTH
from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service import json_schema
from curae_lifecycle.service.gates import REQUEST_GATES, Ask, Gate
from curae_lifecycle.service.json_schema import Json, Schema
from curae_lifecycle.service.members import APP_USER_ID, CONNECTION_ID, Member
from curae_lifecycle.service.operations import example_values, operation
from curae_lifecycle.service.operations.account_state import etag
from curae_lifecycle.service.operations.operation import (
    ConnectionOperation,
    KeyUse,
    Operation,
    OperationRule,
    Reply,
    UserOperation,
)
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.status import NOT_MODIFIED, status_of
from curae_lifecycle.web.json import parse_json
from curae_lifecycle.web.openapi import schemas
from curae_lifecycle.web.openapi.examples import problem_reply, successes
from curae_lifecycle.web.openapi.schemas import reference
from curae_lifecycle.web.read import KEY_USE_BY_GATE
from curae_lifecycle.web.request import BODY_MAX
from curae_lifecycle.web.respond import problem_headers
from curae_lifecycle.web.wire_format import format_problem, to_camel_case


def openapi(settings: Settings = DEFAULT_SETTINGS, server_url: str = "/") -> dict[str, Json]:
    """Return the OpenAPI 3.1 document of a server with the given settings.

    The document lists every operation with all its statuses, headers and problem codes. Each
    success and each problem has an example. A problem code that no operation gives is left out.

    Args:
        settings: The settings of the server; `type_base` is the base URI of every problem's `type`.
        server_url: The URL of the server, before the path of an operation. The default is relative:
            the server that publishes the document.

    Raises:
        ArgumentError: Two classes of operations, or two schemas of bodies, replies and problems,
            have the same name.
    """
    paths: dict[str, Json] = {}
    for kind in settings.operations:
        path = paths.setdefault(kind.rule.path, {})
        assert isinstance(path, dict)  # noqa: S101 - this loop made it
        path[kind.rule.method.lower()] = _operation(kind, settings)
    bodies = [kind for kind in settings.operations if kind.rule.body is not None]
    answered = {code for kind in settings.operations for code in problem_codes(kind)}
    codes = [code for code in ProblemCode if code in answered]
    _check_names(settings.operations, codes)
    described: Schema = {
        **{schemas.body_name(kind): schemas.body_schema(kind) for kind in bodies},
        **schemas.SHARED,
        **{kind.reply.__name__: schemas.reply_schema(kind.reply) for kind in settings.operations},
        **{
            schemas.problem_name(it): schemas.problem_schema(it, settings.type_base) for it in codes
        },
    }
    document: Json = {
        "openapi": "3.1.1",
        "info": {
            "title": "Curae API",
            "summary": "Connections of a patient's records to SDK apps.",
            "description": _DESCRIPTION,
            "version": __version__,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server_url, "description": "The server that publishes this document."}]
        if server_url == "/"
        else [{"url": server_url}],
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
            "schemas": described,
            "headers": schemas.HEADERS,
        },
    }
    # Without the members of enumerations, which some writers of YAML refuse.
    return cast("dict[str, Json]", json.loads(json.dumps(document)))


def _check_names(operations: tuple[type[Operation], ...], codes: list[ProblemCode]) -> None:
    classes = [kind.__name__ for kind in operations]
    described = [
        *{schemas.body_name(kind) for kind in operations},
        *[reply.__name__ for reply in {kind.reply for kind in operations}],
        *schemas.SHARED,
        *map(schemas.problem_name, codes),
    ]
    for names in (classes, described):
        for name in names:
            if names.count(name) > 1:
                allowed = "classes with replies of other names"
                raise ArgumentError("settings.operations", allowed, f"two {name}")


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
    rule, codes = kind.rule, problem_codes(kind)
    responses: Schema = {str(rule.status): _success(kind, settings)}
    if rule.tags:
        headers = _headers({"cache-control", "etag"})
        known = "The client knows this state already."
        responses[str(NOT_MODIFIED)] = {"description": known, "headers": headers}
    for status in sorted({status_of(Problem(code)) for code in codes}):
        of_status = [code for code in codes if status_of(Problem(code)) == status]
        responses[str(status)] = _problems(of_status, kind, settings)
    described: Schema = {
        "operationId": _operation_id(kind),
        "summary": rule.summary,
        "description": rule.why,
        "tags": [rule.path.removeprefix(f"{operation.BASE_PATH}/").partition("/")[0]],
        "parameters": _parameters(kind),
        "responses": responses,
    }
    if rule.scope is not None:
        described["x-scope"] = rule.scope
    if rule.body is not None:
        example: Schema = {
            each.name: each.example for each in rule.body if each.example is not None
        }
        content = _content(reference("schemas", schemas.body_name(kind)), {"example": example})
        described["requestBody"] = {
            "description": f"At most {BODY_MAX:,} bytes, white space counted.",
            "required": bool(rule.body),
            "content": content,
        }
    return described


def _operation_id(kind: type[Operation]) -> str:
    name = kind.__name__
    return name[0].lower() + name[1:]


def _headers(sent: set[str]) -> Schema:
    return {name: reference("headers", name) for name in schemas.HEADERS if name.lower() in sent}


def _content(schema: Schema, shown: Schema, media_type: str = "application/json") -> Schema:
    described: Json = {"schema": schema, **shown}
    return {media_type: described}


def _parameters(kind: type[Operation]) -> list[Json]:
    rule = kind.rule
    parameters = [
        _member_parameter("path", member, _UUID if member.schema == json_schema.UUID else _REQUIRED)
        for member in rule.ids
    ]
    if rule.key is KeyUse.NEEDED:
        schema: Schema = {"type": "string", "pattern": schemas.KEY_PATTERN}
        # Every example can be sent to one server: a key that was used for another request is refused.
        example = str(uuid5(_EXAMPLE_KEYS, rule.name))
        parameters.append(
            _parameter("header", name="Idempotency-Key", said=_KEY, schema=schema, example=example)
        )
    parameters += [
        _member_parameter("query", member, {"required": not member.optional})
        for member in rule.query
    ]
    if rule.tags:
        example = etag(AccountState.LIMITED)
        parameters.append(
            _parameter(
                "header",
                name="If-None-Match",
                said=_TAGS_HELD,
                schema={"type": "string"},
                example=example,
            )
        )
    return list[Json](parameters)


def _member_parameter(place: str, member: Member[object], said: Schema) -> Schema:
    return _parameter(
        place, name=member.name, said=said, schema=member.schema, example=member.example
    )


def _parameter(place: str, name: str, said: Schema, schema: Schema, example: Json) -> Schema:
    parameter: Schema = {"name": name, "in": place, **said, "schema": schema}
    return parameter if example is None else parameter | {"example": example}


_REQUIRED: Final[Schema] = {"required": True}
_UUID: Final[Schema] = {
    "required": True,
    "description": "In any case; answers spell it in lower case.",
}
_KEY: Final[Schema] = {
    "required": True,
    "description": f"1 to {IDEMPOTENCY_KEY_MAX_LENGTH} visible ASCII characters, bare or as a quoted string; within "
    "the API key, for 24 hours from its first use.",
}
_EXAMPLE_KEYS: Final = UUID("4f1c6c1e-5b0a-4b6e-8f6e-2b8d4c1d9a10")
_TAGS_HELD: Final[Schema] = {"description": "Entity tags of answers that the client holds, or `*`."}


def _success(kind: type[Operation], settings: Settings) -> Schema:
    answers = successes(kind, settings)
    examples: Schema = {title: {"value": parse_json(it.body)} for title, it in answers.items()}
    described: Schema = {
        "description": f"{kind.rule.summary}: done.",
        "headers": _headers({name for answer in answers.values() for name, _ in answer.headers}),
        "content": _content(reference("schemas", kind.reply.__name__), {"examples": examples}),
    }
    links = _links(kind.reply, settings)
    if links:
        described["links"] = links
    return described


def _links(reply: type[Reply], settings: Settings) -> Schema:
    # The operations that the ids of a response or of its request can be passed to.
    links: Schema = {}
    held = {kind: name for name, kind in get_type_hints(reply).items()}
    for each in settings.operations:
        if Connection in held and CONNECTION_ID in each.rule.ids:
            member = to_camel_case(held[Connection])
            parameters: Schema = {"connectionId": f"$response.body#/{member}/id"}
        elif CuraeConnectSession in held and APP_USER_ID in each.rule.query:
            parameters = {"appUserId": "$request.body#/appUserId"}
        else:
            continue
        name = _operation_id(each)
        links[name] = {"operationId": name, "parameters": parameters}
    return links


def _problems(codes: list[ProblemCode], kind: type[Operation], settings: Settings) -> Schema:
    replies = [problem_reply(code, kind.rule, settings) for code in codes]
    headers = _headers({name for reply in replies for name, _ in problem_headers(reply)})
    references = [reference("schemas", schemas.problem_name(code)) for code in codes]
    schema: Schema = references[0]
    if len(codes) > 1:
        mapping: Schema = {code: each["$ref"] for code, each in zip(codes, references, strict=True)}
        one_of = list[Json](references)
        discriminator: Json = {"propertyName": "code", "mapping": mapping}
        schema = {"oneOf": one_of, "discriminator": discriminator}
    examples: Schema = {
        code: {"value": format_problem(reply.problem, settings.type_base)}
        for code, reply in zip(codes, replies, strict=True)
    }
    return {
        "description": "; ".join(Problem(code).title for code in codes),
        "headers": headers,
        "content": _content(schema, {"examples": examples}, "application/problem+json"),
    }


def problem_codes(kind: type[Operation]) -> tuple[ProblemCode, ...]:
    """Return the problem codes that the operation `kind` can give, in order of `ProblemCode`.

    The codes come from the gates (checks of a request) that apply to the operation, from the tables
    that these gates look up, and from the tables of the operation itself.
    """
    rule = kind.rule
    codes: set[ProblemCode] = set()
    for gate, row in REQUEST_GATES.items():
        if _passes(gate, kind):
            verdict = row.outcome
            codes |= _asked(verdict, rule) if isinstance(verdict, Ask) else {verdict.code}
    if rule.scope is None:
        codes.discard(ProblemCode.SCOPE_INSUFFICIENT)
    return tuple(code for code in ProblemCode if code in codes)


def _passes(gate: Gate, kind: type[Operation]) -> bool:
    if gate in _BY_KEY:
        return kind.rule.key is _BY_KEY[gate]
    if gate is Gate.OWNERSHIP:
        return bool(kind.rule.ids) or _loads_an_id(kind)
    # The path of a request for this operation is known.
    return gate is not Gate.ROUTE


def _loads_an_id(kind: type[Operation]) -> bool:
    # Whether the operation loads a connection or session, whose id its query or body may name.
    if kind.needs in (ConnectionOperation.needs, UserOperation.needs):
        return issubclass(kind, ConnectionOperation)
    needed = [each.operation.needs(example_values.CALLER) for each in kind.examples()]
    # An operation without examples may load anything.
    return not needed or any(each.connection or each.chain or each.session for each in needed)


_BY_KEY: Final = {**KEY_USE_BY_GATE, Gate.IDEMPOTENCY: KeyUse.NEEDED}


def _asked(ask: Ask, rule: OperationRule) -> set[ProblemCode]:
    beginnings = (ask.table,) if ask.table else rule.asks
    return {
        row.outcome.code
        for table in TABLES.values()
        for row in table.rows
        if isinstance(row.outcome, RefuseWith)
        and any(row.rule.startswith(f"{each}.") for each in beginnings)
    }
