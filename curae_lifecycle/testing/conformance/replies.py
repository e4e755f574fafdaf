"""Checks of successful responses: their status, members, types and headers.

The law of this module: **no operation is named here**. The request follows from the rule of the
operation's class, and the expected response from the fields of its reply. So a server's additional
operations are checked like the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import EnumType
from functools import partial
from types import NoneType, UnionType
from typing import Final, Union, cast, get_args, get_origin, get_type_hints

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
from curae_lifecycle.testing.conformance.wording import format_value
from curae_lifecycle.testing.laws import check_wire_members
from curae_lifecycle.web.wire_format import to_camel_case

_JSON: Final = re.compile(r"application/json(; *charset=utf-8)?", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STRONG_TAG: Final = re.compile(r'"[!#-~]*"')
_UUIDS: Final[frozenset[object]] = frozenset({ConnectionId, CustomerAccountId, SessionId})
_OPEN_WEBVIEW: Final = "open_webview"
_SHARED: Final = frozenset({"public", "s-maxage", "must-revalidate"})
_UNSHARED: Final = frozenset({"no-store", "private"})

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
"""The types of the members of a part; other members must only be present."""


# --- Judging a response ---------------------------------------------------------------------


def check_reply(kind: type[Operation], answer: Response) -> None:
    """Raise unless a response is a success as the class of the operation defines it.

    Args:
        kind: The class of the operation.
        answer: The response.

    Raises:
        NotConformingError: The status, a header or a member of the body is wrong or missing.
        LawBrokenError: An object in the body, such as the connection, has other members than law 13
            lists.
    """
    rule, reply = kind.rule, kind.reply
    body = client.expect(answer, rule.status)
    hints = get_type_hints(reply)
    shapes: dict[str, object] = {to_camel_case(name): hints[name] for name in reply.__match_args__}
    same(set(body), set(shapes), "the set of members")
    check_wire_members(body, operations=(kind,))
    for name, shape in shapes.items():
        _check(body[name], shape, name)
    media = client.headers(answer, "content-type")
    if len(media) != 1 or _JSON.fullmatch(media[0]) is None:
        raise NotConformingError(
            f"Content-Type is {format_value(media)} instead of one application/json"
        )
    if NextAction in shapes.values():
        same(client.headers(answer, "cache-control"), ["no-store"], "Cache-Control")
    if rule.tags:
        same(client.headers(answer, "cache-control"), ["private, no-cache"], "Cache-Control")
        entity_tag(answer)
    _expect_not_shared(answer)


def _expect_not_shared(answer: Response) -> None:
    # RFC 9111, 3.5: a shared cache keeps the response to an API key only if the server says so.
    values = client.headers(answer, "cache-control")
    directives = {each.partition("=")[0].strip().lower() for each in ",".join(values).split(",")}
    if directives & _SHARED and not directives & _UNSHARED:
        raise NotConformingError(
            f"Cache-Control is {format_value(values)}, which lets shared caches keep the response"
        )


def entity_tag(answer: Response) -> str:
    """Return the entity tag of a response.

    Raises:
        NotConformingError: The response does not have exactly one strong entity tag.
    """
    tags = client.headers(answer, "etag")
    if len(tags) != 1 or _STRONG_TAG.fullmatch(tags[0]) is None:
        raise NotConformingError(f"ETag is {format_value(tags)} instead of one strong entity tag")
    return tags[0]


def _check(value: object, shape: object, name: str) -> None:
    if shape in _PARTS:
        part = client.as_document(value)
        for each, its_shape in _PARTS[shape].items():
            _check(part.get(each), its_shape, f"{name}.{each}")
    elif get_origin(shape) is tuple:
        require(isinstance(value, list), f"{name} is not a list")
        item = cast("tuple[object, ...]", get_args(shape))[0]
        for index, one in enumerate(cast("list[object]", value)):
            _check(one, item, f"{name}[{index}]")
    elif get_origin(shape) in {Union, UnionType}:
        kinds = cast("tuple[object, ...]", get_args(shape))
        if value is not None:
            _check(value, next(each for each in kinds if each is not NoneType), name)
    elif shape is datetime:
        client.as_instant(value, name)
    else:
        is_valid, what = _plain(shape)
        require(is_valid(value), f"{name} is not {what}")


def _plain(shape: object) -> tuple[Callable[[object], bool], str]:
    if shape in _UUIDS:
        return _is_uuid, "a UUID in lower case"
    if isinstance(shape, EnumType):
        values: list[object] = list(shape)
        return values.__contains__, f"one of {', '.join(map(str, values))}"
    # A `NewType` is checked as its supertype.
    return _PLAIN.get(getattr(shape, "__supertype__", shape), _ANYTHING)


def _is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


_PLAIN: Final[Mapping[object, tuple[Callable[[object], bool], str]]] = {
    bool: (lambda value: isinstance(value, bool), "a boolean"),
    int: (lambda value: type(value) is int, "an integer"),
    str: (lambda value: isinstance(value, str) and value != "", "a non-empty string"),
    _OPEN_WEBVIEW: (lambda value: value == _OPEN_WEBVIEW, _OPEN_WEBVIEW),
}
_ANYTHING: Final[tuple[Callable[[object], bool], str]] = (lambda _: True, "")


CHECKS: Final = Checks()


def _success(kind: type[Operation], app: App) -> Steps[None]:
    answer = yield from send((yield from build_successful_request(app, kind)))
    check_reply(kind, answer)


@CHECKS.add("law-13.nothing-internal", laws=(13,))
def _nothing_internal(app: App) -> Steps[None]:
    """Responses contain neither the API key nor the app's own id."""
    for kind in app.context.operations:
        answer = yield from send((yield from build_successful_request(app, kind)))
        _require_nothing_internal(app, answer)
    unknown = attrs.evolve(app, api_key=app.api_key + "-more")
    answer = yield from send(unknown.get(app.names.uuid()))
    require(app.api_key.encode() not in _shown(answer), "the response contains the unknown API key")
    connection_id = yield from app.created_id()
    key = app.new_key()
    yield from send(app.create("user", key=key))
    for refused in (
        app.request("POST", "/connections", {"extra": 1}, key="k"),
        app.request("POST", f"/connections/{connection_id}:revoke"),
        app.get(app.names.uuid()),
        app.reconnect(connection_id),
        app.create("another", key=key),
    ):
        _require_nothing_internal(app, (yield from send(refused)))


def _require_nothing_internal(app: App, answer: Response) -> None:
    require(app.api_key.encode() not in _shown(answer), "the response contains the API key")
    require(
        app.key_request.app_id.encode() not in answer.body, "the response contains the app's id"
    )


def _shown(answer: Response) -> bytes:
    return "\n".join(value for _, value in answer.headers).encode() + answer.body


def checks(operations: Operations) -> list[Check]:
    """Return a check for each operation.

    Each check shows that a success has the status, members, types and headers that the operation's
    class defines.
    """
    return [
        Check(
            f"operation.{kind.rule.name}",
            f"A successful {kind.rule.name} returns {kind.rule.status} with the members, types and "
            "headers of its reply.",
            partial(_success, kind),
            laws=(13,),
            rules=(f"operation.{kind.rule.name}",),
        )
        for kind in operations
    ]
