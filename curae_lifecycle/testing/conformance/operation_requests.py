"""Requests for any operation, built from what its class says.

The law of this module: **no operation is named here**. A check that asks for every operation with
some property finds them by their rules, so one of a server's own is asked for like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations.operation import BASE_PATH, KeyUse, Operation, OperationRule
from curae_lifecycle.testing.conformance.client import PACKAGES, App, id_of, in_short, member
from curae_lifecycle.testing.conformance.steps import NotSeenError, Steps, send
from curae_lifecycle.web.request import Request

Kind = type[Operation]

_RETRYABLE: Final = "409 IDEMPOTENCY_KEY_IN_FLIGHT"

# What a member of an operation of the server's own may take.
_PLAIN: Final[tuple[object, ...]] = ("word", True, 1, ["word"], "2026-01-05T09:00:00Z")


def operations_where(app: App, has: Callable[[OperationRule], object]) -> list[Kind]:
    """The operations that the server serves and whose rule has something."""
    return [kind for kind in app.context.operations if has(kind.rule)]


def keyed(rule: OperationRule) -> bool:
    """Whether an operation needs an idempotency key."""
    return rule.key is KeyUse.NEEDED


def short_name(kind: Kind) -> str:
    """The name of an operation in the names of checks: `create` for `create-connection`."""
    return kind.rule.name.removesuffix("-connection")


def about(connection_id: str, user: str = "user") -> dict[str, object]:
    """The values of a request about a connection and a user, by the members' names."""
    return {"connectionId": connection_id, "appUserId": user, "dataPackages": [*PACKAGES]}


def build_request(
    app: App,
    kind: Kind,
    values: Mapping[str, object],
    *headers: tuple[str, str],
    body: object = None,
    key: str | None = None,
) -> Request:
    """A request for an operation; `values` are its members, by their names.

    A `body` goes instead of the one that the values make, bytes as they are; a `key` instead of a
    fresh one where the operation needs one.
    """
    rule = kind.rule
    path = rule.path.removeprefix(BASE_PATH)
    for each in rule.ids:
        path = path.replace(f"{{{each.name}}}", quote(str(value_of(each, values))))
    if rule.query:
        path += "?" + urlencode({each.name: str(value_of(each, values)) for each in rule.query})
    if body is None and rule.body:
        body = body_of(kind, values)
    if key is None and keyed(rule):
        key = app.new_key()
    return app.request(rule.method, path, body, *headers, key=key)


def body_of(kind: Kind, values: Mapping[str, object]) -> dict[str, object]:
    """The members that the body of an operation must have."""
    needed = [each for each in kind.rule.body or () if not each.optional]
    return {each.name: value_of(each, values) for each in needed}


def value_of(wanted: Member[object], values: Mapping[str, object]) -> object:
    """What a member is; one that nobody named is whatever its parser takes.

    Raises:
        NotSeenError: The kit knows nothing that it takes.
    """
    if wanted.name in values:
        return values[wanted.name]
    for value in (*_PLAIN, values["connectionId"]):
        if takes(wanted, value):
            return value
    raise NotSeenError(f"the kit knows no value of the member {wanted.name}")


def takes(wanted: Member[object], value: object) -> bool:
    """Whether a member may be a value."""
    try:
        wanted.parse(value)
    except ArgumentError:
        return False
    return True


def build_successful_request(app: App, kind: Kind, body: object = None) -> Steps[Request]:
    """A request that an operation will grant, about what no request was about before.

    It is about a pending connection and an UNLINKED user, or a revoked one and a LIMITED one where
    a first request shows that the operation refuses those.
    """
    first = yield from send(build_request(app, kind, (yield from _subject(app, kind))))
    refused = in_short(first).startswith("409") and in_short(first) != _RETRYABLE
    values = yield from _subject(app, kind, refused=refused)
    return build_request(app, kind, values, body=body)


def _subject(app: App, kind: Kind, *, refused: bool = False) -> Steps[dict[str, object]]:
    rule, user = kind.rule, app.names.word("user")
    values = about(app.names.uuid(), user)
    needed = {each.name for each in rule.members}
    if refused or "sessionId" in needed:
        session = yield from app.initiated(user)
        values["sessionId"] = member(session, "session.id")
    if "connectionId" in needed:
        connection_id = values["connectionId"] = id_of((yield from app.created(user)))
        if refused:
            yield from app.revoked(connection_id)
    return values
