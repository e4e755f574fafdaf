"""Checks of what each operation answers, as its class has it: status, members, shapes, headers.

The law of this module: **nothing is said here of one operation or another**. What is sent follows
from the rule of its class, what must come back from the fields of its reply, so an operation of a
server's own is checked like the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import EnumType
from functools import partial
from types import NoneType, UnionType
from typing import Final, cast, get_args, get_origin, get_type_hints

import attrs

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, CustomerAccountId, NextAction, SessionId
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, require, same
from curae_lifecycle.testing.conformance.operation_requests import build_successful_request
from curae_lifecycle.testing.conformance.steps import NotConformingError, Operations, Steps, send
from curae_lifecycle.testing.laws import check_wire_members
from curae_lifecycle.web.wire_format import to_camel_case

_JSON: Final = re.compile(r"application/json(; *charset=utf-8)?", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STRONG_TAG: Final = re.compile(r'"[!#-~]*"')
_UUIDS: Final[frozenset[object]] = frozenset({ConnectionId, CustomerAccountId, SessionId})
_OPEN_WEBVIEW: Final = "open_webview"

_PARTS: Final[Mapping[object, Mapping[str, object]]] = {
    Connection: {
        "id": ConnectionId,
        "customerAccountId": CustomerAccountId,
        "authorizedAt": datetime | None,
        "expiresAt": datetime | None,
        "revokedAt": datetime | None,
        "actionRequiredReason": str | None,
        "createdAt": datetime,
        "updatedAt": datetime,
    },
    CuraeConnectSession: {
        "id": SessionId,
        "customerAccountId": CustomerAccountId,
        "createdAt": datetime,
        "expiresAt": datetime,
        "landedAt": datetime | None,
    },
    NextAction: {"type": _OPEN_WEBVIEW, "url": str, "expiresAt": datetime},
}
"""What the members of a part are, where more can be said than that they are there."""


# --- What comes back ------------------------------------------------------------------------


def check_reply(kind: type[Operation], answer: Response) -> None:
    """Raise unless an answer is the success that the class of an operation promises."""
    rule, reply = kind.rule, kind.reply
    body = client.expect(answer, rule.status)
    hints = get_type_hints(reply)
    shapes: dict[str, object] = {to_camel_case(name): hints[name] for name in reply.__match_args__}
    same(set(body), set(shapes), "the members")
    check_wire_members(body, operations=(kind,))
    for name, shape in shapes.items():
        _check(body[name], shape, name)
    media = client.headers(answer, "content-type")
    if len(media) != 1 or _JSON.fullmatch(media[0]) is None:
        raise NotConformingError(f"the media type is {media}")
    if NextAction in shapes.values():
        same(client.headers(answer, "cache-control"), ["no-store"], "Cache-Control")
    if rule.tags:
        same(client.headers(answer, "cache-control"), ["private, no-cache"], "Cache-Control")
        entity_tag(answer)


def entity_tag(answer: Response) -> str:
    """The one strong entity tag of an answer."""
    tags = client.headers(answer, "etag")
    if len(tags) != 1 or _STRONG_TAG.fullmatch(tags[0]) is None:
        raise NotConformingError(f"the entity tags are {tags}, not one strong one")
    return tags[0]


def _check(value: object, shape: object, name: str) -> None:
    if shape in _PARTS:
        part = client.as_document(value)
        for each, its in _PARTS[shape].items():
            _check(part.get(each), its, f"{name}.{each}")
    elif get_origin(shape) is UnionType:
        kinds = cast("tuple[object, ...]", get_args(shape))
        if value is not None:
            _check(value, next(each for each in kinds if each is not NoneType), name)
    elif shape is datetime:
        client.as_instant(value, name)
    else:
        is_right, wrong = _plain(shape)
        require(is_right(value), f"{name} is {wrong}")


def _plain(shape: object) -> tuple[Callable[[object], bool], str]:
    if shape in _UUIDS:
        return _is_uuid, "no UUID in lower case"
    if isinstance(shape, EnumType):
        values: list[object] = list(shape)
        return values.__contains__, f"none of {', '.join(map(str, values))}"
    # Of another name for a type we know the type.
    return _PLAIN.get(getattr(shape, "__supertype__", shape), _ANYTHING)


def _is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


_PLAIN: Final[Mapping[object, tuple[Callable[[object], bool], str]]] = {
    bool: (lambda value: isinstance(value, bool), "neither true nor false"),
    int: (lambda value: type(value) is int, "no integer"),
    str: (lambda value: isinstance(value, str) and value != "", "no text"),
    _OPEN_WEBVIEW: (lambda value: value == _OPEN_WEBVIEW, f"not {_OPEN_WEBVIEW}"),
}
_ANYTHING: Final[tuple[Callable[[object], bool], str]] = (lambda _: True, "")


CHECKS: Final = Checks()


def _success(kind: type[Operation], app: App) -> Steps[None]:
    answer = yield from send((yield from build_successful_request(app, kind)))
    check_reply(kind, answer)


@CHECKS.add("law-13.nothing-internal", laws=(13,))
def _nothing_internal(app: App) -> Steps[None]:
    """Neither the API key nor the app's own id is in an answer."""
    for kind in app.context.operations:
        answer = yield from send((yield from build_successful_request(app, kind)))
        shown = "\n".join(value for _, value in answer.headers).encode() + answer.body
        require(app.api_key.encode() not in shown, "the API key is in it")
        require(app.key_request.app_id.encode() not in answer.body, "the app's id is in it")
    nobody = attrs.evolve(app, api_key=app.api_key + "-more")
    answer = yield from send(nobody.get(app.names.uuid()))
    require(app.api_key.encode() not in answer.body, "the unknown API key is in it")


def checks(operations: Operations) -> list[Check]:
    """One check for each operation."""
    return [
        Check(
            f"operation.{kind.rule.name}",
            f"A success of {kind.rule.name} answers {kind.rule.status} with the members of its "
            "reply, shaped as they are to be, and with its headers.",
            partial(_success, kind),
            laws=(13,),
            rules=(f"operation.{kind.rule.name}",),
        )
        for kind in operations
    ]
